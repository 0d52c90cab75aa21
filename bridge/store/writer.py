"""From many small writes to few transactions.

``Journal`` is the logic, without threads: it takes what is queued, commits it as one transaction (group commit) and says of each write how
it went. ``ThreadWriter`` runs a journal on a thread of its own, woken by each submission, so the loop never waits for the disk;
``InlineWriter`` runs it on the loop's thread, for virtual time, where a thread's real milliseconds would look like hours.

When a transaction fails:

- for what the rows hold (``Conflict``): each write is tried by itself, so that one bad row costs nobody else theirs;
- for the database (``StoreUnavailable``): awaited writes fail with it. Rows nobody awaits (``keep``: calls, events) go to a backlog that is
  written before anything newer, retried with growing pauses, and bounded (``backlog.py``). Every failure, with what was kept and what was
  lost, goes to ``on_failure``.

How it stands with writing is a ``Standing``, told to ``on_standing`` whenever it has changed: an outage begins with the first transaction
that the database does not take, and ends with the next one that it does. One is tried for that even where nothing waits.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from waitline.bridge.store.backlog import Backlog
from waitline.bridge.store.drivers import Driver, Row
from waitline.bridge.store.errors import Conflict, StoreError, StoreUnavailable
from waitline.clock import Clock
from waitline.errors import BridgeError

ROWS_IN_TRANSACTION = 2_000
"""About 8 ms of work, so that one transaction stays under 20 ms."""
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFailure:
    """Told to ``on_failure``: a transaction failed. ``kept`` rows wait to be tried again; ``lost`` rows are gone."""

    error: Exception
    kept: int
    lost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How it stands with writing."""

    reason: str = ""
    """Why nothing can be written: a word of ``errors.REASONS``; empty while all is well"""
    text: str = ""
    """The same, as the database puts it"""
    waiting: int = 0
    """Rows that are held back"""
    lost: int = 0
    """Rows that were dropped since the data was opened"""


@dataclass(slots=True, kw_only=True, eq=False)
class Write:
    """Rows that are written together, or, with ``keep``, each for itself and again if need be."""

    rows: deque[Row]
    keep: bool = False
    done: Callable[[StoreError | None], None]


@dataclass(slots=True, kw_only=True, eq=False)
class Ask:
    """Something to do with the driver between two transactions: reads that must not overtake writes."""

    ask: Callable[[Driver], Any]
    done: Callable[[Any, Exception | None], None]


Job = Write | Ask
Deliver = Callable[[], None]
"""A ``done`` with its arguments, to be run on the loop's thread."""


class Writer(Protocol):
    """Where the store hands its jobs."""

    on_standing: Callable[[Standing], None]
    """Called on the loop's thread when how it stands has changed, before the ``done`` of the jobs that showed it."""

    def submit(self, jobs: list[Job]) -> None:
        """Do the jobs in this order; each ``done`` runs on the loop's thread."""
        ...

    async def close(self) -> None:
        """Do what is queued, try the backlog once more, close the driver."""
        ...

    def leave(self, *, within_s: float) -> bool:
        """The same, blocking, for a process that exits; False where it was not through in time."""
        ...


class Journal:
    """Groups writes into transactions and keeps what could not be written."""

    def __init__(self, driver: Driver, *, clock: Clock, backlog: Backlog | None = None, probe: Row | None = None) -> None:
        """``probe`` is written to learn whether an outage is over where nothing else waits to be written."""
        self.driver = driver
        self.backlog = Backlog() if backlog is None else backlog
        self._clock = clock
        self._probe = [probe] if probe else []
        self._trouble: StoreUnavailable | None = None
        self._pause_s = FIRST_PAUSE_S
        self._retry_at = 0.0
        self._lost = 0
        self.failures: list[StoreFailure] = []

    @property
    def retry_in_s(self) -> float | None:
        """Seconds until the database should be tried again; None while all is well."""
        waits = self.backlog or (self._trouble and self._probe)
        return max(0.0, self._retry_at - self._clock.now()) if waits else None

    @property
    def standing(self) -> Standing:
        """How it stands with writing."""
        trouble = self._trouble
        if trouble is None:
            return Standing(waiting=len(self.backlog), lost=self._lost)
        return Standing(reason=trouble.reason, text=str(trouble), waiting=len(self.backlog), lost=self._lost)

    def work(self, jobs: Iterable[Job]) -> list[Deliver]:
        """Do the jobs and return what is to be told; without jobs, try the backlog."""
        told: list[Deliver] = []
        batch: list[Write] = []
        size = 0
        for job in jobs:
            if isinstance(job, Ask) or size >= ROWS_IN_TRANSACTION:
                told += self._commit(batch)
                batch, size = [], 0
            if isinstance(job, Ask):
                told.append(self._answer(job))
            else:
                batch.append(job)
                size += len(job.rows)
        return told + self._commit(batch)

    def take_failures(self) -> list[StoreFailure]:
        """Return what went wrong since the last call."""
        failures, self.failures = self.failures, []
        return failures

    def abandon(self) -> None:
        """Report what the backlog still holds as lost: the store closes."""
        if waiting := len(self.backlog):
            self._report(StoreUnavailable("the store was closed before the database could be written again"), lost=waiting)
            self.backlog.clear()

    def _answer(self, job: Ask) -> Deliver:
        try:
            answer, error = job.ask(self.driver), None
        except Exception as raised:  # it belongs to whoever asked
            answer, error = None, raised
        return lambda: job.done(answer, error)

    def _commit(self, batch: list[Write]) -> list[Deliver]:
        pause_s = self.retry_in_s
        if not batch and pause_s is None:
            return []
        if pause_s and all(write.keep for write in batch):
            return self._hold(batch, StoreUnavailable("the database could not be written just now"))
        try:
            self._write_backlog()
            rows = [row for write in batch for row in write.rows]
            if rows or self._trouble:
                self.driver.write(rows or self._probe)
        except StoreUnavailable as error:
            return self._postpone(batch, error)
        except Conflict:
            return self._write_singly(batch)
        self._is_well()
        return _outcomes(batch, None)

    def _write_backlog(self) -> None:
        """Write what was kept, the oldest first. Raises StoreUnavailable; what was written until then is out of the backlog."""
        while portion := self.backlog.portion(ROWS_IN_TRANSACTION):
            try:
                self.driver.write([row for _, row in portion])
            except Conflict:
                self._write_portion_singly(portion)
            else:
                for key, _ in portion:
                    self.backlog.written(key)

    def _write_portion_singly(self, portion: list[tuple[Hashable, Row]]) -> None:
        """Write each row for itself: a bad one is lost, and reported. Raises StoreUnavailable."""
        for key, row in portion:
            try:
                self.driver.write([row])
            except Conflict as error:
                self.backlog.written(key)
                self._report(error, lost=1)
            else:
                self.backlog.written(key)

    def _is_well(self) -> None:
        self._trouble = None
        self._pause_s = FIRST_PAUSE_S

    def _write_singly(self, batch: list[Write]) -> list[Deliver]:
        """One of these has a bad row: give each its own transaction."""
        told: list[Deliver] = []
        for number, write in enumerate(batch):
            try:
                if write.keep:
                    self._write_rows(write.rows, len(write.rows))
                else:
                    self.driver.write(list(write.rows))
            except Conflict as error:
                told += _outcomes([write], error)
            except StoreUnavailable as error:
                return told + self._postpone(batch[number:], error)
            else:
                told += _outcomes([write], None)
        self._is_well()
        return told

    def _write_rows(self, rows: deque[Row], count: int) -> None:
        """Write the first rows, each for itself, taking each out when it is written: none may be written twice.

        A bad one is lost, and reported. Raises StoreUnavailable.
        """
        for _ in range(count):
            try:
                self.driver.write([rows[0]])
            except Conflict as error:
                self._report(error, lost=1)
            rows.popleft()

    def _postpone(self, batch: list[Write], error: StoreUnavailable) -> list[Deliver]:
        self._trouble = error
        self._retry_at = self._clock.now() + self._pause_s
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
        told = self._hold(batch, error)
        self._report(error, lost=0)
        return told

    def _hold(self, batch: list[Write], error: StoreUnavailable) -> list[Deliver]:
        lost = sum(self.backlog.add(write.rows) for write in batch if write.keep)
        if lost:
            self._report(error, lost=lost)
        return _outcomes(batch, error)

    def _report(self, error: Exception, *, lost: int) -> None:
        self._lost += lost
        self.failures.append(StoreFailure(error=error, kept=len(self.backlog), lost=lost))


def _outcomes(batch: list[Write], error: StoreError | None) -> list[Deliver]:
    return [lambda write=write: write.done(error) for write in batch]  # type: ignore[misc]


class InlineWriter:
    """Writes at once, on the thread of whoever submits: the loop's. For virtual time and for commands."""

    def __init__(self, journal: Journal, *, loop: asyncio.AbstractEventLoop, on_failure: Callable[[StoreFailure], None]) -> None:
        self._journal = journal
        self._loop = loop
        self._on_failure = on_failure
        self.on_standing: Callable[[Standing], None] = lambda standing: None
        self._standing = journal.standing
        self._retry: asyncio.TimerHandle | None = None

    def submit(self, jobs: list[Job]) -> None:
        told = self._journal.work(jobs)
        standing, self._standing = self._standing, self._journal.standing
        if standing != self._standing:
            self.on_standing(self._standing)
        for deliver in told:
            deliver()
        self._report()
        if self._retry is None and (pause_s := self._journal.retry_in_s) is not None:
            self._retry = self._loop.call_later(pause_s, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        self.submit([])

    def _report(self) -> None:
        for failure in self._journal.take_failures():
            self._on_failure(failure)

    async def close(self) -> None:
        if self._retry:
            self._retry.cancel()
        self._journal.work([])
        self._journal.abandon()
        self._report()
        self._journal.driver.close()

    def leave(self, *, within_s: float) -> bool:
        if self._retry:
            self._retry.cancel()
        self._journal.work([])
        self._journal.driver.close()
        return True


class ThreadWriter:
    """Writes on one thread of its own. A submission wakes it; while it commits, the next submissions gather."""

    def __init__(self, journal: Journal, *, loop: asyncio.AbstractEventLoop, on_failure: Callable[[StoreFailure], None]) -> None:
        self._journal = journal
        self._loop = loop
        self._on_failure = on_failure
        self.on_standing: Callable[[Standing], None] = lambda standing: None
        self._inbox: queue.SimpleQueue[list[Job] | None] = queue.SimpleQueue()
        self._closed: asyncio.Future[None] = loop.create_future()
        self._thread = threading.Thread(target=self._run, name="waitline-store", daemon=True)
        self._thread.start()

    def submit(self, jobs: list[Job]) -> None:
        self._inbox.put(jobs)

    async def close(self) -> None:
        self._inbox.put(None)
        await self._closed
        self._thread.join()

    def leave(self, *, within_s: float) -> bool:
        self._inbox.put(None)
        self._thread.join(within_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._serve()
        except BaseException as error:  # a bug of ours; whoever waits would wait for ever, so the server has to know
            died = BridgeError(f"the store's writer has died: {error!r}")
            self._loop.call_soon_threadsafe(self._deliver, [], [StoreFailure(error=died, kept=0, lost=0)], None)
            raise

    def _serve(self) -> None:
        open_, known = True, self._journal.standing
        while open_:
            jobs, open_ = self._take()
            told = self._journal.work(jobs)
            if not open_:
                self._journal.work([])
                self._journal.abandon()
                self._journal.driver.close()
                told.append(lambda: self._closed.set_result(None))
            failures = self._journal.take_failures()
            standing, known = self._changed(known)
            if told or failures or standing:
                self._loop.call_soon_threadsafe(self._deliver, told, failures, standing)

    def _changed(self, known: Standing) -> tuple[Standing | None, Standing]:
        """Return how it stands, where that is news, and what is known now."""
        now = self._journal.standing
        return (None if now == known else now), now

    def _take(self) -> tuple[list[Job], bool]:
        """Wait for work, no longer than to the backlog's next try; return all there is and whether to go on after it."""
        try:
            item = self._inbox.get(timeout=self._journal.retry_in_s)
        except queue.Empty:
            return [], True
        jobs: list[Job] = []
        while item is not None:
            jobs += item
            try:
                item = self._inbox.get_nowait()
            except queue.Empty:
                return jobs, True
        return jobs, False

    def _deliver(self, told: list[Deliver], failures: list[StoreFailure], standing: Standing | None) -> None:
        for failure in failures:
            self._on_failure(failure)
        if standing is not None:
            self.on_standing(standing)
        for deliver in told:
            deliver()
