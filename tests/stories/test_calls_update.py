"""A tenant's word to a live call over REST, in each phase of the call: another document, or its end (platform contract 5.5, 2.7)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from harness.story import AGENTS, NUMBER, RestReply, Story, play
from harness.story_ear import MUSIC, SILENCE
from harness.story_phone import Phone
from harness.story_tenant import HOST, Answer, document, say, spoken

NEW = 950
"""The tone of the new document."""


async def rings(story: Story) -> Phone:
    story.tenant.on("/voice", Answer(body=say(400, seconds=30), after_s=10))
    caller = story.phone("alice")
    caller.dials(NUMBER)
    await caller.gets(lambda m: m.status == 180)
    return caller


async def listens(story: Story) -> Phone:
    story.tenant.on("/voice", say(400, seconds=30))
    caller = story.phone("alice")
    await caller.calls(NUMBER)
    await caller.hears(400)
    return caller


async def types(story: Story) -> Phone:
    story.tenant.on("/voice", f"<Gather action='/keys'>{spoken(400, seconds=30)}</Gather>")
    caller = story.phone("alice")
    await caller.calls(NUMBER)
    caller.presses("12")
    await story.passes(0.5)
    return caller


async def waits(story: Story) -> Phone:
    story.tenant.runs_a_desk()
    caller = await story.caller_waits("alice")
    await story.passes(1)
    return caller


async def talks(story: Story) -> Phone:
    caller, agent = await waits(story), story.phone("bob")
    await agent.calls(AGENTS)
    await story.passes(5)
    assert not story.members()
    return caller


async def is_whispered_to(story: Story) -> Phone:
    story.tenant.runs_a_desk()
    story.tenant.on("/whisper", say(700, seconds=20))
    story.tenant.on("/agent", "<Dial><Queue url='/whisper'>support</Queue></Dial>")
    caller, agent = await story.caller_waits("alice"), story.phone("bob")
    await agent.calls(AGENTS)
    await caller.hears(700)
    return caller


PHASES: dict[str, Callable[[Story], Awaitable[Phone]]] = {
    "ringing": rings, "listening": listens, "typing": types, "waiting": waits, "whispered to": is_whispered_to, "talking": talks,
}  # fmt: skip


async def update(story: Story, caller: Phone, **form: str) -> RestReply:
    return await story.rest("POST", f"/Calls/{story.sid_of(caller)}.json", form)


@pytest.mark.parametrize("phase", PHASES)
def test_a_url_takes_over(phase: str) -> None:
    async def story(story: Story) -> None:
        caller = await PHASES[phase](story)
        story.tenant.on("/new", say(NEW, seconds=20))
        reply = await update(story, caller, Url=f"{HOST}/new", Method="GET")
        assert (reply.status, reply["sid"]) == (200, story.sid_of(caller))
        asked = await story.tenant.asked("/new")
        assert (asked.method, asked["CallStatus"]) == ("GET", "ringing" if phase == "ringing" else "in-progress")
        began = await caller.hears(NEW, within=1)
        await story.passes(15)
        assert caller.heard(began).sounds == [NEW], "nothing of before goes on"
        assert not story.tenant.asked_for("/keys")

    play(story)


@pytest.mark.parametrize("phase", PHASES)
def test_an_inline_document_takes_over(phase: str) -> None:
    async def story(story: Story) -> None:
        caller = await PHASES[phase](story)
        assert (await update(story, caller, Twiml=document(spoken(NEW, seconds=2)))).status == 200
        await caller.hears(NEW, within=1)
        await caller.is_hung_up_on()
        assert caller.heard().sounds[-1] == NEW

    play(story)


@pytest.mark.parametrize("phase", [phase for phase in PHASES if phase != "ringing"])
def test_completed_hangs_up(phase: str) -> None:
    async def story(story: Story) -> None:
        caller = await PHASES[phase](story)
        sid = story.sid_of(caller)
        assert (await update(story, caller, Status="completed")).status == 200
        await caller.is_hung_up_on(within=0.1)
        await story.passes(0.1)
        record = await story.record(sid)
        assert (record.status, record.end_reason) == ("completed", "ended-by-tenant")

    play(story)


@pytest.mark.parametrize("word", ["completed", "canceled"])
def test_a_ringing_call_that_is_ended_is_refused_and_was_canceled(word: str) -> None:
    async def story(story: Story) -> None:
        caller = await rings(story)
        sid = story.sid_of(caller)
        assert (await update(story, caller, Status=word)).status == 200
        assert await caller.is_refused(within=0.1) == 480
        await story.passes(0.1)
        assert (await story.record(sid)).status == "canceled"

    play(story)


def test_a_call_that_talks_cannot_be_canceled() -> None:
    async def story(story: Story) -> None:
        caller = await listens(story)
        reply = await update(story, caller, Status="canceled")
        assert (reply.status, reply["code"]) == (400, 21220)
        assert caller.hears_now == 400
        caller.hangs_up()

    play(story)


def test_a_call_that_is_over_cannot_be_updated() -> None:
    async def story(story: Story) -> None:
        caller = await listens(story)
        sid = story.sid_of(caller)
        caller.hangs_up()
        await story.passes(0.1)
        for form in ({"Url": f"{HOST}/new"}, {"Twiml": document(spoken(NEW))}, {"Status": "completed"}, {"TimeLimit": "5"}):
            reply = await story.rest("POST", f"/Calls/{sid}.json", form)
            assert (reply.status, reply["code"]) == (400, 21220)

    play(story)


def test_the_last_of_two_updates_counts() -> None:
    async def story(story: Story) -> None:
        caller = await listens(story)
        story.tenant.on("/slow", Answer(body=say(600, seconds=20), after_s=5))
        story.tenant.on("/new", say(NEW, seconds=20))
        await update(story, caller, Url=f"{HOST}/slow")
        await story.tenant.asked("/slow")
        await update(story, caller, Url=f"{HOST}/new")
        await caller.hears(NEW)
        await story.passes(10)
        assert 600 not in caller.heard().sounds

    play(story)


def test_an_inline_document_that_is_no_xml_is_refused_and_changes_nothing() -> None:
    async def story(story: Story) -> None:
        caller = await waits(story)
        reply = await update(story, caller, Twiml="<Response><Say>")
        assert reply.status == 400
        await story.passes(1)
        assert story.members() == [story.sid_of(caller)]

    play(story)


@pytest.mark.parametrize("new", ["<Pause length='2'/>", "<Gather timeout='2'/>", "<Play digits='1'/><Gather timeout='2'/>"])
def test_what_was_heard_before_ends_with_the_new_documents_first_verb(new: str) -> None:
    async def story(story: Story) -> None:
        caller = await listens(story)
        await update(story, caller, Twiml=document(new))
        changed = story.now()
        await story.passes(1.5)
        assert 400 not in caller.heard(changed + 0.1).sounds
        caller.hangs_up()

    play(story)


def test_a_caller_who_waits_hears_music_until_the_new_document_has_come() -> None:
    async def story(story: Story) -> None:
        caller = await waits(story)
        story.tenant.on("/new", Answer(body=say(NEW, seconds=5), after_s=5))
        changed = story.now()
        await update(story, caller, Url=f"{HOST}/new")
        await caller.hears(NEW, within=10)
        assert caller.heard(changed).longest_silence_s <= 0.3

    play(story)


def test_the_agent_who_is_redirected_out_of_a_talk_leaves_the_caller_to_its_own_flow() -> None:
    async def story(story: Story) -> None:
        caller = await talks(story)
        agent = next(phone for phone in story.phones.values() if phone.name == "bob")
        story.tenant.on("/new", say(NEW, seconds=20))
        await update(story, agent, Url=f"{HOST}/new")
        assert (await story.tenant.asked("/done"))["QueueResult"] == "bridged"
        await agent.hears(NEW)
        assert not story.tenant.asked_for("/agent-done"), "its own reply would not be used"
        assert caller.is_up

    play(story)


def test_a_time_limit_set_by_rest_counts_from_the_answer() -> None:
    async def story(story: Story) -> None:
        caller = await listens(story)
        await story.passes(10)
        sid = story.sid_of(caller)
        assert (await update(story, caller, TimeLimit="20")).status == 200
        await caller.is_hung_up_on(within=30)
        assert story.now() == pytest.approx(20, abs=0.2)
        await story.passes(0.1)
        assert (await story.record(sid)).end_reason == "time-limit"

    play(story)


def test_the_fallback_set_by_rest_is_the_one_that_is_asked() -> None:
    async def story(story: Story) -> None:
        caller = await listens(story)
        story.tenant.on("/help", say(NEW))
        await update(story, caller, FallbackUrl=f"{HOST}/help", FallbackMethod="GET", Url=f"{HOST}/none")
        assert (await story.tenant.asked("/help")).method == "GET"
        await caller.hears(NEW)

    play(story)


def test_a_foreign_call_is_not_found() -> None:
    async def story(story: Story) -> None:
        caller = await listens(story)
        stranger = await story.opens_account("stranger")
        path = f"/Calls/{story.sid_of(caller)}.json"
        assert (await story.rest("POST", path, {"Status": "completed"}, account=stranger)).status == 404
        await story.passes(1)
        assert caller.hears_now == 400
        caller.hangs_up()

    play(story)


def test_silence_that_was_asked_for_by_pause_is_silence_after_music() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", "<Enqueue>support</Enqueue>")
        caller = await story.caller_waits("alice")
        await caller.hears(MUSIC)
        await update(story, caller, Twiml=document("<Pause length='3'/>"))
        await caller.hears(SILENCE, for_s=1)
        caller.hangs_up()

    play(story)
