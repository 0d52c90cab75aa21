"""What a story's phone hears: each 20 ms frame of received RTP named by its sound, in virtual time.

The tones of stories are multiples of 50 Hz, so that every frame holds whole periods and one frame is enough to tell them apart. The
platform's own sounds (default music, ringing) are known by their frames. Where no packet came, there was silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from harness.audio import FRAME, RATE, Pcm, decode, is_silent

FRAME_S = FRAME / RATE
SILENCE, MUSIC, RINGING, NOISE = "silence", "music", "ringing", "noise"
Sound = int | str
"""A tone's frequency in Hz, or one of the names above."""

Known = dict[bytes, Sound]
"""Payload → its sound: filled as frames are heard, shared by all phones of a story."""


class Frame(NamedTuple):
    at: float
    """When it arrived, seconds of the story."""
    sound: Sound
    payload: bytes


class Run(NamedTuple):
    """One sound, uninterrupted."""

    sound: Sound
    since: float
    seconds: float


def sound_of(pcm: Pcm) -> Sound:
    """Name a frame: silence, the tone it consists of, or noise."""
    if is_silent(pcm):
        return SILENCE
    spectrum = np.abs(np.fft.rfft(pcm.astype(np.float64))) ** 2
    best = int(np.argmax(spectrum))
    return best * RATE // FRAME if spectrum[best] > 0.8 * spectrum.sum() else NOISE


class Heard:
    """What was heard from ``since`` to ``until`` seconds."""

    def __init__(self, frames: Iterable[Frame], since: float, until: float) -> None:
        self.since, self.until = since, until
        self.frames = [frame for frame in frames if since <= frame.at < until]

    @property
    def runs(self) -> list[Run]:
        """Sound by sound; a place where no packet came for longer than two frames is silence."""
        found: list[Run] = []
        at = self.since
        for frame in self.frames:
            if frame.at - at > 2 * FRAME_S + 1e-6:
                _append(found, SILENCE, at, frame.at - at)
                at = frame.at
            _append(found, frame.sound, frame.at, FRAME_S)
            at = frame.at + FRAME_S
        if self.until - at > 2 * FRAME_S + 1e-6:
            _append(found, SILENCE, at, self.until - at)
        return found

    @property
    def sounds(self) -> list[Sound]:
        """The sounds in order, without those shorter than three frames."""
        long = [run.sound for run in self.runs if run.seconds > 2.5 * FRAME_S]
        return [sound for index, sound in enumerate(long) if not index or sound != long[index - 1]]

    @property
    def longest_silence_s(self) -> float:
        return round(max((run.seconds for run in self.runs if run.sound == SILENCE), default=0.0), 3)

    def seconds_of(self, sound: Sound) -> float:
        """How long a sound was heard, all in all."""
        return sum(run.seconds for run in self.runs if run.sound == sound)

    def __repr__(self) -> str:
        return "; ".join(f"{run.since:.2f}+{run.seconds:.2f} {run.sound}" for run in self.runs)


def _append(found: list[Run], sound: Sound, since: float, seconds: float) -> None:
    if found and found[-1].sound == sound:
        last = found.pop()
        found.append(last._replace(seconds=since + seconds - last.since))
    else:
        found.append(Run(sound, since, seconds))


class Ear:
    """Takes RTP packets; ``known`` are the sounds with a name of their own."""

    def __init__(self, now: Callable[[], float], known: dict[str, Known]) -> None:
        self._now = now
        self._known = known
        self.codec = "PCMU"
        self.frames: list[Frame] = []
        self.run = Run("nothing", 0.0, 0.0)
        """What is heard now, and since when"""
        self.digits: list[str] = []
        """RFC 4733 events received, each once"""
        self.digits_at: list[float] = []
        """When each of them began"""
        self.sequences: list[int] = []
        self._event_timestamp = -1
        self.on_frame: Callable[[Frame], None] = lambda _frame: None

    def take(self, packet: bytes) -> None:
        kind = packet[1] & 0x7F
        if 64 <= kind < 96:  # RTCP (RFC 5761)
            return
        self.sequences.append(int.from_bytes(packet[2:4], "big"))
        if kind == 101:
            self._take_event(packet)
            return
        payload = packet[12:]
        frame = Frame(self._now(), self._name(payload), payload)
        self.frames.append(frame)
        self._go_on(frame)
        self.on_frame(frame)

    def _go_on(self, frame: Frame) -> None:
        run = self.run
        if frame.sound == run.sound and frame.at - run.since - run.seconds < 2 * FRAME_S:
            self.run = Run(run.sound, run.since, frame.at + FRAME_S - run.since)
        else:
            self.run = Run(frame.sound, frame.at, FRAME_S)

    def _take_event(self, packet: bytes) -> None:
        timestamp = int.from_bytes(packet[4:8], "big")
        if timestamp != self._event_timestamp:
            self._event_timestamp = timestamp
            self.digits.append("0123456789*#ABCD"[packet[12]])
            self.digits_at.append(self._now())

    def _name(self, payload: bytes) -> Sound:
        known = self._known[self.codec]
        if payload not in known:
            known[payload] = sound_of(decode(payload, self.codec))
        return known[payload]

    def heard(self, since: float, until: float) -> Heard:
        return Heard(self.frames, since, until)
