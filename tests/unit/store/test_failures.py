"""The disk is full, locked or gone: nothing is lost silently, nothing is shown that is not kept."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from harness.virtual_time import run
from unit.store.kit import AC, Database, Fault, account, call, call_event, notification, phone_number, queue, queue_event, sid

from waitline.bridge.store import Conflict, Store, StoreError, StoreFailure, StoreUnavailable
from waitline.bridge.store.backlog import Backlog
from waitline.bridge.store.drivers import Driver, Row
from waitline.bridge.store.records import CallEvent, CallRecord, Notification, QueueEventRecord
from waitline.bridge.store.writer import ROWS_IN_TRANSACTION, Journal, Write
from waitline.clock import VirtualClock
from waitline.errors import ConfigError


def content(store: Store) -> dict[str, list[object]]:
    return {kind.__name__: list(store.image.index(kind)) for kind in store.image.kinds}


async def history(store: Store) -> list[str]:
    found: list[str] = []
    kinds: list[type[Any]] = [CallRecord, QueueEventRecord, Notification, CallEvent]
    for kind in kinds:
        records, _ = await store.page(kind, account_sid=AC, limit=100)
        found += [f"{getattr(record, 'sid', None) or record.call_sid[-1]} {getattr(record, 'status', '')}" for record in records]
    return sorted(found)


async def busy_day(store: Store) -> None:
    """Some of everything; an awaited write that fails is its caller's to repeat, which this caller does not."""
    steps: list[Callable[[], Coroutine[Any, Any, None] | None]] = [
        lambda: store.put(account(), queue(1)),
        lambda: store.append(call(1)),
        lambda: store.put(phone_number(1)),
        lambda: store.append(queue_event(1)),
        lambda: store.append(call(1, status="in-progress")),
        store.durable,
        lambda: store.put(queue(1, max_size=5), queue(2)),
        lambda: store.append(notification(1)),
        lambda: store.delete(phone_number(1)),
        lambda: store.append(call_event(1)),
        lambda: store.append(call(2)),
        lambda: store.append(call(1, status="completed")),
        lambda: store.delete(queue(1)),
    ]
    for step in steps:
        try:
            if (waiting := step()) is not None:
                await waiting
        except StoreUnavailable:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0)
    await asyncio.sleep(60)  # long enough for every retry


async def _fails_and_recovers(folder: Path, first: int, count: int) -> bool:
    """Live the day with a fault. Afterwards the disk holds what the image showed, and every appended row once.

    Return whether the day was long enough to meet the fault.
    """
    database, fault = Database(where=folder, folder=folder, inline=True), Fault()
    store = await database.open(wrap_driver=fault)
    fault.arm(first, count=count)
    await busy_day(store)
    met, shown, kept = fault.met, content(store), await history(store)
    assert bool(database.failures) == met
    await store.close()
    store = await database.open()
    assert content(store) == shown
    assert kept == await history(store) == sorted([f"{sid('CA', 1)} completed", f"{sid('CA', 2)} ringing", "1 ", f"{sid('NO', 1)} ", "1 "])
    await store.close()
    return met


def test_whichever_statement_fails_the_image_is_what_the_disk_holds_and_no_row_is_lost_or_doubled(tmp_path: Path):
    first = 1
    while run(_fails_and_recovers(tmp_path / str(first), first, 1)):
        first += 1
    assert first > 30


@pytest.mark.parametrize("count", [2, 3, 7, 20])
def test_an_outage_of_any_start_and_length_costs_no_appended_row(tmp_path: Path, count: int):
    for first in range(1, 30, 3):
        assert run(_fails_and_recovers(tmp_path / str(first), first, count))


def test_data_that_cannot_be_read_is_the_operators_to_know(tmp_path: Path):
    class Unreadable(Fault):
        def __call__(self, driver: Driver) -> Driver:
            wrapped = super().__call__(driver)
            self.arm(1)
            return wrapped

    async def story():
        database = Database(where=tmp_path / "data", folder=tmp_path, inline=False)
        with pytest.raises(ConfigError, match=r"WAITLINE_DATA: .*data cannot be read: the database: database or disk is full"):
            await database.open(wrap_driver=Unreadable(), serve=True)
        await (await database.open(serve=True)).close()  # and the folder is free again

    asyncio.run(story())


def test_the_writer_thread_fails_who_waits_and_keeps_what_nobody_awaits(tmp_path: Path):
    async def story():
        database, fault = Database(where=tmp_path / "data", folder=tmp_path, inline=False), Fault()
        store = await database.open(wrap_driver=fault)
        fault.arm(1, count=1_000_000)
        store.append(call(1))
        with pytest.raises(StoreUnavailable, match="disk is full"):
            await store.durable()
        tries = fault.connection.statements
        with pytest.raises(StoreUnavailable, match="disk is full"):
            await store.durable()
        assert fault.connection.statements == tries, "whoever waits for what cannot be had makes it no better"
        with pytest.raises(StoreUnavailable, match="disk is full"):
            await store.put(queue(1))
        assert len(store.image.queues) == 0
        assert {(failure.kept, failure.lost) for failure in database.failures} == {(1, 0)}
        assert (store.trouble, store.waiting, store.lost) == ("full", 1, 0)
        fault.arm(1, count=0)
        await store.put(queue(1))
        assert (store.trouble, store.waiting, store.lost) == ("", 0, 0)
        await store.durable()
        assert await store.get(CallRecord, sid("CA", 1)) == call(1)
        await store.close()

    asyncio.run(story())


def test_a_backlog_is_written_again_without_anybody_asking(tmp_path: Path):
    async def story():
        database, fault = Database(where=tmp_path / "data", folder=tmp_path, inline=True), Fault()
        store = await database.open(wrap_driver=fault)
        fault.arm(1, count=2)
        store.append(call(1))
        await asyncio.sleep(0.01)
        other = await database.open()
        assert await other.get(CallRecord, sid("CA", 1)) is None
        await asyncio.sleep(0.2)
        assert await other.get(CallRecord, sid("CA", 1)) == call(1)
        assert len(database.failures) == 2
        await other.close()
        await store.close()

    run(story())


def test_the_writer_thread_wakes_itself_for_its_backlog(tmp_path: Path):
    async def story():
        heard, twice = [], asyncio.Event()

        def hear(failure: StoreFailure) -> None:
            heard.append(failure)
            if len(heard) == 2:
                twice.set()

        database, fault = Database(where=tmp_path / "data", folder=tmp_path, inline=False), Fault()
        store = await database.open(wrap_driver=fault, on_failure=hear)
        fault.arm(1, count=2)
        store.append(call(1))
        await asyncio.wait_for(twice.wait(), 5)  # the second failure is the retry that nobody asked for
        await store.close()

    asyncio.run(story())


class FakeDriver:
    """Collects transactions; raises what it is told to, once each."""

    def __init__(self) -> None:
        self.raising: list[StoreError | None] = []
        self.transactions: list[list[int]] = []

    def write(self, rows: list[Row]) -> None:
        error = self.raising.pop(0) if self.raising else None
        if error is None and any(row.params[0] < 0 for row in rows):
            error = Conflict("negative")
        if error:
            raise error
        if rows:
            self.transactions.append([row.params[0] for row in rows])


class Desk:
    """A journal with a settable time and the outcomes of its writes."""

    def __init__(self, *, keep_rows: int = 1000) -> None:
        self.now = 0.0
        self.driver = FakeDriver()
        backlog = Backlog(keep_rows=keep_rows)
        self.journal = Journal(self.driver, clock=VirtualClock(lambda: self.now), backlog=backlog)  # type: ignore[arg-type]
        self.outcomes: list[StoreError | None] = []

    def write(self, *numbers: int, keep: bool = False) -> Write:
        return Write(rows=deque(Row("call_events", "s", (number,)) for number in numbers), keep=keep, done=self.outcomes.append)

    def work(self, *writes: Write) -> list[StoreError | None]:
        self.outcomes.clear()
        for deliver in self.journal.work(writes):
            deliver()
        return self.outcomes


def test_what_is_queued_is_one_transaction():
    desk = Desk()
    assert desk.work(desk.write(1), desk.write(2, 3, keep=True), desk.write(4)) == [None, None, None]
    assert desk.driver.transactions == [[1, 2, 3, 4]]


def test_a_flood_is_cut_into_transactions_of_bounded_length():
    desk = Desk()
    desk.work(*(desk.write(*range(100)) for _ in range(50)))
    assert max(len(rows) for rows in desk.driver.transactions) <= ROWS_IN_TRANSACTION + 100
    assert sum(len(rows) for rows in desk.driver.transactions) == 5000


def test_a_bad_row_fails_its_own_write_only():
    desk = Desk()
    first, bad, kept = desk.work(desk.write(1), desk.write(2, -1), desk.write(3, -2, 4, keep=True))
    assert (first, kept) == (None, None)
    assert isinstance(bad, Conflict)
    assert desk.driver.transactions == [[1], [3], [4]]
    assert [(failure.kept, failure.lost) for failure in desk.journal.take_failures()] == [(0, 1)]


def test_a_kept_row_is_written_before_anything_newer_and_only_once():
    desk = Desk()
    desk.driver.raising = [StoreUnavailable("full")]
    assert desk.work(desk.write(1, keep=True))[0] is not None
    assert desk.work(desk.write(2)) == [None]
    assert desk.driver.transactions == [[1], [2]]
    assert desk.journal.retry_in_s is None


def test_while_pausing_kept_rows_wait_and_awaited_ones_try():
    desk = Desk()
    desk.driver.raising = [StoreUnavailable("full")]
    desk.work(desk.write(1, keep=True))
    desk.work(desk.write(2, keep=True))
    assert desk.driver.transactions == []
    desk.work(desk.write(3, keep=True), desk.write(4))
    assert desk.driver.transactions == [[1, 2], [3, 4]]


def test_pauses_grow_to_a_limit_and_start_short_again():
    desk = Desk()
    pauses = []
    desk.driver.raising = [StoreUnavailable("full")] * 9
    desk.work(desk.write(1, keep=True))
    for _ in range(8):
        assert desk.journal.retry_in_s is not None
        pauses.append(desk.journal.retry_in_s)
        desk.now += desk.journal.retry_in_s
        desk.work()
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (0.05, 2.0)
    desk.now += 2.0
    desk.work()
    assert desk.driver.transactions == [[1]]
    desk.driver.raising = [StoreUnavailable("full")]
    desk.work(desk.write(2, keep=True))
    assert desk.journal.retry_in_s == pytest.approx(0.05)


def test_a_backlog_is_bounded_and_says_what_it_dropped():
    desk = Desk(keep_rows=3)
    desk.driver.raising = [StoreUnavailable("full")] * 2
    desk.work(desk.write(1, 2, keep=True))
    desk.now += 1
    desk.work(desk.write(3, 4, 5, keep=True))
    assert [(failure.kept, failure.lost) for failure in desk.journal.take_failures()] == [(2, 0), (3, 2), (3, 0)]
    desk.now += 1
    desk.work()
    assert desk.driver.transactions == [[3, 4, 5]]


def test_a_bad_row_in_the_backlog_is_dropped_and_an_outage_among_single_rows_doubles_none():
    desk = Desk()
    desk.driver.raising = [StoreUnavailable("full")]
    desk.work(desk.write(1, -1, 2, keep=True))
    desk.now += 1
    desk.driver.raising = [None, None, None, StoreUnavailable("full")]  # all, then 1, then the bad row, then 2
    desk.work()
    desk.now += 1
    desk.work()
    assert desk.driver.transactions == [[1], [2]]
    assert [failure.lost for failure in desk.journal.take_failures()] == [0, 1, 0]


def test_what_is_left_at_the_end_is_reported_lost():
    desk = Desk()
    desk.driver.raising = [StoreUnavailable("full")]
    desk.work(desk.write(1, 2, keep=True))
    desk.journal.abandon()
    assert [(failure.kept, failure.lost) for failure in desk.journal.take_failures()] == [(2, 0), (2, 2)]


def test_a_lost_connection_to_the_server_is_opened_again(postgres, tmp_path: Path):
    import psycopg

    async def story():
        database = Database(where=postgres.new_schema(), folder=tmp_path, inline=False)
        store = await database.open(serve=True)
        with psycopg.connect(str(database.where), autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query <> ''")
        store.append(call(1))
        with pytest.raises(StoreUnavailable):
            await store.durable()
        await store.put(queue(1))
        assert await store.get(CallRecord, sid("CA", 1)) == call(1)
        with pytest.raises(ConfigError, match="in use by another server"):  # its lock was taken again, too
            await database.open(serve=True)
        await store.close()

    asyncio.run(story())
