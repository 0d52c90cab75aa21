"""What follows when a tenant's server fails: Notification, fallback, apology (platform contract 4.5 and 7)."""

from __future__ import annotations

from urllib.parse import parse_qs

import pytest
from harness.story import NUMBER, Story, play
from harness.story_phone import Phone
from harness.story_tenant import HOST, Answer, document, say, spoken

from waitline.bridge.webhook.faults import Failure, Fault

APOLOGY = 3000


class Refuses(Answer):
    """No answer at all: the connection is refused."""


FAILURES: dict[str, tuple[int, Answer]] = {
    "a status that is none of success": (11200, Answer(status=503, body="out of order")),
    "a page that is not there": (11200, Answer(status=404)),
    "no answer in time": (11203, Answer(after_s=60)),
    "a body that is too large": (11750, Answer(body=b"x" * (64 * 1024 + 1))),
    "a content type that is none": (12300, Answer(body="{}", content_type="application/json")),
    "no XML": (12100, Answer(body=b"<Response><Say>", content_type="text/xml")),
    "an empty body": (11770, Answer(body=b"")),
    "a redirect in a circle": (11215, Answer(status=302, headers=(("Location", "/broken"),))),
    "a redirect to nowhere": (11216, Answer(status=302)),
}


async def calls(story: Story, answer: Answer) -> Phone:
    """A caller whose VoiceUrl answers so, with a fallback where the number names one."""
    await story.changes_number(voice_url="/broken")
    story.tenant.on("/broken", answer)
    caller = story.phone("alice")
    caller.dials(NUMBER)
    return caller


@pytest.mark.parametrize("failure", FAILURES)
def test_after_a_failure_the_fallback_decides_and_is_told_what_failed(failure: str) -> None:
    code, answer = FAILURES[failure]

    async def story(story: Story) -> None:
        await story.changes_number(voice_fallback_url="/fallback")
        story.tenant.on("/fallback", say(400))
        caller = await calls(story, answer)
        asked = await story.tenant.asked("/fallback", within=20)
        assert (asked["ErrorCode"], asked["ErrorUrl"]) == (str(code), f"{HOST}/broken")
        assert (asked["CallSid"], asked["CallStatus"]) == (story.sid_of(caller), "ringing")
        await caller.hears(400)
        (told,) = await story.notifications()
        assert (told.error_code, told.log, told.call_sid) == (code, 0, asked["CallSid"])
        assert (told.request_method, told.request_url) == ("POST", f"{HOST}/broken")
        assert parse_qs(told.request_variables)["From"] == [caller.number]

    play(story)


def test_a_refused_connection_is_tried_again_and_then_the_fallback_is_asked() -> None:
    async def story(story: Story) -> None:
        await story.changes_number(voice_fallback_url="/fallback")

        def refuse(_asked: object) -> str:
            raise Failure(Fault.CONNECTION_REFUSED, HOST)

        story.tenant.on("/fallback", say(400))
        story.tenant.on("/broken", refuse)
        await story.changes_number(voice_url="/broken")
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        await caller.hears(400)
        assert len(story.tenant.asked_for("/broken")) == 2
        assert await story.codes() == [11202]

    play(story)


def test_the_tenant_reads_what_its_server_answered() -> None:
    async def story(story: Story) -> None:
        await calls(story, Answer(status=500, body="Traceback: KeyError 'desk'", content_type="text/plain"))
        await story.passes(0.1)
        (told,) = await story.notifications()
        assert "KeyError" in told.response_body

    play(story)


def test_the_fallback_may_be_asked_by_get() -> None:
    async def story(story: Story) -> None:
        await story.changes_number(voice_fallback_url="/fallback", voice_fallback_method="GET")
        story.tenant.on("/fallback", say(400))
        await calls(story, Answer(status=500))
        asked = await story.tenant.asked("/fallback")
        assert (asked.method, asked["ErrorCode"]) == ("GET", "11200")

    play(story)


def test_what_the_fallback_says_takes_over_and_may_lead_on() -> None:
    async def story(story: Story) -> None:
        await story.changes_number(voice_fallback_url="/help/fallback")
        story.tenant.on("/help/fallback", spoken(400) + "<Redirect>next</Redirect>")
        story.tenant.on("/help/next", say(600))
        caller = await calls(story, Answer(status=500))
        await caller.hears(600)

    play(story)


def test_each_failure_of_a_call_is_a_case_for_the_fallback() -> None:
    async def story(story: Story) -> None:
        await story.changes_number(voice_fallback_url="/fallback")
        story.tenant.on("/fallback", spoken(400) + "<Redirect>/broken</Redirect>", say(600))
        caller = await calls(story, Answer(status=500))
        await caller.hears(600)
        assert len(story.tenant.asked_for("/fallback")) == 2
        assert await story.codes() == [11200, 11200]

    play(story)


def test_where_nothing_helps_the_caller_hears_an_apology_and_the_call_ends() -> None:
    async def story(story: Story) -> None:
        await story.changes_number(voice_fallback_url="/fallback", status_callback="/status")
        story.tenant.on("/fallback", Answer(body="<Response"))
        story.tenant.on("/status", "")
        caller = await calls(story, Answer(status=500))
        await caller.hears(APOLOGY)
        await caller.is_hung_up_on()
        told = await story.notifications()
        assert [(entry.error_code, entry.request_url) for entry in told] == [(11200, f"{HOST}/broken"), (12100, f"{HOST}/fallback")]
        assert (await story.tenant.asked("/status"))["CallStatus"] == "completed"

    play(story)


def test_without_a_fallback_the_apology_follows_at_once() -> None:
    async def story(story: Story) -> None:
        caller = await calls(story, Answer(status=500))
        await caller.hears(APOLOGY, within=0.5)
        await caller.is_hung_up_on()

    play(story)


def test_a_call_that_talks_already_is_not_cut_off_by_a_failing_redirect() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", spoken(400) + "<Redirect>/broken</Redirect>")
        story.tenant.on("/broken", Answer(after_s=60))
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        await caller.hears(APOLOGY, within=20)
        await caller.is_hung_up_on()
        assert await story.codes() == [11203]

    play(story)


def test_a_number_without_a_voice_url_is_told_and_apologised_for() -> None:
    async def story(story: Story) -> None:
        await story.changes_number(voice_url="")
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        await caller.hears(APOLOGY)
        await caller.is_hung_up_on()
        assert await story.codes() == [11100]

    play(story)


def test_a_number_without_a_voice_url_but_with_a_fallback_is_answered_by_that() -> None:
    async def story(story: Story) -> None:
        await story.changes_number(voice_url="", voice_fallback_url="/fallback")
        story.tenant.on("/fallback", say(400))
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        await caller.hears(400)
        assert story.tenant.asked_for("/fallback")[0]["ErrorCode"] == "11100"

    play(story)


def test_an_inline_document_that_cannot_be_run_is_a_case_for_the_fallback_too() -> None:
    async def story(story: Story) -> None:
        await story.changes_number(voice_fallback_url="/fallback")
        story.tenant.on("/voice", say(400, seconds=30))
        story.tenant.on("/fallback", say(600))
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        relative = {"Twiml": document("<Redirect>/relative</Redirect>")}
        assert (await story.rest("POST", f"/Calls/{story.sid_of(caller)}.json", relative)).status == 200
        assert (await story.tenant.asked("/fallback"))["ErrorCode"] == "15004"
        await caller.hears(600)

    play(story)


def test_a_caller_who_hangs_up_while_the_tenant_is_slow_ends_the_request_too() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", spoken(400) + "<Redirect>/broken</Redirect>")
        story.tenant.on("/broken", Answer(after_s=10))
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        await story.tenant.asked("/broken")
        sid = story.sid_of(caller)
        caller.hangs_up()
        await story.passes(0.1)
        assert (await story.record(sid)).status == "completed"
        assert not await story.notifications()

    play(story)
