"""Somebody sets the wall clock an hour forth or back while callers wait and talk: it is for people, and nothing is counted by it."""

from __future__ import annotations

import pytest
from harness.story import AGENTS, NUMBER
from harness.story_crash import CrashingStory, play
from harness.story_tenant import enqueue

JUMPS = pytest.mark.parametrize("jump_s", [3600, -3600])
DEATHS = pytest.mark.parametrize("dies", [False, True], ids=["lives", "dies"])


@JUMPS
@DEATHS
def test_a_waiting_caller_has_waited_as_long_as_it_has(jump_s: int, dies: bool) -> None:
    async def story(story: CrashingStory) -> None:
        story.tenant.runs_a_desk()
        story.tenant.on("/voice", enqueue(maxWaitTime="60"))
        caller = await story.caller_waits("alice")
        await story.passes(10)
        story.clock.jump(jump_s)
        if dies:
            await story.crashes(for_s=0.5)
        await caller.hears(800, within=60)
        done = await story.tenant.asked("/done")
        assert (done["QueueResult"], done["QueueTime"]) == ("timeout", "60")
        caller.hangs_up()

    play(story)


@JUMPS
@DEATHS
def test_a_talk_is_as_long_as_it_was_and_its_limit_is_kept(jump_s: int, dies: bool) -> None:
    async def story(story: CrashingStory) -> None:
        story.tenant.runs_a_desk()
        story.tenant.on("/status", "<Response/>")
        await story.changes_number(AGENTS, status_callback="/status")
        await story.caller_waits("alice")
        agent = story.phone("agent")
        await agent.calls(AGENTS)
        sid = story.sid_of(agent)
        await story.passes(10)
        story.clock.jump(jump_s)
        if dies:
            await story.crashes(for_s=0.5)
        assert (await story.rest("POST", f"/Calls/{sid}.json", {"TimeLimit": "30"})).status == 200
        await agent.is_hung_up_on(within=25)
        assert (await story.record(sid)).duration_s == 30
        assert (await story.tenant.asked("/status"))["CallDuration"] == "30"

    play(story)


@JUMPS
@DEATHS
def test_a_call_rings_for_as_long_as_it_may(jump_s: int, dies: bool) -> None:
    async def story(story: CrashingStory) -> None:
        story.tenant.on("/voice", "<Pause length='200'/>")
        caller = story.phone("alice")
        caller.dials(NUMBER)
        await story.passes(10)
        story.clock.jump(jump_s)
        if dies:
            await story.crashes(for_s=0.5)
        begun = caller.since
        assert await caller.is_refused(within=60) == 480
        assert 59 <= story.now() - begun <= 61

    play(story)
