"""The store: what survives a restart, behind one object.

Three ways in, by what the caller needs:

- ``image``: configuration in memory, for every read on a call's path;
- ``append``: a call-path write (calls, queue events, notifications, webhook log); returns at once; ``durable()`` waits until all appended
  so far survives SIGKILL, ``when_durable`` calls back;
- ``put`` and ``delete``: configuration; durable when they return, and only then visible in the image.

What is appended is written in groups, one transaction and one wake-up of the writer each. A group is submitted at the end of a turn of
the loop where the writer is idle; while it commits, the next one gathers. So an idle platform writes at once, and a busy one the more at a
time the busier it is, without any timer. ``before_next`` lets a part add to a group as late as it can be: just before it is submitted.

``page`` and ``get`` read history from disk and see everything appended before them.

While the database cannot be written (disk full, read-only, locked, damaged) ``trouble`` says why. What is appended is held back in memory,
bounded, and written when the database can be written again; ``durable`` fails at once, so that nobody waits for what cannot be had; ``put``
and ``delete`` fail; reads go on: the image as it is, history with what is held back on top of what the disk still gives.

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
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from waitline.bridge.config import Config
from waitline.bridge.store import answers, audit, settings
from waitline.bridge.store.backlog import Backlog
from waitline.bridge.store.calls import close_calls_left_live
from waitline.bridge.store.codec import Codec
from waitline.bridge.store.drivers import Driver, Row, delete_sql, select_sql, upsert_sql
from waitline.bridge.store.errors import REASONS, StoreError, StoreUnavailable
from waitline.bridge.store.history import Cut, Filter, History, with_held
from waitline.bridge.store.image import Image
from waitline.bridge.store.opening import Opened, Place, open_data, unusable
from waitline.bridge.store.records import AuditEntry, CallEvent, CallRecord, LiveState, Notification, QueueEventRecord
from waitline.bridge.store.schema import KINDS
from waitline.bridge.store.writer import Ask, InlineWriter, Job, Journal, Standing, StoreFailure, ThreadWriter, Write, Writer
from waitline.clock import Clock
from waitline.errors import BridgeError, ConfigError

R = TypeVar("R")
T = TypeVar("T")
Appendable = CallRecord | QueueEventRecord | Notification | CallEvent | AuditEntry | LiveState
OnFailure = Callable[[StoreFailure], None]
Told = Callable[[StoreError | None], None]
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

    def __init__(
        self, opened: Opened, *, writer: Writer, backlog: Backlog, inline: bool, refresh_s: float | None, on_failure: OnFailure
    ) -> None:
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
        writer.on_standing = self._stands
        self._standing = Standing()
        self._backlog = backlog  # the writer's: only touched between two transactions
        self._stalled_since: float | None = None
        self._aside = Backlog()  # what was appended while the writer did not answer
        self._adopted: dict[tuple[type, str], Any] = {}
        self._trouble_since = 0.0
        self._loop = asyncio.get_running_loop()
        self._readers = None if inline else ThreadPoolExecutor(max_workers=1, thread_name_prefix="waitline-history")
        self._history: History | None = None
        self._on_failure = on_failure
        self._refresh_s = refresh_s
        self._refresh_timer: asyncio.TimerHandle | None = None
        self._version: object = None  # of what the image holds; only touched between two transactions
        self._appended: deque[Row] = deque()
        self._late: list[Callable[[], None]] = []  # each appends something just before the group goes
        self._waiting: list[Told] = []  # for the group that gathers
        self._flush_due = False
        self._unconfirmed = 0  # groups not yet answered
        self._unanswered = 0  # jobs of any kind
        self._next = opened.openings * SEQUENCES_PER_OPENING
        self._closed = False

    @classmethod
    async def open(
        cls,
        database: str | Path,
        *,
        clock: Clock,
        key: str | None = None,
        next_key: str = "",
        folder: Path | None = None,
        serve: bool = False,
        inline: bool = False,
        refresh_s: float | None = REFRESH_S,
        on_failure: OnFailure | None = None,
        wrap_driver: Callable[[Driver], Driver] = lambda driver: driver,
    ) -> Store:
        """Open a data folder, ``:memory:`` or a ``postgresql://`` URL; create or migrate what is not there or old.

        ``key`` is WAITLINE_KEY (none: the key file in the data folder, which for PostgreSQL is ``folder``), ``next_key``
        WAITLINE_KEY_NEXT. ``serve`` takes the data exclusively (among servers) and closes calls that a dead process left live. ``inline``
        writes on the loop's thread: for virtual time. ``refresh_s`` None: look for other processes' writes only in ``refresh``.
        ``wrap_driver`` is for tests that make writes fail. Raises ConfigError.
        """
        opened = open_data(Place.of(database, folder), key=key or "", next_key=next_key, serve=serve)
        on_failure = on_failure or log_failure
        driver = wrap_driver(opened.driver)
        journal = Journal(driver, clock=clock, probe=settings.probe(driver))
        kind = InlineWriter if inline else ThreadWriter
        writer = kind(journal, loop=asyncio.get_running_loop(), on_failure=on_failure)
        store = cls(opened, writer=writer, backlog=journal.backlog, inline=inline, refresh_s=refresh_s, on_failure=on_failure)
        try:
            await store._start(clock, serve=serve)
        except StoreError as error:
            await store.close()
            raise unusable(database, error, "read") from error
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

    # How it stands

    @property
    def trouble(self) -> str:
        """Why nothing can be written now, a word of ``REASONS``; empty while all is well."""
        return "slow" if self._stalled_since is not None else self._standing.reason

    @property
    def waiting(self) -> int:
        """Rows that are held back because the database cannot be written."""
        return self._standing.waiting + len(self._aside)

    @property
    def lost(self) -> int:
        """Rows that had to be dropped since the data was opened."""
        return self._standing.lost

    def stalls(self) -> None:
        """Somebody has waited in vain for an answer: nobody else is to, until there is one."""
        if self._unanswered and not self.trouble:
            self._stalled_since = self._loop.time()
            _LOG.error("store: %s: what is told is durable only later; calls go on in memory", REASONS["slow"])
            self._flush()

    def _stands(self, standing: Standing) -> None:
        """Take from the writer how it stands, and say in the log when an outage begins and when it is over."""
        before, self._standing = self._standing, standing
        if standing.reason and not before.reason:
            self._trouble_since = self._loop.time()
            self._mark_outage(on=True)
            why = f"{REASONS[standing.reason]} ({standing.text})"
            _LOG.error("store: %s: what is told is durable only later; calls go on in memory, changes by REST are refused", why)
        elif before.reason and not standing.reason:
            self._adopted.clear()
            self._mark_outage(on=False)
            lasted_s = self._loop.time() - self._trouble_since
            _LOG.warning("store: written again after %.1f s; what was held back is on disk, rows lost: %d", lasted_s, standing.lost)

    def _mark_outage(self, *, on: bool) -> None:
        if self._opened.folder:
            self._opened.folder.mark_outage(on=on)

    def _answered(self) -> None:
        """The writer has answered: it does not stall, or no more."""
        self._unanswered -= 1
        if self._stalled_since is None:
            return
        _LOG.warning("store: the disk answers again after %.1f s", self._loop.time() - self._stalled_since)
        self._stalled_since = None
        while portion := self._aside.portion(ROWS_IN_SUBMISSION):
            self._submit([self._group(deque(row for _, row in portion))])
            for key, _ in portion:
                self._aside.written(key)

    def _unavailable(self) -> StoreUnavailable:
        text = self._standing.text or REASONS[self.trouble]
        return StoreUnavailable(text, reason=self.trouble)

    # Configuration

    async def put(self, *records: Any) -> None:
        """Insert or replace, all or nothing; durable and in the image when it returns. Raises Conflict, StoreUnavailable."""
        rows = [self._row(record) for record in records]
        await self._write(rows, lambda: self._show(records))

    async def delete(self, *records: Any) -> None:
        """Delete, all or nothing; gone from disk and image when it returns. What is not there is no error. Raises StoreUnavailable."""
        await self._write([self._deletion(record) for record in records], lambda: self._hide(records))

    async def change(self, *, put: Sequence[Any], delete: Sequence[Any]) -> None:
        """``put`` and ``delete`` as one: all or nothing. Raises Conflict, StoreUnavailable."""

        def apply() -> None:
            self._show(put)
            self._hide(delete)

        await self._write([*map(self._row, put), *map(self._deletion, delete)], apply)

    def adopt(self, record: Any) -> None:
        """Have the record in the image now and on disk when it can be: for what a call makes while nothing can be written."""
        self._append(self._row(record))
        self._show([record])
        self._adopted[type(record), record.sid] = record

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
        self._appended.append(row)
        self._flush_soon()
        if len(self._appended) >= ROWS_IN_SUBMISSION:  # a flood, such as a drain: keep transactions short
            self._flush()

    def before_next(self, source: Callable[[], None]) -> None:
        """Call ``source`` once, just before the next group goes: what it appends is in that group, with all that was appended before."""
        self._late.append(source)
        self._flush_soon()

    @property
    def closed(self) -> bool:
        """Whether nothing can be written any more."""
        return self._closed

    @property
    def pending(self) -> bool:
        """Whether anything that was appended may not be durable yet."""
        return bool(self._appended or self._late or self._unconfirmed)

    def when_durable(self, told: Told) -> None:
        """Call ``told`` when all that was appended survives SIGKILL, or with StoreUnavailable (the rows are kept and tried again)."""
        self._check_open()
        self._waiting.append(told)
        self._flush_soon()

    async def durable(self) -> None:
        """Return when all that was appended survives SIGKILL. Raises StoreUnavailable (the rows are kept and tried again).

        At once while there is ``trouble``: trying is the writer's own business then.
        """
        if self.trouble:
            raise self._unavailable()
        written: asyncio.Future[None] = self._loop.create_future()
        self.when_durable(partial(_resolve, written, None))
        await written

    def next_sequence(self, queue_sid: str) -> int:
        """Return a number larger than any before it, also after SIGKILL: the order key of a queue's next member.

        Each opening of the data owns a block of 2^40 numbers, larger than the block before, so none has to be written. One sequence
        serves all queues here; ``queue_sid`` is for a store that several servers share.
        """
        self._next += 1
        return self._next

    # History

    async def get(self, kind: type[R], sid: str) -> R | None:
        """Read one record by its sid: as it is held back, or from disk. Raises StoreUnavailable."""
        held = await self._held(kind)
        if sid in held:
            return held[sid]
        codec = self._codecs[kind]
        return await self._read(lambda history: history.get(codec, sid))

    async def page(
        self, kind: type[R], *, account_sid: str, filters: Sequence[Filter] = (), limit: int = 50, before: str | None = None
    ) -> tuple[list[R], str | None]:
        """Read a page of history, the newest first, and the token of the next page (None: the last).

        Stable under inserts: a record is on exactly one page. While records are held back the first page begins with those that are not
        on disk yet. Raises ApiError (400) for a token that is not ours, StoreUnavailable.
        """
        codec, held, cut = self._codecs[kind], await self._held(kind), Cut(account_sid, filters, limit, before)
        return await self._read(lambda history: with_held(history, codec, held, cut) if held else history.page(codec, cut))

    async def _held(self, kind: type[R]) -> dict[str, R]:
        """Return the records of that kind that are held back, by sid, the oldest first. Of logs, which have no sid, none."""
        await self._catch_up()
        if not self.waiting or KINDS[kind].key != ("sid",):
            return {}
        table, codec = KINDS[kind].table.name, self._codecs[kind]
        rows = [] if self._stalled_since is not None else await self._ask(lambda driver: self._backlog.of_table(table))
        records = [codec.decode(row.params) for row in (*rows, *self._aside.of_table(table))]
        return {record.sid: record for record in records}

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

    async def forget_answers(self, *, before: datetime, most: int) -> None:
        """Forget answers to repeatable requests from before that moment, and all but the newest ``most``. Raises StoreUnavailable."""
        await self._ask(lambda driver: answers.forget(driver, before=before, most=most))

    async def forget_audit(self, *, before: datetime | None, most: int) -> bool:
        """Forget some old entries of the audit log, or some too many; tell whether there may be more. Raises StoreUnavailable."""
        return await self._ask(lambda driver: audit.forget(driver, before=before, most=most))

    # Inside

    def _check_open(self) -> None:
        if self._closed:
            raise BridgeError("the store is closed")

    def _row(self, record: Any) -> Row:
        kind = type(record)
        if kind not in self._codecs:
            raise TypeError(f"{kind.__name__} is not a record of the store")
        return Row(KINDS[kind].table.name, self._upserts[kind], self._codecs[kind].encode(record))

    def _deletion(self, record: Any) -> Row:
        kind = type(record)
        return Row(KINDS[kind].table.name, self._deletes[kind], self._codecs[kind].key(record))

    def _flush_soon(self) -> None:
        """Submit at the end of this turn what gathers; where a group is being written, when that is answered."""
        if not self._flush_due and (not self._unconfirmed or self._stalled_since is not None):
            self._flush_due = True
            self._loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._flush_due = False
        if not self._closed:
            self._flush()

    def _flush(self) -> None:
        if self._stalled_since is None:
            if group := self._take_group():
                self._submit(group)
            return
        rows, waiting = self._gathered()
        self._aside.add(rows)
        for told in waiting:
            told(self._unavailable())

    def _gathered(self) -> tuple[deque[Row], list[Told]]:
        """Take out what has gathered, and who waits for it."""
        late, self._late = self._late, []
        for source in late:
            source()
        rows, self._appended = self._appended, deque()
        waiting, self._waiting = self._waiting, []
        return rows, waiting

    def _take_group(self) -> list[Job]:
        rows, waiting = self._gathered()
        return [self._group(rows, waiting)] if rows or waiting else []

    def _group(self, rows: deque[Row], waiting: Sequence[Told] = ()) -> Write:
        self._unconfirmed += 1
        return Write(rows=rows, keep=True, done=partial(self._confirm, waiting))

    def _submit(self, jobs: list[Job]) -> None:
        self._unanswered += len(jobs)
        self._writer.submit(jobs)

    def _confirm(self, waiting: Sequence[Told], error: StoreError | None) -> None:
        """A group is written, or in the backlog: then the writer has reported it."""
        self._unconfirmed -= 1
        self._answered()
        for told in waiting:
            told(error)
        if self._appended or self._late or self._waiting:
            self._flush_soon()  # after what those who waited do next: it goes along

    async def _write(self, rows: list[Row], apply: Callable[[], None]) -> None:
        """Write the rows after all that was appended. ``apply`` runs after the commit even if nobody waits for it any more."""
        self._check_open()
        if self._stalled_since is not None:
            raise self._unavailable()
        written: asyncio.Future[None] = self._loop.create_future()

        def done(error: StoreError | None) -> None:
            self._answered()
            if error is None:
                apply()
            _resolve(written, None, error)

        self._submit([*self._take_group(), Write(rows=deque(rows), done=done)])
        await written

    async def _ask(self, ask: Callable[[Driver], T], apply: Callable[[T], None] = lambda answer: None) -> T:
        """Run something on the writer's connection, after all that was submitted."""
        self._check_open()
        if self._stalled_since is not None:
            raise self._unavailable()
        answered: asyncio.Future[T] = self._loop.create_future()

        def done(answer: T, error: Exception | None) -> None:
            self._answered()
            if error is None:
                apply(answer)
            _resolve(answered, answer, error)

        self._submit([*self._take_group(), Ask(ask=ask, done=done)])
        return await answered

    async def _catch_up(self) -> None:
        """Have what was appended up to now on disk, or held back."""
        if self._stalled_since is not None:
            self._flush()
        elif self.pending:
            await self._ask(lambda driver: None)

    async def _read(self, read: Callable[[History], T]) -> T:
        await self._catch_up()
        self._check_open()
        if self._stalled_since is not None:
            raise self._unavailable()
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
        if content:
            self._show([record for record in self._adopted.values() if self.image.index(type(record)).get(record.sid) is None])

    def _schedule_refresh(self) -> None:
        if self._refresh_s is not None:
            self._refresh_timer = self._loop.call_later(self._refresh_s, self._look)

    def _look(self) -> None:
        """Look for foreign writes; the next look is due after this one's answer, so slow answers do not pile up."""
        self._submit([Ask(ask=self._changed_content, done=self._looked)])

    def _looked(self, content: Content | None, error: Exception | None) -> None:
        self._answered()
        if error is not None:
            self._on_failure(StoreFailure(error=error, kept=self._standing.waiting, lost=0))
        self._take_content(content)
        if not self._closed:
            self._schedule_refresh()


async def open_store(config: Config, *, clock: Clock, serve: bool = False, on_failure: OnFailure | None = None) -> Store:
    """Open the data that the settings name: the folder, or PostgreSQL with the folder for key and locks. Raises ConfigError."""
    where = config.database or config.data
    refresh_s = REFRESH_S if serve else None
    return await Store.open(
        where, clock=clock, key=config.key, next_key=config.key_next, folder=config.data, serve=serve, refresh_s=refresh_s,
        on_failure=on_failure,
    )  # fmt: skip


def log_failure(failure: StoreFailure) -> None:
    """Say in the log what is lost for good; of outages the store speaks when they begin and end."""
    if failure.lost:
        _LOG.error("store: rows lost: %d (%s)", failure.lost, failure.error)


def _resolve(future: asyncio.Future[T], result: T, error: Exception | None) -> None:
    if future.done():  # whoever waited was cancelled
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
