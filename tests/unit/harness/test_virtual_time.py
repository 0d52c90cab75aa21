"""The loop that all stories run on."""

import asyncio
import time

import pytest
from harness.virtual_time import run


def test_an_hour_of_waiting_takes_no_time():
    async def story():
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    began = time.monotonic()
    assert run(story()) == pytest.approx(3600)
    assert time.monotonic() - began < 1


def test_timers_fire_in_order_of_their_time():
    async def story():
        seen: list[int] = []

        async def wait(seconds):
            await asyncio.sleep(seconds)
            seen.append(seconds)

        async with asyncio.TaskGroup() as tasks:
            for seconds in (3, 1, 2):
                tasks.create_task(wait(seconds))
        return seen

    assert run(story()) == [1, 2, 3]


def test_work_in_a_thread_is_waited_for_in_real_time_and_causes_no_false_timeout():
    async def story():
        async with asyncio.timeout(0.01):
            return await asyncio.to_thread(time.perf_counter) > 0

    assert run(story())


def test_a_deadlock_is_named():
    async def story():
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="deadlock"):
        run(story())
