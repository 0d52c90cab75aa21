"""Nothing lost: the control process is killed in the middle of things, another goes on, and nobody outside can tell."""

from __future__ import annotations

import pytest
from harness.story import AGENTS, NUMBER
from harness.story_crash import CrashingStory, play
from harness.story_ear import MUSIC
from harness.story_tenant import enqueue, say

from waitline.bridge.store.records import LiveState


def test_a_waiting_caller_keeps_its_place_and_its_sound_when_control_dies() -> None:
    async def story(story: CrashingStory) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", say(400, seconds=10))
        first = await story.caller_waits("alice")
        second = await story.caller_waits("bob")
        sids = [story.sid_of(first), story.sid_of(second)]
        await story.passes(3)
        assert await story.crashes(for_s=1.5) == 2
        assert story.members() == sids
        await story.passes(20)
        assert first.heard(first.since + 1).sounds == [400]
        assert int(story.tenant.asked_for("/wait")[-1]["QueueTime"]) >= 19

    play(story)


def test_callers_are_dequeued_in_the_order_of_their_arrival_after_a_death() -> None:
    async def story(story: CrashingStory) -> None:
        story.tenant.runs_a_desk()
        first, second = await story.caller_waits("alice"), await story.caller_waits("bob")
        await story.crashes()
        third = await story.caller_waits("carol")
        for caller in (first, second, third):
            agent = story.phone(f"agent-{caller.name}")
            await agent.calls(AGENTS)
            agent.talks(1000)
            await caller.hears(1000)
            agent.hangs_up()
            caller.hangs_up()
            await story.passes(1)

    play(story)


def test_a_talk_goes_on_and_ends_as_it_would_have() -> None:
    async def story(story: CrashingStory) -> None:
        story.tenant.runs_a_desk()
        caller = await story.caller_waits("alice")
        agent = story.phone("agent")
        await agent.calls(AGENTS)
        agent.talks(1000)
        await caller.hears(1000)
        await story.passes(2)
        assert await story.crashes(for_s=1) == 2
        await story.passes(2)
        assert caller.heard(story.now() - 4).sounds == [1000]
        agent.hangs_up()
        done = await story.tenant.asked("/done")
        assert done["QueueResult"] == "bridged"

    play(story)


@pytest.mark.parametrize("seconds", [0.05, 0.5, 1.0])
def test_a_caller_is_back_at_its_place_when_control_dies_in_its_whisper(seconds: float) -> None:
    async def story(story: CrashingStory) -> None:
        story.tenant.runs_a_desk(whisper=say(700, seconds=2))
        caller = await story.caller_waits("alice")
        agent = story.phone("agent")
        await agent.calls(AGENTS)
        agent.talks(1000)
        await story.passes(seconds)
        await story.crashes()
        await caller.hears(1000, within=20)

    play(story)


def test_keys_that_were_pressed_before_the_death_count() -> None:
    async def story(story: CrashingStory) -> None:
        story.tenant.on("/voice", "<Gather numDigits='4' action='/keys'><Play>/tone/400</Play></Gather>")
        story.tenant.on("/keys", say(600))
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        caller.presses("12")
        await story.passes(1)
        await story.crashes()
        caller.presses("34")
        asked = await story.tenant.asked("/keys")
        assert asked["Digits"] == "1234"

    play(story)


def test_a_key_that_was_read_and_not_kept_before_the_death_counts_once() -> None:
    async def story(story: CrashingStory) -> None:
        story.tenant.on("/voice", "<Gather numDigits='4' action='/keys'><Play>/tone/400</Play></Gather>")
        story.tenant.on("/keys", say(600))
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        caller.presses("1")
        await story.passes(1)
        story.control._ports.store.dead = True  # type: ignore[attr-defined]
        caller.presses("22")
        await story.passes(1)
        await story.crashes()
        caller.presses("3")
        asked = await story.tenant.asked("/keys")
        assert asked["Digits"] == "1223"

    play(story)


def test_a_bye_that_came_while_nobody_was_there_ends_the_call() -> None:
    async def story(story: CrashingStory) -> None:
        story.tenant.on("/voice", enqueue(action="/done"))
        story.tenant.on("/wait", say(400, seconds=10))
        caller = await story.caller_waits("alice")
        await story.dies()
        caller.hangs_up()
        await story.follows(after_s=2)
        done = await story.tenant.asked("/done")
        assert done["QueueResult"] == "hangup"
        assert story.members() == []

    play(story)


def test_default_music_never_stops_for_a_death() -> None:
    async def story(story: CrashingStory) -> None:
        story.tenant.on("/voice", "<Enqueue>support</Enqueue>")
        caller = await story.caller_waits("alice")
        await story.passes(3)
        for _ in range(5):
            await story.crashes(for_s=0.7)
            await story.passes(0.3)
        heard = caller.heard(caller.since + 0.5)
        assert heard.sounds == [MUSIC]
        assert heard.longest_silence_s == 0

    play(story)


def test_a_record_that_cannot_be_read_costs_its_call_and_no_other() -> None:
    async def story(story: CrashingStory) -> None:
        story.may_fail = True
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", say(400, seconds=10))
        lost, kept = await story.caller_waits("alice"), await story.caller_waits("bob")
        broken, sound = story.sid_of(lost), story.sid_of(kept)
        await story.dies()
        story.store.append(LiveState(kind="call", key=broken, version=1, data={"state": None}))
        assert await story.follows() == 1
        assert story.members() == [sound]
        await story.passes(12)
        assert kept.heard(kept.since + 1).sounds == [400]

    play(story)


def test_a_place_that_cannot_be_read_costs_nobody_else_theirs() -> None:
    async def story(story: CrashingStory) -> None:
        story.may_fail = True
        story.tenant.on("/voice", enqueue(action="/done"))
        story.tenant.on("/wait", say(400, seconds=10))
        lost, kept = await story.caller_waits("alice"), await story.caller_waits("bob")
        broken, sound = story.sid_of(lost), story.sid_of(kept)
        await story.dies()
        story.store.append(LiveState(kind="member", key=broken, version=1, data={}))
        assert await story.follows() == 2
        assert story.members() == [sound]
        done = await story.tenant.asked("/done")
        assert done["QueueResult"] == "system-error"

    play(story)


def test_a_record_of_a_later_version_costs_what_it_describes_and_is_logged() -> None:
    async def story(story: CrashingStory) -> None:
        story.may_fail = True
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", say(400, seconds=10))
        lost, kept = await story.caller_waits("alice"), await story.caller_waits("bob")
        newer = LiveState(kind="call", key=story.sid_of(lost), version=99, data={})
        await story.dies()
        story.store.append(newer)
        assert await story.follows() == 1
        assert [entry["rule"] for entry in story._log.entries if entry["log_level"] == "error"] == ["record-is-foreign"]
        await story.passes(12)
        assert kept.heard(kept.since + 1).sounds == [400]

    play(story)
