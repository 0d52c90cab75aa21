"""What the admission policy is fed with, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from harness import virtual_time

from waitline.bridge.router.admission import BUSY_LEGS, Admission
from waitline.bridge.router.load_watch import REST_AFTER_S, LoadWatch
from waitline.clock import VirtualClock


class Owner:
    """Owns what is spawned."""

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[None]] = []

    def spawn(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        self.tasks.append(asyncio.create_task(work, name=name))


class Workers:
    """Media workers that count."""

    def __init__(self, clock: VirtualClock, legs: int) -> None:
        self._clock = clock
        self._legs = legs
        self.late_share = 0.0
        self.asked = 0
        self._late = 0.0
        self._at = clock.now()

    async def counted(self) -> Sequence[dict[str, float]]:
        self.asked += 1
        now = self._clock.now()
        self._late += self.late_share * 200 * (now - self._at)
        self._at = now
        return [{"legs": self._legs, "ticks": 200 * now, "late_ticks": self._late}]


def watching(legs: int = 2 * BUSY_LEGS) -> tuple[LoadWatch, Admission, Workers]:
    clock = VirtualClock(asyncio.get_running_loop().time)
    admission, workers = Admission(0.05), Workers(clock, legs)
    return LoadWatch(admission, clock, Owner(), workers.counted), admission, workers


async def calls_come(watch: LoadWatch, seconds: float) -> list[bool]:
    taken = []
    for _ in range(int(seconds * 20)):
        taken.append(watch.admits())
        await asyncio.sleep(0.05)
    return taken


def test_nothing_wakes_a_platform_to_which_nobody_calls() -> None:
    async def story() -> None:
        watch, _, workers = watching()
        assert all(await calls_come(watch, 3))
        await asyncio.sleep(REST_AFTER_S + 1)
        asked = workers.asked
        await asyncio.sleep(1000)
        assert workers.asked == asked
        watch.close()

    virtual_time.run(story())


def test_workers_that_begin_half_of_their_ticks_late_keep_new_calls_out_until_they_are_in_time() -> None:
    async def story() -> None:
        watch, admission, workers = watching()
        workers.late_share = 0.5
        taken = await calls_come(watch, 5)
        assert taken[0]
        assert not any(taken[-20:])
        assert admission.closed == "media"
        workers.late_share = 0.0
        assert (await calls_come(watch, 4))[-1]
        watch.close()

    virtual_time.run(story())


def test_late_ticks_of_a_worker_with_few_legs_keep_nobody_out() -> None:
    async def story() -> None:
        watch, _, workers = watching(legs=3)
        workers.late_share = 1.0
        assert all(await calls_come(watch, 5))
        watch.close()

    virtual_time.run(story())


def test_workers_that_do_not_answer_keep_nobody_out() -> None:
    async def story() -> None:
        clock = VirtualClock(asyncio.get_running_loop().time)

        async def never() -> Sequence[dict[str, float]]:
            await asyncio.sleep(1e6)
            return []

        watch = LoadWatch(Admission(0.05), clock, Owner(), never)
        assert all(await calls_come(watch, 10))
        watch.close()

    virtual_time.run(story())
