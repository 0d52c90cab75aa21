"""No counter of SRTP is used for two packets under one key, at whatever line of our code a worker is killed."""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from harness.media_rig import OTHER, PEER, Rig
from harness.srtp_peer import KEY_BYTES, SALT_BYTES, Direction
from hypothesis import given, settings
from hypothesis import strategies as st

from waitline.media import messages
from waitline.media.rtp import RtpPacket
from waitline.media.srtp import AHEAD, REPORTS_AHEAD

SUITE = "AES_CM_128_HMAC_SHA1_80"
TAG_BYTES = 10
FIRST = 100

steps = st.one_of(
    st.tuples(st.just("play"), st.integers(1, 2)),
    st.tuples(st.just("digits"), st.integers(1, 2)),
    st.tuples(st.just("bridge")),
    st.tuples(st.just("unbridge")),
    st.tuples(st.just("talk"), st.integers(1, 2), st.integers(1, 30), st.sampled_from([1, 1, 40, 2000])),
    st.tuples(st.just("hold"), st.integers(1, 2)),
    st.tuples(st.just("time"), st.integers(1, 16)),
    st.tuples(st.just("time"), st.integers(1500, 3000)),
)


class Killed(BaseException):
    """The worker is gone, in the middle of a line's work."""


@contextmanager
def killed_after(lines: int) -> Iterator[None]:
    """Kill whatever is done within when so many lines of the media code have been run."""
    left = lines

    def trace(frame: FrameType, event: str, _arg: object) -> Callable[..., Any] | None:
        nonlocal left
        if "waitline/media/" not in frame.f_code.co_filename:
            return None
        if event == "line":
            left -= 1
            if left < 0:
                raise Killed
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def key(leg: int, first: int) -> str:
    length = KEY_BYTES[SUITE] + SALT_BYTES[SUITE]
    return base64.b64encode(bytes((leg * 7 + first + byte) % 256 for byte in range(length))).decode()


class Calls:
    """Two encrypted legs, whose phones are encrypted too."""

    def __init__(self) -> None:
        self.rig = Rig()
        self.says = {leg: Direction(SUITE, base64.b64decode(key(leg, 50))) for leg in (1, 2)}
        self.sequence = {1: 0, 2: 0}
        for leg, peer in ((1, PEER), (2, OTHER)):
            self.rig.open(leg, peer=peer, start=False)
            self.rig.table.command(messages.SetKeys(1, leg, SUITE, key(leg, 1), key(leg, 50)))
            self.rig.table.command(messages.StartAudio(1, leg))

    def do(self, step: tuple[Any, ...]) -> None:
        rig = self.rig
        match step:
            case "play", leg:
                rig.play((10, 3, 0), (20, 2, 1), leg=leg)
            case "digits", leg:
                rig.token += 1
                rig.table.command(messages.SendDigits(1, leg, rig.token, "12"))
            case ("bridge",):
                rig.bridge()
            case ("unbridge",):
                rig.table.command(messages.Unbridge(1, 1))
            case "hold", leg:
                rig.set_media(leg, peer=(PEER, OTHER)[leg - 1], direction="recvonly")
            case "talk", leg, count, lost:
                self.talk(leg, count, lost)
            case "time", ticks:
                rig.run(ticks)

    def talk(self, leg: int, count: int, lost: int) -> None:
        """Say something at twice the usual rate, a part of which the network loses."""
        for _ in range(count):
            self.sequence[leg] += lost
            number = self.sequence[leg]
            packet = bytes(RtpPacket(0, number & 0xFFFF, 80 * number, 0xA0 + leg, b"\x44" * 80))
            self.rig.receive(leg, self.says[leg].seal(packet, number >> 16), source=(PEER, OTHER)[leg - 1])
            self.rig.run(2)

    def counters(self) -> list[tuple[int, str, int]]:
        """Return the counter of each packet that went out: far fewer than come to a roll-over, but for losses."""
        return [
            (sent.leg, "rtcp", int.from_bytes(sent.data[-TAG_BYTES - 4 : -TAG_BYTES]) & 0x7FFFFFFF)
            if sent.is_rtcp
            else (sent.leg, "rtp", int.from_bytes(sent.data[2:4]))
            for sent in self.rig.wire.sent
        ]


@settings(deadline=None, max_examples=40)
@given(st.lists(steps, min_size=1, max_size=5), st.data())
def test_no_counter_is_used_twice_wherever_a_worker_is_killed(story: list[tuple[Any, ...]], data: st.DataObject) -> None:
    calls = Calls()
    death, lines = data.draw(st.integers(0, len(story) - 1)), data.draw(st.integers(0, 400))
    for number, step in enumerate(story):
        try:
            if number == death:
                with killed_after(lines):
                    calls.do(step)
            else:
                calls.do(step)
        except Killed:
            calls.rig.succeed(after=data.draw(st.integers(0, 100)))
            calls.do(step)  # the batch in hand, and whatever comes next
    for step in (("talk", 1, 3, 1), ("digits", 2), ("time", 1600)):
        calls.do(step)
    counters = calls.counters()
    assert len(set(counters)) == len(counters)


def heard_numbers(calls: Calls, leg: int) -> list[int]:
    return [sent.rtp.sequence for sent in calls.rig.sent(leg)]


def test_the_leap_after_a_death_is_no_longer_than_what_was_promised() -> None:
    calls = Calls()
    calls.rig.frames(10)
    calls.rig.run(1600)
    reports = len(calls.rig.rtcp(1))
    before = len(calls.rig.sent(1))
    calls.rig.succeed()
    calls.rig.run(1600)
    sequences = heard_numbers(calls, 1)
    assert sequences[0] == FIRST
    assert 1 <= sequences[before] - sequences[before - 1] <= AHEAD + 1
    indexes = [index for leg, kind, index in calls.counters() if (leg, kind) == (1, "rtcp")]
    assert reports >= 1
    assert 1 <= indexes[reports] - indexes[reports - 1] <= REPORTS_AHEAD + 1


def test_an_encrypted_stream_is_whole_when_a_worker_leaves_in_order() -> None:
    calls = Calls()
    calls.rig.frames(10)
    calls.rig.table.settle()
    calls.rig.succeed()
    calls.rig.frames(10)
    assert heard_numbers(calls, 1) == list(range(FIRST, FIRST + 20))


def test_an_encrypted_talk_is_whole_when_a_worker_leaves_in_order() -> None:
    calls = Calls()
    calls.do(("bridge",))
    calls.talk(1, 90, 1)
    calls.rig.table.settle()
    calls.rig.succeed()
    calls.talk(1, 30, 1)
    sequences = heard_numbers(calls, 2)
    assert sequences == list(range(FIRST, FIRST + len(sequences)))
    assert len(sequences) >= 120


def test_a_leg_that_is_handed_over_goes_on_with_the_very_next_counters() -> None:
    calls = Calls()
    calls.rig.run(1600)
    calls.rig.table.command(messages.HandOver(1, 1))
    [handed] = messages.decode(messages.encode(list(calls.rig.reported(messages.HandedOver))))
    assert isinstance(handed, messages.HandedOver)
    calls.rig.table = Rig().table
    calls.rig.table._wire = calls.rig.wire
    calls.rig.wire.table = calls.rig.table
    calls.rig.table.command(messages.TakeOver(1, 1, handed.row))
    calls.rig.run(1600)
    sequences = heard_numbers(calls, 1)
    assert sequences == list(range(FIRST, FIRST + len(sequences)))
    reports = [index for leg, kind, index in calls.counters() if (leg, kind) == (1, "rtcp")]
    assert reports == list(range(1, len(reports) + 1))
    assert len(reports) >= 2


def test_a_new_key_begins_anew_whatever_was_promised_of_the_one_before() -> None:
    calls = Calls()
    calls.rig.frames(10)
    peer = Direction(SUITE, base64.b64decode(key(1, 99)))
    leg = calls.rig.table.legs[1]
    assert leg.srtp is not None
    leg.srtp.sealer.lead_to(0x5_0000 + leg.sequence, 0)
    leg.srtp.sealer.settle()
    calls.rig.table.command(messages.SetKeys(1, 1, SUITE, key(1, 99), key(1, 50)))
    calls.rig.succeed()
    calls.rig.frames(3)
    assert [peer.open(sent.data)[12] for sent in calls.rig.sent(1)[10:]] == [0, 0, 0]
    assert peer.index is not None
    assert peer.index < 0x10000, "no roll-overs"
