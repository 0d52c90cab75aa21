"""How many requests one account has under way."""

from __future__ import annotations

import asyncio

from harness.virtual_time import run

from waitline.bridge.webhook.slots import Slots


def test_a_tenant_whose_servers_are_slow_fills_its_own_slots_and_nobody_elses() -> None:
    async def story() -> None:
        slots, ended = Slots(2), list[tuple[str, float]]()

        async def ask(account: str, seconds: float) -> None:
            async with slots.one(account):
                await asyncio.sleep(seconds)
                ended.append((account, asyncio.get_running_loop().time()))

        await asyncio.gather(*(ask("slow", 14.0) for _ in range(4)), ask("quick", 1.0), ask("", 1.0))
        assert ended == [("quick", 1.0), ("", 1.0), ("slow", 14.0), ("slow", 14.0), ("slow", 28.0), ("slow", 28.0)]
        assert len(slots) == 0

    run(story())


def test_who_gives_up_waiting_leaves_nothing_behind() -> None:
    async def story() -> None:
        slots = Slots(1)
        async with slots.one("a"):
            try:
                async with asyncio.timeout(1), slots.one("a"):
                    raise AssertionError("there was no slot")
            except TimeoutError:
                assert len(slots) == 1
        async with slots.one("a"):
            assert len(slots) == 1
        assert len(slots) == 0

    run(story())
