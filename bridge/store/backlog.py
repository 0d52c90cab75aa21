"""What could not be written yet: held in memory, bounded, and written when the database can be written again.

Rows are held by what they are about, so that an outage of hours costs no more memory than what is going on:

- *what is going on* (live states, and configuration that a call made): the newest row of each key; what has come to its end meanwhile is
  held as its deletion. Together they are written in one transaction, so that a process that dies while it catches up leaves either what
  was known before the outage or what is known after it, never a call without its place;
- *history* (records of calls, events, notifications, changes over REST): a call's newest record, every event. Written before, in portions,
  in order.

Beyond the bounds the oldest history goes first, then the oldest deletions (what they would have deleted is settled by the next recovery);
what is going on is never dropped: it is bounded by what the platform can carry.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from itertools import islice

from waitline.bridge.store.drivers import Row
from waitline.bridge.store.records import AuditEntry, CallEvent, CallRecord, Notification, QueueEventRecord
from waitline.bridge.store.schema import KINDS

KEEP_ROWS = 100_000
KEEP_BYTES = 64 * 1024 * 1024
ROW_BYTES = 400
"""What a row costs beside its texts, roughly."""

_HISTORY = frozenset(KINDS[record].table.name for record in (CallRecord, QueueEventRecord, Notification, CallEvent, AuditEntry))
_KEYS = {kind.table.name: tuple(kind.written.index(name) for name in kind.key) for kind in KINDS.values() if kind.key}
_Held = dict[Hashable, Row]


class Backlog:
    """Rows that wait; see the module. Belongs to one thread."""

    def __init__(self, *, keep_rows: int = KEEP_ROWS, keep_bytes: int = KEEP_BYTES) -> None:
        self._keep_rows = keep_rows
        self._keep_bytes = keep_bytes
        self._history: _Held = {}
        self._ended: _Held = {}
        self._going_on: _Held = {}
        self._number = 0
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._history) + len(self._ended) + len(self._going_on)

    def add(self, rows: Iterable[Row]) -> int:
        """Hold the rows, the newest in the place of what they supersede; return how many had to be dropped for it."""
        for row in rows:
            self._hold(row)
        return self._shrink()

    def of_table(self, table: str) -> list[Row]:
        """Return the rows that wait to be inserted there, the oldest first."""
        held = self._history if table in _HISTORY else self._going_on
        return [row for row in held.values() if row.table == table and not _deletes(row)]

    def portion(self, limit: int) -> list[tuple[Hashable, Row]]:
        """Return what is to be written next, as one transaction: history, and with its last rows everything that is going on."""
        portion = list(islice(self._history.items(), limit))
        if len(portion) < len(self._history):
            return portion
        return [*portion, *self._ended.items(), *self._going_on.items()]

    def written(self, key: Hashable) -> None:
        """That row waits no more."""
        for held in (self._history, self._ended, self._going_on):
            self._take_out(held, key)

    def clear(self) -> int:
        """Forget everything; return how much it was."""
        count = len(self)
        for held in (self._history, self._ended, self._going_on):
            held.clear()
        self.bytes = 0
        return count

    def _hold(self, row: Row) -> None:
        key = self._key(row)
        self.written(key)  # it comes after what is newer than its predecessor
        held = self._history if row.table in _HISTORY else self._ended if _deletes(row) else self._going_on
        held[key] = row
        self.bytes += _size(row)

    def _key(self, row: Row) -> Hashable:
        if (positions := _KEYS.get(row.table)) is None:
            self._number += 1
            return self._number
        return (row.table, row.params if _deletes(row) else tuple(row.params[position] for position in positions))

    def _take_out(self, held: _Held, key: Hashable) -> None:
        if (row := held.pop(key, None)) is not None:
            self.bytes -= _size(row)

    def _shrink(self) -> int:
        lost = 0
        while (droppable := self._history or self._ended) and (len(self) > self._keep_rows or self.bytes > self._keep_bytes):
            self._take_out(droppable, next(iter(droppable)))
            lost += 1
        return lost


def _deletes(row: Row) -> bool:
    return row.sql.startswith("DELETE")


def _size(row: Row) -> int:
    return ROW_BYTES + sum(len(value) for value in row.params if isinstance(value, str))
