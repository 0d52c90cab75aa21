"""A story one of whose datagrams is disturbed, the n-th, for any n: of SIP in both directions, or of RTP from the phones.

``disturbs(Fault.LOST, 7)`` arms it. SIP is delayed by longer than its first repetition takes, so that what was sent later comes first; a
late double comes when the dialog has gone on. RTP is delayed by some packets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Self

from harness.story_gate import GatedStory
from waitline.bridge.sip.flow import Flow

NEXT_S = 0.3
"""When what was to come after the next comes although there was no next, seconds"""


class Fault(Enum):
    """What happens to a datagram."""

    LOST = "lost"
    DOUBLED = "doubled"
    DOUBLED_LATE = "doubled late"
    DELAYED = "delayed"
    REORDERED = "reordered"


@dataclass(frozen=True)
class Late:
    """How much later a datagram comes, seconds."""

    delayed: float
    doubled: float


SIP, RTP = Late(0.8, 0.7), Late(0.1, 0.1)


class Disturbance:
    """Passes datagrams on, but for one."""

    def __init__(self, call_later: Callable[[float, Callable[[], object]], object], late: Late) -> None:
        self._call_later = call_later
        self._late = late
        self.seen: list[str] = []
        """What came this way"""
        self.fault: Fault | None = None
        self.number = 0
        self._held: tuple[object, Callable[[], object]] | None = None

    def take(self, what: str, way: object, pass_on: Callable[[], object]) -> None:
        """Let a datagram go its way."""
        self.seen.append(what)
        if len(self.seen) == self.number and self.fault is not None:
            self._disturb(self.fault, way, pass_on)
        else:
            pass_on()
            if self._held is not None and self._held[0] == way:
                self._let_go()

    def _disturb(self, fault: Fault, way: object, pass_on: Callable[[], object]) -> None:
        if fault in (Fault.DOUBLED, Fault.DOUBLED_LATE):
            pass_on()
        if fault is Fault.DOUBLED:
            pass_on()
        elif fault is Fault.DOUBLED_LATE:
            self._call_later(self._late.doubled, pass_on)
        elif fault is Fault.DELAYED:
            self._call_later(self._late.delayed, pass_on)
        elif fault is Fault.REORDERED:
            self._held = (way, pass_on)
            self._call_later(NEXT_S, self._let_go)

    def _let_go(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held[1]()


class DisturbedStory(GatedStory):
    """See the module."""

    async def __aenter__(self) -> Self:
        self.sip, self.rtp = Disturbance(self._later, SIP), Disturbance(self._later, RTP)
        await super().__aenter__()
        return self

    def _later(self, after_s: float, then: Callable[[], object]) -> object:
        return self.loop.call_later(after_s, then)

    def send(self, data: bytes, flow: Flow) -> None:
        take = super().send
        self.sip.take(f"to {_named(data)}", ("to", flow.remote), lambda: take(data, flow))

    def send_sip(self, data: bytes, source: tuple[str, int]) -> None:
        take = super().send_sip
        self.sip.take(f"from {_named(data)}", ("from", source), lambda: take(data, source))

    def send_rtp(self, packet: bytes, source: tuple[str, int], to: tuple[str, int]) -> None:
        take = super().send_rtp
        kind = "key" if packet[1] & 0x7F == 101 else "sound"
        self.rtp.take(f"from {source[0]}: {kind}", source, lambda: take(packet, source, to))


def _named(data: bytes) -> str:
    return data[:40].decode().splitlines()[0]
