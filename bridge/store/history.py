"""Reading what is on disk: one record by its sid, or a page of an account's history.

A page is cut by the serial number that the database gave on insertion, never by an offset, so what is inserted meanwhile shifts nothing: a
record is on exactly one page. The token is that number, with the kind in front so that one list's token is not taken for another's.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Engine, Select, select
from sqlalchemy.exc import SQLAlchemyError

from waitline.bridge.store.codec import Codec
from waitline.bridge.store.errors import StoreUnavailable
from waitline.errors import ApiError

R = TypeVar("R")
_PAST_ALL = 2**63 - 1
"""A serial number that no record has."""
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Filter(NamedTuple):
    """A condition of ``page``: ``Filter("status", "=", "completed")``, ``Filter("start_time", ">=", utc)``."""

    field: str
    op: str
    """= < <= > >="""
    value: str | int | datetime


class Cut(NamedTuple):
    """Which page: of whose records, which of them, how many, and the token that the page before ended with."""

    account_sid: str
    filters: Sequence[Filter]
    limit: int
    before: str | None


class History:
    """Queries over the tables; each call is one round trip, on whichever thread makes it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get(self, codec: Codec[R], sid: str) -> R | None:
        """Return the record with that sid. Raises StoreUnavailable."""
        table = codec.kind.table
        rows = self._rows(select(*(table.c[name] for name in codec.kind.read)).where(table.c.sid == sid))
        return codec.decode(rows[0]) if rows else None

    def page(self, codec: Codec[R], cut: Cut) -> tuple[list[R], str | None]:
        """Return a page, the newest first, and the next page's token. Raises ApiError (400) for a foreign token, StoreUnavailable."""
        serial = codec.kind.table.c[codec.kind.serial]
        query = _conditions(codec, cut.account_sid, cut.filters)
        if cut.before is not None:
            query = query.where(serial < _position(codec, cut.before))
        rows = self._rows(query.order_by(serial.desc()).limit(cut.limit + 1))
        records = [codec.decode(row[1:]) for row in rows[: cut.limit]]
        return records, _token(codec, rows[cut.limit - 1][0]) if len(rows) > cut.limit else None

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def _rows(self, query: Select[Any]) -> list[Sequence[Any]]:
        try:
            with self._engine.connect() as connection:
                return [tuple(row) for row in connection.execute(query)]
        except SQLAlchemyError as error:
            raise StoreUnavailable(f"the database: {error}") from error


def with_held(history: History, codec: Codec[R], held: Mapping[str, R], cut: Cut) -> tuple[list[R], str | None]:
    """``History.page`` with records that are not written yet: in the place of those on disk; new ones before all, on the first page."""
    new = [] if cut.before is not None else _new(history, codec, held, cut)[: cut.limit]
    if len(new) == cut.limit:
        return new, _token(codec, _PAST_ALL)
    records, token = history.page(codec, cut._replace(limit=cut.limit - len(new)))
    current = (held.get(_sid(record), record) for record in records)
    return [*new, *(record for record in current if _passes(record, cut))], token


def _new(history: History, codec: Codec[R], held: Mapping[str, R], cut: Cut) -> list[R]:
    """The held records of the page's kind that are not on disk, the newest first."""
    return [record for sid, record in reversed(list(held.items())) if _passes(record, cut) and history.get(codec, sid) is None]


def _sid(record: Any) -> str:
    return str(record.sid)


def _passes(record: Any, cut: Cut) -> bool:
    values = ((getattr(record, name), op, value) for name, op, value in cut.filters)
    return record.account_sid == cut.account_sid and all(have is not None and _OPERATORS[op](have, value) for have, op, value in values)


def _conditions(codec: Codec[Any], account_sid: str, filters: Sequence[Filter]) -> Select[Any]:
    columns = codec.kind.table.c
    query = select(columns[codec.kind.serial], *(columns[name] for name in codec.kind.read)).where(columns.account_sid == account_sid)
    for name, op, value in filters:
        query = query.where(_OPERATORS[op](columns[name], codec.encode_value(name, value)))
    return query


def _token(codec: Codec[Any], serial: int) -> str:
    return f"{codec.kind.table.name[:2].upper()}{serial:x}"


def _position(codec: Codec[Any], token: str) -> int:
    try:
        serial = int(token[2:], 16)
    except ValueError:
        serial = -1
    if not 0 <= serial < 2**63 or token != _token(codec, serial):
        raise ApiError("PageToken is not one of this list's", status=400, code=20001)
    return serial
