"""SIP over a death of control: whatever was under way goes on as if nothing had happened, in the gap and after it."""

from __future__ import annotations

import pytest
from harness.sip_message import Message, authorization, challenge
from harness.story import AGENTS, NUMBER
from harness.story_crash import CrashingStory, play
from harness.story_phone import Phone
from harness.story_snapshots import DOMAIN, PASSWORD, has_guarded_domain
from harness.story_tenant import Answer, dial, enqueue, say


def final(message: Message) -> bool:
    return message.method == "INVITE" and message.status >= 200


def ok(message: Message) -> bool:
    return message.method == "INVITE" and message.status == 200


def ringing(message: Message) -> bool:
    return message.method == "INVITE" and message.status == 180


# --- before the answer


def test_a_call_whose_voice_url_is_being_asked_goes_on_with_the_same_request() -> None:
    async def story(story: CrashingStory) -> None:
        story.tenant.on("/voice", Answer(body=enqueue(), after_s=1))
        story.tenant.on("/wait", say(400, seconds=10))
        caller = story.phone("alice")
        caller.dials(NUMBER)
        await story.passes(0.5)
        assert await story.crashes(for_s=1) == 1
        await caller.hears(400, within=5)
        first, second = story.tenant.asked_for("/voice")
        assert first["CallSid"] == second["CallSid"]
        assert first.headers["I-Twilio-Idempotency-Token"] == second.headers["I-Twilio-Idempotency-Token"]
        assert len({m.raw for _, m in caller.received if ringing(m)}) == 1
        assert caller.count(final) == 1

    play(story)


def test_a_call_without_an_offer_goes_on_and_takes_the_callers_answer_from_its_ack() -> None:
    async def story(story: CrashingStory) -> None:
        story.tenant.on("/voice", Answer(body=say(500, seconds=3), after_s=1))
        caller = story.phone("alice")
        caller.dials(NUMBER, offer=False)
        await story.passes(0.5)
        await story.crashes()
        caller.acknowledges = False
        answer = await caller.is_answered()
        await story.crashes(for_s=0.2)
        caller.acknowledges = True
        caller.acknowledge(answer)
        await caller.hears(500)

    play(story)


@pytest.mark.parametrize("turns", range(24))
def test_a_call_is_set_up_whichever_turn_of_its_first_moment_is_the_last(turns: int) -> None:
    async def story(story: CrashingStory) -> None:
        story.tenant.on("/voice", say(500, seconds=2))
        caller = story.phone("alice")
        caller.dials(NUMBER)
        invite = caller.last_sent
        for _ in range(turns):
            await story.passes(0)
        await story.dies()
        if not caller.count(lambda m: bool(m.status)):  # else no phone sends its INVITE again
            story.send_sip(invite, caller.address)
        await story.follows(after_s=0.3)
        await caller.hears(500)
        assert len({asked["CallSid"] for asked in story.tenant.requests}) == 1
        assert len({m.raw for _, m in caller.received if final(m)}) == 1  # one answer, again where its ACK was not kept

    play(story)


def test_a_ringing_agent_goes_on_ringing_and_is_answered_when_a_caller_comes() -> None:
    async def story(story: CrashingStory) -> None:
        story.tenant.runs_a_desk()
        story.tenant.on("/agent", dial(answerOnBridge="true"))
        await story.has_queue()
        agent = story.phone("agent")
        agent.dials(AGENTS)
        await story.passes(1)
        await story.crashes(for_s=1)
        await story.passes(0.1)
        rang = agent.count(ringing)
        agent.again()
        await story.passes(0.1)
        assert agent.count(ringing) == rang + 1  # the INVITE that came again makes no second call
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        await agent.is_answered()
        agent.talks(1000)
        await caller.hears(1000)

    play(story)


def test_a_cancel_in_the_gap_ends_the_call_and_is_answered_487() -> None:
    async def story(story: CrashingStory) -> None:
        story.tenant.on("/voice", Answer(after_s=5))
        await story.changes_number(status_callback="/status")
        caller = story.phone("alice")
        caller.dials(NUMBER)
        await story.passes(0.5)
        await story.dies()
        caller.cancels()
        cancel = caller.last_sent
        await story.follows(after_s=1)
        assert await caller.is_refused() == 487
        story.send_sip(cancel, caller.address)
        told = await story.tenant.asked("/status")
        assert told["CallStatus"] == "canceled"
        await story.passes(1)
        assert caller.count(lambda m: m.method == "CANCEL" and m.status == 200) == 2
        assert len(story.tenant.asked_for("/status")) == 1

    play(story)


def test_the_487_is_resent_by_the_next_control_until_its_ack() -> None:
    async def story(story: CrashingStory) -> None:
        story.tenant.on("/voice", Answer(after_s=5))
        caller = story.phone("alice")
        caller.acknowledges = False
        caller.dials(NUMBER)
        await story.passes(0.5)
        caller.cancels()
        await story.passes(0.1)
        await story.crashes(for_s=0.1)
        await story.passes(2)
        assert caller.count(final) == 3
        caller.acknowledge(await caller.gets(final))
        await story.passes(10)
        assert caller.count(final) == 3

    play(story)


def test_a_refused_call_stays_refused() -> None:
    async def story(story: CrashingStory) -> None:
        story.tenant.on("/voice", "<Reject reason='busy'/>")
        caller = story.phone("alice")
        caller.acknowledges = False
        caller.dials(NUMBER)
        invite = caller.last_sent
        assert await caller.is_refused() == 486
        await story.crashes()
        story.send_sip(invite, caller.address)
        caller.acknowledges = True
        await story.passes(2)
        assert {m.status for _, m in caller.received if m.method == "INVITE" and m.status >= 200} == {486}
        assert len(story.tenant.asked_for("/voice")) == 1

    play(story)


# --- the answer and its ACK


def test_between_200_and_ack_the_200_is_resent_octet_for_octet_until_the_ack() -> None:
    async def story(story: CrashingStory) -> None:
        story.tenant.on("/voice", say(500, seconds=20))
        caller = story.phone("alice")
        caller.acknowledges = False
        caller.dials(NUMBER)
        answer = await caller.is_answered()
        await story.passes(0.2)
        await story.crashes(for_s=0.5)
        await story.passes(2.5)
        answers = [m.raw for _, m in caller.received if ok(m)]
        assert len(answers) >= 3
        assert set(answers) == {answer.raw}
        caller.acknowledge(answer)
        count = len(answers)
        await story.passes(10)
        assert caller.count(ok) == count
        assert caller.hears_now == 500

    play(story)


def test_an_ack_that_never_comes_ends_the_call_32_s_after_its_200() -> None:
    async def story(story: CrashingStory) -> None:
        story.tenant.on("/voice", say(500, seconds=60))
        caller = story.phone("alice", listens=False)
        caller.acknowledges = False
        caller.dials(NUMBER)
        await caller.is_answered()
        begun = story.now()
        await story.passes(10)
        await story.crashes(for_s=1)
        await story.passes(5)
        await story.crashes(for_s=1)
        await caller.is_hung_up_on(within=40)
        assert story.now() - begun == pytest.approx(32, abs=0.1)

    play(story)


def test_an_invite_that_comes_again_after_the_answer_makes_no_second_call() -> None:
    async def story(story: CrashingStory) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", say(400, seconds=10))
        caller = story.phone("alice")
        caller.dials(NUMBER)
        invite = caller.last_sent
        await caller.is_answered()
        ack = caller.last_sent
        await story.dies()
        for data in (invite, ack, invite):
            story.send_sip(data, caller.address)
        await story.follows()
        story.send_sip(invite, caller.address)
        await story.passes(2)
        assert len(story.members()) == 1
        assert len(story.control.switchboard) == 1
        assert caller.is_up

    play(story)


# --- within a call


async def up(story: CrashingStory) -> Phone:
    story.tenant.runs_a_desk()
    return await story.caller_waits("alice")


def test_a_re_invite_in_the_gap_is_answered() -> None:
    async def story(story: CrashingStory) -> None:
        caller = await up(story)
        await story.dies()
        caller.direction = "sendonly"
        number = caller.send("INVITE", body=caller.offer())
        caller.again()
        await story.follows(after_s=0.7)
        answer = await caller.gets(lambda m: m.status >= 200 and m.cseq == number)
        assert (answer.status, "a=recvonly" in answer.body) == (200, True)
        await caller.resumes()
        await caller.hears(400)

    play(story)


def test_a_re_invite_that_was_answered_and_not_acknowledged_is_answered_on_until_its_ack() -> None:
    async def story(story: CrashingStory) -> None:
        caller = await up(story)
        caller.acknowledges = False
        number = caller.send("INVITE", body=caller.offer())
        again = caller.last_sent
        answer = await caller.gets(lambda m: m.status >= 200 and m.cseq == number)
        await story.crashes()
        story.send_sip(again, caller.address)
        await story.passes(1)
        answers = [m.raw for _, m in caller.received if m.cseq == number and m.status == 200]
        assert len(answers) >= 3
        assert set(answers) == {answer.raw}
        caller.acknowledge(answer)
        await story.passes(40)
        assert caller.is_up
        assert story.members()

    play(story)


def test_a_call_on_hold_is_still_on_hold_and_not_asked_whether_it_lives() -> None:
    async def story(story: CrashingStory) -> None:
        caller = await up(story)
        await caller.holds("inactive")
        await story.crashes()
        await story.passes(120)
        assert caller.count(lambda m: m.method == "OPTIONS") == 0
        await caller.resumes()
        await caller.hears(400)

    play(story)


@pytest.mark.parametrize("when", ["in the gap", "before and in the gap", "before and after"])
def test_a_bye_is_answered_200_however_often_it_comes(when: str) -> None:
    async def story(story: CrashingStory) -> None:
        caller = await up(story)
        if when != "in the gap":
            caller.hangs_up()
            await story.passes(0.5)
        await story.dies()
        if when == "in the gap":
            caller.hangs_up()
        if "in the gap" in when:
            caller.again()
        await story.follows(after_s=0.5)
        caller.again()
        await story.passes(1)
        byes = [m.status for _, m in caller.received if m.method == "BYE" and m.status]
        assert set(byes) == {200}
        assert [asked["QueueResult"] for asked in story.tenant.asked_for("/done")] == ["hangup"]
        assert story.members() == []

    play(story)


def test_our_bye_is_resent_by_the_next_control_until_it_is_answered() -> None:
    async def story(story: CrashingStory) -> None:
        story.tenant.on("/voice", say(500, seconds=1))
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        caller.answers = lambda _request: False
        first = await caller.is_hung_up_on()
        await story.crashes(for_s=0.2)
        await story.passes(0.6)
        byes = [m.raw for _, m in caller.received if m.method == "BYE"]
        assert byes == [first.raw, first.raw]
        caller.answers = lambda _request: True
        await story.passes(40)
        assert caller.count(lambda m: m.method == "BYE" and not m.status) == 3

    play(story)


def test_a_key_by_info_counts_once_however_often_it_comes() -> None:
    async def story(story: CrashingStory) -> None:
        story.tenant.on("/voice", "<Gather numDigits='3' action='/keys' timeout='20'/>")
        story.tenant.on("/keys", say(600))
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        await caller.presses_by_info("1")
        await story.crashes()
        caller.again()
        await story.passes(0.1)
        await caller.presses_by_info("2")
        await story.dies()
        caller.send("INFO", body="Signal=3\r\n", headers=(("Content-Type", "application/dtmf-relay"),))
        caller.again()
        await story.follows()
        assert (await story.tenant.asked("/keys"))["Digits"] == "123"

    play(story)


def test_a_call_whose_peer_is_gone_is_found_out_by_a_question_asked_before_the_death() -> None:
    async def story(story: CrashingStory) -> None:
        caller = await up(story)
        caller.answers = lambda _request: False
        while not caller.count(lambda m: m.method == "OPTIONS"):
            await story.passes(1)
        asked_at = story.now()
        await story.crashes(for_s=1)
        done = await story.tenant.asked("/done", within=60)
        assert done["QueueResult"] == "hangup"
        assert story.now() - asked_at == pytest.approx(32, abs=1.5)

    play(story)


# --- who may come in


def credentials_for(challenged: Message, method: str, uri: str) -> tuple[tuple[str, str], ...]:
    given = challenge(challenged["www-authenticate"])
    return (("Authorization", authorization(given, method=method, uri=uri, username="alice", password=PASSWORD, cnonce="c", nc=1)),)


def test_a_challenge_given_before_the_death_is_stale_after_it_and_the_phone_comes_again_by_itself() -> None:
    async def story(story: CrashingStory) -> None:
        await has_guarded_domain(story)
        story.tenant.on("/voice", say(500, seconds=2))
        caller, uri = story.phone("alice"), f"sip:desk@{DOMAIN}"
        caller.dials(uri)
        challenged = await caller.gets(lambda m: m.status == 401)
        await story.crashes(for_s=2)
        caller.send("INVITE", body=caller.offer(), headers=credentials_for(challenged, "INVITE", uri))
        again = await caller.gets(lambda m: m.status == 401, skip=1)
        assert "stale=true" in again["www-authenticate"]
        caller.send("INVITE", body=caller.offer(), headers=credentials_for(again, "INVITE", uri))
        await caller.gets(ok)
        await caller.hears(500)

    play(story)


def test_credentials_that_were_used_before_the_death_are_worth_nothing_to_who_has_overheard_them() -> None:
    async def story(story: CrashingStory) -> None:
        await has_guarded_domain(story)
        story.tenant.on("/voice", say(500, seconds=20))
        caller, uri = story.phone("alice"), f"sip:desk@{DOMAIN}"
        caller.dials(uri)
        overheard = credentials_for(await caller.gets(lambda m: m.status == 401), "INVITE", uri)
        caller.send("INVITE", body=caller.offer(), headers=overheard)
        await caller.gets(ok)
        await story.crashes(for_s=1)
        thief = story.phone("thief")
        thief.address = (caller.host, 5099)  # from the caller's own address: a nonce is worth nothing elsewhere in any case
        story.phones[thief.address] = thief
        thief.dials(uri, headers=overheard)
        refused = await thief.gets(lambda m: m.status >= 300)
        assert (refused.status, "stale=true" in refused["www-authenticate"]) == (401, True)
        assert len(story.control.switchboard) == 1
        caller.hangs_up()
        await story.passes(1)

    play(story)


def test_a_registered_phone_stays_registered_until_its_time_is_over() -> None:
    async def story(story: CrashingStory) -> None:
        await has_guarded_domain(story)
        phone = story.phone("alice")
        phone.target, phone.to = f"sip:{DOMAIN}", f"<sip:alice@{DOMAIN}>"
        phone.send("REGISTER", headers=(("Expires", "600"),))
        challenged = await phone.gets(lambda m: m.status == 401)
        phone.send("REGISTER", headers=(("Expires", "600"), *credentials_for(challenged, "REGISTER", f"sip:{DOMAIN}")))
        await phone.gets(lambda m: m.status == 200)
        aor = f"sip:alice@{DOMAIN}"
        (before,) = story.control.registrations.bindings(aor)
        await story.crashes(for_s=1)
        assert story.control.registrations.bindings(aor) == [before]
        assert before.uri == "sip:alice@198.51.100.1:5060"
        await story.passes(590)
        assert len(story.control.registrations) == 1
        await story.crashes(for_s=20)
        assert len(story.control.registrations) == 0
        assert await story.store.live_states("registration") == []

    play(story)


# --- nothing is kept for ever


def test_half_a_minute_after_the_last_call_nothing_is_kept_of_any() -> None:
    async def story(story: CrashingStory) -> None:
        caller = await up(story)
        await story.crashes()
        caller.hangs_up()
        refused = story.phone("bob")
        story.tenant.on("/voice", "<Reject/>")
        refused.dials(NUMBER)
        await refused.is_refused()
        await story.passes(1)
        await story.crashes()
        await story.passes(40)
        for kind in ("call", "member", "callback", "conversation", "farewell"):
            assert await story.store.live_states(kind) == [], kind
        assert story.control.endpoint.user_agent.size["servers"] == 0

    play(story)
