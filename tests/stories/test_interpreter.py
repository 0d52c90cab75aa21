"""How a document is read and run: order, unreachable verbs, content types, sizes, faults, URLs (platform contract 3.1)."""

from __future__ import annotations

import pytest
from harness.story import NUMBER, Story, play
from harness.story_ear import SILENCE
from harness.story_phone import Phone
from harness.story_tenant import HOST, Answer, document, say, spoken, wav

APOLOGY = 3000
"""Any text that is no tone is heard as this (see the story's speech)."""


async def answered_with(story: Story, answer: str | Answer, name: str = "alice") -> Phone:
    """A new caller whose VoiceUrl answers so."""
    story.tenant.on("/voice", answer)
    caller = story.phone(name)
    await caller.calls(NUMBER)
    return caller


async def hears_until_the_end(caller: Phone) -> list[int | str]:
    """All that a caller hears until the platform hangs up."""
    await caller.is_hung_up_on(within=30)
    return [sound for sound in caller.heard().sounds if sound != SILENCE]


async def hears_of(story: Story, answer: str | Answer, name: str = "alice") -> list[int | str]:
    return await hears_until_the_end(await answered_with(story, answer, name))


# --- order


def test_verbs_run_from_top_to_bottom_and_the_end_of_the_document_hangs_up() -> None:
    async def story(story: Story) -> None:
        caller = await answered_with(story, spoken(400) + "<Pause length='2'/>" + spoken(600) + "<!-- no verb -->" + spoken(800))
        sid = story.sid_of(caller)
        await caller.is_hung_up_on(within=10)
        heard = caller.heard()
        assert heard.sounds == [400, SILENCE, 600, 800]
        assert 1.9 <= heard.longest_silence_s <= 2.1
        record = await story.record(sid)
        assert (record.status, record.end_reason, record.duration_s) == ("completed", "document-ended", 5)
        assert not await story.notifications()

    play(story)


def test_sounds_follow_each_other_without_a_gap() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/tone.wav", wav(600))
        caller = await answered_with(story, spoken(400) + f"<Play>{HOST}/tone.wav</Play>" + spoken(800) + "<Pause length='1'/>")
        await caller.hears(800)
        heard = caller.heard(until=await caller.hears(SILENCE, within=2))
        assert heard.sounds[-3:] == [400, 600, 800]
        assert heard.seconds_of(400) == heard.seconds_of(600) == heard.seconds_of(800) == pytest.approx(1.0)

    play(story)


def test_an_empty_document_answers_the_call_and_hangs_up() -> None:
    async def story(story: Story) -> None:
        caller = await answered_with(story, "<Response/>")
        await caller.is_hung_up_on()
        assert not await story.notifications()

    play(story)


@pytest.mark.parametrize(
    "verb",
    ["<Redirect>/next</Redirect>", "<Hangup/>", "<Reject/>", "<Gather action='/next' actionOnEmptyResult='true' timeout='1'/>"],
)
def test_what_follows_a_verb_that_passes_control_on_is_unreachable(verb: str) -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/next", "<Pause length='1'/>")
        assert await hears_of(story, spoken(400) + verb + spoken(600)) == [400]

    play(story)


def test_a_gather_without_keys_goes_on_with_the_next_verb() -> None:
    async def story(story: Story) -> None:
        assert await hears_of(story, "<Gather timeout='1'/>" + spoken(600)) == [600]

    play(story)


def test_leave_outside_of_a_queue_is_passed_over_with_a_warning() -> None:
    async def story(story: Story) -> None:
        assert await hears_of(story, "<Leave/>" + spoken(600)) == [600]
        assert [(found.error_code, found.log) for found in await story.notifications()] == [(12200, 1)]

    play(story)


# --- content types


@pytest.mark.parametrize("kind", ["text/xml", "application/xml", "text/html", "TEXT/XML; charset=utf-8", "text/html;charset=iso-8859-1"])
def test_three_content_types_are_documents(kind: str) -> None:
    async def story(story: Story) -> None:
        assert await hears_of(story, Answer(body=document(spoken(400)), content_type=kind)) == [400]
        assert not await story.notifications()

    play(story)


def test_plain_text_is_a_document_if_it_parses_and_else_is_spoken() -> None:
    async def story(story: Story) -> None:
        assert await hears_of(story, Answer(body=document(spoken(400)), content_type="text/plain")) == [400]
        caller = await answered_with(story, Answer(body=b"600 Hz for 1.0 s", content_type="text/plain"), "bob")
        assert await hears_until_the_end(caller) == [600]
        assert not await story.notifications()

    play(story)


def test_audio_is_played_and_then_the_call_ends() -> None:
    async def story(story: Story) -> None:
        caller = await answered_with(story, wav(400, seconds=2))
        assert await hears_until_the_end(caller) == [400]
        assert caller.heard(until=story.now() + 1).seconds_of(400) == pytest.approx(2.0)
        assert len(story.tenant.requests) == 1, "the answer itself is played, it is not asked for again"

    play(story)


def test_audio_that_differs_from_call_to_call_is_played_to_the_call_it_was_for() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", lambda asked: wav(400 if asked["From"].endswith("1") else 600, seconds=2))
        alice, bob = story.phone("alice"), story.phone("bob")
        await alice.calls(NUMBER)
        await bob.calls(NUMBER)
        assert await hears_until_the_end(alice) == [400]
        assert await hears_until_the_end(bob) == [600]

    play(story)


def test_audio_that_cannot_be_decoded_is_a_failed_document() -> None:
    async def story(story: Story) -> None:
        assert await hears_of(story, Answer(body=b"no sound at all", content_type="audio/mpeg")) == [APOLOGY]
        assert await story.codes() == [13420]

    play(story)


# --- what makes a document unusable


UNUSABLE: dict[str, tuple[int, str | Answer]] = {
    "another content type": (12300, Answer(body=document(spoken(400)), content_type="application/json")),
    "no content type": (12300, Answer(body=document(spoken(400)), content_type="")),
    "not well-formed": (12100, "<Response><Say>400"),
    "white space before the declaration": (12100, Answer(body=b" <?xml version='1.0'?><Response/>")),
    "a document type": (12100, Answer(body=b"<!DOCTYPE Response [<!ENTITY x 'y'>]><Response><Say>&x;</Say></Response>")),
    "another root": (12102, Answer(body=b"<response><Say>400 Hz for 1.0 s</Say></response>")),
    "too large": (11750, Answer(body=b"<Response>" + b" " * 64 * 1024 + b"</Response>")),
    "empty": (11770, Answer(body=b"")),
    "a redirect that is no URL": (11100, "<Redirect>gopher://nowhere</Redirect>"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_an_unusable_document_is_told_with_its_code_and_the_caller_hears_an_apology(case: str) -> None:
    code, answer = UNUSABLE[case]

    async def story(story: Story) -> None:
        caller = await answered_with(story, answer)
        sid = story.sid_of(caller)
        assert await hears_until_the_end(caller) == [APOLOGY]
        found = await story.notifications()
        assert [(entry.error_code, entry.log, entry.call_sid) for entry in found] == [(code, 0, sid)]
        record = await story.record(sid)
        assert (record.status, record.end_reason) == ("completed", f"document-failed-{code}")

    play(story)


def test_a_document_of_64_kilobytes_is_taken() -> None:
    async def story(story: Story) -> None:
        rest = len(document(spoken(400)))
        assert await hears_of(story, document(spoken(400) + " " * (64 * 1024 - rest))) == [400]

    play(story)


def test_unknown_verbs_and_attributes_are_warned_of_and_the_rest_is_run() -> None:
    async def story(story: Story) -> None:
        strange = "<Sing>la</Sing><say>no</say>" + spoken(400).replace("<Say", "<Say Loop='7' colour='red'") + "<Record/>" + spoken(600)
        caller = await answered_with(story, strange)
        sid = story.sid_of(caller)
        assert await hears_until_the_end(caller) == [400, 600]
        found = await story.notifications()
        assert [(entry.error_code, entry.log) for entry in found] == [(12200, 1)] * 5
        told = " ".join(entry.message_text for entry in found)
        assert all(name in told for name in ("Sing", "<say>", "Loop", "colour", "Record"))
        assert {entry.request_url for entry in found} == {f"{HOST}/voice"}
        assert {entry.call_sid for entry in found} == {sid}

    play(story)


# --- URLs


def test_relative_urls_are_resolved_against_the_document_they_stand_in() -> None:
    async def story(story: Story) -> None:
        await story.changes_number(voice_url="/ivr/start")
        story.tenant.on("/ivr/start", "<Redirect>menu/one</Redirect>")
        story.tenant.on("/ivr/menu/one", "<Redirect>../two?x=1</Redirect>")
        story.tenant.on("/ivr/two", "<Redirect>/three</Redirect>")
        story.tenant.on("/three", "<Redirect>http://other.example/four</Redirect>")
        story.tenant.on("/four", spoken(400) + "<Play>tone.wav</Play>")
        story.tenant.on("/tone.wav", wav(600))
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        assert await hears_until_the_end(caller) == [400, 600]
        assert [asked.path for asked in story.tenant.requests] == [
            "/ivr/start", "/ivr/menu/one", "/ivr/two", "/three", "/four", "/tone.wav",
        ]  # fmt: skip
        assert story.tenant.asked_for("/ivr/two")[0]["x"] == "1"
        assert not await story.notifications()

    play(story)


def test_relative_urls_are_resolved_against_where_a_redirect_of_http_led() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", Answer(status=307, headers=(("Location", "/deep/down/here"),)))
        story.tenant.on("/deep/down/here", "<Redirect>there</Redirect>")
        story.tenant.on("/deep/down/there", say(400))
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        assert await hears_until_the_end(caller) == [400]

    play(story)


def test_an_inline_document_has_no_url_to_be_relative_to() -> None:
    async def story(story: Story) -> None:
        caller = await answered_with(story, say(400, seconds=60))
        await caller.hears(400)
        inline = document("<Gather action='next' actionOnEmptyResult='true' timeout='1'/>" + spoken(600))
        reply = await story.rest("POST", f"/Calls/{story.sid_of(caller)}.json", {"Twiml": inline})
        assert reply.status == 200
        await caller.is_hung_up_on(within=30)
        assert await story.codes() == [15004]
        assert [asked.path for asked in story.tenant.requests] == ["/voice"]

    play(story)


def test_an_inline_document_cannot_be_asked_again_by_a_gather_without_an_action() -> None:
    async def story(story: Story) -> None:
        caller = await answered_with(story, say(400, seconds=60))
        await caller.hears(400)
        await story.rest("POST", f"/Calls/{story.sid_of(caller)}.json", {"Twiml": document("<Gather numDigits='1'/>")})
        caller.presses("1")
        await caller.is_hung_up_on(within=30)
        assert await story.codes() == [15004]

    play(story)


def test_absolute_urls_work_in_an_inline_document() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/next", say(600))
        caller = await answered_with(story, say(400, seconds=60))
        await caller.hears(400)
        inline = document(f"<Redirect>{HOST}/next</Redirect>")
        await story.rest("POST", f"/Calls/{story.sid_of(caller)}.json", {"Twiml": inline})
        assert (await hears_until_the_end(caller))[-1] == 600
        assert not await story.notifications()

    play(story)


# --- when a call is answered


@pytest.mark.parametrize(
    "verb",
    [
        spoken(400),
        f"<Play>{HOST}/tone.wav</Play>",
        "<Play digits='1'/>",
        "<Gather timeout='5'/>",
        "<Enqueue>support</Enqueue>",
        "<Dial><Queue>support</Queue></Dial>",
        "<Hangup/>",
    ],
)
def test_a_verb_that_is_heard_answers_the_call(verb: str) -> None:
    async def story(story: Story) -> None:
        await story.has_queue()
        story.tenant.on("/tone.wav", wav(400))
        caller = await answered_with(story, verb)
        assert caller.count(lambda m: m.status == 180) == 1
        assert story.now() < 0.1

    play(story)


def test_the_phone_rings_while_the_tenant_thinks() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", Answer(body=say(400), after_s=4))
        caller = story.phone("alice")
        caller.dials(NUMBER)
        await caller.gets(lambda m: m.status == 180, within=0.1)
        assert caller.count(lambda m: m.status == 100) == 1
        await caller.is_answered(within=5)
        assert story.now() >= 4

    play(story)


def test_a_redirect_keeps_ringing() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", "<Redirect>/next</Redirect>")
        story.tenant.on("/next", Answer(body=say(400), after_s=3))
        caller = story.phone("alice")
        caller.dials(NUMBER)
        assert (await story.tenant.asked("/next"))["CallStatus"] == "ringing"
        await caller.is_answered(within=5)
        assert story.now() >= 3

    play(story)


def test_a_pause_first_waits_before_picking_up() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", "<Pause length='4'/>" + spoken(400))
        caller = story.phone("alice")
        caller.dials(NUMBER)
        await caller.is_answered(within=5)
        assert story.now() == pytest.approx(4, abs=0.05)
        await caller.hears(400)

    play(story)


def test_a_document_that_never_answered_picks_up_to_hang_up() -> None:
    async def story(story: Story) -> None:
        caller = await answered_with(story, "<Pause length='2'/>")
        await caller.is_hung_up_on()

    play(story)


@pytest.mark.parametrize(
    ("verb", "status", "final"),
    [("<Reject/>", 404, "no-answer"), ("<Reject reason='rejected'/>", 404, "no-answer"), ("<Reject reason='busy'/>", 486, "busy")],
)
def test_a_reject_first_never_answers(verb: str, status: int, final: str) -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", verb + spoken(400))
        caller = story.phone("alice")
        caller.dials(NUMBER)
        await story.passes(0)
        sid = story.sid_of(caller)
        assert await caller.is_refused() == status
        await story.passes(0.1)
        record = await story.record(sid)
        assert (record.status, record.duration_s) == (final, 0)

    play(story)


def test_a_reject_after_the_answer_hangs_up() -> None:
    async def story(story: Story) -> None:
        caller = await answered_with(story, spoken(400) + "<Reject reason='busy'/>")
        sid = story.sid_of(caller)
        assert await hears_until_the_end(caller) == [400]
        assert (await story.record(sid)).status == "completed"

    play(story)


def test_a_pause_and_a_redirect_before_a_reject_still_refuse() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", "<Pause length='1'/><Redirect>/next</Redirect>")
        story.tenant.on("/next", "<Reject reason='busy'/>")
        caller = story.phone("alice")
        caller.dials(NUMBER)
        assert await caller.is_refused() == 486

    play(story)
