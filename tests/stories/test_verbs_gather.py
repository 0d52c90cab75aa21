"""Gather: keys from the caller (platform contract 3.2)."""

from __future__ import annotations

import pytest
from harness.story import NUMBER, Story, play
from harness.story_ear import MUSIC, SILENCE
from harness.story_phone import Phone
from harness.story_tenant import HOST, Answer, Asked, document, spoken, wav

LONG = spoken(400, seconds=10)
NO_KEYS = spoken(1000, seconds=0.5)
"""What follows the Gather."""


async def meets(story: Story, gather: str, *, reply: str = "<Pause length='1'/>") -> Phone:
    """A caller whose document is that Gather, with a mark behind it; ``/keys`` is answered with ``reply``."""
    story.tenant.on("/voice", gather + NO_KEYS)
    story.tenant.on("/keys", reply)
    caller = story.phone("alice")
    await caller.calls(NUMBER)
    await story.passes(0.1)
    return caller


async def digits(story: Story, *, within: float = 30.0) -> str:
    return (await story.tenant.asked("/keys", within=within))["Digits"]


async def goes_on(caller: Phone, *, within: float = 10.0) -> float:
    """When the verb behind the Gather is heard."""
    return await caller.hears(1000, within=within)


# --- what ends it


def test_num_digits_keys_end_it_at_once() -> None:
    async def story(story: Story) -> None:
        caller = await meets(story, "<Gather action='/keys' numDigits='3'/>")
        caller.presses("123")
        assert await digits(story, within=1) == "123"
        await story.passes(1)
        assert len(story.tenant.asked_for("/keys")) == 1

    play(story)


def test_keys_beyond_num_digits_are_not_part_of_it() -> None:
    async def story(story: Story) -> None:
        caller = await meets(story, "<Gather action='/keys' numDigits='2'/>")
        caller.presses("12345")
        assert await digits(story) == "12"

    play(story)


def test_the_finishing_key_ends_it_and_is_not_part_of_it() -> None:
    async def story(story: Story) -> None:
        caller = await meets(story, "<Gather action='/keys'/>")
        caller.presses("12#")
        assert await digits(story, within=1) == "12"

    play(story)


@pytest.mark.parametrize(("finish", "pressed", "got"), [("*", "1#2*", "1#2"), ("59", "125", "12"), ("", "1#*2", "1#*2")])
def test_any_keys_may_be_the_finishing_ones_or_none(finish: str, pressed: str, got: str) -> None:
    async def story(story: Story) -> None:
        caller = await meets(story, f"<Gather action='/keys' finishOnKey='{finish}' timeout='2'/>")
        caller.presses(pressed)
        assert await digits(story) == got

    play(story)


def test_the_finishing_key_alone_is_no_input() -> None:
    async def story(story: Story) -> None:
        caller = await meets(story, f"<Gather action='/keys'>{LONG}</Gather>")
        caller.presses("#")
        assert await goes_on(caller, within=1) < 1
        assert not story.tenant.asked_for("/keys")

    play(story)


def test_the_timeout_counts_anew_from_each_key() -> None:
    async def story(story: Story) -> None:
        caller = await meets(story, "<Gather action='/keys' timeout='3'/>")
        for key in "123":
            caller.presses(key)
            await story.passes(2.5)
        assert (await story.tenant.asked("/keys"))["Digits"] == "123"
        assert story.now() == pytest.approx(0.1 + 5.0 + 3.0, abs=0.2)

    play(story)


def test_without_keys_the_next_verb_runs_after_the_default_timeout_of_five_seconds() -> None:
    async def story(story: Story) -> None:
        caller = await meets(story, "<Gather action='/keys'/>")
        assert await goes_on(caller) == pytest.approx(5, abs=0.1)
        assert not story.tenant.asked_for("/keys")

    play(story)


def test_the_timeout_begins_when_the_sounds_have_ended() -> None:
    async def story(story: Story) -> None:
        sounds = spoken(400, seconds=2) + "<Pause length='1'/>" + spoken(600, seconds=2)
        caller = await meets(story, f"<Gather action='/keys' timeout='3'>{sounds}</Gather>")
        assert await goes_on(caller) == pytest.approx(5 + 3, abs=0.1)
        assert caller.heard().sounds[:4] == [400, SILENCE, 600, SILENCE]

    play(story)


def test_a_timeout_of_zero_takes_only_what_comes_during_the_sounds() -> None:
    async def story(story: Story) -> None:
        caller = await meets(story, f"<Gather action='/keys' timeout='0'>{spoken(400, seconds=2)}</Gather>")
        assert await goes_on(caller) == pytest.approx(2, abs=0.1)

    play(story)


def test_an_empty_result_is_told_where_it_is_wanted() -> None:
    async def story(story: Story) -> None:
        await meets(story, "<Gather action='/keys' timeout='1' actionOnEmptyResult='true'/>")
        assert await digits(story) == ""

    play(story)


# --- sounds


def test_the_first_key_cuts_the_sounds_off() -> None:
    async def story(story: Story) -> None:
        caller = await meets(story, f"<Gather action='/keys' numDigits='2'>{LONG}{spoken(600)}</Gather>")
        await story.passes(1)
        caller.presses("1")
        await story.passes(0.5)
        assert caller.hears_now == SILENCE
        assert 1.0 < caller.heard().seconds_of(400) < 1.3
        caller.presses("2")
        assert await digits(story, within=1) == "12"
        assert 600 not in caller.heard().sounds

    play(story)


def test_say_play_and_pause_may_be_nested_and_nothing_else() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/tone.wav", wav(600))
        nested = spoken(400) + f"<Play>{HOST}/tone.wav</Play><Pause/>" + "<Redirect>/keys</Redirect>"
        caller = await meets(story, f"<Gather timeout='1'>{nested}</Gather>")
        await goes_on(caller)
        assert caller.heard().sounds[:3] == [400, 600, SILENCE]
        assert [(entry.error_code, entry.log) for entry in await story.notifications()] == [(13320, 1)]

    play(story)


def test_nested_sounds_follow_each_other_without_a_gap() -> None:
    async def story(story: Story) -> None:
        caller = await meets(story, f"<Gather timeout='1'>{spoken(400)}{spoken(600)}{spoken(800)}</Gather>")
        await goes_on(caller)
        assert [run.sound for run in caller.heard(0.01).runs][:3] == [400, 600, 800]

    play(story)


def test_a_sound_that_cannot_be_had_does_not_end_the_gather() -> None:
    async def story(story: Story) -> None:
        caller = await meets(story, f"<Gather action='/keys' timeout='2'><Play>{HOST}/none.wav</Play>{spoken(400)}</Gather>")
        await caller.hears(400)
        caller.presses("7#")
        assert await digits(story) == "7"

    play(story)


def test_keys_count_while_a_file_is_still_being_fetched() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/tone.wav", wav(600, after_s=5))
        caller = await meets(story, f"<Gather action='/keys' numDigits='1'><Play>{HOST}/tone.wav</Play></Gather>")
        caller.presses("7")
        assert await digits(story, within=1) == "7"

    play(story)


# --- the action


def test_without_an_action_the_current_document_is_asked_again_with_the_keys() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", lambda asked: spoken(600) if "Digits" in asked else document("<Gather numDigits='1'/>"))
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        caller.presses("4")
        assert (await story.tenant.asked("/voice", count=2))["Digits"] == "4"
        await caller.hears(600)

    play(story)


def test_the_action_may_be_asked_by_get() -> None:
    async def story(story: Story) -> None:
        caller = await meets(story, "<Gather action='/keys?step=2' method='GET' numDigits='1'/>")
        caller.presses("4")
        asked = await story.tenant.asked("/keys")
        assert (asked.method, asked["Digits"], asked["step"]) == ("GET", "4", "2")
        assert asked["CallStatus"] == "in-progress"

    play(story)


def test_the_reply_of_the_action_takes_over() -> None:
    async def story(story: Story) -> None:
        caller = await meets(story, "<Gather action='/keys' numDigits='1'/>", reply=spoken(600))
        caller.presses("4")
        await caller.hears(600)
        await caller.is_hung_up_on()
        assert 1000 not in caller.heard().sounds

    play(story)


def test_a_failed_action_is_asked_at_the_fallback_with_the_keys() -> None:
    async def story(story: Story) -> None:
        await story.changes_number(voice_fallback_url="/fallback")
        story.tenant.on("/fallback", spoken(800))
        caller = await meets(story, "<Gather action='/keys' numDigits='1'/>")
        story.tenant.on("/keys", Answer(status=500))
        caller.presses("4")
        asked = await story.tenant.asked("/fallback")
        assert (asked["Digits"], asked["ErrorCode"], asked["ErrorUrl"]) == ("4", "11200", f"{HOST}/keys")
        await caller.hears(800)

    play(story)


# --- keys before and between


def test_keys_typed_ahead_serve_the_gather_of_the_reply() -> None:
    async def story(story: Story) -> None:
        def reply(asked: Asked) -> Answer:
            more = "<Pause/>" if len(asked["Digits"]) == 4 else f"<Gather action='/keys' numDigits='4'>{LONG}</Gather>"
            return Answer(body=document(more), after_s=0.5)

        caller = await meets(story, "<Gather action='/keys' numDigits='1'/>")
        story.tenant.on("/keys", reply)
        caller.presses("17890")
        assert (await story.tenant.asked("/keys"))["Digits"] == "1"
        assert (await story.tenant.asked("/keys", count=2, within=2))["Digits"] == "7890"
        assert 400 not in caller.heard().sounds

    play(story)


def test_keys_pressed_while_another_verb_runs_are_not_for_a_later_gather() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", spoken(400, seconds=2) + "<Gather action='/keys' timeout='2'/>" + NO_KEYS)
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        await story.passes(1)
        caller.presses("5")
        assert await goes_on(caller) == pytest.approx(4, abs=0.1)
        assert not story.tenant.asked_for("/keys")

    play(story)


# --- how keys arrive


def test_keys_count_once_with_all_their_packets_doubled() -> None:
    async def story(story: Story) -> None:
        caller = await meets(story, "<Gather action='/keys' finishOnKey='#'/>")
        caller.doubles_packets = True
        caller.presses("1123#")
        assert await digits(story) == "1123"

    play(story)


def test_keys_count_without_a_marker_and_with_a_lost_beginning_or_end() -> None:
    async def story(story: Story) -> None:
        caller = await meets(story, "<Gather action='/keys' finishOnKey='#'/>")
        caller.loses_packets = lambda number: number in (0, 3, 4)
        caller.presses("1123#", gap_s=0.3)
        assert await digits(story) == "1123"

    play(story)


def test_a_key_without_any_end_counts_when_it_has_been_silent_for_a_moment() -> None:
    async def story(story: Story) -> None:
        caller = await meets(story, "<Gather action='/keys' numDigits='1'/>")
        caller.loses_packets = lambda number: number >= 2
        caller.presses("6")
        assert await digits(story, within=1) == "6"

    play(story)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/dtmf-relay", "Signal={}\r\nDuration=160\r\n"),
        ("application/dtmf-relay; charset=utf-8", "signal = {}\r\n"),
        ("application/dtmf", "{}"),
    ],
)
def test_keys_in_sip_info_count(kind: str, body: str) -> None:
    async def story(story: Story) -> None:
        caller = await meets(story, "<Gather action='/keys' finishOnKey='#'/>")
        for key in ("1", "2", "*", "11"):
            caller.send("INFO", body=body.format(key), headers=(("Content-Type", kind),))
        assert await digits(story, within=1) == "12*"
        await story.passes(0.01)  # an answer goes out when the key it confirms is durable
        assert caller.count(lambda m: m.status == 200 and m.method == "INFO") == 4

    play(story)


@pytest.mark.parametrize("body", ["", "Signal=\r\n", "Signal=x\r\n", "Duration=160", "Signal=12\r\n"])
def test_sip_info_that_holds_no_key_is_answered_and_ignored(body: str) -> None:
    async def story(story: Story) -> None:
        caller = await meets(story, "<Gather action='/keys' timeout='1'/>")
        caller.send("INFO", body=body, headers=(("Content-Type", "application/dtmf-relay"),))
        await goes_on(caller)
        assert caller.count(lambda m: m.status == 200 and m.method == "INFO") == 1

    play(story)


def test_keys_in_sip_info_are_ignored_where_the_operator_wants_it_so() -> None:
    async def story(story: Story) -> None:
        caller = await meets(story, "<Gather action='/keys' timeout='1'/>")
        caller.send("INFO", body="Signal=1\r\n", headers=(("Content-Type", "application/dtmf-relay"),))
        await goes_on(caller)

    play(story, sip_info_digits=False)


# --- what is wrong with it


@pytest.mark.parametrize(
    ("attribute", "code"),
    [
        ("timeout='soon'", 13313),
        ("numDigits='0'", 13314),
        ("finishOnKey='x'", 13310),
        ("method='PUT'", 13312),
        ("actionOnEmptyResult='maybe'", 13338),
        ("input='telepathy'", 13335),
        ("colour='red'", 12200),
        ("input='dtmf speech'", 12200),
    ],
)
def test_an_attribute_that_cannot_be_used_is_warned_of_and_keys_are_taken(attribute: str, code: int) -> None:
    async def story(story: Story) -> None:
        caller = await meets(story, f"<Gather action='/keys' {attribute}/>")
        caller.presses("1#")
        assert await digits(story) == "1"
        assert [(entry.error_code, entry.log) for entry in await story.notifications()] == [(code, 1)]

    play(story)


def test_a_gather_of_speech_takes_keys_and_warns_once() -> None:
    async def story(story: Story) -> None:
        caller = await meets(story, "<Gather action='/keys' input='speech' numDigits='1'/>")
        caller.presses("1")
        assert await digits(story) == "1"
        assert len(await story.notifications()) == 1

    play(story)


# --- in a wait document


def test_a_key_in_a_wait_document_leads_to_its_action_which_is_a_wait_document_too() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", "<Enqueue waitUrl='/wait'>support</Enqueue>")
        story.tenant.on("/wait", f"<Gather action='/keys' numDigits='1'>{LONG}</Gather>")
        story.tenant.on("/keys", spoken(600, seconds=3))
        caller = await story.caller_waits("alice")
        await caller.hears(400)
        caller.presses("1")
        asked = await story.tenant.asked("/keys")
        assert (asked["Digits"], asked["QueuePosition"]) == ("1", "1")
        await caller.hears(600)
        await caller.hears(400, within=10)

    play(story)


def test_a_caller_in_a_queue_who_pressed_a_key_is_not_left_in_silence_by_a_slow_action() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", "<Enqueue waitUrl='/wait'>support</Enqueue>")
        story.tenant.on("/wait", f"<Gather action='/keys' numDigits='1'>{LONG}</Gather>")
        story.tenant.on("/keys", Answer(body=document(spoken(600)), after_s=10))
        caller = await story.caller_waits("alice")
        await caller.hears(400)
        caller.presses("1")
        pressed = story.now()
        await caller.hears(MUSIC, within=3)
        await caller.hears(600, within=15)
        assert caller.heard(pressed).longest_silence_s < 2.1

    play(story)


def test_a_gather_without_sounds_in_a_wait_document_does_not_silence_the_music() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", "<Enqueue waitUrl='/wait'>support</Enqueue>")
        story.tenant.on("/wait", "<Gather action='/keys' timeout='20'/>")
        caller = await story.caller_waits("alice")
        await story.passes(60)
        assert caller.heard(2).sounds == [MUSIC]

    play(story)
