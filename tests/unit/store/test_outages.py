"""Each way in which a real SQLite file refuses to be written: what it is called, and that it passes."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from harness.virtual_time import run
from unit.store.kit import AC, Database, Fault, call, notification, phone_number, queue, sid

from waitline.bridge.store import Filter, Store, StoreUnavailable
from waitline.bridge.store import drivers as drivers_module
from waitline.bridge.store.drivers import Driver, Row
from waitline.bridge.store.folder import in_outage
from waitline.bridge.store.records import CallRecord, LiveState, Notification
from waitline.errors import ConfigError

End = Callable[[], None]


def locked(store: Store, path: Path) -> End:
    """Another process has a transaction open and does not end it."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    return other.close


def read_only(store: Store, path: Path) -> End:
    connection = _connection(store)
    connection.execute("PRAGMA query_only=ON").close()
    return lambda: connection.execute("PRAGMA query_only=OFF").close()


def full(store: Store, path: Path) -> End:
    connection = _connection(store)
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count={pages}").close()
    return lambda: connection.execute("PRAGMA max_page_count=1000000").close()


def _connection(store: Store) -> sqlite3.Connection:
    driver: Any = store._opened.driver
    found: sqlite3.Connection = driver._connection
    return found


@pytest.mark.parametrize("begin", [locked, read_only, full])
def test_an_outage_has_a_name_refuses_changes_holds_the_rest_and_passes(
    tmp_path: Path, begin: Callable[[Store, Path], End], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drivers_module, "BUSY_S", 0.01)
    monkeypatch.setattr(drivers_module, "STILL_BUSY_S", 0.005)

    async def story() -> None:
        store = await Database(where=tmp_path, folder=tmp_path, inline=True).open(serve=True)
        end = begin(store, tmp_path / "waitline.db")
        size = 5000  # more than the page that a full database still has
        store.append(LiveState(kind="call", key="CA1", version=1, data={"text": "x" * size}))
        with pytest.raises(StoreUnavailable) as raised:
            await store.durable()
        assert raised.value.reason == begin.__name__.replace("_", "-")
        assert store.trouble == raised.value.reason
        assert in_outage(tmp_path)
        with pytest.raises(StoreUnavailable):
            await store.put(queue(1, friendly_name="y" * size))
        store.append(LiveState(kind="call", key="CA1", version=1, data={"text": "z" * size}))
        await asyncio.sleep(10)
        assert store.waiting == 1
        end()
        await asyncio.sleep(3)
        assert (store.trouble, store.waiting, store.lost) == ("", 0, 0)
        assert not in_outage(tmp_path)
        await store.durable()
        await store.put(queue(1))
        assert [state.data["text"][0] for state in await store.live_states("call")] == ["z"]
        await store.close()

    run(story())


def test_an_outage_that_only_a_command_met_is_found_to_be_over(tmp_path: Path) -> None:
    async def story() -> None:
        store = await Database(where=tmp_path, folder=tmp_path, inline=True).open()
        end = read_only(store, tmp_path)
        with pytest.raises(StoreUnavailable):
            await store.put(queue(1))
        assert (store.trouble, store.waiting) == ("read-only", 0)
        end()
        await asyncio.sleep(3)
        assert store.trouble == ""
        await store.close()

    run(story())


def test_history_is_read_with_what_is_held_back_on_top(tmp_path: Path) -> None:
    async def story() -> None:
        store = await Database(where=tmp_path, folder=tmp_path, inline=True).open()
        for number in (1, 2, 3):
            store.append(call(number))
        await store.durable()
        end = read_only(store, tmp_path)
        store.append(call(2, status="completed"))
        for number in (4, 5):
            store.append(call(number))
        store.append(call(6, account_sid=sid("AC", 2)))
        store.append(notification(1))
        assert (await get(store, 2), await get(store, 4), await get(store, 1)) == ("completed", "ringing", "ringing")
        assert await store.get(Notification, sid("NO", 1)) is not None
        assert await pages(store, limit=2) == [[5, 4], [3, 2], [1]]
        assert await pages(store, limit=50) == [[5, 4, 3, 2, 1]]
        assert await pages(store, limit=3) == [[5, 4, 3], [2, 1]]
        assert await pages(store, limit=50, filters=[Filter("status", "=", "ringing")]) == [[5, 4, 3, 1]]
        assert await pages(store, limit=50, filters=[Filter("status", "=", "completed")]) == [[]]
        end()
        await asyncio.sleep(3)
        assert await pages(store, limit=2) == [[5, 4], [3, 2], [1]]
        await store.close()

    run(story())


async def get(store: Store, number: int) -> str:
    found = await store.get(CallRecord, sid("CA", number))
    assert found is not None
    return found.status


async def pages(store: Store, *, limit: int, filters: Sequence[Filter] = ()) -> list[list[int]]:
    found: list[list[int]] = []
    before: str | None = None
    while not found or before:
        records, before = await store.page(CallRecord, account_sid=AC, limit=limit, filters=filters, before=before)
        found.append([int(record.sid[2:]) for record in records])
    return found


def test_what_a_call_adopted_stays_although_another_process_writes(tmp_path: Path) -> None:
    async def story() -> None:
        database, fault = Database(where=tmp_path, folder=tmp_path, inline=True), Fault()
        store = await database.open(wrap_driver=fault)
        fault.arm(1, count=10_000)
        store.adopt(queue(1))
        await asyncio.sleep(0.01)
        assert store.trouble == "full"
        fault.connection.failing = range(0)
        other = await database.open()
        await other.put(queue(2))
        await store.refresh()
        assert {found.sid for found in store.image.queues} == {sid("QU", 1), sid("QU", 2)}
        await asyncio.sleep(3)
        await other.refresh()
        assert {found.sid for found in other.image.queues} == {sid("QU", 1), sid("QU", 2)}
        await store.close()
        await other.close()

    run(story())


def test_a_change_of_several_kinds_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    async def story(first: int) -> bool:
        folder, fault = tmp_path / str(first), Fault()
        store = await Database(where=folder, folder=folder, inline=True).open(wrap_driver=fault)
        await store.put(queue(1))
        fault.arm(first)
        try:
            await store.change(put=[phone_number(1)], delete=[queue(1)])
        except StoreUnavailable:
            expected = (1, 0)
        else:
            expected = (0, 1)
        assert (len(store.image.queues), len(store.image.numbers)) == expected
        met = fault.met
        await store.close()
        store = await Database(where=folder, folder=folder, inline=True).open()
        assert (len(store.image.queues), len(store.image.numbers)) == expected
        await store.close()
        return met

    first = 1
    while run(story(first)):
        first += 1
    assert first == 5  # BEGIN, two kinds of rows, COMMIT


class Hanging:
    """A driver whose writes hang until they are let go."""

    def __init__(self) -> None:
        self.may_write = threading.Event()
        self.may_write.set()

    def __call__(self, driver: Driver) -> Driver:
        write = driver.write

        def hang(rows: Sequence[Row]) -> None:
            self.may_write.wait(30)
            write(rows)

        driver.write = hang  # type: ignore[method-assign]
        return driver


def test_a_disk_that_hangs_is_waited_for_once_and_what_comes_meanwhile_is_held(tmp_path: Path) -> None:
    async def story() -> None:
        disk = Hanging()
        store = await Database(where=tmp_path, folder=tmp_path, inline=False).open(wrap_driver=disk)
        store.stalls()
        assert store.trouble == "", "nobody waits for anything"
        disk.may_write.clear()
        waiting = asyncio.ensure_future(store.durable())
        await asyncio.sleep(0)
        store.append(call(1))
        await asyncio.sleep(0)  # the group goes, and who waits with it
        later = asyncio.ensure_future(store.durable())
        await asyncio.sleep(0)
        store.stalls()
        assert store.trouble == "slow"
        with pytest.raises(StoreUnavailable, match="does not answer"):
            await later
        for number in range(1, 4):
            store.append(call(number, status="completed"))
        await asyncio.sleep(0)
        assert store.waiting == 3
        for refused in (store.durable(), store.put(queue(1)), store.refresh(), store.get(CallRecord, sid("CA", 9))):
            with pytest.raises(StoreUnavailable, match="does not answer"):
                await refused
        assert await get(store, 2) == "completed"
        disk.may_write.set()
        await waiting
        await store.durable()
        assert (store.trouble, store.waiting) == ("", 0)
        assert [await get(store, number) for number in (1, 2, 3)] == ["completed"] * 3
        await store.close()

    asyncio.run(story())


def test_a_database_with_a_damaged_page_is_not_served(tmp_path: Path) -> None:
    async def story() -> None:
        database = Database(where=tmp_path, folder=tmp_path, inline=True)
        store = await database.open()
        for number in range(300):
            store.append(call(number))
        await store.close()
        file = tmp_path / "waitline.db"
        content = bytearray(file.read_bytes())
        content[-20_000:] = b"\xa5" * 20_000
        file.write_bytes(content)
        with pytest.raises(ConfigError, match=r"waitline\.db is damaged \(.*\); restore a backup with `waitline restore FILE --force`"):
            await database.open(serve=True)

    run(story())


def test_a_page_that_is_damaged_while_it_serves_is_an_outage(tmp_path: Path) -> None:
    async def story() -> None:
        database = Database(where=tmp_path, folder=tmp_path, inline=True)
        store = await database.open()
        for number in range(300):
            store.append(call(number))
        await store.durable()
        _connection(store).execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
        _connection(store).execute("PRAGMA shrink_memory").close()
        file = tmp_path / "waitline.db"
        with file.open("r+b") as content:
            content.seek(4096)
            content.write(b"\xa5" * (file.stat().st_size - 4096))
        store.append(call(1, status="completed"))
        with pytest.raises(StoreUnavailable):
            await store.durable()
        assert store.trouble == "damaged"
        assert await get(store, 1) == "completed"
        with pytest.raises(StoreUnavailable):
            await get(store, 2)
        await store.close()

    run(story())
