"""RTP packets (RFC 3550 §5.1) as bytes in place.

Where packets are many nothing is built: the ticker fills rows of a matrix of ``PACKET`` records, and the relay rewrites the twelve bytes
of a header where they lie, with ``HEADER``. ``RtpPacket`` is for those who have time: tests, digit packets, a phone that listens.

Sequence numbers and timestamps are serial numbers: ``is_after`` compares them modulo 2^16 or 2^32.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

VERSION_2 = 0x80
MARKER = 0x80
HEADER = struct.Struct("!BBHII")
"""first byte, marker and payload type, sequence, timestamp, SSRC"""
HEADER_BYTES = 12
FRAME_SAMPLES = 160
"""20 ms at 8 kHz; of G.711 also the bytes of a payload."""
PACKET_BYTES = HEADER_BYTES + FRAME_SAMPLES
MAX_DATAGRAM_BYTES = 2048

PACKET = np.dtype(
    [("first", "u1"), ("kind", "u1"), ("sequence", ">u2"), ("timestamp", ">u4"), ("ssrc", ">u4"), ("payload", "u1", (FRAME_SAMPLES,))]
)
"""One packet as a record, in network order: a column of a matrix of them is incremented in place."""

Buffer = bytes | bytearray | memoryview
Address = tuple[str, int]
"""An IPv4 address as text, and a port."""


class RtpPacket(NamedTuple):
    """A packet taken apart. A NamedTuple, not a frozen dataclass: it may be made per packet."""

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    marker: bool = False

    def __bytes__(self) -> bytes:
        kind = self.payload_type | (MARKER if self.marker else 0)
        return HEADER.pack(VERSION_2, kind, self.sequence, self.timestamp, self.ssrc) + self.payload


def parse(data: Buffer) -> RtpPacket | None:
    """Return the packet, or None when these bytes are no RTP packet."""
    if not is_rtp(data, len(data)):
        return None
    _, kind, sequence, timestamp, ssrc = HEADER.unpack_from(data)
    start, end = payload_bounds(data, len(data))
    return RtpPacket(kind & 0x7F, sequence, timestamp, ssrc, bytes(data[start:end]), bool(kind & MARKER))


def is_rtp(data: Buffer, size: int) -> bool:
    """Tell whether the first ``size`` bytes can be an RTP packet: version 2, a whole header, not RTCP."""
    return size >= HEADER_BYTES and data[0] & 0xC0 == VERSION_2 and not 192 <= data[1] <= 223


def is_rtcp(data: Buffer, size: int) -> bool:
    """Tell whether this is RTCP on a port shared with RTP (RFC 5761 §4)."""
    return size >= 8 and data[0] & 0xC0 == VERSION_2 and 192 <= data[1] <= 223


def payload_bounds(data: Buffer, size: int) -> tuple[int, int]:
    """Return where the payload starts and ends, without CSRCs, extension and padding; start = end where they leave nothing."""
    first = data[0]
    start = HEADER_BYTES + 4 * (first & 0x0F)
    if first & 0x10:
        if size < start + 4:
            return size, size
        start += 4 + 4 * (data[start + 2] << 8 | data[start + 3])
    end = size - data[size - 1] if first & 0x20 else size
    return (start, end) if start <= end else (end, end)


def is_after(later: int, earlier: int, bits: int) -> bool:
    """Tell whether a serial number of so many bits comes after another (RFC 1982)."""
    return 0 < (later - earlier) & ((1 << bits) - 1) < 1 << (bits - 1)
