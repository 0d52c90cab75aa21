"""Digits as RTP events (RFC 4733).

Receiving: an event is known by its SSRC and timestamp, which all its packets share. The marker bit is welcome and not needed (gateways
lose it). The end is sent three times and any of them may be lost: a digit is reported once, at its first end packet, or when the next
event begins, or when no packet of it has come for ``SILENT_TICKS``. What arrives late of an event that was reported is ignored.

Sending: a tone of ``TONE_FRAMES``, its duration growing by a frame in each packet, then three end packets, then a gap. ``w`` and ``W``
are pauses of 0.5 and 1 s. ``DigitSender.step`` says what each 20 ms frame holds; the table gives it sequence numbers and timestamps.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

from waitline.media.rtp import FRAME_SAMPLES, Buffer, is_after

EVENT = struct.Struct("!BBH")
"""event, end bit and volume, duration in timestamp units"""
DIGITS = "0123456789*#ABCD"
"""By event number (RFC 4733 §3.2)."""
END = 0x80
VOLUME = 10
"""dBm0 below zero; what phones send."""
SILENT_TICKS = 40
"""200 ms in ticks of 5 ms: an event that is heard of no more has ended, its end packets were lost."""
TONE_FRAMES = 6
END_PACKETS = 3
GAP_FRAMES = 3
PAUSE_FRAMES = {"w": 25, "W": 50}


class Pressed(NamedTuple):
    digit: str
    duration_ms: int


class DigitReceiver:
    """The events of one incoming stream."""

    __slots__ = ("_done", "_duration", "_event", "_key", "_total", "open", "seen_tick")

    def __init__(self) -> None:
        self.open = False
        """An event has begun and was not reported yet."""
        self.seen_tick = 0
        self._key = self._done = (-1, -1)
        self._event = self._duration = self._total = 0

    def packet(self, ssrc: int, timestamp: int, payload: Buffer, tick: int) -> list[Pressed]:
        """Take the payload of an event packet; return the digits that are complete by it: none, one, or two (an end that was lost)."""
        if len(payload) < EVENT.size:
            return []
        event, flags, duration = EVENT.unpack_from(payload)
        key = (ssrc, timestamp)
        if event >= len(DIGITS) or self._is_old(key):
            return []
        pressed: list[Pressed] = []
        if not self.open or key != self._key:
            pressed = self._begin(key, event)
        self.seen_tick = tick
        self._duration = max(self._duration, duration)
        if flags & END:
            pressed += self.finish()
        return pressed

    def expire(self, tick: int) -> list[Pressed]:
        """Return the open digit if nothing of it has come for SILENT_TICKS."""
        return self.finish() if self.open and tick - self.seen_tick >= SILENT_TICKS else []

    def dump(self) -> list[Any]:
        """Return what is known as plain values: for a successor, see ``restored``."""
        return [self.open, self.seen_tick, self._key, self._done, self._event, self._duration, self._total]

    @classmethod
    def restored(cls, dump: Sequence[Any]) -> DigitReceiver:
        """Return a receiver from ``dump``."""
        receiver = cls()
        receiver.open, receiver.seen_tick, key, done, receiver._event, receiver._duration, receiver._total = dump
        receiver._key, receiver._done = (key[0], key[1]), (done[0], done[1])
        return receiver

    def finish(self) -> list[Pressed]:
        """End the open digit, if there is one, and return it."""
        if not self.open:
            return []
        self.open = False
        self._done = self._key
        return [Pressed(DIGITS[self._event], (self._total + self._duration) // 8)]

    def _begin(self, key: tuple[int, int], event: int) -> list[Pressed]:
        if self._is_segment(key, event):
            self._total += self._duration
            pressed = []
        else:
            pressed = self.finish()
            self._total = 0
        self.open = True
        self._key, self._event, self._duration = key, event, 0
        return pressed

    def _is_segment(self, key: tuple[int, int], event: int) -> bool:
        """Tell whether this goes on with a key held for more than 8 s (RFC 4733 §2.5.1.3)."""
        ssrc, timestamp = self._key
        return self.open and event == self._event and self._duration == 0xFFFF and key == (ssrc, (timestamp + 0xFFFF) & 0xFFFFFFFF)

    def _is_old(self, key: tuple[int, int]) -> bool:
        """Tell whether this packet is of an event that was reported, or of one before it."""
        newest = self._key if self.open else self._done
        return key == self._done or (key[0] == newest[0] and key != newest and not is_after(key[1], newest[1], 32))


class Step(NamedTuple):
    """What one frame holds. Event -1: silence."""

    event: int
    duration: int
    first: bool
    end: bool


SILENT_STEP = Step(-1, 0, False, False)


class DigitSender:
    """Digits on their way out, a frame at a time. Characters that are neither digit nor pause are skipped."""

    __slots__ = ("_steps", "digits")

    def __init__(self, digits: str) -> None:
        self.digits = digits
        self._steps: list[Step] = []
        for character in reversed(digits):
            self._steps += reversed(_steps_of(character))

    def step(self) -> Step | None:
        """Return the next frame's step; None when all is sent."""
        return self._steps.pop() if self._steps else None

    def cut(self) -> None:
        """Send the digit that is under way to its end, and no more."""
        under_way: list[Step] = []
        while self._steps and self._steps[-1].event >= 0 and not self._steps[-1].first:
            under_way.append(self._steps.pop())
        self.digits = DIGITS[under_way[0].event] if under_way else ""
        self._steps = under_way[::-1]

    @property
    def left(self) -> int:
        """Steps that are still to be sent."""
        return len(self._steps)

    @classmethod
    def resumed(cls, digits: str, left: int) -> DigitSender:
        """Return a sender of which all but so many of the last steps are sent."""
        sender = cls(digits)
        del sender._steps[left:]
        return sender


def _steps_of(character: str) -> list[Step]:
    if character in PAUSE_FRAMES:
        return [SILENT_STEP] * PAUSE_FRAMES[character]
    event = DIGITS.find(character.upper())
    if event < 0:
        return []
    tone = [Step(event, FRAME_SAMPLES * (frame + 1), frame == 0, False) for frame in range(TONE_FRAMES)]
    end = [Step(event, FRAME_SAMPLES * TONE_FRAMES, False, True)] * END_PACKETS
    return tone + end + [SILENT_STEP] * GAP_FRAMES


def seconds_of(digits: str) -> float:
    """Return how long it takes to send them."""
    return 0.020 * sum(len(_steps_of(character)) for character in digits)


def event_payload(step: Step) -> bytes:
    """Return the four bytes of an event packet."""
    return EVENT.pack(step.event, (END if step.end else 0) | VOLUME, step.duration)
