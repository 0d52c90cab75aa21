"""Status callbacks: what the tenant is told when a call is over (platform contract 4.6)."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

import pytest
from harness.story import NUMBER, Story, play
from harness.story_tenant import HOST, Answer, say


async def with_callback(story: Story, document: str | Answer, **fields: str) -> None:
    await story.changes_number(status_callback="/status", **fields)
    story.tenant.on("/voice", document)


def test_completed_is_told_with_the_standard_parameters_and_the_duration() -> None:
    async def story(story: Story) -> None:
        await with_callback(story, say(400, seconds=100))
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        sid = story.sid_of(caller)
        await story.passes(75.2)
        caller.hangs_up()
        asked = await story.tenant.asked("/status")
        assert asked["CallStatus"] == "completed"
        assert (asked["CallDuration"], asked["Duration"]) == ("75", "2")
        assert (asked["CallbackSource"], asked["SequenceNumber"]) == ("call-progress-events", "0")
        assert parsedate_to_datetime(asked["Timestamp"]) == (await story.record(sid)).end_time.replace(microsecond=0)  # type: ignore[union-attr]
        assert (asked["CallSid"], asked["From"], asked["To"], asked["Direction"]) == (sid, caller.number, NUMBER, "inbound")
        await story.passes(60)
        assert len(story.tenant.asked_for("/status")) == 1, "an inbound call delivers only this one"

    play(story)


@pytest.mark.parametrize(("verb", "status"), [("<Reject reason='busy'/>", "busy"), ("<Reject/>", "no-answer"), ("<Hangup/>", "completed")])
def test_the_final_status_is_told_whatever_it_is(verb: str, status: str) -> None:
    async def story(story: Story) -> None:
        await with_callback(story, verb)
        caller = story.phone("alice")
        caller.dials(NUMBER)
        asked = await story.tenant.asked("/status")
        assert (asked["CallStatus"], asked["CallDuration"]) == (status, "0")

    play(story)


def test_a_caller_who_gives_up_is_told_as_canceled() -> None:
    async def story(story: Story) -> None:
        await with_callback(story, Answer(body=say(400), after_s=5))
        caller = story.phone("alice")
        caller.dials(NUMBER)
        await story.tenant.asked("/voice")
        caller.cancels()
        asked = await story.tenant.asked("/status")
        assert (asked["CallStatus"], asked["CallDuration"]) == ("canceled", "0")

    play(story)


def test_the_callback_may_be_asked_by_get() -> None:
    async def story(story: Story) -> None:
        await with_callback(story, "<Hangup/>", status_callback_method="GET")
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        assert (await story.tenant.asked("/status")).method == "GET"

    play(story)


@pytest.mark.parametrize(
    "answer", [Answer(status=204, body=b""), Answer(body=b"thanks", content_type="text/plain"), Answer(body="<Say>no</Say>")]
)
def test_whatever_the_tenant_answers_is_ignored(answer: Answer) -> None:
    async def story(story: Story) -> None:
        await with_callback(story, "<Hangup/>")
        story.tenant.on("/status", answer)
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        await story.tenant.asked("/status")
        await story.passes(30)
        assert len(story.tenant.asked_for("/status")) == 1
        assert not await story.notifications()

    play(story)


@pytest.mark.parametrize(("answer", "code"), [(Answer(status=500), 11200), (Answer(after_s=60), 11203)])
def test_a_callback_that_fails_is_a_notification(answer: Answer, code: int) -> None:
    async def story(story: Story) -> None:
        await with_callback(story, "<Hangup/>")
        story.tenant.on("/status", answer)
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        await story.tenant.asked("/status")
        await story.passes(30)
        (told,) = await story.notifications()
        assert (told.error_code, told.request_url) == (code, f"{HOST}/status")

    play(story)


def test_a_slow_callback_keeps_no_other_call_waiting() -> None:
    async def story(story: Story) -> None:
        await with_callback(story, "<Hangup/>")
        story.tenant.on("/status", Answer(after_s=14))
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        await caller.is_hung_up_on()
        await caller.calls(NUMBER)
        assert story.now() < 1

    play(story)


def test_a_callback_set_by_rest_during_the_call_is_the_one_that_is_told() -> None:
    async def story(story: Story) -> None:
        await with_callback(story, say(400, seconds=30))
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        form = {"StatusCallback": f"{HOST}/other", "StatusCallbackMethod": "GET"}
        assert (await story.rest("POST", f"/Calls/{story.sid_of(caller)}.json", form)).status == 200
        caller.hangs_up()
        assert (await story.tenant.asked("/other")).method == "GET"
        assert not story.tenant.asked_for("/status")

    play(story)
