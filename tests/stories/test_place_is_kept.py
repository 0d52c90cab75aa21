"""A place in a queue and the call that has it are written together, or a death between the two would cost the caller the call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from harness.story import NUMBER
from harness.story_crash import CrashingStory, play
from harness.story_tenant import enqueue, say

from waitline.bridge.store.errors import StoreError


def test_a_death_as_soon_as_the_place_is_durable_costs_neither_place_nor_call() -> None:
    async def story(story: CrashingStory) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", say(400, seconds=10))
        story.store_takes_s = 0.005  # so that the queue, made on demand, takes a moment
        store, reached = story.control._ports.store, asyncio.Event()
        when_durable = store.when_durable

        async def tell_unless_a_place_is_durable(told: Callable[[StoreError | None], None]) -> None:
            if await story.store.live_states("member"):
                reached.set()
            else:
                told(None)

        def durable_and_no_further(told: Callable[[StoreError | None], None]) -> None:
            when_durable(lambda _: story.control.tasks.spawn(tell_unless_a_place_is_durable(told), name="what is told"))

        store.when_durable = durable_and_no_further  # type: ignore[method-assign]
        caller = story.phone("alice")
        caller.dials(NUMBER)
        await reached.wait()
        await story.crashes()
        await story.passes(2)
        assert len(story.members()) == 1
        assert caller.is_up

    play(story)
