"""The media worker is killed in the middle of things, another goes on with its legs, and the calls go on with it."""

from __future__ import annotations

import asyncio

import pytest
from harness.story import AGENTS, NUMBER, Story
from harness.story import play as play_story
from harness.story_crash import CrashingStory, play
from harness.story_tenant import Answer, enqueue, say

from waitline.media.plane import MediaPlane

GAP_S = 0.3


def test_a_waiting_caller_keeps_its_place_and_its_sound() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", say(400, seconds=10))
        callers = [await story.caller_waits(name) for name in ("alice", "bob")]
        sids = [story.sid_of(caller) for caller in callers]
        await story.passes(3)
        await story.media_is_replaced(GAP_S)
        await story.passes(20)
        assert story.members() == sids
        for caller in callers:
            heard = caller.heard(caller.since + 1)
            assert heard.sounds == [400, "silence", 400]
            assert heard.longest_silence_s <= GAP_S + 0.02

    play_story(story)


@pytest.mark.parametrize("after_s", [0.0, 0.1, 2.0])
def test_a_talk_goes_on_in_both_directions_and_ends_as_it_would_have(after_s: float) -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        caller = await story.caller_waits("alice")
        agent = story.phone("agent")
        await agent.calls(AGENTS)
        agent.talks(1000)
        caller.talks(800)
        await story.passes(after_s)
        await story.media_is_replaced(GAP_S)
        await caller.hears(1000)
        await agent.hears(800)
        await story.passes(2)
        assert (caller.hears_now, agent.hears_now) == (1000, 800)
        agent.hangs_up()
        done = await story.tenant.asked("/done")
        assert done["QueueResult"] == "bridged"

    play_story(story)


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.5, 1.9, 2.0])
def test_a_whisper_is_heard_to_its_end_and_the_caller_is_bridged(seconds: float) -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk(whisper=say(700, seconds=2))
        caller = await story.caller_waits("alice")
        agent = story.phone("agent")
        await agent.calls(AGENTS)
        agent.talks(1000)
        await story.passes(seconds)
        await story.media_is_replaced(GAP_S)
        await caller.hears(1000)

    play_story(story)


def test_keys_before_and_during_and_after_the_death_count_in_order() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", "<Gather numDigits='6' action='/keys'><Play>/tone/400</Play></Gather>")
        story.tenant.on("/keys", say(600))
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        caller.presses("12")
        await story.passes(1)
        story.media.die()
        caller.presses("34")
        await story.passes(1)
        story.media.succeed()
        await story.passes(1)
        caller.presses("56")
        asked = await story.tenant.asked("/keys")
        assert asked["Digits"] == "123456"

    play_story(story)


def test_a_key_whose_report_died_with_the_worker_counts_once() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", "<Gather numDigits='3' action='/keys'><Play>/tone/400</Play></Gather>")
        story.tenant.on("/keys", say(600))
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        caller.presses("12")
        await story.passes(1)
        (leg,) = story.media.table.legs.values()
        leg.recent_digits, leg.digit_number = leg.recent_digits + "3", leg.digit_number + 1
        story.media.table._keep(leg)  # it was heard, and its worker was killed before it told
        await story.media_is_replaced(GAP_S)
        asked = await story.tenant.asked("/keys")
        assert asked["Digits"] == "123"

    play_story(story)


def test_a_prompt_that_ended_while_no_worker_was_there_is_followed_by_what_follows() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", "<Play>/tone/400</Play><Play>/tone/600</Play>")
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        await story.passes(0.8)
        await story.media_is_replaced(2.0)
        await caller.is_hung_up_on()

    play_story(story)


def test_a_call_that_comes_while_no_worker_is_there_waits_for_the_next_and_is_answered() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", say(400, seconds=3))
        story.media.die()
        caller = story.phone("alice")
        calling = asyncio.ensure_future(caller.calls(NUMBER))
        await story.passes(GAP_S)
        story.media.succeed()
        await calling
        await caller.hears(400)

    play_story(story)


def test_a_caller_whose_sockets_are_lost_is_told_of_another_port_and_keeps_its_place_and_its_sound() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", say(400, seconds=10))
        callers = [await story.caller_waits(name) for name in ("alice", "bob")]
        sids = [story.sid_of(caller) for caller in callers]
        await story.media_is_replaced(GAP_S, without=[min(story.media.table.legs)])
        await story.passes(2)
        assert story.members() == sids
        assert [caller.hears_now for caller in callers] == [400, 400]
        assert len(story.media.table.legs) == 2

    play_story(story)


def test_a_talk_goes_on_in_both_directions_when_one_side_had_to_be_given_another_port() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        caller = await story.caller_waits("alice")
        agent = story.phone("agent")
        await agent.calls(AGENTS)
        agent.talks(1000)
        caller.talks(800)
        await story.passes(1)
        await story.media_is_replaced(GAP_S, without=[min(story.media.table.legs)])
        await story.passes(3)
        assert (caller.hears_now, agent.hears_now) == (1000, 800)
        agent.hangs_up()
        done = await story.tenant.asked("/done")
        assert done["QueueResult"] == "bridged"

    play_story(story)


def test_a_call_ends_with_a_reason_when_its_peer_takes_no_other_port() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        lost, kept = await story.caller_waits("alice"), await story.caller_waits("bob")
        sid = story.sid_of(kept)
        lost.answers = lambda message: message.method != "INVITE"
        await story.media_is_replaced(GAP_S, without=[min(story.media.table.legs)])
        await lost.is_hung_up_on(within=40)
        done = await story.tenant.asked("/done")
        assert done["QueueResult"] == "system-error"
        assert story.members() == [sid]

    play_story(story)


@pytest.mark.parametrize("after_s", [0.0, 1.0])
def test_a_control_that_follows_goes_on_telling_the_peer_of_its_other_port(after_s: float) -> None:
    async def story(story: CrashingStory) -> None:
        story.tenant.runs_a_desk()
        caller = await story.caller_waits("alice")
        caller.answers = lambda message: message.method != "INVITE"
        await story.media_is_replaced(GAP_S, without=list(story.media.table.legs))
        await story.passes(after_s)
        await story.dies()
        caller.answers = lambda _message: True
        await story.follows()
        await story.passes(5)
        (leg,) = story.media.table.legs.values()
        assert caller.media[1] == leg.port
        assert len(story.members()) == 1
        assert caller.hears_now == 400

    play(story)


def test_a_call_that_nobody_has_answered_is_answered_from_the_port_it_has_then() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", Answer(body=say(400, seconds=10), after_s=2))
        caller = story.phone("alice")
        calling = asyncio.ensure_future(caller.calls(NUMBER))
        await story.passes(1)
        await story.media_is_replaced(GAP_S, without=list(story.media.table.legs))
        await calling
        await caller.hears(400)
        (leg,) = story.media.table.legs.values()
        assert caller.media[1] == leg.port

    play_story(story)


def test_a_bridge_that_was_ordered_while_no_worker_was_there_comes_about() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        caller = await story.caller_waits("alice")
        agent = story.phone("agent")
        story.media.die()
        calling = asyncio.ensure_future(agent.calls(AGENTS))
        await story.passes(GAP_S)
        story.media.succeed()
        await calling
        agent.talks(1000)
        await caller.hears(1000)

    play_story(story)


@pytest.mark.parametrize("order", ["control first", "media first"])
def test_control_and_media_worker_die_at_once_and_nothing_is_lost(order: str) -> None:
    async def story(story: CrashingStory) -> None:
        story.tenant.runs_a_desk()
        waiting = await story.caller_waits("alice")
        talking = await story.caller_waits("bob")
        agent = story.phone("agent")
        await agent.calls(AGENTS)
        agent.talks(1000)
        first, second = (waiting, talking) if waiting.hears_now == 1000 else (talking, waiting)
        await story.passes(1)
        story.media.die()
        await story.dies()
        if order == "media first":
            story.media.succeed()
            await story.follows()
        else:
            following = asyncio.ensure_future(story.follows())
            await story.passes(GAP_S)
            story.media.succeed()
            await following
        assert len(story.members()) == 1
        await story.passes(1)
        assert 1000 in {first.hears_now, second.hears_now}

    play(story)


def test_a_leg_that_is_opened_when_its_worker_is_lost_for_good_is_opened_on_another() -> None:
    async def story(story: Story) -> None:
        plane: MediaPlane = story.plane
        story.media.die()
        opening = asyncio.ensure_future(plane.open_leg())
        await story.passes(0.1)
        story.media_dies()
        story.media.succeed()
        leg = await opening
        assert leg.port
        leg.close()

    play_story(story)
