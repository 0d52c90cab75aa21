"""The default hold music: 28 seconds, synthesised, seamless, ours (CC0), and the same bytes on every machine.

Eight bars of slow seventh chords under a wandering arpeggio, kept between 180 and 2500 Hz where a telephone has a voice. Written for
G.711: nothing loud, nothing sudden, no noise that the companding would turn to grit; about -18 dBFS.

*Seamless*: the score is written into a ring. A note that begins in the last bar rings on into the first, as it does each time round. *The
same bytes*: sines come from a table rounded to integers and everything after is integer arithmetic, so that neither the processor nor the
version of numpy can move a sample. ``python -m waitline.media.music FILE`` writes the file that is shipped as ``data/hold-music.wav``; a
test regenerates it.
"""

from __future__ import annotations

import math
import random
import struct
import sys
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from waitline.media import g711

RATE: Final = 8000
BEAT_SAMPLES: Final = 7000
"""0.875 s, so that eight bars are exactly 1400 frames"""
BEATS_A_BAR: Final = 4
SEED: Final = 20_983
TARGET_RMS: Final = 4125
"""-18 dBFS"""
SHIPPED: Final = Path(__file__).with_name("data") / "hold-music.wav"

_CHORDS: Final = (
    (48, (60, 64, 67, 71)),  # C major 7
    (45, (60, 64, 67, 69)),  # A minor 7
    (53, (60, 65, 69, 72)),  # F major
    (55, (59, 62, 67, 69)),  # G 9
    (52, (59, 64, 67, 71)),  # E minor 7
    (45, (60, 64, 69, 71)),  # A minor 9
    (50, (60, 65, 69, 72)),  # D minor 7
    (55, (60, 62, 65, 67)),  # G 7 suspended, which wants to go back to the start
)
"""MIDI notes: bass, then the chord"""

_TABLE_BITS = 12
_SINES = np.array([round(32767 * math.sin(2 * math.pi * at / (1 << _TABLE_BITS))) for at in range(1 << _TABLE_BITS)], dtype=np.int64)
_PHASE_BITS = 32


def compose() -> NDArray[np.int16]:
    """The loop, int16 at 8 kHz."""
    ring = np.zeros(len(_CHORDS) * BEATS_A_BAR * BEAT_SAMPLES, dtype=np.int64)
    chance = random.Random(SEED)
    for bar, (bass, chord) in enumerate(_CHORDS):
        start = bar * BEATS_A_BAR * BEAT_SAMPLES
        _pad(ring, start, chord)
        _bass(ring, start, bass)
        _arpeggio(ring, start, chord, chance)
    return _levelled(_echoed(ring))


def _pad(ring: NDArray[np.int64], start: int, chord: tuple[int, ...]) -> None:
    """The chord, swelling in and out over its bar and a half; each note twice, a few cents apart, so that it moves."""
    length = BEATS_A_BAR * BEAT_SAMPLES * 3 // 2
    for note in chord:
        for cents in (-4, 4):
            _add(ring, start, _swell(length), _hertz(note, cents), partials=(100, 22, 8), level=15)


def _bass(ring: NDArray[np.int64], start: int, note: int) -> None:
    """The root, mostly by its overtones: a telephone does not carry the fundamental."""
    _add(ring, start, _pluck(BEATS_A_BAR * BEAT_SAMPLES, 9000), _hertz(note), partials=(60, 70, 30, 12), level=34)
    _add(ring, start + 5 * BEAT_SAMPLES // 2, _pluck(2 * BEAT_SAMPLES, 6000), _hertz(note), partials=(60, 70, 30, 12), level=20)


def _arpeggio(ring: NDArray[np.int64], start: int, chord: tuple[int, ...], chance: random.Random) -> None:
    """Eighth notes up and down the chord an octave higher, some left out, none on two in a row."""
    steps = (0, 1, 2, 3, 2, 1, 3, 2)
    for at, step in enumerate(steps):
        if at and chance.random() < 0.2:
            continue
        note = chord[step] + 12 + (12 if step == 0 and chance.random() < 0.3 else 0)
        level = 26 + chance.randrange(10) + (8 if at == 0 else 0)
        _add(ring, start + at * BEAT_SAMPLES // 2, _pluck(3 * BEAT_SAMPLES, 4200), _hertz(note), partials=(100, 26, 10, 3), level=level)


def _add(ring: NDArray[np.int64], start: int, envelope: NDArray[np.int64], hertz: float, *, partials: tuple[int, ...], level: int) -> None:
    """Mix a note into the ring; what runs over its end goes on at its beginning. Partials above 3 kHz are left out."""
    count = np.arange(len(envelope), dtype=np.int64)
    wave = np.zeros(len(envelope), dtype=np.int64)
    for number, weight in enumerate(partials, 1):
        if hertz * number < 3000:
            step = round(hertz * number * (1 << _PHASE_BITS) / RATE)
            wave += weight * _SINES[(count * step >> (_PHASE_BITS - _TABLE_BITS)) & ((1 << _TABLE_BITS) - 1)]
    np.add.at(ring, (start + count) % len(ring), (wave * envelope >> 15) * level)


def _hertz(note: int, cents: int = 0) -> float:
    return 440.0 * math.pow(2.0, (note - 69 + cents / 100) / 12)


def _swell(length: int) -> NDArray[np.int64]:
    """Half a sine: silence, full, silence."""
    return _SINES[np.arange(length, dtype=np.int64) * (1 << (_TABLE_BITS - 1)) // length]


def _pluck(length: int, half_life: int) -> NDArray[np.int64]:
    """A quick rise (12 ms), then half as loud every ``half_life`` samples, with a last ramp to nothing."""
    at = np.arange(length, dtype=np.int64)
    halvings, rest = at // half_life, at % half_life
    fall = (32767 - 16384 * rest // half_life) >> np.minimum(halvings, 15)
    return fall * np.minimum(at, 96) // 96 * np.minimum(length - at, 800) // 800


def _echoed(ring: NDArray[np.int64]) -> NDArray[np.int64]:
    """Three soft repeats at odd distances round the ring: a small room."""
    return ring + np.roll(ring, 1193) // 4 + np.roll(ring, 2711) // 6 + np.roll(ring, 5077) // 10


def _levelled(ring: NDArray[np.int64]) -> NDArray[np.int16]:
    """Scaled to the target level; integer square root, so that it is the same everywhere."""
    small = ring >> 12  # the sum of squares must fit in 64 bits
    rms = math.isqrt(int(np.sum(small * small)) // len(small))
    return np.asarray(np.clip(small * TARGET_RMS // rms, -32768, 32767), dtype=np.int16)


def wav(encoded: bytes) -> bytes:
    """A µ-law WAV file (format 7, 8 kHz, mono)."""
    form = struct.pack("<HHIIHHH", 7, 1, RATE, RATE, 1, 8, 0)
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(encoded)) + encoded
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def wav_samples(data: bytes) -> bytes:
    """What is in the data chunk of a file that ``wav`` wrote. Raises ValueError for any other."""
    if data[:4] != b"RIFF" or data[20:22] != b"\x07\x00":
        raise ValueError("not a µ-law WAV file")
    at = data.index(b"data") + 8
    return data[at : at + int.from_bytes(data[at - 4 : at], "little")]


def shipped() -> NDArray[np.uint8]:
    """The loop in µ-law, as shipped."""
    return np.frombuffer(wav_samples(SHIPPED.read_bytes()), dtype=np.uint8)


def main(path: str) -> None:
    Path(path).write_bytes(wav(g711.encode_ulaw(compose()).tobytes()))


if __name__ == "__main__":
    main(sys.argv[1])
