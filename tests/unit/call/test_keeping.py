"""Who waits to be durable, and for how long; what is said good-bye to, and when that is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from harness.virtual_time import run

from waitline.bridge.call.keeping import FAREWELL, FAREWELL_S, FAREWELLS_TOGETHER_S, KEPT_WITHIN_S, Keeper
from waitline.bridge.store.errors import StoreError, StoreUnavailable


class FakeStore:
    """A store that answers when it is told to."""

    def __init__(self) -> None:
        self.pending, self.trouble, self.closed = True, "", False
        self.waiting: list[Callable[[StoreError | None], None]] = []
        self.dropped: list[tuple[float, str]] = []
        self.groups = 0

    def when_durable(self, told: Callable[[StoreError | None], None]) -> None:
        self.waiting.append(told)

    def answer(self, error: StoreError | None = None) -> None:
        waiting, self.waiting = self.waiting, []
        for told in waiting:
            told(error)

    def stalls(self) -> None:
        self.trouble = "slow"

    def drop(self, kind: str, key: str) -> None:
        self.dropped.append((asyncio.get_running_loop().time(), key))


def keeper(store: Any) -> Keeper:
    return Keeper(store, lambda dialog: None)


def test_what_waits_is_done_in_order_and_a_failure_costs_nobody_else_a_turn() -> None:
    async def story() -> None:
        store, done = FakeStore(), []
        kept = keeper(store)
        kept.once_kept(lambda: done.append("first"))
        kept.once_kept(lambda: done.append(str(1 // 0)))
        waiting = asyncio.ensure_future(kept.kept())
        await asyncio.sleep(0)
        kept.once_kept(lambda: done.append("last"))
        assert done == []
        store.answer()
        await waiting
        assert done == ["first", "last"]

    run(story())


def test_what_is_kept_already_waits_for_nothing() -> None:
    async def story() -> None:
        store, done = FakeStore(), []
        store.pending = False
        keeper(store).once_kept(lambda: done.append("now"))
        await keeper(store).kept()
        assert done == ["now"]
        assert not store.waiting

    run(story())


def test_a_store_that_cannot_write_holds_nobody_up() -> None:
    async def story() -> None:
        store, done = FakeStore(), []
        kept = keeper(store)
        kept.once_kept(lambda: done.append("told"))
        store.answer(StoreUnavailable("the disk is full", reason="full"))
        assert done == ["told"]

    run(story())


def test_a_store_that_does_not_answer_is_waited_for_once() -> None:
    async def story() -> None:
        store, done = FakeStore(), []
        loop = asyncio.get_running_loop()
        kept, begun = keeper(store), loop.time()
        kept.once_kept(lambda: done.append("first"))
        await asyncio.sleep(0.5)
        kept.once_kept(lambda: done.append("second"))
        await kept.kept()
        assert loop.time() - begun == KEPT_WITHIN_S + 0.5
        assert done == ["first", "second"]
        assert store.trouble == "slow"
        await kept.kept()
        assert loop.time() - begun == KEPT_WITHIN_S + 0.5, "it is known by now"
        store.answer()
        assert done == ["first", "second"]

    run(story())


def test_a_wait_that_is_cancelled_is_nobodys() -> None:
    async def story() -> None:
        store = FakeStore()
        waiting = asyncio.ensure_future(keeper(store).kept())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.sleep(0)
        store.answer()
        assert waiting.cancelled()

    run(story())


def test_farewells_are_forgotten_when_their_time_is_over_many_at_a_time() -> None:
    async def story() -> None:
        store = FakeStore()
        kept, loop = keeper(store), asyncio.get_running_loop()
        begun = loop.time()
        for number in range(8):
            kept.drop_later(FAREWELL, str(number))
            await asyncio.sleep(0.1)
        await asyncio.sleep(FAREWELL_S + 2)
        assert [key for _, key in store.dropped] == [str(number) for number in range(8)]
        for at, key in store.dropped:
            over = begun + int(key) * 0.1 + FAREWELL_S
            assert over <= at <= over + FAREWELLS_TOGETHER_S + 0.1
        assert len({at for at, _ in store.dropped}) == 2

    run(story())
