"""Pages of lists: by token, so that what is inserted while somebody leafs through neither repeats nor hides a record.

Lists are newest first. A token stands for the last record of the page before: ``PA``, the record's date of creation in microseconds, and
its sid; the next page begins behind that place, whether or not the record is still there. Lists from disk have the store's own token after
the ``PA``, and members of a queue their order key.

The envelope is fixed by client libraries: they take the one key they do not know for the list, and follow ``next_page_uri`` to null.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar
from urllib.parse import quote_plus

from waitline.api.params import Param, Text, Whole
from waitline.api.problems import invalid
from waitline.api.render import Json
from waitline.api.routing import Answer, Ask
from waitline.bridge.store.history import Filter

DEFAULT_PAGE_SIZE = 50
PAGING = (
    Param(name="PageSize", field="page_size", kind=Whole(low=1, high=1000), code=20007),
    Param(name="Page", field="page", kind=Whole(low=0, high=10**9)),
    Param(name="PageToken", field="page_token", kind=Text(longest=200)),
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OWN = {"page_size", "page", "page_token"}


class Listed(Protocol):
    @property
    def sid(self) -> str: ...
    @property
    def date_created(self) -> datetime: ...


L = TypeVar("L", bound=Listed)
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Which page is asked for, and the filters beside."""

    number: int
    size: int
    token: str | None
    """Without its ``PA``."""
    filters: dict[str, Any]


def window(ask: Ask) -> Window:
    """Read the paging parameters. ApiError for a page that can only be reached by its token."""
    given = ask.given()
    token = given.get("page_token")
    if token is not None and not token.startswith("PA"):
        raise invalid("PageToken", "it is not one of this list")
    if token is None and given.get("page", 0) > 0:
        raise invalid("Page", "follow next_page_uri: a page behind the first needs its PageToken")
    filters = {name: value for name, value in given.items() if name not in _OWN}
    size = given.get("page_size", DEFAULT_PAGE_SIZE)
    return Window(number=given.get("page", 0), size=size, token=None if token is None else token[2:], filters=filters)


def listing(ask: Ask, key: str, records: Sequence[L], render: Callable[[L], Json], *, at: Window | None = None) -> Answer:
    """A page of records that lie in memory."""
    at = at or window(ask)
    ordered = sorted(records, key=_place, reverse=True)
    start = 0 if at.token is None else _first_behind(ordered, _parse_place(at.token))
    page, more = ordered[start : start + at.size], len(ordered) > start + at.size
    return envelope(ask, key, [render(record) for record in page], at, next_token=_format_place(page[-1]) if more else None)


async def from_disk(
    ask: Ask, key: str, kind: type[R], render: Callable[[R], Json], *, filters: Sequence[Filter], at: Window | None = None
) -> Answer:
    """A page of history."""
    at = at or window(ask)
    records, token = await ask.services.store.page(kind, account_sid=ask.account.sid, filters=filters, limit=at.size, before=at.token)
    return envelope(ask, key, [render(record) for record in records], at, next_token=token)


def envelope(ask: Ask, key: str, items: list[Json], at: Window, *, next_token: str | None) -> Answer:
    """The body of one page; ``next_token`` without its ``PA``, None for the last."""
    start = at.number * at.size
    body = {
        key: items,
        "page": at.number, "page_size": at.size, "start": start, "end": start + max(len(items) - 1, 0),
        "uri": _uri(ask, at, at.number, at.token),
        "first_page_uri": _uri(ask, at, 0, None),
        "previous_page_uri": _uri(ask, at, 0, None) if at.number == 1 else None,  # a token leads forward only
        "next_page_uri": None if next_token is None else _uri(ask, at, at.number + 1, next_token),
    }  # fmt: skip
    return Answer(body=body)


def _uri(ask: Ask, at: Window, number: int, token: str | None) -> str:
    kept = [(name, value) for name, value in ask.pairs if name not in {"Page", "PageToken", "PageSize"}]
    ours = [("PageSize", str(at.size)), ("Page", str(number)), *([("PageToken", "PA" + token)] if token is not None else [])]
    return ask.path + "?" + "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in kept + ours)


def _place(record: Listed) -> tuple[int, str]:
    return (record.date_created - _EPOCH) // timedelta(microseconds=1), record.sid


def _format_place(record: Listed) -> str:
    micros, sid = _place(record)
    return f"{sid}-{micros}"


def _parse_place(token: str) -> tuple[int, str]:
    sid, _, micros = token.partition("-")
    if not micros.isascii() or not micros.isdigit() or len(micros) > 20:
        raise invalid("PageToken", "it is not one of this list")
    return int(micros), sid


def _first_behind(ordered: Sequence[Listed], place: tuple[int, str]) -> int:
    return next((index for index, record in enumerate(ordered) if _place(record) < place), len(ordered))
