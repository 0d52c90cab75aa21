"""Reading what is on disk: one record by its sid, or a page of an account's history.

A page is cut by the serial number that the database gave on insertion, never by an offset, so what is inserted meanwhile shifts nothing: a
record is on exactly one page. The token is that number, with the kind in front so that one list's token is not taken for another's.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Engine, Select, select
from sqlalchemy.exc import SQLAlchemyError

from waitline.bridge.store.codec import Codec
from waitline.bridge.store.errors import StoreUnavailable
from waitline.errors import ApiError

R = TypeVar("R")
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


class History:
    """Queries over the tables; each call is one round trip, on whichever thread makes it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get(self, codec: Codec[R], sid: str) -> R | None:
        """Return the record with that sid. Raises StoreUnavailable."""
        table = codec.kind.table
        rows = self._rows(select(*(table.c[name] for name in codec.kind.read)).where(table.c.sid == sid))
        return codec.decode(rows[0]) if rows else None

    def page(
        self, codec: Codec[R], *, account_sid: str, filters: Sequence[Filter], limit: int, before: str | None
    ) -> tuple[list[R], str | None]:
        """Return a page, the newest first, and the next page's token. Raises ApiError (400) for a foreign token, StoreUnavailable."""
        serial = codec.kind.table.c[codec.kind.serial]
        query = _conditions(codec, account_sid, filters)
        if before is not None:
            query = query.where(serial < _position(codec, before))
        rows = self._rows(query.order_by(serial.desc()).limit(limit + 1))
        records = [codec.decode(row[1:]) for row in rows[:limit]]
        return records, _token(codec, rows[limit - 1][0]) if len(rows) > limit else None

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def _rows(self, query: Select[Any]) -> list[Sequence[Any]]:
        try:
            with self._engine.connect() as connection:
                return [tuple(row) for row in connection.execute(query)]
        except SQLAlchemyError as error:
            raise StoreUnavailable(f"the database: {error}") from error


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
