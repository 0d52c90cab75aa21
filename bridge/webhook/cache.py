"""Answers to GET that may be used again (RFC 9111, as a private cache per account): hold music is asked for by every caller.

An answer is kept if it is a 200 that does not forbid it (``no-store``, Set-Cookie, a Vary on what differs between our requests) and that
can be judged later: by an age it may reach (``max-age``, Expires) or by a validator (ETag, Last-Modified). Fresh ones are used without
asking; others are asked for conditionally. Ages count by the monotonic clock from the moment the answer came. The oldest unused ones give
way when the budget of bytes is spent.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime

from waitline.bridge.webhook.exchange import Headers, HttpResponse
from waitline.clock import Clock

Key = tuple[str, str, str]
"""(account, canonical URL, credentials)."""
LONGEST_FRESHNESS_S = 30 * 86400.0
_SAME_FOR_ALL_REQUESTS = frozenset({"accept", "accept-encoding", "user-agent", "origin"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    response: HttpResponse
    fresh_until: float
    """Seconds, monotonic."""

    @property
    def conditions(self) -> Headers:
        """The headers that ask whether it still holds; empty if it cannot be asked."""
        pairs = (("If-None-Match", self.response.header("ETag")), ("If-Modified-Since", self.response.header("Last-Modified")))
        return tuple((name, value) for name, value in pairs if value)


class ResponseCache:
    """``capacity``: bytes of bodies."""

    def __init__(self, *, clock: Clock, capacity: int) -> None:
        self._clock = clock
        self._capacity = capacity
        self._entries: OrderedDict[Key, Entry] = OrderedDict()
        self._bytes = 0

    def find(self, key: Key) -> Entry | None:
        """What is kept for a URL, fresh or not."""
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def is_fresh(self, entry: Entry) -> bool:
        """Whether it may be used without asking."""
        return self._clock.now() < entry.fresh_until

    def offer(self, key: Key, response: HttpResponse) -> None:
        """Keep an answer if it may be kept; an older one for the same URL goes in any case."""
        self._drop(key)
        lifetime_s = _lifetime_s(response)
        entry = Entry(response=response, fresh_until=self._clock.now() + lifetime_s)
        if not _may_be_kept(response) or not (lifetime_s or entry.conditions):
            return
        self._entries[key] = entry
        self._bytes += len(response.body)
        while self._bytes > self._capacity:
            self._drop(next(iter(self._entries)))

    def confirm(self, key: Key, entry: Entry, not_modified: HttpResponse) -> HttpResponse:
        """A 304 came: the kept answer holds on, with the newer headers (RFC 9111 §4.3.4)."""
        updated = {name.lower() for name, _ in not_modified.headers} - {"content-length", "content-type", "content-encoding"}
        headers = tuple(pair for pair in entry.response.headers if pair[0].lower() not in updated)
        headers += tuple(pair for pair in not_modified.headers if pair[0].lower() in updated)
        response = replace(entry.response, headers=headers)
        self.offer(key, response)
        return response

    def _drop(self, key: Key) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= len(entry.response.body)


def _directives(response: HttpResponse) -> dict[str, str]:
    parts = ",".join(response.header_values("Cache-Control")).split(",")
    return {name.strip().lower(): value.strip(' "') for name, _, value in (part.partition("=") for part in parts)}


def _may_be_kept(response: HttpResponse) -> bool:
    varies = {name.strip().lower() for value in response.header_values("Vary") for name in value.split(",")}
    forbidden = "no-store" in _directives(response) or response.header("Set-Cookie") is not None
    return response.status == 200 and not forbidden and varies <= _SAME_FOR_ALL_REQUESTS


def _lifetime_s(response: HttpResponse) -> float:
    """For how long from now an answer is fresh (RFC 9111 §4.2.1, without heuristics), less the age it came with."""
    directives = _directives(response)
    if "no-cache" in directives:
        return 0.0
    lifetime_s = _seconds(directives["max-age"]) if "max-age" in directives else _until_expires_s(response)
    return min(max(0.0, lifetime_s - _seconds(response.header("Age"))), LONGEST_FRESHNESS_S)


def _until_expires_s(response: HttpResponse) -> float:
    """Expires less Date, both the server's: its clock need not agree with ours."""
    try:
        expires, date = (parsedate_to_datetime(response.header(name) or "") for name in ("Expires", "Date"))
        return (expires - date).total_seconds()
    except (ValueError, TypeError):  # "Expires: 0" means stale; a missing Date leaves nothing to measure from
        return 0.0


def _seconds(text: str | None) -> float:
    return float(text[:10]) if text and text.isascii() and text.isdigit() else 0.0
