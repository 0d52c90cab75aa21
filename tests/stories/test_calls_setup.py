"""From the INVITE to the ACK: who is let in, what is refused, what goes wrong on the way (design 3, platform contract 3.1)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from harness.sip_message import Message
from harness.story import AGENTS, NUMBER, Story, play
from harness.story_ear import MUSIC
from harness.story_phone import Phone
from harness.story_tenant import Answer, say, spoken

LONG = say(400, seconds=60)


def bye(message: Message) -> bool:
    return not message.status and message.method == "BYE"


async def rings(story: Story, answer: str | Answer | None = None) -> tuple[Phone, str]:
    """A caller whose tenant thinks for long, and its CallSid."""
    story.tenant.on("/voice", answer or Answer(body=LONG, after_s=10))
    caller = story.phone("alice")
    caller.dials(NUMBER)
    await caller.gets(lambda m: m.status == 180)
    return caller, story.sid_of(caller)


# --- giving up


def test_a_caller_who_cancels_while_the_tenant_is_asked_leaves_nothing_behind() -> None:
    async def story(story: Story) -> None:
        caller, sid = await rings(story)
        await story.passes(2)
        caller.cancels()
        await caller.gets(lambda m: m.status == 200 and m.method == "CANCEL")
        assert await caller.is_refused() == 487
        await story.passes(0.1)
        record = await story.record(sid)
        assert (record.status, record.end_reason, record.duration_s) == ("canceled", "caller-cancelled", 0)
        assert not len(story.control.calls)
        assert not await story.notifications()

    play(story)


def test_a_cancel_that_crosses_the_answer_comes_too_late() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", LONG)
        caller = story.phone("alice")
        caller.acknowledges = False
        await caller.calls(NUMBER)
        caller.cancels()
        assert (await caller.gets(lambda m: m.method == "CANCEL")).status == 200
        caller.acknowledge(await caller.is_answered())
        await caller.hears(400)
        caller.hangs_up()

    play(story)


def test_a_call_that_rings_for_too_long_is_ended() -> None:
    async def story(story: Story) -> None:
        await story.changes_number(status_callback="/status")
        caller, sid = await rings(story, "<Pause length='3600'/>")
        assert await caller.is_refused(within=70) == 480
        assert 59.9 < story.now() < 60.2
        assert (await story.tenant.asked("/status"))["CallStatus"] == "no-answer"
        record = await story.record(sid)
        assert (record.status, record.end_reason) == ("no-answer", "ringing-timeout")

    play(story)


def test_how_long_a_call_may_ring_is_the_operators_to_say_and_ends_with_the_answer() -> None:
    async def story(story: Story) -> None:
        caller, _ = await rings(story, "<Pause length='4'/>" + spoken(400, seconds=60))
        await caller.is_answered(within=5)
        await story.passes(30)
        assert caller.hears_now == 400

    play(story, ringing_timeout_s=5)


def test_hanging_up_early_with_a_bye_is_a_cancellation_too() -> None:
    async def story(story: Story) -> None:
        caller, sid = await rings(story)
        ringing = await caller.gets(lambda m: m.status == 180)
        caller.to = ringing["to"]
        caller.hangs_up()
        assert await caller.is_refused() == 487
        await story.passes(0.1)
        assert (await story.record(sid)).status == "canceled"

    play(story)


# --- offers


def test_an_invite_without_a_common_codec_is_refused_before_the_tenant_is_asked() -> None:
    async def story(story: Story) -> None:
        caller = story.phone("alice")
        caller.codecs = "18"
        caller.dials(NUMBER)
        await story.passes(0)
        sid = story.sid_of(caller)
        assert await caller.is_refused() == 488
        await story.passes(0.1)
        record = await story.record(sid)
        assert (record.status, record.end_reason) == ("failed", "refused-488")
        assert not story.tenant.requests

    play(story)


def test_an_invite_without_an_offer_gets_ours_and_answers_in_its_ack() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", LONG)
        caller = story.phone("alice")
        caller.acknowledges = False
        caller.dials(NUMBER, offer=False)
        answer = await caller.is_answered()
        assert answer.sdp("m")[0].split()[3:] == ["0", "8", "101"]
        caller.send("ACK", cseq=answer.cseq, body=caller.offer())
        await caller.hears(400)
        caller.hangs_up()

    play(story)


def test_digits_for_a_caller_that_offered_nothing_wait_for_its_answer() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", "<Play digits='42'/>")
        caller = story.phone("alice")
        caller.acknowledges = False
        caller.dials(NUMBER, offer=False)
        answer = await caller.is_answered()
        await story.passes(0.2)
        caller.send("ACK", cseq=answer.cseq, body=caller.offer())
        await caller.is_hung_up_on()
        assert caller.ear.digits == ["4", "2"]

    play(story)


@pytest.mark.parametrize("codecs", [None, "18"])
def test_an_ack_without_a_usable_answer_ends_the_call(codecs: str | None) -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", LONG)
        caller = story.phone("alice")
        caller.acknowledges = False
        caller.dials(NUMBER, offer=False)
        answer = await caller.is_answered()
        sid = story.sid_of(caller)
        caller.codecs = codecs or ""
        caller.send("ACK", cseq=answer.cseq, body=caller.offer() if codecs else "")
        await caller.is_hung_up_on()
        record = await story.record(sid)
        assert (record.status, record.end_reason) == ("failed", "no-usable-answer")

    play(story)


def test_the_codec_the_caller_prefers_is_taken() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", LONG)
        caller = story.phone("alice")
        caller.codecs = "8 0"
        await caller.calls(NUMBER)
        assert caller.ear.codec == "PCMA"
        await caller.hears(400)
        caller.hangs_up()

    play(story)


# --- the ACK


def test_audio_begins_half_a_second_after_an_answer_whose_ack_is_late() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", LONG)
        caller = story.phone("alice")
        caller.acknowledges = False
        await caller.calls(NUMBER)
        assert 0.45 < await caller.hears(400) < 0.6
        caller.hangs_up()

    play(story)


def test_a_caller_whose_ack_never_comes_is_hung_up_on_after_32_seconds() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", LONG)
        caller = story.phone("alice")
        caller.acknowledges = False
        await caller.calls(NUMBER)
        sid = story.sid_of(caller)
        await caller.is_hung_up_on(within=40)
        assert 31 < story.now() < 34
        assert caller.count(lambda m: m.status == 200 and m.method == "INVITE") > 5
        await story.passes(0.1)
        record = await story.record(sid)
        assert (record.status, record.end_reason) == ("failed", "ack-never-came")

    play(story)


def test_a_call_that_hangs_up_before_the_ack_says_bye_when_the_ack_has_come() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", "<Hangup/>")
        caller = story.phone("alice")
        caller.acknowledges = False
        await caller.calls(NUMBER)
        await story.passes(1)
        assert not caller.count(bye)
        caller.acknowledge(await caller.is_answered())
        await caller.is_hung_up_on(within=0.1)

    play(story)


# --- whose call it is


def test_a_number_that_is_nobodys_is_not_found() -> None:
    async def story(story: Story) -> None:
        caller = story.phone("alice")
        caller.dials("+15550666")
        assert await caller.is_refused() == 404
        assert not story.tenant.requests

    play(story)


def test_a_number_is_found_without_its_plus_and_with_separators() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", "<Hangup/>")
        caller = story.phone("alice")
        for written in ("15550100", "+1-555-0100", "+15550100;phone-context=x"):
            await caller.calls(written)
        assert {asked["To"] for asked in story.tenant.requests} == {NUMBER}

    play(story)


@pytest.mark.parametrize("status", ["suspended", "closed"])
def test_a_number_of_an_account_that_is_not_active_is_refused(status: str) -> None:
    async def story(story: Story) -> None:
        await story.store.put(replace(story.account, status=status))
        caller = story.phone("alice")
        caller.dials(NUMBER)
        assert await caller.is_refused() == 403
        await story.store.put(replace(story.account, status="active"))
        story.tenant.on("/voice", "<Hangup/>")
        await caller.calls(NUMBER)

    play(story)


def test_a_number_of_an_account_whose_owner_is_suspended_is_refused() -> None:
    async def story(story: Story) -> None:
        owner = await story.opens_account("owner")
        await story.store.put(replace(story.account, owner_account_sid=owner.sid))
        await story.store.put(replace(owner, status="suspended"))
        caller = story.phone("alice")
        caller.dials(NUMBER)
        assert await caller.is_refused() == 403

    play(story)


# --- when there is no room


def test_a_call_too_many_is_told_when_to_try_again() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", LONG)
        first, second = story.phone("alice"), story.phone("bob")
        await first.calls(NUMBER)
        second.dials(NUMBER)
        assert await second.is_refused() == 503
        refusal = await second.gets(lambda m: m.status == 503)
        assert refusal["retry-after"] == "10"
        first.hangs_up()
        await story.passes(0.1)
        await second.calls(NUMBER)
        second.hangs_up()

    play(story, sip_max_calls=1)


def test_an_overloaded_platform_refuses_new_calls_for_a_while_and_those_which_are_up_go_on() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        held, late = await story.caller_waits("alice"), story.phone("bob")
        story.control.admission.media(1.0, story.now())
        late.dials(NUMBER)
        assert await late.is_refused() == 503
        refusal = await late.gets(lambda m: m.status == 503)
        assert 5 <= int(refusal["retry-after"]) <= 15
        counted = story.control.metrics.registry.get_sample_value
        assert counted("waitline_calls_refused_total", {"reason": "overload"}) == 1
        assert counted("waitline_overloaded") == 1
        await story.passes(4)
        assert story.members() == [story.sid_of(held)]
        await late.calls(NUMBER)
        late.hangs_up()
        held.hangs_up()
        await story.passes(1)

    play(story)


def test_while_draining_new_calls_are_refused_and_queued_and_bridged_ones_go_on() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        first, second, agent = await story.caller_waits("alice"), await story.caller_waits("bob"), story.phone("carol")
        await agent.calls(AGENTS)
        await story.passes(1)
        draining = story.loop.create_task(story.control.drain(within_s=600))
        await story.passes(0)
        late = story.phone("dave")
        late.dials(NUMBER)
        assert await late.is_refused() == 503
        assert (await late.gets(lambda m: m.status == 503))["retry-after"]
        assert story.control.not_ready() == ("draining",)
        await story.passes(60)
        first.talks(700)
        await agent.hears(700)
        assert story.members() == [story.sid_of(second)]
        assert MUSIC not in second.heard(second.since + 1).sounds
        for phone in (agent, first, second):
            phone.hangs_up()
        await story.passes(1)
        assert draining.done(), "the last call has ended"
        await draining

    play(story)


def test_a_drain_ends_what_is_left_when_its_time_is_over() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", LONG)
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        await story.control.drain(within_s=20)
        assert 19 < story.now() < 21
        assert not caller.is_up

    play(story)
