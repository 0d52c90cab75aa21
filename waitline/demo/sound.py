"""What the demo's peers make and hear: pure tones, told apart by Goertzel's filter.

Sound is a numpy array of int16 at 8000 samples per second. A tone is heard when it carries most of the power of a window of 100 ms; what
is loud and no tone we know is ``OTHER``: speech, music, the ringing tone; what is not loud is ``SILENCE``. One window does not make a
change: a sound counts from its first window, once there were two in a row, so that a vowel is not taken for a tone.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

RATE = 8000
FRAME = 160
"""Samples of 20 ms."""
WINDOW = 800
"""Samples of 100 ms: tones more than 10 Hz apart can be told from each other."""
PURITY = 0.7
"""Share of the power that makes a tone; a tone through G.711 has over 0.99, one of two tones together 0.5."""
QUIET_RMS = 60.0
STEADY_WINDOWS = 2

OTHER, SILENCE = "another sound", "silence"

Pcm = NDArray[np.int16]


def named(hz: int) -> str:
    """Return how a tone is called wherever one is reported."""
    return f"{hz} Hz"


def tone(hz: int, seconds: float, *, rate: int = RATE, amplitude: float = 9000.0, fade_s: float = 0.0) -> Pcm:
    """Return a sine; with ``fade_s`` it comes and goes softly."""
    t = np.arange(round(seconds * rate)) / rate
    envelope = np.clip(np.minimum(t, t[::-1]) / fade_s, 0, 1) if fade_s else np.ones_like(t)
    return (amplitude * envelope * np.sin(2 * np.pi * hz * t)).astype(np.int16)


def wav(pcm: Pcm, rate: int = RATE) -> bytes:
    """Return a WAV file, 16 bit, mono."""
    file = io.BytesIO()
    soundfile.write(file, pcm, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def goertzel(pcm: Pcm, hz: float) -> float:
    """Return the amplitude of the sine of exactly that frequency in the sound."""
    turn = np.exp(-2j * np.pi * hz * np.arange(len(pcm)) / RATE)
    return float(2 * abs(np.dot(pcm.astype(np.float64), turn)) / len(pcm)) if len(pcm) else 0.0


def purity(pcm: Pcm, hz: float) -> float:
    """Return which share of the sound's power is that tone, 0 to 1."""
    power = float(np.mean(pcm.astype(np.float64) ** 2)) if len(pcm) else 0.0
    return min(1.0, goertzel(pcm, hz) ** 2 / 2 / power) if power >= 1 else 0.0


def classify(pcm: Pcm, tones: Sequence[int]) -> str:
    """Name what is heard in one window: a tone of ``tones``, OTHER or SILENCE."""
    if not len(pcm) or float(np.sqrt(np.mean(pcm.astype(np.float64) ** 2))) < QUIET_RMS:
        return SILENCE
    return next((named(hz) for hz in tones if purity(pcm, hz) > PURITY), OTHER)


class Heard(NamedTuple):
    """From ``at`` on (seconds, monotonic) this was heard."""

    what: str
    at: float


class Hearing:
    """Listens to one stream; ``feed`` returns what has changed."""

    def __init__(self, tones: Sequence[int]) -> None:
        self._tones = tuple(tones)
        self._window: list[Pcm] = []
        self._window_at = 0.0
        self._samples = 0
        self._now = ""
        self._next = Heard("", 0.0)
        self._steady = 0

    def feed(self, pcm: Pcm, at: float) -> list[Heard]:
        """Take the sound of a packet that arrived at ``at``."""
        if not self._window:
            self._window_at = at
        self._window.append(pcm)
        self._samples += len(pcm)
        if self._samples < WINDOW:
            return []
        what = classify(np.concatenate(self._window), self._tones)
        self._window.clear()
        self._samples = 0
        return self._take(Heard(what, self._window_at))

    def _take(self, heard: Heard) -> list[Heard]:
        if heard.what == self._now:
            self._steady = 0
            return []
        if heard.what != self._next.what or not self._steady:
            self._next, self._steady = heard, 0
        self._steady += 1
        if self._steady < STEADY_WINDOWS:
            return []
        self._now, self._steady = heard.what, 0
        return [self._next]


class Span(NamedTuple):
    """A sound from ``start`` to ``end``, seconds, monotonic."""

    what: str
    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


def spans(heard: Sequence[Heard], end: float) -> list[Span]:
    """Return what was heard with its end: where the next begins, or where the stream ended."""
    ends = [*(item.at for item in heard[1:]), end][: len(heard)]
    return [Span(item.what, item.at, max(item.at, until)) for item, until in zip(heard, ends, strict=True)]
