"""The core of a media worker: all its legs, and what commands, datagrams and time do to them.

No socket, no clock, no event loop: the owner brings commands, datagrams and ticks, and gives a wire to send through, a place to report to
and the time of day (for RTCP alone). A worker process does so with epoll and a timer, a test with an in-memory wire under virtual time; it
is the same table. Time is the tick number: 5 ms each, counted from the start.

The work is divided: ``player`` sends what legs play, by arrays; ``receiver`` takes what comes in; the table keeps the legs, obeys
commands, and owns the timers. A timer is an entry (tick, leg) in a heap; a leg has one that counts, ``leg.due``, and is looked at as a
whole when it is due: an RTCP report, a peer gone quiet, a relay gone quiet, a digit whose end was lost.

To add a command: a NamedTuple in messages.py, a method here, a line in ``_handlers``. An unknown leg is not an error: control may speak
of one that is closing.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from waitline.media import g711, messages
from waitline.media.dtmf import SILENT_TICKS, DigitSender
from waitline.media.latch import Latch, usable
from waitline.media.leg import NEVER, Leg
from waitline.media.messages import Command, Report
from waitline.media.player import TICKS_PER_S, Player
from waitline.media.playlist import Playlist, Program, Span
from waitline.media.receiver import Receiver
from waitline.media.relay import Relay
from waitline.media.reporting import build_rtcp, leg_state, leg_stats, pack, unpack
from waitline.media.rtp import Address
from waitline.media.wire import Wire

QUIET_S = 30
LATCH_WINDOW_S = 30
RTCP_TICKS = (500, 1500)
"""2.5 to 7.5 s: five on average, spread so that reports do not come in step (RFC 3550 §6.2)."""
PAUSE_TICKS = TICKS_PER_S
"""A partner that sends nothing for a second (silence suppression) is stood in for by silence: RTP never stops."""


class LegTable:
    """All legs of one worker."""

    def __init__(
        self,
        store: NDArray[np.uint8],
        wire: Wire,
        report: Callable[[Report], None],
        *,
        random: random.Random,
        unix_s: Callable[[], float],
        cname: str = "waitline",
        quiet_s: int = QUIET_S,
    ) -> None:
        self.now = -1
        """The tick that was done last."""
        self.legs: dict[int, Leg] = {}
        self.player = Player(store, self._on_through)
        self.receiver = Receiver(self.player, wire, report, on_latched=self._on_latched, on_event=self._on_event, unix_s=unix_s)
        self.counters = self.receiver.counters
        self.cname = cname
        self.quiet_ticks = quiet_s * TICKS_PER_S
        self._frame_count = store.shape[1]
        self._wire = wire
        self._report = report
        self._random = random
        self._unix_s = unix_s
        self._epoch = 0
        self._timers: list[tuple[int, int]] = []
        self._handlers: dict[type, Callable[[Any], None]] = {
            messages.OpenLeg: self._open,
            messages.SetMedia: self._set_media,
            messages.StartAudio: self._start_audio,
            messages.Play: self._play,
            messages.PlayNext: self._play_next,
            messages.SendDigits: self._send_digits,
            messages.Bridge: self._bridge,
            messages.Unbridge: self._unbridge,
            messages.CloseLeg: self._close,
            messages.HandOver: self._hand_over,
            messages.TakeOver: self._take_over,
            messages.Dump: self._dump,
            messages.AskStats: self._ask_stats,
        }

    # --- what comes from outside

    def command(self, command: Command) -> None:
        """Obey. A command of an older epoch than one seen before is refused: its control has been replaced."""
        if command.epoch < self._epoch:
            self.counters["stale_epoch"] += 1
            return
        self._epoch = command.epoch
        handler = self._handlers.get(type(command))
        if handler is not None:
            handler(command)

    def datagram(self, leg: int, data: memoryview, size: int, source: Address, at_s: float) -> None:
        """Take a datagram of a leg's RTP port, in a buffer that may be written to."""
        found = self.legs.get(leg)
        if found is not None:
            self.receiver.datagram(found, data, size, source, at_s)

    def control_datagram(self, leg: int, data: memoryview, size: int, source: Address) -> None:
        """Take a datagram of a leg's RTCP port."""
        found = self.legs.get(leg)
        if found is not None:
            self.receiver.control(found, data, size, source, own_port=True)

    # --- time

    def tick(self, tick: int) -> None:
        """Do tick number ``tick``, the one after the last."""
        self._set_now(tick)
        self.player.tick(tick)
        if self._timers and self._timers[0][0] <= tick:
            self._expire()

    def advance(self, tick: int) -> None:
        """Be at tick ``tick`` as if each before it had been done and nobody had listened. Go no further than ``next_event``."""
        if tick > self.now:
            self.player.advance(self.now, tick)
            self._set_now(tick)
            self._expire()

    def skip(self, tick: int) -> None:
        """Be at tick ``tick``, leaving out the packets until then: they are too late to be of use."""
        self.counters["skips"] += 1
        self.counters["skipped_packets"] += self.player.skip(self.now, tick)
        self._set_now(tick)

    def next_event(self, heard: Callable[[Address], bool]) -> int | None:
        """Return the next tick that must be done and not advanced over: ``heard`` tells whether somebody listens at an address."""
        timer = self._timers[0][0] if self._timers else None
        event = self.player.next_event(self.now, heard)
        found = [max(tick, self.now + 1) for tick in (timer, event) if tick is not None]
        return min(found, default=None)

    def _set_now(self, tick: int) -> None:
        self.now = self.receiver.tick = tick

    # --- commands

    def _open(self, command: messages.OpenLeg) -> None:
        leg = self.legs.get(command.leg)
        if leg is None:
            try:
                leg = self._add(command.leg, self._wire.open(command.leg), command.ssrc, command.sequence, command.timestamp)
            except OSError as error:
                self._report(messages.OpenFailed(command.leg, str(error)))
                return
        self._report(messages.Opened(leg.id, leg.port, leg.rtcp_port))

    def _add(self, number: int, ports: tuple[int, int], ssrc: int, sequence: int, timestamp: int) -> Leg:
        wire = self._wire
        leg = Leg(
            number,
            self.player.pick_slot(),
            ssrc=ssrc,
            sequence=sequence,
            timestamp=timestamp,
            playlist=Playlist(self._frame_count),
            send=wire.sender(number),
            rtcp_send=wire.rtcp_sender(number),
        )
        leg.port, leg.rtcp_port = ports
        self.legs[number] = leg
        return leg

    def _set_media(self, command: messages.SetMedia) -> None:
        leg = self.legs.get(command.leg)
        if leg is None or command.codec not in g711.CODECS:
            return
        was_expecting = leg.is_expecting
        self._set_address(leg, command)
        old = leg.codec, leg.payload_type
        leg.codec, leg.payload_type = g711.CODECS.index(command.codec), command.payload_type
        leg.dtmf_type, leg.direction = command.dtmf_payload_type, command.direction
        if leg.row >= 0:
            self._show_bank(leg, *old)
        self._map_types(leg)
        self._review(leg)
        if leg.is_expecting and not was_expecting:
            self._expect_life(leg)

    def _set_address(self, leg: Leg, command: messages.SetMedia) -> None:
        until = self.now + LATCH_WINDOW_S * TICKS_PER_S
        if leg.latch.set(command.host, command.port, command.latch_hosts, until):
            leg.remote = usable(command.host, command.port)
        if command.rtcp_port:
            leg.rtcp_remote = usable(command.host, command.rtcp_port)
        elif not leg.mux:
            leg.mux = True
            leg.rtcp_send = leg.send
            self._wire.share_rtcp(leg.id)

    def _show_bank(self, leg: Leg, old_codec: int, old_type: int) -> None:
        bank = self.player.banks[leg.slot]
        if (old_codec, old_type) != (leg.codec, leg.payload_type):
            bank.media(leg, old_codec)
        bank.address(leg)

    def _start_audio(self, command: messages.StartAudio) -> None:
        leg = self.legs.get(command.leg)
        if leg is not None:
            self._start(leg)

    def _start(self, leg: Leg) -> None:
        if leg.started:
            return
        leg.started = True
        leg.at_frame = self.player.frame_of(leg)
        if leg.digit_sender is not None:
            self._key(leg)
        self.player.enter(leg)
        self._review(leg)
        self._expect_life(leg)
        leg.rtcp_due = self.now + self._random.randint(*RTCP_TICKS)
        self._arm(leg, leg.rtcp_due)

    def _play(self, command: messages.Play) -> None:
        leg = self.legs.get(command.leg)
        if leg is None:
            return
        leg.resume = None
        if leg.digit_sender is not None:
            leg.digit_sender.cut()
        leg.playlist.play(Program(command.token, command.segments, command.report_after))
        leg.over = leg.peer is not None and not leg.playlist.is_out
        self._switch(leg)

    def _play_next(self, command: messages.PlayNext) -> None:
        leg = self.legs.get(command.leg)
        if leg is not None and leg.playlist.play_next(Program(command.token, command.segments, command.report_after)):
            leg.resume = None
            leg.over = leg.peer is not None and not leg.playlist.is_out
            self._switch(leg)

    def _switch(self, leg: Leg) -> None:
        """Play what was set, over a relay if there is one."""
        if leg.row >= 0:
            self.player.switch(leg)
        elif leg.peer is None or leg.over:
            self.player.enter(leg)
        self._on_through(leg)  # a program without segments is through already
        self._review(leg)

    def _send_digits(self, command: messages.SendDigits) -> None:
        leg = self.legs.get(command.leg)
        if leg is None:
            return
        leg.digit_token = command.token
        was_keying = leg.digit_sender is not None
        leg.digit_sender = DigitSender(command.digits)
        if leg.started and not was_keying:  # else they wait for the start: the peer would miss them
            self._key(leg)
        self._review(leg)

    def _key(self, leg: Leg) -> None:
        """Begin to send the leg's digits; they are through at once where the peer takes no events."""
        if leg.dtmf_type >= 0:
            self.player.key(leg)
            return
        self.counters["unsent_digits"] += 1
        leg.digit_sender = None
        leg.playlist.through = max(leg.playlist.through, leg.digit_token)
        self._on_through(leg)

    def _bridge(self, command: messages.Bridge) -> None:
        leg, peer = self.legs.get(command.leg), self.legs.get(command.peer)
        if leg is None or peer is None or leg is peer:
            self.counters["unbridgeable"] += 1
            return
        if leg.peer is not peer:
            self._part(leg)
            self._part(peer)
            self._join(leg, peer)
            self._join(peer, leg)
        leg.claim = peer.claim = command.claim
        self._report(messages.Bridged(leg.id, peer.id, command.claim))

    def _join(self, leg: Leg, peer: Leg) -> None:
        leg.peer = peer
        leg.relay = Relay(peer)
        leg.over = False
        leg.relayed_at = self.now
        self._map_types(leg)
        self.player.cut(leg)
        self._review(leg)
        self._arm(leg, self.now + PAUSE_TICKS)

    def _map_types(self, leg: Leg) -> None:
        """Bring both directions of a bridge up to what was agreed."""
        for source in (leg, leg.peer):
            if source is not None and source.relay is not None:
                target = source.relay.target
                source.relay.map_types(source, g711.translation(g711.CODECS[source.codec], g711.CODECS[target.codec]))

    def _unbridge(self, command: messages.Unbridge) -> None:
        leg = self.legs.get(command.leg)
        if leg is not None:
            self._part(leg)

    def _part(self, leg: Leg) -> None:
        """End the leg's bridge, if there is one; both go on with silence."""
        peer = leg.peer
        if peer is None:
            return
        for side in (leg, peer):
            side.peer = side.relay = None
            side.claim = ""
            side.over = False
            side.playlist.stop()
            self._switch(side)

    def _close(self, command: messages.CloseLeg) -> None:
        leg = self.legs.get(command.leg)
        if leg is None:
            return
        self._part(leg)
        if leg.started:
            self._send_rtcp(leg, bye=True)
        self._remove(leg)
        self._wire.close(leg.id)

    def _remove(self, leg: Leg) -> None:
        self.player.forget(leg)
        del self.legs[leg.id]

    def _hand_over(self, command: messages.HandOver) -> None:
        leg = self.legs.get(command.leg)
        if leg is None:
            return
        self._part(leg)
        if leg.digit_sender is not None:
            leg.playlist.through = max(leg.playlist.through, leg.digit_token)
        self.player.key(leg)  # out of the bank, with what it plays remembered
        self._remove(leg)
        self._wire.release(leg.id)
        self._report(messages.HandedOver(leg.id, pack(leg)))

    def _take_over(self, command: messages.TakeOver) -> None:
        row = command.row
        try:
            self._wire.adopt(command.leg, row["port"], row["rtcp_port"])
        except OSError as error:
            self._report(messages.OpenFailed(command.leg, str(error)))
            return
        leg = self._add(command.leg, (row["port"], row["rtcp_port"]), row["ssrc"], 0, 0)
        unpack(row, leg)
        self._restore(leg, row)
        self._report(messages.Opened(leg.id, leg.port, leg.rtcp_port))

    def _restore(self, leg: Leg, row: dict[str, Any]) -> None:
        leg.playlist = Playlist.restored(self._frame_count, row["through"], row["programs"])
        leg.resume = Span(*row["resume"]) if row["resume"] else None
        leg.latch = Latch.restored(row["latch"], self.now + LATCH_WINDOW_S * TICKS_PER_S)
        if leg.mux:
            leg.rtcp_send = leg.send
            self._wire.share_rtcp(leg.id)
        if leg.started:
            leg.started = False
            self._start(leg)
        self._review(leg)

    def _dump(self, _command: messages.Dump) -> None:
        for leg in self.legs.values():
            self._report(leg_state(leg))
        self._report(messages.Dumped(len(self.legs)))

    def _ask_stats(self, command: messages.AskStats) -> None:
        leg = self.legs.get(command.leg)
        if leg is not None:
            self._report(messages.Stats(leg.id, leg_stats(leg, self.player, dropped=self._wire.dropped(leg.id))))
        elif not command.leg:
            self._report(messages.Stats(0, self.stats()))

    def stats(self) -> dict[str, float]:
        """Return the worker's own counters."""
        errors = self.player.send_errors + sum(bank.send_errors for bank in self.player.banks)
        playing = sum(bank.count for bank in self.player.banks)
        return {
            **self.counters,
            "legs": len(self.legs),
            "playing": playing,
            "ticks": self.now + 1,
            "send_errors": errors + self.counters["send_errors"],
        }

    # --- what follows from what

    def _review(self, leg: Leg) -> None:
        """Bring what is derived up to date: may packets be relayed to the leg, and how does its socket listen."""
        leg.takes_relay = leg.peer is not None and leg.is_sending and leg.digit_sender is None and not leg.over
        is_locked = leg.latch.source is not None
        drop_type = leg.payload_type if is_locked and leg.peer is None else -1
        is_urgent = leg.peer is not None
        if (drop_type, is_urgent) != (leg.drop_type, leg.is_urgent):
            leg.drop_type, leg.is_urgent = drop_type, is_urgent
            self._wire.listen(leg.id, drop_type=drop_type, urgent=is_urgent)

    def _on_through(self, leg: Leg) -> None:
        """Report the newest token, if it is new; a program that played over a relay and is out gives way to it."""
        if leg.playlist.through > leg.reported_token:
            leg.reported_token = leg.playlist.through
            self._report(messages.ClipEnded(leg.id, leg.playlist.through))
        if leg.over and leg.playlist.is_out:
            leg.over = False
        self._review(leg)

    def _on_latched(self, leg: Leg) -> None:
        self._start(leg)
        if leg.row >= 0:
            self.player.banks[leg.slot].address(leg)
        self._review(leg)

    def _on_event(self, leg: Leg) -> None:
        self._arm(leg, self.now + SILENT_TICKS)

    def _expect_life(self, leg: Leg) -> None:
        leg.life = self.now
        leg.quiet_count = 0
        self._arm(leg, self.now + self.quiet_ticks)

    # --- timers

    def _arm(self, leg: Leg, tick: int) -> None:
        """Look at the leg at that tick at the latest."""
        if tick < leg.due:
            leg.due = tick
            heapq.heappush(self._timers, (tick, leg.id))

    def _expire(self) -> None:
        while self._timers and self._timers[0][0] <= self.now:
            tick, number = heapq.heappop(self._timers)
            leg = self.legs.get(number)
            if leg is not None and leg.due == tick:
                leg.due = NEVER
                self._arm(leg, min(self._check_rtcp(leg), self._check_quiet(leg), self._check_relay(leg), self._check_event(leg)))

    def _check_rtcp(self, leg: Leg) -> int:
        if self.now >= leg.rtcp_due:
            self._send_rtcp(leg)
            leg.rtcp_due = self.now + self._random.randint(*RTCP_TICKS)
        return leg.rtcp_due

    def _check_quiet(self, leg: Leg) -> int:
        """Report each multiple of the limit that the peer has been quiet for, while it should not be."""
        if not leg.is_expecting:
            return NEVER
        count = (self.now - leg.life) // self.quiet_ticks
        if count > leg.quiet_count:
            self._report(messages.Quiet(leg.id, (self.now - leg.life) // TICKS_PER_S))
        leg.quiet_count = count
        return leg.life + (count + 1) * self.quiet_ticks

    def _check_relay(self, leg: Leg) -> int:
        """Stand in with silence for a partner that pauses."""
        if leg.peer is None:
            return NEVER
        if leg.row < 0 and self.now - leg.relayed_at >= PAUSE_TICKS:
            self.player.enter(leg)
        return max(leg.relayed_at, self.now) + PAUSE_TICKS

    def _check_event(self, leg: Leg) -> int:
        self.receiver.finish_event(leg)
        return leg.digit_receiver.seen_tick + SILENT_TICKS if leg.digit_receiver.open else NEVER

    def _send_rtcp(self, leg: Leg, *, bye: bool = False) -> None:
        remote = leg.remote if leg.mux else leg.rtcp_remote
        if remote is None:
            return
        packet = build_rtcp(leg, self.player, unix_s=self._unix_s(), cname=self.cname, bye=bye)
        try:
            leg.rtcp_send(packet, remote)
        except OSError:
            self.counters["send_errors"] += 1
