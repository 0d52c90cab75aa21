"""A wait application that fails: a tenant's deploy must not empty its queue, nor mute it (design 5)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from harness.story import NUMBER, Story, play
from harness.story_ear import MUSIC, SILENCE
from harness.story_tenant import HOST, Answer, enqueue, say, spoken, wav

FAILURES = {
    "status": (Answer(status=500, body="oops"), 11200),
    "not found": (Answer(status=404), 11200),
    "no XML": (Answer(body="<Response><Say>", content_type="text/xml"), 12100),
    "wrong root": (Answer(body="<Answer><Response/></Answer>"), 12102),
    "wrong type": (Answer(content_type="application/json"), 12300),
    "empty body": (Answer(body=b""), 11770),
    "too large": (Answer(body=b"x" * 70_000), 11750),
    "forbidden verb": (Answer(body=f"{spoken(1200)}<Dial>+15550000</Dial>"), 12200),
    "enqueue": (Answer(body="<Enqueue>other</Enqueue>"), 12200),
    "unknown verb": (Answer(body="<Dance/>"), 12200),
    "audio that is none": (Answer(body=b"nothing", content_type="audio/wav"), 13420),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_whatever_fails_the_caller_hears_default_music_and_the_application_is_asked_again(failure: str) -> None:
    async def story(story: Story) -> None:
        answer, code = FAILURES[failure]
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", answer, answer, answer, say(400, seconds=9))
        caller = await story.caller_waits("alice")
        await caller.hears(MUSIC, within=1)
        await caller.hears(400, within=20)
        assert caller.heard(since=0.5).sounds == [MUSIC, 400]
        assert caller.heard(since=0.1).longest_silence_s <= 0.2
        assert await story.codes() == [code], "one Notification an outage"
        assert story.members() == [story.sid_of(caller)]

    play(story)


def test_retries_back_off_from_one_second_to_thirty() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", Answer(status=503))
        await story.caller_waits("alice", listens=False)
        await story.passes(180)
        times = [asked.at for asked in story.tenant.asked_for("/wait")]
        assert [round(later - earlier) for earlier, later in pairwise(times)] == [1, 2, 4, 8, 16, 30, 30, 30, 30]

    play(story)


def test_a_dead_tenant_keeps_its_callers_for_hours() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", say(400, seconds=9))
        caller = await story.caller_waits("alice", listens=False)
        await story.passes(20)
        story.tenant.dies()
        await story.passes(3 * 3600)
        assert await story.codes() == [11202]
        story.tenant.revives()
        await story.passes(31)
        asked = story.tenant.asked_for("/wait")[-1]
        assert (asked["QueuePosition"], int(asked["QueueTime"]) > 3 * 3600) == ("1", True)
        assert story.members() == [story.sid_of(caller)]

    play(story)


def test_a_dying_tenant_is_never_heard_as_silence() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", say(400, seconds=5))
        caller = await story.caller_waits("alice")
        await story.passes(12)
        story.tenant.dies()
        await story.passes(60)
        story.tenant.revives()
        await caller.hears(400, within=31)
        assert caller.heard(since=0.1).longest_silence_s <= 0.2

    play(story)


def test_the_next_outage_has_a_notification_of_its_own() -> None:
    async def story(story: Story) -> None:
        broken, well = Answer(status=500), say(400, seconds=5)
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", broken, broken, well, well, broken, broken, well)
        await story.caller_waits("alice", listens=False)
        await story.passes(40)
        assert await story.codes() == [11200, 11200]

    play(story)


def test_the_fallback_is_asked_once_an_outage_and_its_document_is_heard() -> None:
    async def story(story: Story) -> None:
        await story.changes_number(voice_fallback_url="/fallback")
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", Answer(status=500))
        story.tenant.on("/fallback", say(700, seconds=3))
        caller = await story.caller_waits("alice")
        await caller.hears(700)
        asked = story.tenant.asked_for("/fallback")[0]
        assert (asked["ErrorCode"], asked["ErrorUrl"], asked["QueuePosition"]) == ("11200", f"{HOST}/wait", "1")
        await story.passes(60)
        assert len(story.tenant.asked_for("/fallback")) == 1
        assert caller.heard(since=0.1).longest_silence_s <= 0.2
        assert (await story.codes()) == [11200]

    play(story)


def test_a_fallback_that_fails_too_is_told_once() -> None:
    async def story(story: Story) -> None:
        await story.changes_number(voice_fallback_url="/fallback")
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", Answer(status=500))
        story.tenant.on("/fallback", Answer(body="<Dance/>"))
        await story.caller_waits("alice", listens=False)
        await story.passes(100)
        assert await story.codes() == [11200, 12200]
        assert len(story.tenant.asked_for("/fallback")) == 1

    play(story)


def test_a_document_asked_for_ahead_may_fail_and_is_asked_for_again() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", say(400, seconds=3), Answer(status=500), say(600, seconds=30))
        caller = await story.caller_waits("alice")
        await caller.hears(600, within=10)
        assert caller.heard(since=0.1).longest_silence_s <= 0.2

    play(story)


def test_a_redirect_that_leads_nowhere_goes_back_to_the_wait_url() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", f"{spoken(400, seconds=2)}<Redirect>/gone</Redirect>", say(600, seconds=30))
        caller = await story.caller_waits("alice")
        await caller.hears(600, within=10)
        assert len(story.tenant.asked_for("/gone")) == 1

    play(story)


def test_by_default_no_outage_is_ever_an_error() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", Answer(status=500))
        await story.caller_waits("alice", listens=False)
        await story.passes(7200)
        assert not story.tenant.asked_for("/done")

    play(story)


def test_error_is_told_when_the_outage_is_longer_than_the_platforms_wait_retry_s() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", Answer(status=500))
        story.tenant.on("/done", say(800, seconds=30))
        caller = await story.caller_waits("alice")
        asked = await story.tenant.asked("/done", within=60)
        assert asked["QueueResult"] == "error"
        assert 20 <= asked.at <= 32
        assert (asked["QueueSid"], asked["QueueTime"]) == (story.queue().sid, str(int(asked.at)))
        await caller.hears(800)
        assert story.members() == []

    play(story, wait_retry_s=20)


def test_error_is_told_after_the_queues_own_wait_retry_s() -> None:
    async def story(story: Story) -> None:
        await story.has_queue(wait_retry_s=6)
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", Answer(status=500))
        await story.caller_waits("alice", listens=False)
        assert (await story.tenant.asked("/done", within=20))["QueueResult"] == "error"

    play(story)


def test_an_application_that_comes_back_in_time_is_forgiven() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        broken = Answer(status=500)
        story.tenant.on("/wait", broken, broken, say(400, seconds=5), broken, broken, say(400, seconds=50))
        await story.caller_waits("alice", listens=False)
        await story.passes(200)
        assert not story.tenant.asked_for("/done")

    play(story, wait_retry_s=5)


def test_a_tenant_that_answers_in_three_seconds_is_never_heard_as_silence() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", Answer(body=say(400, seconds=5), after_s=3))
        caller = await story.caller_waits("alice")
        await story.passes(40)
        heard = caller.heard(since=0.05)
        assert heard.longest_silence_s <= 0.2
        assert set(heard.sounds) == {400, MUSIC, SILENCE}

    play(story)


@pytest.mark.parametrize("seconds", [0.3, 1.0, 2.5, 6.0, 16.0])
def test_however_slow_the_answers_and_short_the_sounds_nobody_hears_silence(seconds: float) -> None:
    async def story(story: Story) -> None:
        tunes = [wav(500, seconds=length, after_s=seconds / 2) for length in (0.4, 3, 1)]
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", *(Answer(body=f"<Play>/{n}.wav</Play>{spoken(700)}", after_s=seconds) for n in (0, 1, 2) * 4))
        for n, tune in enumerate(tunes):
            story.tenant.on(f"/{n}.wav", tune)
        caller = await story.caller_waits("alice")
        await story.passes(60)
        heard = caller.heard(since=0.05)
        assert heard.longest_silence_s <= 0.2, heard

    play(story)


def test_audio_that_comes_late_within_a_document_is_bridged_with_music() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", f"{spoken(400, seconds=2)}<Play>/late.wav</Play>{spoken(600, seconds=60)}")
        story.tenant.on("/late.wav", wav(500, seconds=2, after_s=9))
        caller = await story.caller_waits("alice")
        await caller.hears(600, within=30)
        heard = caller.heard(since=0.05)
        assert heard.longest_silence_s <= 0.2, heard
        assert heard.sounds == [400, SILENCE, MUSIC, 500, 600]

    play(story)


def test_audio_that_never_comes_is_passed_over_and_told() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", f"{spoken(400, seconds=2)}<Play>/none.wav</Play>{spoken(600, seconds=60)}")
        caller = await story.caller_waits("alice")
        await caller.hears(600, within=30)
        assert caller.heard(since=0.05).sounds == [400, 600]
        assert await story.codes() == [11200]

    play(story)


@pytest.mark.parametrize("late", ["document", "audio"])
def test_default_music_that_was_heard_for_longer_than_a_moment_is_not_cut_short(late: str) -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/next", Answer(body=say(500, seconds=9), after_s=2.5))
        story.tenant.on("/late.wav", wav(500, seconds=9, after_s=7.5))
        then = "<Redirect>/next</Redirect>" if late == "document" else "<Play>/late.wav</Play>"
        story.tenant.on("/wait", f"{spoken(400, seconds=5)}{then}")
        caller = await story.caller_waits("alice")
        await caller.hears(500, within=20)
        [music] = [run.seconds for run in caller.heard(since=1).runs if run.sound == MUSIC]
        assert music == pytest.approx(5.8, abs=0.05), "from 0.2 s after the prompt; 4 s from when it was more than a moment"

    play(story)


def test_audio_there_is_no_room_for_is_passed_over_and_told() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", f"{spoken(1000, seconds=220)}<Play>/long.wav</Play>{spoken(400, seconds=50)}")
        story.tenant.on("/long.wav", wav(500, seconds=220))
        caller = await story.caller_waits("alice")
        await caller.hears(400, within=10)
        assert await story.codes() == [13520, 13420]

    play(story)


def test_between_the_keys_of_a_caller_and_the_answer_to_them_there_is_music() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", f"<Gather action='/keys' numDigits='2' timeout='5'>{spoken(400, seconds=50)}</Gather>")
        story.tenant.on("/keys", Answer(body=say(600, seconds=50), after_s=4))
        caller = await story.caller_waits("alice")
        await story.passes(2)
        caller.presses("1")
        await story.passes(3)
        caller.presses("2")
        await caller.hears(600, within=20)
        assert caller.heard(since=1).longest_silence_s <= 0.2

    play(story)


def test_a_call_whose_voice_url_fails_hears_the_fallback() -> None:
    async def story(story: Story) -> None:
        await story.changes_number(voice_fallback_url="/fallback")
        story.tenant.on("/voice", Answer(status=500))
        story.tenant.on("/fallback", say(700, seconds=3))
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        await caller.hears(700)
        assert story.tenant.asked_for("/fallback")[0]["ErrorCode"] == "11200"

    play(story)
