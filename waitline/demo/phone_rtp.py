"""The demo phone's RTP: what it says, packet by packet, and what it got, with arrival times.

Pure: sockets and time are ``phone.py``'s. Written from RFC 3550 and RFC 4733 apart from the platform's own; only the G.711 tables are
shared.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

import numpy as np

from waitline.demo.phone_sip import TELEPHONE_EVENT
from waitline.demo.sound import FRAME, RATE, Pcm, tone
from waitline.media import g711

PCMU = 0
DIGITS = "0123456789*#ABCD"
DIGIT_UPDATES, DIGIT_ENDS = 5, 3
"""100 ms of key, the end told three times (RFC 4733 §2.5.1.4)."""
LONGEST_HOLE = 10 * RATE
"""More missing samples than this are another stream, not silence."""


class Packet(NamedTuple):
    """One RTP packet as it arrived; ``at`` in seconds, monotonic."""

    at: float
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


def parse(data: bytes, at: float) -> Packet | None:
    """Read a datagram; None for what is not RTP version 2 (RTCP on the same port included)."""
    if len(data) < 12 or data[0] >> 6 != 2 or 192 <= data[1] <= 223:
        return None
    first, second, sequence, timestamp, ssrc = struct.unpack_from("!BBHII", data)
    start = 12 + 4 * (first & 0x0F)
    if first & 0x10:
        start += 4 + 4 * struct.unpack_from("!H", data, start + 2)[0]
    end = len(data) - data[-1] if first & 0x20 else len(data)
    return Packet(at, second & 0x7F, sequence, timestamp, ssrc, data[start:end])


class Mouth:
    """What we say: silence, or a tone, or the keys that were pressed. ``packet`` returns the next 20 ms."""

    def __init__(self, random: Random) -> None:
        self._sequence, self._timestamp, self._ssrc = random.getrandbits(16), random.getrandbits(32), random.getrandbits(32)
        self._frames = [bytes([g711.SILENCE["PCMU"]]) * FRAME]
        self._count = 0
        self._keys: deque[Iterator[bytes]] = deque()

    def talk(self, hz: int) -> None:
        """Say a tone from now on; 0: silence."""
        codes = g711.encode(tone(hz, 1.0) if hz else np.zeros(FRAME, np.int16), "PCMU").tobytes()
        self._frames = [codes[start : start + FRAME] for start in range(0, len(codes), FRAME)]  # whole waves in 1 s: no click at the seam

    def press(self, digits: str) -> None:
        """Press keys, one after the other, as RFC 4733 events."""
        self._keys.extend(self._key(digit) for digit in digits if digit in DIGITS)

    def packet(self) -> bytes:
        """Return what goes out in this 20 ms."""
        while self._keys:
            if packet := next(self._keys[0], None):
                return packet
            self._keys.popleft()
        payload = self._frames[self._count % len(self._frames)]
        return self._rtp(PCMU, payload, self._tick(), marker=self._count == 1)

    def _tick(self) -> int:
        """Return the timestamp of this frame and move on to the next."""
        now = self._timestamp
        self._count, self._timestamp = self._count + 1, (now + FRAME) & 0xFFFFFFFF
        return now

    def _key(self, digit: str) -> Iterator[bytes]:
        began = self._timestamp
        for count in range(1, DIGIT_UPDATES + DIGIT_ENDS + 1):
            self._tick()
            end = count > DIGIT_UPDATES
            event = struct.pack("!BBH", DIGITS.index(digit), 0x8A if end else 0x0A, FRAME * min(count, DIGIT_UPDATES))
            yield self._rtp(TELEPHONE_EVENT, event, began, marker=count == 1)
        for _ in range(DIGIT_UPDATES):  # a finger needs time between two keys
            yield self._rtp(PCMU, self._frames[0], self._tick())

    def _rtp(self, payload_type: int, payload: bytes, timestamp: int, *, marker: bool = False) -> bytes:
        self._sequence = (self._sequence + 1) & 0xFFFF
        return struct.pack("!BBHII", 0x80, payload_type | (0x80 if marker else 0), self._sequence, timestamp, self._ssrc) + payload


class Ear:
    """What we got in one call."""

    def __init__(self) -> None:
        self.packets: list[Packet] = []
        self._longest_gap = 0.0
        self._missing = 0

    def take(self, data: bytes, at: float) -> Pcm | None:
        """Keep a datagram; returns its sound, None where it has none."""
        packet = parse(data, at)
        if packet is None or packet.payload_type != PCMU or not packet.payload:
            return None
        if self.packets:
            last = self.packets[-1]
            self._longest_gap = max(self._longest_gap, at - last.at)
            if packet.ssrc == last.ssrc:
                self._missing += max(0, (packet.sequence - last.sequence - 1 + 0x8000 & 0xFFFF) - 0x8000)
        self.packets.append(packet)
        return _samples(packet)

    def figures(self) -> dict[str, float]:
        """Return the stream in figures: packets, packets a second, missing packets, the longest gap in ms, first and last arrival."""
        if not self.packets:
            return {"packets": 0, "per_second": 0.0, "missing": 0, "longest_gap_ms": 0.0, "first_at": 0.0, "last_at": 0.0}
        first, last = self.packets[0].at, self.packets[-1].at
        rate = (len(self.packets) - 1) / (last - first) if last > first else 0.0
        return {
            "packets": len(self.packets), "per_second": round(rate, 2), "missing": self._missing,
            "longest_gap_ms": round(self._longest_gap * 1000, 1), "first_at": first, "last_at": last,
        }  # fmt: skip

    def sound(self) -> Pcm:
        """Return everything heard, each packet at its timestamp; what did not arrive is silence."""
        pieces: list[Pcm] = []
        expected: tuple[int, int] | None = None
        for packet in self.packets:
            if expected and packet.ssrc == expected[0]:
                hole = (packet.timestamp - expected[1]) & 0xFFFFFFFF
                pieces.append(np.zeros(hole if hole < LONGEST_HOLE else 0, np.int16))
            pieces.append(_samples(packet))
            expected = packet.ssrc, (packet.timestamp + len(packet.payload)) & 0xFFFFFFFF
        return np.concatenate(pieces) if pieces else np.zeros(0, np.int16)


def _samples(packet: Packet) -> Pcm:
    return g711.decode(np.frombuffer(packet.payload, np.uint8), "PCMU")
