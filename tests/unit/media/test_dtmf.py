"""Digits as RTP events, in all the ways that networks and phones get them wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitline.media.dtmf import EVENT, SILENT_TICKS, DigitReceiver, DigitSender, Pressed, event_payload


def packet(event, duration, *, end=False):
    return EVENT.pack(event, 0x8A if end else 0x0A, duration)


def press(receiver, event, timestamp, *, ssrc=1, ends=3, tick=0):
    pressed = []
    for duration in (160, 320, 480):
        pressed += receiver.packet(ssrc, timestamp, packet(event, duration), tick)
    for _ in range(ends):
        pressed += receiver.packet(ssrc, timestamp, packet(event, 640, end=True), tick)
    return pressed


def test_a_digit_is_reported_once_at_its_first_end():
    assert press(DigitReceiver(), 5, 1000) == [Pressed("5", 80)]


def test_all_sixteen_events_have_their_digit():
    receiver = DigitReceiver()
    heard = [digit for event in range(16) for digit, _ in press(receiver, event, 1000 * event)]
    assert "".join(heard) == "0123456789*#ABCD"


def test_a_flash_is_no_digit():
    assert press(DigitReceiver(), 16, 1000) == []


def test_the_same_digit_twice_is_two_digits():
    receiver = DigitReceiver()
    assert press(receiver, 1, 1000) + press(receiver, 1, 3000) == [Pressed("1", 80)] * 2


def test_a_digit_whose_ends_are_lost_is_reported_when_the_next_begins():
    receiver = DigitReceiver()
    assert press(receiver, 1, 1000, ends=0) == []
    assert press(receiver, 2, 3000) == [Pressed("1", 60), Pressed("2", 80)]


def test_a_digit_whose_ends_are_lost_is_reported_after_a_silence():
    receiver = DigitReceiver()
    press(receiver, 1, 1000, ends=0, tick=100)
    assert receiver.expire(100 + SILENT_TICKS - 1) == []
    assert receiver.expire(100 + SILENT_TICKS) == [Pressed("1", 60)]
    assert receiver.packet(1, 1000, packet(1, 640, end=True), 200) == []


def test_an_end_alone_is_a_digit():
    assert DigitReceiver().packet(1, 1000, packet(9, 800, end=True), 0) == [Pressed("9", 100)]


def test_a_packet_of_the_digit_before_that_comes_late_is_ignored():
    receiver = DigitReceiver()
    press(receiver, 1, 1000)
    press(receiver, 2, 3000, ends=0)
    assert receiver.packet(1, 1000, packet(1, 640, end=True), 0) == []
    assert receiver.packet(1, 3000, packet(2, 640, end=True), 0) == [Pressed("2", 80)]


def test_another_ssrc_may_use_an_older_timestamp():
    receiver = DigitReceiver()
    press(receiver, 1, 100000)
    assert press(receiver, 1, 5, ssrc=2) == [Pressed("1", 80)]


def test_a_key_held_for_more_than_eight_seconds_is_one_digit():
    receiver = DigitReceiver()
    receiver.packet(1, 0, packet(7, 0xFFFF), 0)
    receiver.packet(1, 0xFFFF, packet(7, 160), 1)
    assert receiver.packet(1, 0xFFFF, packet(7, 801, end=True), 2) == [Pressed("7", (0xFFFF + 801) // 8)]


def test_a_short_payload_is_ignored():
    assert DigitReceiver().packet(1, 0, b"\x01\x8a", 0) == []


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2**32 - 1), st.binary(max_size=6), st.integers(0, 500)), max_size=30))
def test_any_payloads_report_each_event_at_most_once(packets):
    receiver = DigitReceiver()
    pressed = [digit for ssrc, timestamp, payload, tick in packets for digit in receiver.packet(ssrc, timestamp, payload, tick)]
    assert len(pressed) <= len(packets)


@given(st.lists(st.sampled_from("0123456789*#"), max_size=5), st.randoms(use_true_random=False), st.sampled_from([0.0, 0.05, 0.2]))
def test_no_digit_doubles_whatever_is_lost_doubled_or_swapped(digits, random, loss):
    packets = []
    for number, digit in enumerate(digits):
        event, timestamp = "0123456789*#".index(digit), 2000 * number
        packets += [(timestamp, packet(event, 160 * (1 + n))) for n in range(5)] + [(timestamp, packet(event, 960, end=True))] * 3
    packets = [item for item in packets if random.random() >= loss for _ in range(random.choice([1, 1, 2]))]
    for index in range(len(packets) - 1):
        if random.random() < 0.1:
            packets[index], packets[index + 1] = packets[index + 1], packets[index]
    receiver = DigitReceiver()
    heard = [pressed.digit for timestamp, payload in packets for pressed in receiver.packet(1, timestamp, payload, 0)]
    heard += [pressed.digit for pressed in receiver.finish()]
    remaining = iter(digits)
    assert all(digit in remaining for digit in heard)  # a subsequence: nothing doubled, nothing out of order
    if not loss:
        assert heard == digits


def test_a_sent_digit_is_a_tone_three_ends_and_a_gap():
    sender = DigitSender("5")
    steps = list(iter(sender.step, None))
    assert [(step.duration, step.first, step.end) for step in steps if step.event == 5] == [
        (160, True, False), (320, False, False), (480, False, False), (640, False, False), (800, False, False), (960, False, False),
        (960, False, True), (960, False, True), (960, False, True),
    ]  # fmt: skip
    assert [step.event for step in steps[-3:]] == [-1, -1, -1]
    assert event_payload(steps[0]) == bytes.fromhex("050a00a0")
    assert event_payload(steps[8]) == bytes.fromhex("058a03c0")


@pytest.mark.parametrize(("text", "frames"), [("w", 25), ("W", 50), ("", 0), ("?", 0), ("a", 12)])
def test_pauses_and_odd_characters(text, frames):
    assert len(list(iter(DigitSender(text).step, None))) == frames


def test_a_cut_lets_the_digit_under_way_end_and_drops_the_rest():
    sender = DigitSender("12")
    sender.step()
    sender.cut()
    rest = list(iter(sender.step, None))
    assert len(rest) == 8
    assert {step.event for step in rest} == {1}
    assert rest[-1].end
