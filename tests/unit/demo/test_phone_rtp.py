"""The demo phone's RTP: what it says and what it makes of what it gets."""

import struct
from random import Random

import numpy as np
import pytest
from harness.audio import decode, purity

from waitline.demo.phone_rtp import DIGITS, Ear, Mouth, parse

SILENT = b"\xff" * 160


def rtp(sequence, timestamp, payload=SILENT, *, payload_type=0, ssrc=1):
    return struct.pack("!BBHII", 0x80, payload_type, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc) + payload


def said(mouth, count):
    return [parse(mouth.packet(), 0.0) for _ in range(count)]


def test_a_mouth_says_silence_until_told_otherwise():
    first, second = said(Mouth(Random(1)), 2)
    assert first.payload == SILENT
    assert (second.sequence - first.sequence) & 0xFFFF == 1
    assert (second.timestamp - first.timestamp) & 0xFFFFFFFF == 160
    assert first.ssrc == second.ssrc


def test_the_first_packet_alone_bears_the_marker():
    mouth = Mouth(Random(1))
    assert [mouth.packet()[1] >> 7 for _ in range(3)] == [1, 0, 0]


def test_a_tone_goes_on_without_a_click_over_the_seam():
    mouth = Mouth(Random(1))
    mouth.talk(1175)
    heard = decode(b"".join(packet.payload for packet in said(mouth, 120)))
    assert purity(heard, 1175) > 0.99
    mouth.talk(0)
    assert said(mouth, 1)[0].payload == SILENT


def test_a_key_is_told_with_one_timestamp_and_three_ends():
    mouth = Mouth(Random(1))
    mouth.press("5")
    events = said(mouth, 8)
    assert {packet.payload_type for packet in events} == {101}
    assert len({packet.timestamp for packet in events}) == 1
    fields = [struct.unpack("!BBH", packet.payload) for packet in events]
    assert {digit for digit, _, _ in fields} == {DIGITS.index("5")}
    assert [flags >> 7 for _, flags, _ in fields] == [0, 0, 0, 0, 0, 1, 1, 1]
    assert [duration for _, _, duration in fields] == [160, 320, 480, 640, 800, 800, 800, 800]


def test_between_two_keys_there_is_a_pause_and_then_another_timestamp():
    mouth = Mouth(Random(1))
    mouth.press("19")
    packets = said(mouth, 26)
    keys = {packet.timestamp for packet in packets if packet.payload_type == 101}
    assert len(keys) == 2
    assert [packet.payload_type for packet in packets] == [101] * 8 + [0] * 5 + [101] * 8 + [0] * 5
    assert said(mouth, 1)[0].payload_type == 0


def test_what_is_no_key_is_not_pressed():
    mouth = Mouth(Random(1))
    mouth.press("x")
    assert said(mouth, 1)[0].payload_type == 0


@pytest.mark.parametrize("data", [b"", b"\x80" * 11, b"\x00" * 20, struct.pack("!BBHI", 0x80, 200, 1, 2) + b"\x00" * 8])
def test_what_is_not_rtp_is_not_taken(data):
    assert parse(data, 0.0) is None
    assert Ear().take(data, 0.0) is None


def test_csrcs_an_extension_and_padding_are_no_sound():
    header = struct.pack("!BBHII", 0x80 | 0x20 | 0x10 | 1, 0, 1, 2, 3) + b"\x00" * 4 + struct.pack("!HH", 1, 1) + b"\x00" * 4
    packet = parse(header + b"\x11\x22" + b"\x00\x00\x03", 0.0)
    assert packet is not None
    assert packet.payload == b"\x11\x22"


def test_an_ear_counts_packets_gaps_and_what_is_missing():
    ear = Ear()
    for sequence, at in ((65534, 0.0), (65535, 0.02), (1, 0.06), (2, 0.08)):
        ear.take(rtp(sequence, sequence * 160), at)
    assert ear.figures() == {
        "packets": 4, "per_second": 37.5, "missing": 1, "longest_gap_ms": 40.0, "first_at": 0.0, "last_at": 0.08
    }  # fmt: skip


def test_a_packet_out_of_order_is_not_a_packet_missing():
    ear = Ear()
    for sequence in (1, 3, 2):
        ear.take(rtp(sequence, sequence * 160), 0.0)
    assert ear.figures()["missing"] == 1  # the step from 1 to 3; the step back counts nothing


def test_an_ear_that_got_nothing_has_figures_all_the_same():
    assert Ear().figures()["packets"] == 0
    assert len(Ear().sound()) == 0


def test_digits_of_the_other_side_are_no_sound():
    assert Ear().take(rtp(1, 0, b"\x05\x0a\x00\xa0", payload_type=101), 0.0) is None


def test_missing_sound_is_silence_of_its_length():
    ear = Ear()
    loud = b"\x00" * 160
    ear.take(rtp(1, 0, loud), 0.0)
    ear.take(rtp(3, 320, loud), 0.04)
    heard = ear.sound()
    assert len(heard) == 480
    assert not np.any(heard[160:320])


def test_another_stream_follows_without_a_hole():
    ear = Ear()
    ear.take(rtp(1, 0), 0.0)
    ear.take(rtp(9, 4_000_000, ssrc=2), 0.02)
    ear.take(rtp(10, 5_000_000, ssrc=2), 0.04)
    assert len(ear.sound()) == 480
