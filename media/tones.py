"""Tones made by arithmetic: ringing tones of countries, a beep, keys, and what is heard where speech cannot be.

All are int16 at 8 kHz, begin and end at zero with a short ramp (a hard edge is a click), and are the same on every machine. Cadences and
frequencies are the national ones of ITU-T E.180's supplement; a country without a row has the European 425 Hz.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.int16]
RATE: Final = 8000

_RAMP_SAMPLES = 40  # 5 ms


class Cadence(NamedTuple):
    """A ringing tone: frequencies in Hz, then sound, silence, sound, silence… in seconds."""

    hertz: tuple[float, ...]
    seconds: tuple[float, ...]


_DOUBLE = (0.4, 0.2, 0.4, 2.0)
_EUROPE = Cadence((425,), (1.0, 4.0))
RINGING: Final[Mapping[str, Cadence]] = {
    "us": Cadence((440, 480), (2.0, 4.0)),
    "us-old": Cadence((420, 460), (2.0, 4.0)),
    "uk": Cadence((400, 450), _DOUBLE),
    "au": Cadence((400, 425), _DOUBLE),
    "nz": Cadence((400, 450), _DOUBLE),
    "in": Cadence((400, 425), _DOUBLE),
    "sg": Cadence((400, 425), _DOUBLE),
    "my": Cadence((425,), _DOUBLE),
    "za": Cadence((400, 433), _DOUBLE),
    "jp": Cadence((384, 400, 416), (1.0, 2.0)),
    "fr": Cadence((440,), (1.5, 3.5)),
    "be": Cadence((425,), (1.0, 3.0)),
    "es": Cadence((425,), (1.5, 3.0)),
    "se": Cadence((425,), (1.0, 5.0)),
    "tw": Cadence((440, 480), (1.0, 2.0)),
    "ph": Cadence((425, 480), (1.0, 4.0)),
}
_ROWS: Final = ((697, "123A"), (770, "456B"), (852, "789C"), (941, "*0#D"))
_COLUMNS: Final = (1209, 1336, 1477, 1633)
_KEYS: Final = {key: (low, high) for low, row in _ROWS for key, high in zip(row, _COLUMNS, strict=True)}
_PAUSES_S: Final = {"w": 0.5, "W": 1.0}


def tone(hertz: Iterable[float], seconds: float, *, level: float = 0.2) -> Pcm:
    """A mix of sines; ``level`` is its peak, 1.0 full scale."""
    parts = tuple(hertz)
    time = np.arange(round(seconds * RATE)) / RATE
    wave = sum((np.sin(2 * np.pi * frequency * time) for frequency in parts), np.zeros(len(time))) / len(parts)
    return np.asarray(np.round(_ramped(wave) * level * 32767), dtype=np.int16)


def silence(seconds: float) -> Pcm:
    return np.zeros(round(seconds * RATE), dtype=np.int16)


def ringing(country: str = "") -> Pcm:
    """One period of a country's ringing tone, to be looped; an unknown country has the European one, "" and automatic that of the US."""
    cadence = RINGING["us"] if country in ("", "automatic") else RINGING.get(country, _EUROPE)
    parts = [silence(length) if at % 2 else tone(cadence.hertz, length) for at, length in enumerate(cadence.seconds)]
    return np.concatenate(parts)


def beep() -> Pcm:
    """What a recording begins with: 1 kHz, a quarter of a second."""
    return tone((1000,), 0.25)


def keys(digits: str, *, seconds: float = 0.1, gap_s: float = 0.1) -> Pcm:
    """Key tones (Q.23) in the audio, for a peer that takes no telephone-events; w and W pause. Raises KeyError for anything else."""
    parts = [silence(0)]
    for digit in digits:
        parts += [silence(_PAUSES_S[digit])] if digit in _PAUSES_S else [tone(_KEYS[digit], seconds, level=0.4), silence(gap_s)]
    return np.concatenate(parts)


def instead_of_speech() -> Pcm:
    """Three falling notes: something should be said here and cannot be. Told from silence, and from any prompt."""
    return np.concatenate([part for hertz in (659.26, 523.25, 392.0) for part in (tone((hertz,), 0.18), silence(0.04))])


def _ramped(wave: NDArray[np.float64]) -> NDArray[np.float64]:
    ramp = np.minimum(np.arange(len(wave)), _RAMP_SAMPLES) / _RAMP_SAMPLES
    return wave * ramp * ramp[::-1]
