"""What is appended goes in groups: at once where the writer is idle, else all that has gathered when it is answered."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from unit.store.kit import Database, call

from waitline.bridge.store import Store, StoreUnavailable
from waitline.bridge.store.drivers import Driver, Row
from waitline.bridge.store.errors import StoreError
from waitline.bridge.store.records import LiveState

STATE = LiveState(kind="call", key="CA1", version=1, data={})


class Slow:
    """A driver that notes what it writes and does so only when it may."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.may_write = threading.Event()
        self.may_write.set()

    def __call__(self, driver: Driver) -> Driver:
        self._driver = driver
        return self

    def write(self, rows: Sequence[Row]) -> None:
        assert self.may_write.wait(10)
        self.groups.append([row.table for row in rows])
        self._driver.write(rows)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)


async def opened(path: Path, disk: Slow) -> Store:
    store = await Database(where=path, folder=path, inline=False).open(wrap_driver=disk)
    disk.groups.clear()
    return store


def test_what_comes_while_a_group_is_written_goes_as_one_group_after_it(tmp_path: Path) -> None:
    async def story() -> None:
        disk = Slow()
        store = await opened(tmp_path, disk)
        disk.may_write.clear()
        store.append(call(1))
        await asyncio.sleep(0)
        waiting = []
        for number in range(2, 6):
            store.append(call(number))
            waiting.append(asyncio.ensure_future(store.durable()))
            await asyncio.sleep(0)
        disk.may_write.set()
        await asyncio.gather(*waiting)
        assert disk.groups == [["calls"], ["calls"] * 4]
        assert not store.pending
        await store.close()

    asyncio.run(story())


def test_a_late_source_is_asked_when_the_group_goes_and_goes_with_it(tmp_path: Path) -> None:
    async def story() -> None:
        disk = Slow()
        store = await opened(tmp_path, disk)
        disk.may_write.clear()
        store.append(call(1))
        await asyncio.sleep(0)
        asked: list[str] = []

        def source() -> None:
            asked.append("now")
            store.append(STATE)

        store.before_next(source)
        store.append(call(2))
        await asyncio.sleep(0)
        assert store.pending
        assert not asked, "the group before is being written"
        disk.may_write.set()
        await store.durable()
        assert asked == ["now"]
        assert disk.groups == [["calls"], ["calls", "live_states"]]
        await store.close()

    asyncio.run(story())


def test_configuration_is_written_after_what_was_appended_before_it_however_late_that_is_known(tmp_path: Path) -> None:
    async def story() -> None:
        disk = Slow()
        store = await opened(tmp_path, disk)
        store.before_next(lambda: store.append(STATE))
        store.append(call(1))
        await store.delete(STATE)
        assert disk.groups == [["calls", "live_states", "live_states"]]
        assert not await store.live_states("call")
        await store.close()

    asyncio.run(story())


def test_who_waits_is_told_in_order_and_with_the_error(tmp_path: Path) -> None:
    async def story() -> None:
        disk = Slow()
        store = await opened(tmp_path, disk)
        told: list[tuple[int, StoreError | None]] = []
        for number in (1, 2, 3):
            store.append(call(number))
            store.when_durable(lambda error, number=number: told.append((number, error)))  # type: ignore[misc]
        await store.durable()
        assert told == [(1, None), (2, None), (3, None)]
        disk.write = _full  # type: ignore[method-assign]
        store.append(call(4))
        with pytest.raises(StoreUnavailable, match="full"):
            await store.durable()
        del disk.write
        await store.close()

    asyncio.run(story())


def _full(rows: Sequence[Row]) -> None:
    raise StoreUnavailable("the disk is full", reason="full")


def test_what_gathers_behind_a_group_is_written_when_the_store_closes(tmp_path: Path) -> None:
    async def story() -> None:
        disk = Slow()
        store = await opened(tmp_path, disk)
        disk.may_write.clear()
        store.append(call(1))
        await asyncio.sleep(0)
        store.append(call(2))
        store.before_next(lambda: store.append(STATE))
        disk.may_write.set()
        await store.close()
        assert [table for group in disk.groups for table in group] == ["calls", "calls", "live_states"]

    asyncio.run(story())
