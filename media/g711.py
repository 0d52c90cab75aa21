"""G.711: µ-law (PCMU) and A-law (PCMA), by tables.

Encoding looks 16-bit samples up in a 64 Ki table, decoding in one of 256; both tables are computed once, here, from the segment rules of
the Recommendation, and agree with the C reference that telephony has used since 1991 (14-bit input for µ-law, 13-bit for A-law).

Translation between the two is a ``bytes.translate`` with 256 bytes: decode, then encode, which is what the bridge between a PCMU and a
PCMA party applies to each relayed payload. It is not invertible (nor is the Recommendation's own table), but loud and quiet keep their
order and silence stays silence.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.int16]
Codes = NDArray[np.uint8]

CODECS = ("PCMU", "PCMA")
"""By codec number, as in the frame store."""
SILENCE = {"PCMU": 0xFF, "PCMA": 0xD5}
"""The byte of a zero sample."""


def _encode_ulaw_table() -> Codes:
    sample = np.arange(-32768, 32768, dtype=np.int32) >> 2
    mask = np.where(sample < 0, 0x7F, 0xFF)
    level = np.minimum(np.abs(sample), 8159) + 33
    segment = np.searchsorted(np.array([0x3F, 0x7F, 0xFF, 0x1FF, 0x3FF, 0x7FF, 0xFFF, 0x1FFF]), level)
    code = np.where(segment >= 8, 0x7F, (segment << 4) | ((level >> (segment + 1)) & 0xF))
    return _by_unsigned_sample(code ^ mask)


def _encode_alaw_table() -> Codes:
    sample = np.arange(-32768, 32768, dtype=np.int32) >> 3
    mask = np.where(sample < 0, 0x55, 0xD5)
    level = np.where(sample < 0, -sample - 1, sample)
    segment = np.searchsorted(np.array([0x1F, 0x3F, 0x7F, 0xFF, 0x1FF, 0x3FF, 0x7FF, 0xFFF]), level)
    code = (segment << 4) | ((level >> np.maximum(segment, 1)) & 0xF)
    return _by_unsigned_sample(code ^ mask)


def _by_unsigned_sample(codes: NDArray[Any]) -> Codes:
    """Turn a table that starts at -32768 into one indexed by the sample's 16 bits taken as unsigned."""
    return np.roll(codes, -32768).astype(np.uint8)


def _decode_ulaw_table() -> Pcm:
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    level = (((code & 0xF) << 3) + 0x84) << ((code & 0x70) >> 4)
    return np.where(code & 0x80, 0x84 - level, level - 0x84).astype(np.int16)


def _decode_alaw_table() -> Pcm:
    code = np.arange(256, dtype=np.int32) ^ 0x55
    segment = (code & 0x70) >> 4
    level = ((code & 0xF) << 4) + np.where(segment == 0, 8, 0x108)
    level <<= np.maximum(segment - 1, 0)
    return np.where(code & 0x80, level, -level).astype(np.int16)


_ENCODE = {"PCMU": _encode_ulaw_table(), "PCMA": _encode_alaw_table()}
_DECODE = {"PCMU": _decode_ulaw_table(), "PCMA": _decode_alaw_table()}


def encode(pcm: Pcm, codec: str) -> Codes:
    """Return the codes of 16-bit samples (8 kHz), of the same shape."""
    return _ENCODE[codec][pcm.view(np.uint16)]


def decode(codes: Codes, codec: str) -> Pcm:
    """Return the 16-bit samples of codes, of the same shape."""
    return _DECODE[codec][codes]


def encode_ulaw(pcm: Pcm) -> Codes:
    """Return the PCMU codes of 16-bit samples."""
    return encode(pcm, "PCMU")


def encode_alaw(pcm: Pcm) -> Codes:
    """Return the PCMA codes of 16-bit samples."""
    return encode(pcm, "PCMA")


def translation(source: str, target: str) -> bytes | None:
    """Return the table for ``bytes.translate`` between two codecs; None where they are the same and nothing is to be done."""
    return None if source == target else encode(_DECODE[source], target).tobytes()
