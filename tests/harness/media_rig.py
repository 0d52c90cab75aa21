"""A leg table on a bench: a wire that writes down what is sent, frames that can be told apart, time that a test moves.

Frame f of the store is 160 bytes of value f in PCMU and of f + 100 in PCMA, so that a payload's first byte says what is heard.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field

import numpy as np

from waitline.media import messages, rtp
from waitline.media.rtp import Address, RtpPacket
from waitline.media.table import LegTable

FRAMES = 90
PEER: Address = ("192.0.2.7", 4000)
PEER_RTCP: Address = ("192.0.2.7", 4001)
OTHER: Address = ("192.0.2.9", 6000)


def numbered_frames() -> np.ndarray:
    store = np.zeros((2, FRAMES, 160), np.uint8)
    store += np.arange(FRAMES, dtype=np.uint8)[None, :, None]
    store[1] += 100
    return store


@dataclass
class Sent:
    """One packet as it left, and when."""

    tick: int
    leg: int
    address: Address
    data: bytes
    is_rtcp: bool = False

    @property
    def rtp(self) -> RtpPacket:
        packet = rtp.parse(self.data)
        assert packet is not None
        return packet

    @property
    def heard(self) -> int:
        return self.rtp.payload[0]


@dataclass
class BenchWire:
    """A wire.Wire that keeps everything."""

    table: LegTable | None = None
    sent: list[Sent] = field(default_factory=list)
    listening: dict[int, tuple[int, bool]] = field(default_factory=dict)
    closed: list[int] = field(default_factory=list)
    shared: set[int] = field(default_factory=set)
    drops: dict[int, int] = field(default_factory=dict)
    refuse: bool = False
    fail: set[int] = field(default_factory=set)

    def open(self, leg):
        if self.refuse:
            raise OSError("no RTP port is free")
        return 10000 + 2 * leg, 10001 + 2 * leg

    def close(self, leg):
        self.closed.append(leg)

    def sender(self, leg):
        return self._sender(leg, is_rtcp=False)

    def rtcp_sender(self, leg):
        return self._sender(leg, is_rtcp=True)

    def share_rtcp(self, leg):
        self.shared.add(leg)

    def listen(self, leg, *, drop_type, urgent):
        self.listening[leg] = (drop_type, urgent)

    def dropped(self, leg):
        return self.drops.get(leg, 0)

    def release(self, leg):
        self.closed.append(leg)

    def adopt(self, leg, port, rtcp_port):
        if self.refuse:
            raise OSError("the sockets of the leg did not arrive")

    def resume(self, leg):
        if self.refuse or leg in self.closed:
            raise OSError("there are no sockets of the leg")

    def _sender(self, leg, *, is_rtcp):
        def send(packet, address):
            if leg in self.fail:
                raise OSError("network is unreachable")
            assert self.table is not None
            data = bytes(packet)
            muxed = is_rtcp or rtp.is_rtcp(data, len(data))
            self.sent.append(Sent(self.table.now, leg, address, data, muxed))

        return send


class Rig:
    """A table, its wire and what it reported."""

    def __init__(self, *, quiet_s=30):
        self.wire = BenchWire()
        self.reports: list[messages.Report] = []
        self._quiet_s = quiet_s
        self.table = self._new_table()
        self.token = 0

    def _new_table(self) -> LegTable:
        self.wire.table = LegTable(
            numbered_frames(),
            self.wire,
            self.reports.append,
            random=random.Random(1),
            unix_s=lambda: 1000 + self.table.now / 200,
            quiet_s=self._quiet_s,
        )
        return self.wire.table

    def succeed(self, *, after=0):
        """Let another table go on with what this one left in its ledger, so many ticks later."""
        left = self.table.ledger
        self.table = self._new_table()
        self.table.resume(left)
        if after:
            self.table.skip(self.table.now + after)

    def open(self, leg=1, *, codec="PCMU", peer=PEER, start=True, latch=False, **media):
        """Open a leg, tell it where to send, and start it."""
        self.table.command(messages.OpenLeg(1, leg, 0x5000 + leg, 100, 8000))
        self.set_media(leg, codec=codec, peer=peer, **media)
        if start:
            self.table.command(messages.StartAudio(1, leg))
        if latch:
            self.receive(leg, source=peer)
        return self.table.legs[leg]

    def set_media(self, leg=1, *, codec="PCMU", peer=PEER, payload_type=None, dtmf=101, rtcp_port=0, direction="sendrecv", latch_hosts=()):
        payload_type = {"PCMU": 0, "PCMA": 8}[codec] if payload_type is None else payload_type
        self.table.command(messages.SetMedia(1, leg, codec, payload_type, dtmf, peer[0], peer[1], rtcp_port, direction, tuple(latch_hosts)))

    def play(self, *segments, leg=1, report_after=0, after=False):
        self.token += 1
        kind = messages.PlayNext if after else messages.Play
        self.table.command(kind(1, leg, self.token, segments, report_after))
        return self.token

    def bridge(self, a=1, b=2, claim="claim"):
        self.table.command(messages.Bridge(1, a, b, claim))

    def run(self, ticks=4):
        """Do so many ticks (4 are a frame of every leg)."""
        for _ in range(ticks):
            self.table.tick(self.table.now + 1)

    def frames(self, count):
        self.run(4 * count)

    def receive(self, leg=1, packet: RtpPacket | bytes | None = None, *, source=PEER, at_s=None):
        data = bytes(RtpPacket(0, 0x0140, 0, 9, b"\x33" * 160) if packet is None else packet)
        at_s = self.table.now / 200 if at_s is None else at_s
        self.table.datagram(leg, memoryview(bytearray(data)), len(data), source, at_s)

    def sent(self, leg=1):
        """Return the RTP packets of a leg."""
        return [sent for sent in self.wire.sent if sent.leg == leg and not sent.is_rtcp]

    def heard(self, leg=1):
        return [sent.heard for sent in self.sent(leg)]

    def rtcp(self, leg=1):
        return [sent for sent in self.wire.sent if sent.leg == leg and sent.is_rtcp]

    def reported(self, kind):
        return [report for report in self.reports if isinstance(report, kind)]


def assert_continuous(packets: list[RtpPacket]) -> None:
    """Sequence numbers grow by one, timestamps by 160, one SSRC."""
    for before, after in itertools.pairwise(packets):
        assert after.sequence == (before.sequence + 1) & 0xFFFF
        assert after.timestamp == (before.timestamp + 160) & 0xFFFFFFFF
        assert after.ssrc == before.ssrc
