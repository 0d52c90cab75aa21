"""What an ear can tell: tones, likeness to a known clip, silence. Written apart from the product, G.711 included, so that it can judge it.

Sound is a numpy array of int16 at 8000 samples per second. Scores are between 0 and 1 and do not depend on loudness.
"""

from __future__ import annotations

import io
import time
import wave
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RATE = 8000
FRAME = 160
Pcm = NDArray[np.int16]


# --- G.711, from the text of the recommendation


def _mulaw_value(code: int) -> int:
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84) << ((code >> 4) & 7)
    return 0x84 - magnitude if code & 0x80 else magnitude - 0x84


def _alaw_value(code: int) -> int:
    code ^= 0x55
    segment, step = (code >> 4) & 7, ((code & 0x0F) << 4) + 8
    magnitude = step if segment == 0 else (step + 0x100) << (segment - 1)
    return magnitude if code & 0x80 else -magnitude


DECODE = {
    "PCMU": np.array([_mulaw_value(code) for code in range(256)], dtype=np.int16),
    "PCMA": np.array([_alaw_value(code) for code in range(256)], dtype=np.int16),
}


def decode(payload: bytes, codec: str = "PCMU") -> Pcm:
    """Return the samples of a G.711 payload."""
    return DECODE[codec][np.frombuffer(payload, np.uint8)]


def encode(pcm: Pcm, codec: str = "PCMU") -> bytes:
    """Return the payload whose samples are nearest."""
    order = np.argsort(DECODE[codec], kind="stable")
    values = DECODE[codec][order].astype(np.int32)
    nearest = np.searchsorted((values[1:] + values[:-1]) / 2, pcm.astype(np.int32))
    return order[nearest].astype(np.uint8).tobytes()


# --- making sound


def tone(frequency: float, seconds: float, amplitude: float = 8000.0) -> Pcm:
    """Return a sine of that frequency in Hz."""
    t = np.arange(round(seconds * RATE)) / RATE
    return (amplitude * np.sin(2 * np.pi * frequency * t)).astype(np.int16)


def frames(pcm: Pcm, codec: str = "PCMU") -> list[bytes]:
    """Return payloads of 20 ms; what is short of a frame at the end is left out."""
    data = encode(pcm, codec)
    return [data[start : start + FRAME] for start in range(0, len(data) - FRAME + 1, FRAME)]


def read_wav(path: Path) -> Pcm:
    """Return a WAV file's first channel; it must be 16 bit at 8000 Hz."""
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getsampwidth()) == (RATE, 2), f"{path}: {file.getparams()}"
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)[:: file.getnchannels()]


def wav(pcm: Pcm) -> bytes:
    """Return a WAV file: one channel, 16 bit, 8000 Hz."""
    written = io.BytesIO()
    with wave.open(written, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(pcm.tobytes())
    return written.getvalue()


def write_wav(path: Path, pcm: Pcm) -> Path:
    path.write_bytes(wav(pcm))
    return path


# --- judging sound


def goertzel(pcm: Pcm, frequency: float) -> float:
    """Return the amplitude of the sine of that frequency (Goertzel's filter at exactly that frequency, not at the nearest bin)."""
    if not len(pcm):
        return 0.0
    turn = np.exp(-2j * np.pi * frequency * np.arange(len(pcm)) / RATE)
    return float(2 * abs(np.dot(pcm.astype(np.float64), turn)) / len(pcm))


def purity(pcm: Pcm, frequency: float) -> float:
    """Return which share of the sound's power is that tone: near 1 for the tone alone, near 0 where it is not in it."""
    power = float(np.mean(pcm.astype(np.float64) ** 2)) if len(pcm) else 0.0
    return 0.0 if power < 1 else min(1.0, goertzel(pcm, frequency) ** 2 / 2 / power)


def loudest_tone(pcm: Pcm) -> float:
    """Return the frequency in Hz that carries the most power."""
    spectrum = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm))))
    spectrum[: max(1, 50 * len(pcm) // RATE)] = 0  # hum and offset
    return float(np.argmax(spectrum) * RATE / len(pcm))


def is_silent(pcm: Pcm, below: float = 60.0) -> bool:
    """Tell whether nobody would hear anything: root mean square under ``below`` of 32768."""
    return not len(pcm) or float(np.sqrt(np.mean(pcm.astype(np.float64) ** 2))) < below


def longest_silence_s(pcm: Pcm, below: float = 60.0) -> float:
    """Return how long the longest run of silent 20 ms frames is, in seconds."""
    longest = run = 0
    for start in range(0, len(pcm) - FRAME + 1, FRAME):
        run = run + 1 if is_silent(pcm[start : start + FRAME], below) else 0
        longest = max(longest, run)
    return longest * FRAME / RATE


def wait_for_tone(heard: Callable[[], Pcm], frequency: float, *, within_s: float = 10.0, seconds: float = 0.3) -> None:
    """Wait until the last ``seconds`` of what a phone wrote down are that tone; a file tells nobody that it has grown."""
    deadline = time.monotonic() + within_s
    while purity(heard()[-round(seconds * RATE) :], frequency) < 0.8:
        assert time.monotonic() < deadline, f"no {frequency:g} Hz within {within_s} s, but {loudest_tone(heard()[-RATE:]):.0f} Hz"
        time.sleep(0.05)


def wait_until_heard(heard: Callable[[], Pcm], seconds: float, *, within_s: float = 10.0) -> None:
    """Wait until a phone has written down that much."""
    deadline = time.monotonic() + seconds + within_s
    while len(heard()) < seconds * RATE:
        assert time.monotonic() < deadline, f"{len(heard()) / RATE:.1f} s of {seconds:g} s were heard"
        time.sleep(0.05)


class Likeness(NamedTuple):
    """How like ``score`` (1: the same but for loudness) and where in the known clip, in samples."""

    score: float
    offset: int


def find(heard: Pcm, clip: Pcm, *, looped: bool = False) -> Likeness:
    """Find where in ``clip`` the (shorter) ``heard`` is; normalised cross-correlation. ``looped``: it may begin again."""
    known = np.concatenate([clip, clip[: len(heard)]]) if looped else clip
    if not 0 < len(heard) <= len(known):
        return Likeness(0.0, 0)
    a, b = heard.astype(np.float64) - heard.mean(), known.astype(np.float64)
    size = 1 << (len(a) + len(b)).bit_length()
    products = np.fft.irfft(np.fft.rfft(b, size) * np.conj(np.fft.rfft(a, size)), size)[: len(b) - len(a) + 1]
    sums = np.concatenate([[0.0], np.cumsum(b)])
    squares = np.concatenate([[0.0], np.cumsum(b * b)])
    window_sums = sums[len(a) :] - sums[: -len(a)]
    energy = squares[len(a) :] - squares[: -len(a)] - window_sums**2 / len(a)
    own = float(np.dot(a, a))
    if own < len(a):  # silence is like nothing
        return Likeness(0.0, 0)
    scores = products / np.sqrt(np.maximum(energy, len(a)) * own)
    best = int(np.argmax(scores))
    return Likeness(float(scores[best]), best % len(clip))
