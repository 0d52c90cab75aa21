"""An independent RTP end on a real socket: keeps every packet with its arrival time, sends sound and RFC 4733 digits.

A thread receives, another sends while the phone talks; both end with ``close``. Nothing here is the product's.
"""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from harness import audio

DIGITS = "0123456789*#ABCD"
PAYLOAD_TYPES = {0: "PCMU", 8: "PCMA"}


class Packet(NamedTuple):
    """One RTP packet as it arrived; ``at`` is monotonic seconds."""

    at: float
    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    source: tuple[str, int]

    @classmethod
    def parse(cls, data: bytes, at: float, source: tuple[str, int]) -> Packet | None:
        """Return the packet, or None for what is not RTP version 2."""
        if len(data) < 12 or data[0] >> 6 != 2:
            return None
        first, second, sequence, timestamp, ssrc = struct.unpack_from("!BBHII", data)
        start = 12 + 4 * (first & 0x0F)
        if first & 0x10:
            start += 4 + 4 * struct.unpack_from("!H", data, start + 2)[0]
        end = len(data) - data[-1] if first & 0x20 else len(data)
        return cls(at, second & 0x7F, bool(second & 0x80), sequence, timestamp, ssrc, data[start:end], source)


class Judgement(NamedTuple):
    """The stream in figures; steps are sets of what was seen."""

    packets: int
    per_second: float
    sequence_steps: set[int]
    timestamp_steps: set[int]
    ssrcs: int
    longest_gap_s: float


class RtpEar:
    """Binds an even port for RTP and the next for RTCP, and listens until closed."""

    def __init__(self, host: str = "127.0.0.1", *, seed: int = 1) -> None:
        self._random = random.Random(seed)
        self._rtp, self._rtcp = _bind_pair(host)
        self.host, self.port = host, self._rtp.getsockname()[1]
        self.packets: list[Packet] = []
        self.rtcp: list[bytes] = []
        self._arrived = threading.Condition()
        self._closing = threading.Event()
        self._quiet = threading.Event()
        self._talker: threading.Thread | None = None
        self._sequence, self._timestamp = self._random.randrange(1 << 16), self._random.randrange(1 << 32)
        self.ssrc = self._random.randrange(1 << 32)
        self._listeners = [threading.Thread(target=self._listen, args=(s,), daemon=True) for s in (self._rtp, self._rtcp)]
        for listener in self._listeners:
            listener.start()

    # --- hearing

    def _listen(self, wire: socket.socket) -> None:
        while not self._closing.is_set():
            try:
                data, source = wire.recvfrom(4096)
            except TimeoutError:
                continue
            except OSError:  # closed
                return
            if self._closing.is_set():
                return
            at = time.monotonic()
            is_rtcp = wire is self._rtcp or (len(data) > 1 and 192 <= data[1] <= 223)
            packet = None if is_rtcp else Packet.parse(data, at, source)
            with self._arrived:
                if is_rtcp:
                    self.rtcp.append(data)
                elif packet is not None:
                    self.packets.append(packet)
                self._arrived.notify_all()

    def wait_until(self, condition: Callable[[RtpEar], object], within_s: float) -> None:
        """Wait until a packet has made the condition true; fails when the time is over."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: condition(self), within_s), f"not within {within_s} s; {len(self.packets)} packets"

    def wait_for_packets(self, count: int, within_s: float = 5.0) -> list[Packet]:
        """Wait for ``count`` packets more than now and return them."""
        seen = len(self.packets)
        self.wait_until(lambda ear: len(ear.packets) >= seen + count, within_s)
        return self.packets[seen : seen + count]

    def wait_for_silence(self, seconds: float, *, within_s: float = 3.0) -> None:
        """Wait until no packet has come for that long."""
        deadline = time.monotonic() + within_s
        with self._arrived:
            while self._arrived.wait(seconds):
                assert time.monotonic() < deadline, f"packets still come after {within_s} s"

    def hear(self, seconds: float) -> audio.Pcm:
        """Listen from now on for that much sound and return it."""
        return self.sound(self.wait_for_packets(round(seconds * 50), seconds * 1.5 + 2))

    def wait_for_tone(self, frequency: float, *, within_s: float = 10.0, seconds: float = 0.2) -> None:
        """Wait until the last ``seconds`` of sound are that tone."""

        def heard(ear: RtpEar) -> bool:
            return audio.purity(ear.sound(ear.packets[-round(seconds * 50) :]), frequency) > 0.8

        self.wait_until(heard, within_s)

    def sound(self, packets: list[Packet] | None = None) -> audio.Pcm:
        """Return the sound of these packets (default: all), each at its timestamp; what did not arrive is silence."""
        voice = [packet for packet in (self.packets if packets is None else packets) if packet.payload_type in PAYLOAD_TYPES]
        if not voice:
            return np.zeros(0, np.int16)
        pieces: list[audio.Pcm] = []
        expected, ssrc = voice[0].timestamp, voice[0].ssrc
        for packet in voice:
            gap = (packet.timestamp - expected) & 0xFFFFFFFF
            if packet.ssrc == ssrc and 0 < gap < 10 * audio.RATE:
                pieces.append(np.zeros(gap, np.int16))
            pieces.append(audio.decode(packet.payload, PAYLOAD_TYPES[packet.payload_type]))
            expected, ssrc = (packet.timestamp + len(packet.payload)) & 0xFFFFFFFF, packet.ssrc
        return np.concatenate(pieces)

    def judge(self, packets: list[Packet] | None = None) -> Judgement:
        """Return the stream in figures."""
        of = self.packets if packets is None else packets
        pairs = list(pairwise(of))
        span = of[-1].at - of[0].at if pairs else 0.0
        return Judgement(
            packets=len(of),
            per_second=(len(of) - 1) / span if span else 0.0,
            sequence_steps={(b.sequence - a.sequence) & 0xFFFF for a, b in pairs},
            timestamp_steps={(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in pairs},
            ssrcs=len({packet.ssrc for packet in of}),
            longest_gap_s=max((b.at - a.at for a, b in pairs), default=0.0),
        )

    def digits(self, payload_type: int = 101) -> str:
        """Return the RFC 4733 digits received, each once."""
        seen: dict[tuple[int, int], str] = {}
        for packet in self.packets:
            if packet.payload_type == payload_type and len(packet.payload) >= 4 and packet.payload[0] < len(DIGITS):
                seen.setdefault((packet.ssrc, packet.timestamp), DIGITS[packet.payload[0]])
        return "".join(seen.values())

    # --- speaking

    def send(self, to: tuple[str, int], payload: bytes, *, payload_type: int = 0, marker: bool = False) -> None:
        """Send one packet of voice now; the timestamp moves on by its length."""
        self._send(to, payload, payload_type=payload_type, marker=marker, timestamp=self._timestamp)
        self._timestamp = (self._timestamp + len(payload)) & 0xFFFFFFFF

    def _send(self, to: tuple[str, int], payload: bytes, *, payload_type: int, marker: bool, timestamp: int) -> None:
        header = struct.pack("!BBHII", 0x80, payload_type | (0x80 if marker else 0), self._sequence, timestamp, self.ssrc)
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._rtp.sendto(header + payload, to)

    def talk(self, to: tuple[str, int], pcm: audio.Pcm, *, codec: str = "PCMU", loop: bool = False) -> None:
        """Speak from now on, 50 packets a second, in a thread; ``hush`` stops it. Without ``loop`` it ends with the sound."""
        self.hush()
        payloads = audio.frames(pcm, codec)
        payload_type = {name: number for number, name in PAYLOAD_TYPES.items()}[codec]
        self._quiet.clear()
        self._talker = threading.Thread(target=self._talk, args=(to, _repeated(payloads, loop), payload_type), daemon=True)
        self._talker.start()

    def _talk(self, to: tuple[str, int], payloads: Iterable[bytes], payload_type: int) -> None:
        began = time.monotonic()
        for count, payload in enumerate(payloads):
            if self._quiet.wait(max(0.0, began + count * 0.02 - time.monotonic())):
                return
            self.send(to, payload, payload_type=payload_type, marker=count == 0)

    def finish_talking(self, within_s: float = 60.0) -> None:
        """Wait until what ``talk`` was given has been said."""
        if self._talker is not None:
            self._talker.join(within_s)
            self._talker = None

    def fall_silent(self) -> None:
        """Have the talk end, without waiting for it."""
        self._quiet.set()

    def hush(self) -> None:
        """Stop talking."""
        self.fall_silent()
        self.finish_talking()

    def press(self, to: tuple[str, int], digits: str, *, payload_type: int = 101, marker: bool = True, tone_ms: int = 100) -> None:
        """Send RFC 4733 digits: updates every 20 ms, three end packets, 60 ms between digits. ``marker`` False: as careless phones do."""
        for digit in digits:
            self._press(to, digit, payload_type, marker, tone_ms)
            self._closing.wait(0.06)

    def _press(self, to: tuple[str, int], digit: str, payload_type: int, marker: bool, tone_ms: int) -> None:
        timestamp = self._timestamp
        steps = [(duration, False) for duration in range(160, tone_ms * 8, 160)] + [(tone_ms * 8, True)] * 3
        for count, (duration, end) in enumerate(steps):
            payload = struct.pack("!BBH", DIGITS.index(digit), (0x80 if end else 0) | 10, duration)
            self._send(to, payload, payload_type=payload_type, marker=marker and count == 0, timestamp=timestamp)
            if not end:
                self._closing.wait(0.02)
        self._timestamp = (timestamp + tone_ms * 8 + 480) & 0xFFFFFFFF

    # --- the end

    def close(self) -> None:
        """Stop both threads and free the ports."""
        self.hush()
        self._closing.set()
        for wire in (self._rtp, self._rtcp):
            wire.sendto(b"", wire.getsockname())  # wakes its listener
        for listener in self._listeners:
            listener.join(2)
        self._rtp.close()
        self._rtcp.close()

    def __enter__(self) -> RtpEar:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _repeated(payloads: list[bytes], loop: bool) -> Iterator[bytes]:
    yield from payloads
    while loop and payloads:
        yield from payloads


def _bind_pair(host: str) -> tuple[socket.socket, socket.socket]:
    """Return sockets on an even port and on the next."""
    for _ in range(100):
        rtp, rtcp = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        try:
            rtp.bind((host, 0))
            if rtp.getsockname()[1] % 2 == 0:
                rtcp.bind((host, rtp.getsockname()[1] + 1))
                for wire in (rtp, rtcp):
                    wire.settimeout(0.2)
                return rtp, rtcp
        except OSError:
            pass  # the next port is taken: another pair
        rtp.close()
        rtcp.close()
    raise AssertionError("no two ports in a row are free")
