"""Work that an interruption breaks off: what ends it, and what does not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from harness.story import Story, play
from harness.story_tenant import enqueue, say

from waitline.bridge.call.call import Call
from waitline.bridge.call.interruption import Ended, Redirected
from waitline.bridge.call.state import CallStatus
from waitline.errors import Refused

ELSEWHERE = Redirected(inline="<Response/>")
END = Ended(status=CallStatus.COMPLETED, reason="test", by_peer=False)


def on_a_call(act: Callable[[Call], Awaitable[None]]) -> None:
    """Let ``act`` use a call that nobody else works on; its own waits in a queue meanwhile."""

    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", say(400, seconds=10))
        phone = await story.caller_waits("alice", listens=False)
        [waiting] = story.control.switchboard
        flow = waiting.leg._flow
        await act(Call(waiting.state, story.control.services, story.control.endpoint, flow))
        phone.hangs_up()
        await story.passes(1)

    play(story)


async def for_ever() -> None:
    await asyncio.Event().wait()


def test_work_that_waits_is_broken_off_and_the_task_goes_on() -> None:
    async def act(call: Call) -> None:
        asyncio.get_running_loop().call_soon(call.interrupt, ELSEWHERE)
        assert await call.interruptible(for_ever()) is ELSEWHERE
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await asyncio.sleep(0.1)

    on_a_call(act)


def test_work_that_interrupts_its_own_call_goes_on_to_its_next_wait() -> None:
    done: list[str] = []

    async def act(call: Call) -> None:
        async def work() -> None:
            call.interrupt(ELSEWHERE)
            done.append("this turn")
            await asyncio.sleep(1)
            done.append("after a wait")

        assert await call.interruptible(work()) is ELSEWHERE
        assert done == ["this turn"]

    on_a_call(act)


def test_an_interruption_of_work_that_ends_by_itself_does_not_reach_the_work_after_it() -> None:
    async def act(call: Call) -> None:
        async def work() -> None:
            call.interrupt(ELSEWHERE)

        async def after() -> str:
            await asyncio.sleep(1)
            return "whole"

        assert await call.interruptible(work()) is ELSEWHERE
        assert await call.interruptible(after()) == "whole"

    on_a_call(act)


def test_work_of_a_call_that_is_over_is_not_begun_but_what_was_begun_is_broken_off() -> None:
    begun: list[str] = []

    async def act(call: Call) -> None:
        async def work(name: str) -> None:
            begun.append(name)
            await for_ever()

        call.interrupt(END)
        assert await call.interruptible(work("new")) is END
        assert await call.interruptible(work("old"), begun=True) is END
        assert begun == ["old"]

    on_a_call(act)


def test_a_leg_that_is_lost_under_the_work_looks_like_the_end_it_is() -> None:
    async def act(call: Call) -> None:
        async def work() -> None:
            call.interrupt(END)
            raise Refused("the leg is gone")

        assert await call.interruptible(work()) is END

    on_a_call(act)


def test_an_error_of_the_work_is_raised_interrupted_or_not() -> None:
    async def act(call: Call) -> None:
        async def work() -> None:
            call.interrupt(ELSEWHERE)
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await call.interruptible(work())

    on_a_call(act)


def test_who_cancels_the_task_itself_is_not_taken_for_an_interruption() -> None:
    async def act(call: Call) -> None:
        task = asyncio.create_task(_ignoring_result(call))
        await asyncio.sleep(0.1)
        call.interrupt(ELSEWHERE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    on_a_call(act)


async def _ignoring_result(call: Call) -> None:
    await call.interruptible(for_ever())


def test_a_time_limit_within_the_work_runs_out_as_ever() -> None:
    async def act(call: Call) -> None:
        async def work() -> str:
            try:
                async with asyncio.timeout(0.5):
                    await for_ever()
            except TimeoutError:
                return "late"
            return "never"

        assert await call.interruptible(work()) == "late"

    on_a_call(act)
