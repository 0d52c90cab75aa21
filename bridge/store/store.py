"""The store: what survives a restart, behind one object.

Three ways in, by what the caller needs:

- ``image``: configuration in memory, for every read on a call's path;
- ``append``: a call-path write (calls, queue events, notifications, webhook log); returns at once, grouped with others into one
  transaction; ``durable()`` waits until all appended so far survives SIGKILL;
- ``put`` and ``delete``: configuration; durable when they return, and only then visible in the image.

``page`` and ``get`` read history from disk and see everything appended before them.

All methods belong to the loop's thread. Writes and the image's content pass through one writer in the order they were made (``writer.py``);
its answers come back in that order, so the image never steps back. What another process wrote to the same database is noticed within
``refresh_s``, or at once by ``refresh``.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from waitline.bridge.config import Config
from waitline.bridge.store import settings
from waitline.bridge.store.calls import close_calls_left_live
from waitline.bridge.store.codec import Codec
from waitline.bridge.store.drivers import Driver, Row, delete_sql, select_sql, upsert_sql
from waitline.bridge.store.errors import StoreError
from waitline.bridge.store.history import Filter, History
from waitline.bridge.store.image import Image
from waitline.bridge.store.opening import Opened, Place, open_data
from waitline.bridge.store.records import CallEvent, CallRecord, LiveState, Notification, QueueEventRecord
from waitline.bridge.store.schema import KINDS
from waitline.bridge.store.writer import Ask, InlineWriter, Job, Journal, StoreFailure, ThreadWriter, Write, Writer
from waitline.clock import Clock
from waitline.errors import BridgeError, ConfigError

R = TypeVar("R")
T = TypeVar("T")
Appendable = CallRecord | QueueEventRecord | Notification | CallEvent | LiveState
OnFailure = Callable[[StoreFailure], None]
Content = dict[type, list[Any]]
"""All records of each kind in the image."""

_LOG = logging.getLogger(__name__)

SEQUENCES_PER_OPENING = 2**40
ROWS_IN_SUBMISSION = 500
DEFAULT_REALM = "waitline"
REFRESH_S = 0.5
"""Between two looks for what other processes wrote, seconds: theirs is visible within a second."""


class Store:
    """Accounts, numbers, queues and the history of calls."""

    def __init__(self, opened: Opened, *, writer: Writer, inline: bool, refresh_s: float | None, on_failure: OnFailure) -> None:
        self.image = Image()
        self.epoch = opened.openings
        """How often this data was opened; larger after each start."""
        self.closed_calls = 0
        """Calls that a dead process had left live, closed when this store was opened."""
        self._opened = opened
        self._codecs: dict[type, Codec[Any]] = {record: Codec(kind, opened.box) for record, kind in KINDS.items()}
        self._upserts = {record: upsert_sql(kind, opened.driver.mark) for record, kind in KINDS.items()}
        self._deletes = {record: delete_sql(kind, opened.driver.mark) for record, kind in KINDS.items() if kind.key}
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._readers = None if inline else ThreadPoolExecutor(max_workers=1, thread_name_prefix="waitline-history")
        self._history: History | None = None
        self._on_failure = on_failure
        self._refresh_s = refresh_s
        self._refresh_timer: asyncio.TimerHandle | None = None
        self._version: object = None  # of what the image holds; only touched between two transactions
        self._appended: deque[Row] = deque()
        self._unconfirmed = 0  # submissions of appended rows not yet answered
        self._next = opened.openings * SEQUENCES_PER_OPENING
        self._closed = False

    @classmethod
    async def open(
        cls,
        database: str | Path,
        *,
        clock: Clock,
        key: str | None = None,
        folder: Path | None = None,
        serve: bool = False,
        inline: bool = False,
        refresh_s: float | None = REFRESH_S,
        on_failure: OnFailure | None = None,
        wrap_driver: Callable[[Driver], Driver] = lambda driver: driver,
    ) -> Store:
        """Open a data folder, ``:memory:`` or a ``postgresql://`` URL; create or migrate what is not there or old.

        ``key`` is WAITLINE_KEY (none: the key file in the data folder, which for PostgreSQL is ``folder``). ``serve`` takes the data
        exclusively (among servers) and closes calls that a dead process left live. ``inline`` writes on the loop's thread: for virtual
        time. ``refresh_s`` None: look for other processes' writes only in ``refresh``. ``wrap_driver`` is for tests that make writes
        fail. Raises ConfigError.
        """
        opened = open_data(Place.of(database, folder), key=key or "", serve=serve)
        on_failure = on_failure or log_failure
        journal = Journal(wrap_driver(opened.driver), clock=clock)
        kind = InlineWriter if inline else ThreadWriter
        writer = kind(journal, loop=asyncio.get_running_loop(), on_failure=on_failure)
        store = cls(opened, writer=writer, inline=inline, refresh_s=refresh_s, on_failure=on_failure)
        try:
            await store._start(clock, serve=serve)
        except StoreError as error:
            await store.close()
            raise ConfigError(f"WAITLINE_DATA: {database} cannot be read: {error}") from error
        return store

    async def _start(self, clock: Clock, *, serve: bool) -> None:
        if serve:
            calls, events, now = self._codecs[CallRecord], self._codecs[QueueEventRecord], clock.utc()
            self.closed_calls = await self._ask(lambda driver: close_calls_left_live(driver, calls, events, now))
        await self.refresh()
        self._schedule_refresh()

    async def close(self) -> None:
        """Write what was appended and let go of the data."""
        if self._closed:
            return
        self._flush()
        self._closed = True
        if self._refresh_timer:
            self._refresh_timer.cancel()
        if self._readers:
            self._readers.shutdown()
        if self._history:
            self._history.close()
        await self._writer.close()
        if self._opened.folder:
            self._opened.folder.unlock()

    def leave(self, *, within_s: float) -> bool:
        """``close`` for a process that is about to exit and must do nothing else meanwhile: it blocks. False where it took too long."""
        self._flush()
        self._closed = True
        through = self._writer.leave(within_s=within_s)
        if self._opened.folder:
            self._opened.folder.unlock()
        return through

    # Configuration

    async def put(self, *records: Any) -> None:
        """Insert or replace, all or nothing; durable and in the image when it returns. Raises Conflict, StoreUnavailable."""
        rows = [self._row(record) for record in records]
        await self._write(rows, lambda: self._show(records))

    async def delete(self, *records: Any) -> None:
        """Delete, all or nothing; gone from disk and image when it returns. What is not there is no error. Raises StoreUnavailable."""
        rows = [Row(KINDS[type(it)].table.name, self._deletes[type(it)], self._codecs[type(it)].key(it)) for it in records]
        await self._write(rows, lambda: self._hide(records))

    async def refresh(self) -> None:
        """See what other processes wrote, now: for an unknown account or key, before it is refused. Raises StoreUnavailable."""
        await self._ask(self._changed_content, self._take_content)

    # The call path

    def append(self, record: Appendable) -> None:
        """Write soon, in the order of the calls; a CallRecord replaces the one with its sid. Raises TypeError for what is no such record.

        Never fails for the database's sake: the row is kept and tried again, and ``on_failure`` hears of it.
        """
        self._append(self._row(record))

    def drop(self, kind: str, key: str) -> None:
        """Forget a live state, in the order of the appends."""
        self._append(Row(KINDS[LiveState].table.name, self._deletes[LiveState], (kind, key)))

    async def live_states(self, kind: str) -> list[LiveState]:
        """Return what is going on, the oldest first; for a control that takes over. Raises StoreUnavailable."""
        table = KINDS[LiveState]
        sql = f"{select_sql(table).partition(' ORDER')[0]} WHERE kind={self._opened.driver.mark} ORDER BY serial"
        rows = await self._ask(lambda driver: driver.query(sql, (kind,)))
        return [self._codecs[LiveState].decode(row) for row in rows]

    def _append(self, row: Row) -> None:
        self._check_open()
        if not self._appended:
            self._loop.call_soon(self._flush)  # what one turn of the loop appends is one submission
        self._appended.append(row)
        if len(self._appended) >= ROWS_IN_SUBMISSION:  # a flood within one turn, such as a drain: keep transactions short
            self._flush()

    @property
    def closed(self) -> bool:
        """Whether nothing can be written any more."""
        return self._closed

    @property
    def pending(self) -> bool:
        """Whether anything that was appended may not be durable yet."""
        return bool(self._appended or self._unconfirmed)

    async def durable(self) -> None:
        """Return when all that was appended survives SIGKILL. Raises StoreUnavailable (the rows are kept and tried again)."""
        await self._write([], lambda: None)

    def next_sequence(self, queue_sid: str) -> int:
        """Return a number larger than any before it, also after SIGKILL: the order key of a queue's next member.

        Each opening of the data owns a block of 2^40 numbers, larger than the block before, so none has to be written. One sequence
        serves all queues here; ``queue_sid`` is for a store that several servers share.
        """
        self._next += 1
        return self._next

    # History

    async def get(self, kind: type[R], sid: str) -> R | None:
        """Read one record from disk by its sid. Raises StoreUnavailable."""
        codec = self._codecs[kind]
        return await self._read(lambda history: history.get(codec, sid))

    async def page(
        self, kind: type[R], *, account_sid: str, filters: Sequence[Filter] = (), limit: int = 50, before: str | None = None
    ) -> tuple[list[R], str | None]:
        """Read a page of history, the newest first, and the token of the next page (None: the last).

        Stable under inserts: a record is on exactly one page. Raises ApiError (400) for a token that is not ours, StoreUnavailable.
        """
        codec = self._codecs[kind]
        return await self._read(lambda h: h.page(codec, account_sid=account_sid, filters=filters, limit=limit, before=before))

    # The platform's own

    async def setting(self, name: str, default: str) -> str:
        """Return the platform's setting; the first call for a name fixes ``default`` for good. Raises StoreUnavailable."""
        return await self._ask(lambda driver: settings.fix_setting(driver, name, default))

    async def realm(self, configured: str = "") -> str:
        """Return the SIP realm, fixed at first start. Raises ConfigError if another is configured: stored HA1 would match no more."""
        fixed = await self.setting(settings.REALM, configured or DEFAULT_REALM)
        if configured and configured != fixed:
            raise ConfigError(f"WAITLINE_SIP_REALM: {configured!r}, but it was fixed as {fixed!r} when the data was first served")
        return fixed

    async def nonce_key(self) -> bytes:
        """Return the key of SIP's digest nonces, fixed at first start: a challenge of one process is answered to the next."""
        return bytes.fromhex(await self.setting(settings.NONCE_KEY, os.urandom(32).hex()))

    async def count(self, name: str, *, by: int = 1) -> int:
        """Add to a platform counter and return its new value; durable. Raises StoreUnavailable."""
        return await self._ask(lambda driver: settings.count(driver, name, by))

    # Inside

    def _check_open(self) -> None:
        if self._closed:
            raise BridgeError("the store is closed")

    def _row(self, record: Any) -> Row:
        kind = type(record)
        if kind not in self._codecs:
            raise TypeError(f"{kind.__name__} is not a record of the store")
        return Row(KINDS[kind].table.name, self._upserts[kind], self._codecs[kind].encode(record))

    def _flush(self) -> None:
        if self._appended:
            self._writer.submit(self._take_appended())

    def _take_appended(self) -> list[Job]:
        if not self._appended:
            return []
        rows, self._appended = self._appended, deque()
        self._unconfirmed += 1
        return [Write(rows=rows, keep=True, done=self._confirm)]

    def _confirm(self, error: StoreError | None) -> None:
        """Appended rows are written, or in the backlog: then the writer has reported it."""
        self._unconfirmed -= 1

    async def _write(self, rows: list[Row], apply: Callable[[], None]) -> None:
        """Write the rows after all that was appended. ``apply`` runs after the commit even if nobody waits for it any more."""
        self._check_open()
        written: asyncio.Future[None] = self._loop.create_future()

        def done(error: StoreError | None) -> None:
            if error is None:
                apply()
            _resolve(written, None, error)

        self._writer.submit([*self._take_appended(), Write(rows=deque(rows), done=done)])
        await written

    async def _ask(self, ask: Callable[[Driver], T], apply: Callable[[T], None] = lambda answer: None) -> T:
        """Run something on the writer's connection, after all that was submitted."""
        self._check_open()
        answered: asyncio.Future[T] = self._loop.create_future()

        def done(answer: T, error: Exception | None) -> None:
            if error is None:
                apply(answer)
            _resolve(answered, answer, error)

        self._writer.submit([*self._take_appended(), Ask(ask=ask, done=done)])
        return await answered

    async def _read(self, read: Callable[[History], T]) -> T:
        if self._appended or self._unconfirmed:
            await self._ask(lambda driver: None)  # see what was appended before; what waits in the backlog cannot be seen
        self._check_open()
        if self._history is None:
            self._history = History(self._opened.driver.engine())
        history = self._history
        return await self._loop.run_in_executor(self._readers, read, history) if self._readers else read(history)

    def _show(self, records: Sequence[Any]) -> None:
        for record in records:
            if type(record) in self.image.kinds:
                self.image.index(type(record)).put(record)

    def _hide(self, records: Sequence[Any]) -> None:
        for record in records:
            if type(record) in self.image.kinds:
                self.image.index(type(record)).remove(record)

    def _changed_content(self, driver: Driver) -> Content | None:
        """Read what the image should hold, if somebody else wrote since. Runs between two transactions, on the writer's thread."""
        version = driver.foreign_version()
        if version == self._version:
            return None
        content = {kind: [self._codecs[kind].decode(row) for row in driver.query(select_sql(KINDS[kind]))] for kind in self.image.kinds}
        self._version = version
        return content

    def _take_content(self, content: Content | None) -> None:
        for kind, records in (content or {}).items():
            self.image.index(kind).replace(records)

    def _schedule_refresh(self) -> None:
        if self._refresh_s is not None:
            self._refresh_timer = self._loop.call_later(self._refresh_s, self._look)

    def _look(self) -> None:
        """Look for foreign writes; the next look is due after this one's answer, so slow answers do not pile up."""
        self._writer.submit([Ask(ask=self._changed_content, done=self._looked)])

    def _looked(self, content: Content | None, error: Exception | None) -> None:
        if error is not None:
            self._on_failure(StoreFailure(error=error, kept=0, lost=0))
        self._take_content(content)
        if not self._closed:
            self._schedule_refresh()


async def open_store(config: Config, *, clock: Clock, serve: bool = False, on_failure: OnFailure | None = None) -> Store:
    """Open the data that the settings name: the folder, or PostgreSQL with the folder for key and locks. Raises ConfigError."""
    where = config.database or config.data
    refresh_s = REFRESH_S if serve else None
    return await Store.open(where, clock=clock, key=config.key, folder=config.data, serve=serve, refresh_s=refresh_s, on_failure=on_failure)


def log_failure(failure: StoreFailure) -> None:
    """Say in the log what was not written: what is done where nobody else asked to be told."""
    _LOG.error("store: %s (rows kept: %d, lost: %d)", failure.error, failure.kept, failure.lost)


def _resolve(future: asyncio.Future[T], result: T, error: Exception | None) -> None:
    if future.done():  # whoever waited was cancelled
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
