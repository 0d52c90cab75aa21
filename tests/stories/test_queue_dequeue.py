"""An agent dials a queue: waiting for a caller, the whisper, the bridge, its end, and what both sides are told (platform contract 2.4)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from harness.story import AGENTS, NUMBER, Story, play
from harness.story_ear import RINGING
from harness.story_phone import Phone
from harness.story_tenant import DEFAULT, HOST, Answer, Asked, dial, enqueue, say, spoken


async def bridged(story: Story) -> tuple[Phone, Phone]:
    """A caller who waited for five seconds and an agent, talking."""
    caller, agent = await story.caller_waits("alice"), story.phone("bob")
    await story.passes(5)
    await agent.calls(AGENTS)
    caller.talks(1500)
    agent.talks(1700)
    await caller.hears(1700)
    await agent.hears(1500)
    return caller, agent


def results(asked: Asked) -> dict[str, str]:
    """What an agent's action is told beyond the standard parameters."""
    return {name: value for name, value in asked.params.items() if name.startswith(("Dial", "Dequeue", "Queue"))}


def test_caller_and_agent_hear_each_other_and_the_caller_is_in_no_queue_any_more() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        await bridged(story)
        assert story.members() == []
        assert story.control.queues.seats(story.queue().sid) == 0  # type: ignore[arg-type]

    play(story)


def test_a_bridge_is_transparent_within_a_frame_and_sequence_numbers_go_on() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        caller, agent = await bridged(story)
        now = story.now()
        await story.passes(3)
        assert caller.heard(since=now).sounds == [1700]
        assert agent.heard(since=now).sounds == [1500]
        for phone in (caller, agent):
            steps = {(b - a) & 0xFFFF for a, b in pairwise(phone.ear.sequences)}
            assert steps == {1}

    play(story)


def test_the_agents_action_is_told_whom_it_got_and_for_how_long() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        caller, agent = await bridged(story)
        sid = story.sid_of(caller)
        await story.passes(10)
        caller.hangs_up()
        asked = await story.tenant.asked("/agent-done")
        assert results(asked) == {
            "DialCallStatus": "completed",
            "DialCallSid": sid,
            "DialCallDuration": "10",
            "DialBridged": "true",
            "QueueSid": story.queue().sid,
            "DequeueResult": "bridged",
            "DequeuedCallSid": sid,
            "DequeuedCallQueueTime": "5",
            "DequeuedCallDuration": "10",
        }
        assert asked["CallStatus"] == "in-progress"
        await agent.hears(900)

    play(story)


def test_when_the_caller_hangs_up_the_agent_goes_on_and_the_callers_action_is_told() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        caller, agent = await bridged(story)
        caller.hangs_up()
        asked = await story.tenant.asked("/done")
        assert (asked["QueueResult"], asked["QueueTime"], asked["CallStatus"]) == ("bridged", "5", "completed")
        await agent.hears(900)

    play(story)


def test_when_the_agent_hangs_up_the_caller_goes_on_and_the_agents_action_is_told_and_its_reply_ignored() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        caller, agent = await bridged(story)
        agent.hangs_up()
        asked = await story.tenant.asked("/agent-done")
        assert (asked["DequeueResult"], asked["DialCallStatus"], asked["CallStatus"]) == ("bridged", "completed", "completed")
        await caller.hears(800)
        assert (await story.tenant.asked("/done"))["QueueResult"] == "bridged"

    play(story)


def test_without_actions_both_go_on_with_the_next_verb() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        story.tenant.on("/voice", enqueue(action=DEFAULT, then=spoken(1100)))
        story.tenant.on("/agent", dial(action=DEFAULT, hangupOnStar="true", then=spoken(1300)))
        caller, agent = await bridged(story)
        agent.presses("*")
        await caller.hears(1100)
        await agent.hears(1300)
        await caller.is_hung_up_on()
        await agent.is_hung_up_on()

    play(story)


def test_the_star_ends_the_bridge_only_where_the_dial_says_so() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        caller, agent = await bridged(story)
        agent.presses("1*")
        now = story.now()
        await story.passes(3)
        assert not story.tenant.asked_for("/agent-done")
        assert caller.heard(since=now + 1).sounds == [1700]

    play(story)


def test_the_star_with_hangup_on_star_brings_the_agent_on_and_the_caller_too() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        story.tenant.on("/agent", dial(hangupOnStar="true"))
        caller, agent = await bridged(story)
        agent.presses("12")
        await story.passes(2)
        assert not story.tenant.asked_for("/agent-done")
        agent.presses("*")
        assert (await story.tenant.asked("/agent-done"))["DialCallStatus"] == "completed"
        await caller.hears(800)
        await agent.hears(900)

    play(story)


def test_the_callers_star_does_not_end_the_bridge() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        story.tenant.on("/agent", dial(hangupOnStar="true"))
        caller, _agent = await bridged(story)
        caller.presses("*")
        await story.passes(3)
        assert not story.tenant.asked_for("/agent-done")

    play(story)


def test_the_time_limit_ends_the_bridge_and_both_go_on() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        story.tenant.on("/agent", dial(timeLimit="20"))
        caller, agent = await bridged(story)
        asked = await story.tenant.asked("/agent-done", within=25)
        assert (asked["DequeueResult"], asked["DialCallDuration"]) == ("bridged", "20")
        await caller.hears(800)
        await agent.hears(900)

    play(story)


def test_keys_pass_through_the_bridge() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        caller, agent = await bridged(story)
        caller.presses("42")
        await story.passes(1)
        assert agent.ear.digits == ["4", "2"]

    play(story)


def test_a_bridge_between_mu_law_and_a_law_is_translated() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        caller, agent = await story.caller_waits("alice"), story.phone("bob")
        agent.codecs = "8"
        await agent.calls(AGENTS)
        caller.talks(1500)
        await agent.hears(1500)
        assert agent.ear.codec == "PCMA"

    play(story)


def test_a_caller_may_hold_and_resume_during_the_bridge() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        caller, agent = await bridged(story)
        await caller.holds("sendonly")
        held = story.now()
        await story.passes(30)
        assert caller.heard(since=held + 0.1).frames == []
        await caller.resumes()
        await caller.hears(1700)
        assert agent.heard(since=held).seconds_of(1500) > 29, "who holds may play music to the other"
        assert not story.tenant.asked_for("/done")

    play(story)


def test_a_caller_who_holds_while_it_is_dequeued_talks_when_it_is_back() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        caller, agent = await story.caller_waits("alice"), story.phone("bob")
        await caller.holds("inactive")
        agent.talks(1700)
        await agent.calls(AGENTS)
        await story.passes(5)
        assert story.members() == []
        await caller.resumes()
        caller.talks(1500)
        await caller.hears(1700)
        await agent.hears(1500)

    play(story)


def test_a_quiet_partner_is_silence_and_not_the_end() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        caller, agent = await bridged(story)
        agent.stops_talking()
        now = story.now()
        await story.passes(60)
        assert len(caller.heard(since=now).frames) > 2900, "RTP goes on"
        agent.talks(1700)
        await caller.hears(1700)

    play(story)


# --- waiting for a caller


def test_an_agent_waits_on_an_empty_queue_to_ringing_and_gets_the_next_caller() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        await story.has_queue()
        agent = story.phone("bob")
        await agent.calls(AGENTS)
        await agent.hears(RINGING)
        await story.passes(10)
        caller = story.phone("alice")
        caller.talks(1500)
        await caller.calls(NUMBER)
        await agent.hears(1500)
        assert not story.tenant.asked_for("/agent-done")

    play(story)


def test_two_agents_are_served_in_the_order_they_came() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        await story.has_queue()
        first, second = story.phone("bob"), story.phone("carol")
        await first.calls(AGENTS)
        await story.passes(1)
        await second.calls(AGENTS)
        one = story.phone("alice")
        await one.calls(NUMBER)
        one.talks(1500)
        await first.hears(1500)
        two = story.phone("dave")
        await two.calls(NUMBER)
        two.talks(1600)
        await second.hears(1600)

    play(story)


def test_an_agent_gives_up_after_its_timeout_on_an_empty_queue() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        story.tenant.on("/agent", dial(timeout="12"))
        queue = await story.has_queue()
        agent = story.phone("bob")
        await agent.calls(AGENTS)
        asked = await story.tenant.asked("/agent-done", within=15)
        assert round(asked.at) == 12
        assert results(asked) == {
            "DialCallStatus": "no-answer",
            "DequeueResult": "queue-empty",
            "QueueSid": queue.sid,
            "DialBridged": "false",
        }
        await agent.hears(900)

    play(story)


def test_the_default_timeout_is_thirty_seconds() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        await story.has_queue()
        await story.phone("bob", listens=False).calls(AGENTS)
        assert round((await story.tenant.asked("/agent-done", within=40)).at) == 30

    play(story)


@pytest.mark.parametrize("name", ["nowhere", "QU" + "1" * 32])
def test_an_unknown_queue_is_told_at_once(name: str) -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        story.tenant.on("/agent", dial(name))
        agent = story.phone("bob")
        await agent.calls(AGENTS)
        asked = await story.tenant.asked("/agent-done")
        assert results(asked) == {"DialCallStatus": "failed", "DequeueResult": "queue-not-found", "DialBridged": "false"}
        await agent.hears(900)
        assert story.control.directory.find(story.account.sid, name) is None, "a Dial creates nothing"

    play(story)


@pytest.mark.parametrize(
    ("noun", "code", "told"),
    [("+15550123", 13223, {}), (f"<Queue>{'x' * 65}</Queue>", 14213, {"DequeueResult": "queue-not-found"})],
    ids=["a number", "a long name"],
)
def test_a_dial_that_cannot_be_run_is_told_as_failed(noun: str, code: int, told: dict[str, str]) -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        story.tenant.on("/agent", f"<Dial action='/agent-done'>{noun}</Dial>")
        agent = story.phone("bob")
        await agent.calls(AGENTS)
        asked = await story.tenant.asked("/agent-done")
        assert results(asked) == {"DialCallStatus": "failed", "DialBridged": "false", **told}
        assert code in await story.codes()
        await agent.hears(900)

    play(story)


def test_another_accounts_queue_is_unknown_by_sid_and_by_name() -> None:
    async def story(story: Story) -> None:
        other = await story.opens_account("tenant b")
        foreign = await story.control.directory.create(other.sid, "theirs")
        story.tenant.runs_a_desk()
        story.tenant.on("/agent", dial(foreign.sid), dial("theirs"))
        await story.phone("bob").calls(AGENTS)
        await story.phone("carol").calls(AGENTS)
        asked = await story.tenant.asked("/agent-done", count=2)
        assert {one["DequeueResult"] for one in story.tenant.asked_for("/agent-done")} == {"queue-not-found"}
        assert "QueueSid" not in asked

    play(story)


def test_a_queue_may_be_dialled_by_its_sid() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        story.tenant.on("/agent", dial((await story.has_queue()).sid))
        await bridged(story)

    play(story)


def test_a_queue_deleted_while_an_agent_waits_is_told_as_not_found() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        queue = await story.has_queue()
        await story.phone("bob").calls(AGENTS)
        await story.passes(2)
        assert (await story.rest("DELETE", f"/Queues/{queue.sid}.json")).status == 204
        assert (await story.tenant.asked("/agent-done"))["DequeueResult"] == "queue-not-found"

    play(story)


def test_an_agent_that_answers_on_the_bridge_rings_until_then() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        story.tenant.on("/agent", dial(answerOnBridge="true"))
        await story.has_queue()
        agent = story.phone("bob")
        agent.dials(AGENTS)
        await story.passes(5)
        assert agent.count(lambda m: m.status == 180) == 1
        assert agent.count(lambda m: m.status == 200) == 0
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        await agent.is_answered()
        caller.talks(1500)
        await agent.hears(1500)

    play(story)


def test_an_agent_that_hangs_up_while_it_waits_is_told_and_takes_nobody() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        await story.has_queue()
        agent = story.phone("bob")
        await agent.calls(AGENTS)
        await story.passes(2)
        agent.hangs_up()
        asked = await story.tenant.asked("/agent-done")
        assert (asked["CallStatus"], asked["DialBridged"]) == ("completed", "false")
        caller = await story.caller_waits("alice")
        await story.passes(3)
        assert story.members() == [story.sid_of(caller)]

    play(story)


def test_an_agent_moved_by_rest_while_it_waits_takes_nobody() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        story.tenant.on("/elsewhere", say(1000, seconds=20))
        await story.has_queue()
        agent = story.phone("bob")
        await agent.calls(AGENTS)
        await story.rest("POST", f"/Calls/{story.sid_of(agent)}.json", {"Url": f"{HOST}/elsewhere"})
        await agent.hears(1000)
        caller = await story.caller_waits("alice")
        await story.passes(3)
        assert story.members() == [story.sid_of(caller)]

    play(story)


def test_an_agent_moved_by_rest_out_of_a_bridge_lets_the_caller_go_on() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        story.tenant.on("/elsewhere", say(1000, seconds=20))
        caller, agent = await bridged(story)
        await story.rest("POST", f"/Calls/{story.sid_of(agent)}.json", {"Url": f"{HOST}/elsewhere"})
        await agent.hears(1000)
        assert (await story.tenant.asked("/done"))["QueueResult"] == "bridged"
        await caller.hears(800)

    play(story)


# --- the sound of being dequeued


@pytest.mark.parametrize("doing", ["mid-prompt", "mid-fetch", "mid-Gather", "in an outage", "to default music"])
def test_being_dequeued_interrupts_whatever_runs_without_a_gap(doing: str) -> None:
    async def story(story: Story) -> None:
        waits: dict[str, str | Answer] = {
            "mid-prompt": say(400, seconds=60),
            "mid-fetch": Answer(body=say(400), after_s=10),
            "mid-Gather": f"<Gather numDigits='9' timeout='60' action='/keys'>{spoken(400, seconds=1)}</Gather>",
            "in an outage": Answer(status=500),
        }
        story.tenant.runs_a_desk()
        story.tenant.on("/wait", waits.get(doing, ""))
        if doing == "to default music":
            story.tenant.on("/voice", enqueue(waitUrl=DEFAULT))
        caller, agent = await story.caller_waits("alice"), story.phone("bob")
        await story.passes(1)
        caller.presses("12")
        await story.passes(3)
        agent.talks(1700)
        await agent.calls(AGENTS)
        await caller.hears(1700, within=0.3)
        await story.passes(20)
        assert caller.heard(since=0.1).longest_silence_s <= 0.2
        assert not story.tenant.asked_for("/keys")
        assert caller.heard(until=story.now()).sounds[-1] == 1700

    play(story)


def test_no_wait_document_is_asked_for_once_a_caller_is_dequeued() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        story.tenant.on("/wait", say(400, seconds=2))
        await bridged(story)
        before = len(story.tenant.asked_for("/wait"))
        await story.passes(20)
        assert len(story.tenant.asked_for("/wait")) == before

    play(story)


def test_a_caller_who_waits_again_after_a_bridge_starts_a_new_wait() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        story.tenant.on("/done", enqueue())
        caller, agent = await bridged(story)
        await story.passes(10)
        agent.hangs_up()
        await caller.hears(400)
        assert story.members() == [story.sid_of(caller)]
        assert story.tenant.asked_for("/wait")[-1]["QueueTime"] == "0"

    play(story)
