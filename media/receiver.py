"""What comes in: packets admitted, digits heard, partners relayed to, RTCP read.

``datagram`` runs once per packet that reaches the process: for relayed legs that is every packet, for held ones two in 64, digits, and
RTCP. It looks at bytes in place, in the order of what is most frequent, and nothing in it can fail for what a peer sends.

Every packet that is dropped is counted under the reason, in ``counters``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from waitline.media import rtcp
from waitline.media.dtmf import Pressed
from waitline.media.leg import Leg
from waitline.media.messages import Digit, Latched, Report
from waitline.media.player import Player
from waitline.media.relay import Relay
from waitline.media.rtp import HEADER, Address, is_rtcp, payload_bounds
from waitline.media.wire import Wire

RECENT_DIGITS = 16
"""Kept of each leg; a control has committed sooner than a caller can type so many."""
_SAMPLED = 0x3E
"""Of the sequence number's lower byte: zero in two packets of 64, see sequence.is_sampled."""


class Receiver:
    """The receiving half of a table.

    ``on_latched`` and ``on_event`` are told when a leg must be looked at again, ``keep`` when its record has changed.
    """

    def __init__(
        self,
        player: Player,
        wire: Wire,
        report: Callable[[Report], None],
        *,
        on_latched: Callable[[Leg], None],
        on_event: Callable[[Leg], None],
        keep: Callable[[Leg], None],
        unix_s: Callable[[], float],
    ) -> None:
        self.tick = 0
        self.counters: Counter[str] = Counter()
        self._player = player
        self._wire = wire
        self._report = report
        self._on_latched = on_latched
        self._on_event = on_event
        self._keep = keep
        self._unix_s = unix_s

    def datagram(self, leg: Leg, data: memoryview, size: int, source: Address, at_s: float) -> None:
        """Take a datagram of the RTP port: ``size`` bytes of a buffer that may be written to; ``at_s`` is when it came, any epoch."""
        if size < 12 or data[0] & 0xC0 != 0x80:
            self._take_other(leg, data, size, source)
            return
        kind = data[1]
        if 192 <= kind <= 223:
            self.control(leg, data, size, source)
            return
        kind &= 0x7F
        if source != leg.latch.source and not self._admit(leg, source, kind):
            return
        leg.received += 1
        leg.life = self.tick
        if not data[3] & _SAMPLED:
            self._sample(leg, data, at_s)
        if kind == leg.dtmf_type:
            self._hear_event(leg, data, size)
        relay = leg.relay
        if relay is not None and relay.target.takes_relay:
            self._forward(leg, relay, data, size)

    def control(self, leg: Leg, data: memoryview, size: int, source: Address, *, own_port: bool = False) -> None:
        """Take an RTCP datagram; ``own_port``: it came to the RTCP port, and that is where its sender listens."""
        if not is_rtcp(data, size) or not leg.latch.knows_host(source[0]):
            self.counters["rtcp_refused"] += 1
            return
        leg.life = self.tick
        if own_port and leg.rtcp_remote != source:
            leg.rtcp_remote = source
            self._keep(leg)
        for report in rtcp.parse(data[:size]):
            if isinstance(report, rtcp.RtcpReport):
                self._take_report(leg, report)

    def finish_event(self, leg: Leg) -> None:
        """Report the leg's open digit if no packet of it has come for long."""
        pressed = leg.digit_receiver.expire(self.tick)
        if pressed:
            self._press(leg, pressed)
            self._keep(leg)

    def _take_other(self, leg: Leg, data: memoryview, size: int, source: Address) -> None:
        """RTCP may be shorter than an RTP header; STUN, keep-alives and noise are counted."""
        if is_rtcp(data, size):
            self.control(leg, data, size, source)
        else:
            self.counters["not_rtp"] += 1

    def _admit(self, leg: Leg, source: Address, payload_type: int) -> bool:
        """Let the latch judge a source that it is not locked on to. Only a payload type that was agreed opens it."""
        if leg.payload_type < 0 or payload_type not in (leg.payload_type, leg.dtmf_type):
            self.counters["unagreed_type"] += 1
            return False
        was_locked = leg.latch.source is not None
        if not leg.latch.admit(source, self.tick):
            self.counters["foreign_source"] += 1
            return False
        if not was_locked:
            leg.remote = source
            self._report(Latched(leg.id, *source))
            self._on_latched(leg)
        return True

    def _sample(self, leg: Leg, data: memoryview, at_s: float) -> None:
        _, _, sequence, timestamp, ssrc = HEADER.unpack_from(data)
        received = leg.received + self._wire.dropped(leg.id)
        leg.reception.note(ssrc, sequence, timestamp, at_s=at_s, received=received)

    def _hear_event(self, leg: Leg, data: memoryview, size: int) -> None:
        _, _, _, timestamp, ssrc = HEADER.unpack_from(data)
        start, end = payload_bounds(data, size)
        was_open = leg.digit_receiver.open
        pressed = leg.digit_receiver.packet(ssrc, timestamp, data[start:end], self.tick)
        self._press(leg, pressed)
        if pressed or leg.digit_receiver.open != was_open:
            self._keep(leg)
        if leg.digit_receiver.open:
            self._on_event(leg)

    def _press(self, leg: Leg, pressed: list[Pressed]) -> None:
        for digit, duration_ms in pressed:
            leg.digit_number += 1
            leg.recent_digits = leg.recent_digits[1 - RECENT_DIGITS :] + digit
            self._report(Digit(leg.id, leg.digit_number, digit, duration_ms))

    def _forward(self, leg: Leg, relay: Relay, data: memoryview, size: int) -> None:
        target = relay.target
        is_switch = target.row >= 0
        if is_switch:  # music, or the silence of a pause, until this very packet
            self._player.leave(target)
            relay.stale = True
        if relay.rewrite(data, size, self._player.banks[target.slot].frame) and target.remote is not None:
            target.relayed_at = self.tick
            self._send(target, data[:size], target.remote)
            if relay.rebased:
                relay.rebased = False
                leg.touch()
                target.touch()
            return
        self.counters["not_relayed"] += 1
        if is_switch:
            self._player.enter(target)

    def _send(self, target: Leg, packet: memoryview, remote: Address) -> None:
        try:
            target.send(packet, remote)
        except OSError:
            self.counters["send_errors"] += 1

    def _take_report(self, leg: Leg, report: rtcp.RtcpReport) -> None:
        now_s = self._unix_s()
        if report.sender is not None:
            leg.peer_report, leg.peer_report_at_s = report.sender, now_s
        for block in report.blocks:
            if block.ssrc == leg.ssrc:
                leg.peer_loss = block.fraction_lost / 256
                if block.last_report:
                    now = rtcp.middle_32(rtcp.ntp_time(now_s))
                    leg.round_trip_s = ((now - block.last_report - block.delay) & 0xFFFFFFFF) / 65536
