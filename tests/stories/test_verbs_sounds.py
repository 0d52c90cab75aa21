"""Say, Play and Pause, attribute by attribute (platform contract 3.2)."""

from __future__ import annotations

import pytest
from harness.story import NUMBER, Story, play
from harness.story_ear import SILENCE
from harness.story_phone import Phone
from harness.story_tenant import HOST, Answer, spoken, wav

END = spoken(1000, seconds=0.5)


async def calls_for(story: Story, body: str) -> Phone:
    story.tenant.on("/voice", body)
    caller = story.phone(f"caller{len(story.phones)}")
    await caller.calls(NUMBER)
    return caller


async def plays(story: Story, verb: str, *, within: float = 30.0) -> Phone:
    """A caller who has heard a document of that verb and the end mark."""
    caller = await calls_for(story, verb + END)
    await caller.is_hung_up_on(within=within)
    await story.passes(0.02)
    assert caller.heard().sounds[-1] == 1000, "the document did not go on"
    return caller


# --- Say


def test_say_loops_as_often_as_it_is_told_without_a_gap() -> None:
    async def story(story: Story) -> None:
        caller = await plays(story, "<Say loop='3'>400 Hz for 1.0 s</Say>")
        assert caller.heard().sounds == [400, 1000]
        assert caller.heard().seconds_of(400) == pytest.approx(3.0)

    play(story)


def test_say_with_loop_0_goes_on_until_the_call_ends() -> None:
    async def story(story: Story) -> None:
        caller = await calls_for(story, "<Say loop='0'>400 Hz for 1.0 s</Say>" + END)
        await story.passes(120)
        assert caller.heard(20).sounds == [400]
        caller.hangs_up()

    play(story)


def test_say_is_spoken_by_the_voice_and_in_the_language_that_are_named() -> None:
    async def story(story: Story) -> None:
        await plays(story, "<Say voice='alice' language='de-DE'>400 Hz for 1.0 s</Say><Say>600 Hz for 1.0 s</Say>")
        assert story.speech.asked[:2] == [("400 Hz for 1.0 s", "alice", "de-DE"), ("600 Hz for 1.0 s", "man", "en-US")]

    play(story)


def test_say_speaks_the_words_within_its_markup() -> None:
    async def story(story: Story) -> None:
        caller = await plays(story, "<Say><emphasis>400 Hz</emphasis> <s>for</s> <sub alias='1.0'>one</sub> s</Say>")
        assert caller.heard().sounds == [400, 1000]
        assert not await story.notifications()

    play(story)


@pytest.mark.parametrize(
    ("verb", "code"),
    [
        ("<Say/>", 13520),
        ("<Say>   </Say>", 13520),
        ("<Say loop='often'>400 Hz for 1.0 s</Say>", 13510),
        ("<Say language='!'>400 Hz for 1.0 s</Say>", 13511),
        (f"<Say>400 Hz for 1.0 s{' ' * 1000}{'x' * 5000}</Say>", 13520),
    ],
)
def test_say_with_something_wrong_is_warned_of_and_the_document_goes_on(verb: str, code: int) -> None:
    async def story(story: Story) -> None:
        await plays(story, verb)
        assert [(entry.error_code, entry.log) for entry in await story.notifications()] == [(code, 1)]

    play(story)


# --- Play


def test_play_loops_as_often_as_it_is_told_without_a_gap() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/tone.wav", wav(400))
        caller = await plays(story, f"<Play loop='3'>{HOST}/tone.wav</Play>")
        assert caller.heard().sounds == [400, 1000]
        assert caller.heard().seconds_of(400) == pytest.approx(3.0)

    play(story)


def test_play_with_loop_0_goes_on_until_the_call_ends() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/tone.wav", wav(400))
        caller = await calls_for(story, f"<Play loop='0'>{HOST}/tone.wav</Play>" + END)
        await story.passes(120)
        assert caller.heard(20).sounds == [400]
        caller.hangs_up()

    play(story)


def test_play_asks_for_its_file_by_get_and_tells_nothing_of_the_call() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/tone.wav", wav(400))
        await plays(story, f"<Play>{HOST}/tone.wav?take=2</Play>")
        (asked,) = story.tenant.asked_for("/tone.wav")
        assert (asked.method, asked.params) == ("GET", {"take": "2"})
        assert "X-Twilio-Signature" in asked.headers

    play(story)


def test_a_file_that_may_be_kept_is_asked_for_once() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/tone.wav", wav(400))
        await plays(story, f"<Play>{HOST}/tone.wav</Play>" * 2)
        await plays(story, f"<Play>{HOST}/tone.wav</Play>")
        assert len(story.tenant.asked_for("/tone.wav")) == 1

    play(story)


def test_a_file_that_must_not_be_kept_is_asked_for_each_time() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/tone.wav", wav(400, cache="no-store"), wav(600, cache="no-store"))
        first = await plays(story, f"<Play>{HOST}/tone.wav</Play>")
        second = await plays(story, f"<Play>{HOST}/tone.wav</Play>")
        assert first.heard(until=second.since).sounds == [400, 1000]
        assert second.heard().sounds == [600, 1000]

    play(story)


def test_two_callers_hear_one_file_from_their_own_beginnings() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/tone.wav", wav(400, seconds=3, after_s=1))
        first = await calls_for(story, f"<Play>{HOST}/tone.wav</Play>")
        await story.passes(0.5)
        second = await calls_for(story, f"<Play>{HOST}/tone.wav</Play>")
        await second.is_hung_up_on()
        await story.passes(0.02)
        assert len(story.tenant.asked_for("/tone.wav")) == 1
        assert first.heard().seconds_of(400) == pytest.approx(3.0)
        assert second.heard().seconds_of(400) == pytest.approx(3.0)

    play(story)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(status=404), 11200),
        (Answer(status=500), 11200),
        (Answer(body=b"no sound", content_type="audio/wav"), 13420),
        (Answer(body=b"<html/>", content_type="text/html"), 13420),
        (Answer(after_s=60), 11203),
    ],
)
def test_a_file_that_cannot_be_had_is_told_and_the_document_goes_on(answer: Answer, code: int) -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/tone.wav", answer)
        caller = await plays(story, f"<Play>{HOST}/tone.wav</Play>")
        (entry,) = await story.notifications()
        assert (entry.error_code, entry.log) == (code, 0)
        assert f"{HOST}/tone.wav" in entry.message_text
        assert {sound for sound in caller.heard().sounds if sound != SILENCE} == {1000}

    play(story)


@pytest.mark.parametrize("verb", ["<Play/>", "<Play>gopher://nowhere/x.wav</Play>"])
def test_a_play_of_nothing_is_told_and_passed_over(verb: str) -> None:
    async def story(story: Story) -> None:
        await plays(story, verb)
        assert await story.codes() == [11100]

    play(story)


@pytest.mark.parametrize(("verb", "code"), [("<Say>400 Hz for 300.0 s</Say>", 13520), (f"<Play>{HOST}/tone.wav</Play>", 13420)])
def test_a_sound_for_which_there_is_no_room_is_told_and_the_document_goes_on(verb: str, code: int) -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/tone.wav", wav(400, seconds=300))
        await plays(story, verb)
        assert await story.codes() == [code]

    play(story)


def test_an_answer_of_audio_for_which_there_is_no_room_is_a_failed_document() -> None:
    async def story(story: Story) -> None:
        await story.changes_number(voice_fallback_url="/fallback")
        story.tenant.on("/voice", wav(400, seconds=300))
        story.tenant.on("/fallback", END)
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        assert (await story.tenant.asked("/fallback"))["ErrorCode"] == "13420"
        await caller.hears(1000)

    play(story)


# --- Play with digits


def test_play_digits_sends_keys_to_the_caller() -> None:
    async def story(story: Story) -> None:
        caller = await plays(story, spoken(400) + "<Play digits='12*#D'/>")
        assert caller.ear.digits == list("12*#D")
        assert not await story.notifications()

    play(story)


def test_play_digits_as_the_first_verb_waits_for_the_ack() -> None:
    async def story(story: Story) -> None:
        caller = await plays(story, "<Play digits='42'/>")
        assert caller.ear.digits == ["4", "2"]

    play(story)


def test_w_in_digits_is_half_a_second_and_upper_case_w_a_whole_one() -> None:
    async def story(story: Story) -> None:
        caller = await plays(story, spoken(400) + "<Play digits='1wWw2'/>")
        assert caller.ear.digits == ["1", "2"]
        first, second = caller.ear.digits_at
        assert second - first == pytest.approx(2.0, abs=0.4)

    play(story)


def test_play_with_digits_and_a_url_sends_the_keys_and_then_plays() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/tone.wav", wav(600))
        caller = await plays(story, spoken(400) + f"<Play digits='7'>{HOST}/tone.wav</Play>")
        assert caller.ear.digits == ["7"]
        assert caller.ear.digits_at[0] < next(run.since for run in caller.heard().runs if run.sound == 600)

    play(story)


def test_digits_that_are_none_are_warned_of() -> None:
    async def story(story: Story) -> None:
        await plays(story, spoken(400) + "<Play digits='12x'/>")
        assert set(await story.codes()) == {13430, 11100}

    play(story)


# --- Pause


@pytest.mark.parametrize(("length", "seconds"), [("", 1), ("length='3'", 3), ("length='0'", 0)])
def test_pause_is_so_many_seconds_of_silence(length: str, seconds: int) -> None:
    async def story(story: Story) -> None:
        caller = await plays(story, spoken(400) + f"<Pause {length}/>")
        assert caller.heard().seconds_of(SILENCE) == pytest.approx(seconds, abs=0.05)

    play(story)


@pytest.mark.parametrize("length", ["long", "-1"])
def test_a_pause_of_no_length_is_warned_of(length: str) -> None:
    async def story(story: Story) -> None:
        await plays(story, spoken(400) + f"<Pause length='{length}'/>")
        assert [(entry.error_code, entry.log) for entry in await story.notifications()] == [(13910, 1)]

    play(story)
