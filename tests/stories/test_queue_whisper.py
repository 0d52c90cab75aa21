"""The whisper: what a dequeued caller hears alone before the bridge, and that it never costs anybody the talk (platform contract 2.4)."""

from __future__ import annotations

import pytest
from harness.story import AGENTS, Story, play
from harness.story_ear import MUSIC, RINGING
from harness.story_tenant import Answer, say, spoken


def test_the_caller_hears_the_whisper_alone_and_is_then_bridged() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk(whisper="/whisper")
        story.tenant.on("/whisper", say(600, seconds=2))
        caller, agent = await story.caller_waits("alice"), story.phone("bob")
        await story.passes(5)
        agent.talks(1700)
        await agent.calls(AGENTS)
        await caller.hears(600)
        assert agent.hears_now == RINGING, "the agent hears ringing until the bridge"
        await caller.hears(1700)
        assert caller.heard(since=1).sounds == [400, 600, 1700]
        assert caller.heard(since=1).longest_silence_s <= 0.1
        assert 600 not in agent.heard().sounds

    play(story)


def test_the_whisper_is_told_who_dequeues_whom() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk(whisper="/whisper")
        caller, agent = await story.caller_waits("alice"), story.phone("bob")
        await story.passes(5)
        await agent.calls(AGENTS)
        asked = await story.tenant.asked("/whisper")
        assert asked.method == "POST"
        assert asked["QueueSid"] == story.queue().sid
        assert asked["CallSid"] == story.sid_of(caller)
        assert asked["DequeingCallSid"] == story.sid_of(agent)
        assert asked["QueueTime"] == "5"

    play(story)


def test_a_whisper_may_redirect_and_pause() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk(whisper="/whisper")
        story.tenant.on("/whisper", f"{spoken(600)}<Redirect>/more</Redirect>")
        story.tenant.on("/more", f"<Pause length='1'/>{spoken(700)}")
        caller, agent = await story.caller_waits("alice"), story.phone("bob")
        await story.passes(1)
        agent.talks(1700)
        await agent.calls(AGENTS)
        await caller.hears(1700)
        sounds = [sound for sound in caller.heard(since=0.1).sounds if isinstance(sound, int)]
        assert sounds == [400, 600, 700, 1700]
        assert story.tenant.asked_for("/more")[0]["DequeingCallSid"] == story.sid_of(agent)

    play(story)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(status=500), 11200),
        (Answer(body="<Response>"), 12100),
        (Answer(body="<Gather/>"), 12200),
        (Answer(after_s=20), 11200),
    ],
)
def test_a_whisper_that_fails_or_is_late_is_left_out_and_told(answer: Answer, code: int) -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk(whisper="/whisper")
        story.tenant.on("/whisper", answer)
        caller, agent = await story.caller_waits("alice"), story.phone("bob")
        agent.talks(1700)
        await agent.calls(AGENTS)
        begun = story.now()
        await caller.hears(1700)
        assert story.now() - begun < 3.3
        assert caller.heard(since=0.1).longest_silence_s <= 0.2
        assert await story.codes() == [code]

    play(story)


def test_while_a_whisper_is_late_the_callers_sound_plays_on() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk(whisper="/whisper")
        story.tenant.on("/wait", say(400, seconds=7))
        story.tenant.on("/whisper", Answer(body=say(600), after_s=2.9))
        caller, agent = await story.caller_waits("alice"), story.phone("bob")
        await story.passes(5)
        agent.talks(1700)
        await agent.calls(AGENTS)
        await caller.hears(1700, within=10)
        assert caller.heard(since=1).longest_silence_s <= 0.2
        assert [sound for sound in caller.heard(since=1).sounds if sound not in ("silence",)] == [400, MUSIC, 600, 1700]

    play(story)
