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
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from waitline.media import g711, messages, srtp
from waitline.media.dtmf import SILENT_TICKS, DigitSender
from waitline.media.keeping import keep, step_forward
from waitline.media.latch import Latch, usable
from waitline.media.ledger import Entry, Ledger
from waitline.media.leg import NEVER, Leg
from waitline.media.messages import Command, Report
from waitline.media.player import TICKS_PER_S, Player
from waitline.media.playlist import Playlist, Program, Span
from waitline.media.receiver import Receiver
from waitline.media.relay import Relay
from waitline.media.reporting import build_rtcp, leg_state, leg_stats, pack, unpack
from waitline.media.resumption import Resumption
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
        ledger: Ledger | None = None,
    ) -> None:
        self.now = -1
        """The tick that was done last."""
        self.legs: dict[int, Leg] = {}
        self.ledger = Ledger.in_memory() if ledger is None else ledger
        self.player = Player(store, self._on_through, self.ledger)
        self.receiver = Receiver(
            self.player, wire, report, on_latched=self._on_latched, on_event=self._on_event, keep=self._keep, unix_s=unix_s
        )
        self.sealed = srtp.SealedReceiver(self.receiver)
        self.counters = self.receiver.counters
        self.cname = cname
        self.quiet_ticks = quiet_s * TICKS_PER_S
        self.frame_count = store.shape[1]
        self._wire = wire
        self._report = report
        self._random = random
        self._unix_s = unix_s
        self._epoch = 0
        self._changed: dict[int, Leg] = {}
        """Legs whose record is to be written when the command or tick is done"""
        self._parting: dict[int, Entry] = {}
        """Of legs that were handed over and have not arrived yet"""
        self._timers: list[tuple[int, int]] = []
        self._handlers: dict[type, Callable[[Any], None]] = {
            messages.OpenLeg: self._open,
            messages.SetMedia: self._set_media,
            messages.SetKeys: self._set_keys,
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
        if command.epoch > self._epoch:
            self._epoch = self.ledger.epoch = command.epoch
        handler = self._handlers.get(type(command))
        if handler is not None:
            handler(command)
            self._keep_changed()

    def datagram(self, leg: int, data: memoryview, size: int, source: Address, at_s: float) -> None:
        """Take a datagram of a leg's RTP port, in a buffer that may be written to."""
        found = self.legs.get(leg)
        if found is not None:
            found.take(found, data, size, source, at_s)

    def control_datagram(self, leg: int, data: memoryview, size: int, source: Address) -> None:
        """Take a datagram of a leg's RTCP port."""
        found = self.legs.get(leg)
        if found is not None:
            if found.srtp is not None:
                self.sealed.control(found, data, size, source)
            else:
                self.receiver.control(found, data, size, source, own_port=True)

    # --- what another worker left

    def resume(self, left: Ledger) -> None:
        """Go on with the legs of another table, whose sockets the wire has: as they were at its last tick, which is now."""
        if self.legs:
            raise ValueError("a table that has legs cannot take on another's")
        self._epoch = self.ledger.epoch = left.epoch
        Resumption(self, left, self._wire, self._report).run()
        self._keep_changed()

    def settle(self) -> None:
        """Note where each leg is, to the packet: another goes on with it, and nothing more is sent from here."""
        for leg in self.legs.values():
            if leg.row < 0:
                leg.touch()
            if leg.srtp is not None:
                leg.srtp.sealer.settle()

    def abandon(self, number: int) -> None:
        """Forget a leg that could not be made again."""
        leg = self.legs.pop(number, None)
        self._changed.pop(number, None)
        if leg is not None:
            leg.entry.clear()

    def start_again(self, tick: int) -> None:
        """Be at a tick at which nothing has happened here yet."""
        self._set_now(tick)

    def join_again(self, leg: Leg, peer: Leg, offsets: tuple[int, int, int, int]) -> None:
        """Relay from a leg to its partner as another table did."""
        leg.peer, leg.relay = peer, Relay(peer)
        leg.relayed_at = self.now
        _map_relay(leg, leg.relay)
        leg.relay.resume(offsets)
        if peer.srtp is not None:  # its numbers have leapt
            leg.relay.stale = True

    def send_again(self, leg: Leg, *, was_in_bank: bool) -> None:
        """Let a leg that was started send on: what it plays, its digits, or what its partner says."""
        if leg.digit_sender is not None:
            self.player.key(leg)
        elif was_in_bank or leg.peer is None:
            self.player.enter(leg)
        else:
            step_forward(leg, self.player.frame_of(leg))
        if leg.peer is not None:
            self._arm(leg, self.now + PAUSE_TICKS)
        self._expect_life(leg)
        leg.rtcp_due = self.now + self._random.randint(*RTCP_TICKS)
        self._arm(leg, leg.rtcp_due)

    # --- time

    def tick(self, tick: int) -> None:
        """Do tick number ``tick``, the one after the last."""
        self._set_now(tick)
        self.player.tick(tick)
        if self._timers and self._timers[0][0] <= tick:
            self._expire()
        if self._changed:
            self._keep_changed()

    def advance(self, tick: int) -> None:
        """Be at tick ``tick`` as if each before it had been done and nobody had listened. Go no further than ``next_event``."""
        if tick > self.now:
            self.player.advance(self.now, tick)
            self._set_now(tick)
            self._expire()
            self._keep_changed()

    def skip(self, tick: int) -> None:
        """Be at tick ``tick``, leaving out the packets until then: they are too late to be of use."""
        self.counters["skips"] += 1
        self.counters["skipped_packets"] += self.player.skip(self.now, tick)
        self._set_now(tick)
        self._keep_changed()

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
                leg = self._opened(command)
            except OSError as error:
                self._report(messages.OpenFailed(command.leg, str(error)))
                return
        self._report(messages.Opened(leg.id, leg.port, leg.rtcp_port))

    def _opened(self, command: messages.OpenLeg) -> Leg:
        entry = self.ledger.take()
        try:
            ports = self._wire.open(command.leg)
        except OSError:
            entry.clear()
            raise
        self.ledger.last_port = ports[0]
        slot = self.player.pick_slot()
        return self.add(command.leg, ports, slot, entry, ssrc=command.ssrc, sequence=command.sequence, timestamp=command.timestamp)

    def add(self, number: int, ports: tuple[int, int], slot: int, entry: Entry, *, ssrc: int, sequence: int = 0, timestamp: int = 0) -> Leg:
        """Put a new leg into the table; its sockets are there."""
        wire = self._wire
        leg = Leg(
            number,
            slot,
            entry,
            ssrc=ssrc,
            sequence=sequence,
            timestamp=timestamp,
            playlist=Playlist(self.frame_count),
            send=wire.sender(number),
            rtcp_send=wire.rtcp_sender(number),
            take=self.receiver.datagram,
        )
        leg.port, leg.rtcp_port = ports
        self.legs[number] = self._changed[number] = leg
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
        self.review(leg)
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

    def _set_keys(self, command: messages.SetKeys) -> None:
        leg = self.legs.get(command.leg)
        if leg is None:
            return
        new = srtp.agreed(leg, command)
        if new is not leg.srtp:
            self._encrypt(leg, new)
            self._changed[leg.id] = leg
            if leg.row >= 0:
                self.player.banks[leg.slot].address(leg)

    def encrypt_again(self, leg: Leg, dump: dict[str, Any] | None, promised: tuple[int, int] = (0, 0)) -> None:
        """Encrypt a leg as another worker did, counters and all; None: it did not. Its numbers go on behind what that one promised."""
        if dump:
            restored = srtp.Srtp.restored(dump, leg.ssrc, leg.sequence, promised)
            if restored.sealer.index >= 0:
                leg.sequence = restored.sealer.index & 0xFFFF
            self._encrypt(leg, restored)

    def _encrypt(self, leg: Leg, how: srtp.Srtp | None) -> None:
        srtp.attach(leg, how, self._wire)
        leg.take = self.receiver.datagram if how is None else self.sealed.datagram
        if how is not None:
            how.sealer.promise = leg.entry.promise
            how.on_turn = partial(self._changed.__setitem__, leg.id, leg)

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
        self.review(leg)
        self._expect_life(leg)
        leg.rtcp_due = self.now + self._random.randint(*RTCP_TICKS)
        self._arm(leg, leg.rtcp_due)

    def _play(self, command: messages.Play) -> None:
        leg = self.legs.get(command.leg)
        if leg is None or 0 < command.token <= leg.newest_token:  # obeyed already, by a worker that did not live to say so
            return
        leg.newest_token = command.token
        leg.resume = None
        if leg.digit_sender is not None:
            leg.digit_sender.cut()
        leg.playlist.play(Program(command.token, command.segments, command.report_after))
        leg.over = leg.peer is not None and not leg.playlist.is_out
        self._switch(leg)

    def _play_next(self, command: messages.PlayNext) -> None:
        leg = self.legs.get(command.leg)
        if leg is None or 0 < command.token <= leg.newest_token:
            return
        leg.newest_token = command.token
        self._changed[leg.id] = leg
        if leg.playlist.play_next(Program(command.token, command.segments, command.report_after)):
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
        self.review(leg)

    def _send_digits(self, command: messages.SendDigits) -> None:
        leg = self.legs.get(command.leg)
        if leg is None or 0 < command.token <= leg.newest_token:
            return
        leg.newest_token = leg.digit_token = command.token
        was_keying = leg.digit_sender is not None
        leg.digit_sender = DigitSender(command.digits)
        if leg.started and not was_keying:  # else they wait for the start: the peer would miss them
            self._key(leg)
        self.review(leg)

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
        self._changed |= {leg.id: leg, peer.id: peer}
        self._report(messages.Bridged(leg.id, peer.id, command.claim))

    def _join(self, leg: Leg, peer: Leg) -> None:
        leg.peer = peer
        leg.relay = Relay(peer)
        leg.over = False
        leg.relayed_at = self.now
        self._map_types(leg)
        self.player.cut(leg)
        self.review(leg)
        self._arm(leg, self.now + PAUSE_TICKS)

    def _map_types(self, leg: Leg) -> None:
        """Bring both directions of a bridge up to what was agreed."""
        for source in (leg, leg.peer):
            if source is not None and source.relay is not None:
                _map_relay(source, source.relay)

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
        leg.entry.clear()
        self._wire.close(leg.id)

    def _remove(self, leg: Leg) -> None:
        self.player.forget(leg)
        del self.legs[leg.id]
        self._changed.pop(leg.id, None)

    def _hand_over(self, command: messages.HandOver) -> None:
        leg = self.legs.get(command.leg)
        if leg is None:
            return
        self._part(leg)
        if leg.digit_sender is not None:
            leg.playlist.through = max(leg.playlist.through, leg.digit_token)
        self.player.key(leg)  # out of the bank, with what it plays remembered
        self._keep(leg)  # whoever dies before it is on its way has it still
        self._parting[leg.id] = leg.entry
        self._remove(leg)
        self._wire.release(leg.id)
        self._report(messages.HandedOver(leg.id, pack(leg)))

    def parted(self, leg: int) -> None:
        """Forget a leg that was handed over, for good: it is on its way."""
        entry = self._parting.pop(leg, None)
        if entry is not None:
            entry.clear()

    def _take_over(self, command: messages.TakeOver) -> None:
        leg = self.legs.get(command.leg)
        if leg is None:
            try:
                leg = self._taken_over(command)
            except OSError as error:
                self._report(messages.OpenFailed(command.leg, str(error)))
                return
        self._report(messages.Opened(leg.id, leg.port, leg.rtcp_port))

    def _taken_over(self, command: messages.TakeOver) -> Leg:
        row, entry = command.row, self.ledger.take()
        try:
            self._wire.adopt(command.leg, row["port"], row["rtcp_port"])
        except OSError:
            entry.clear()
            raise
        leg = self.add(command.leg, (row["port"], row["rtcp_port"]), self.player.pick_slot(), entry, ssrc=row["ssrc"])
        unpack(row, leg)
        self._restore(leg, row)
        return leg

    def _restore(self, leg: Leg, row: dict[str, Any]) -> None:
        leg.playlist = Playlist.restored(self.frame_count, row["through"], row["programs"])
        leg.resume = Span(*row["resume"]) if row["resume"] else None
        leg.latch = Latch.restored(row["latch"], self.now + LATCH_WINDOW_S * TICKS_PER_S)
        if leg.mux:
            leg.rtcp_send = leg.send
            self._wire.share_rtcp(leg.id)
        self.encrypt_again(leg, row.get("srtp"))
        if leg.started:
            leg.started = False
            self._start(leg)
        self.review(leg)

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

    def review(self, leg: Leg) -> None:
        """Bring what is derived up to date: may packets be relayed to the leg, and how does its socket listen."""
        self._changed[leg.id] = leg
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
        self.review(leg)

    def _on_latched(self, leg: Leg) -> None:
        self._start(leg)
        if leg.row >= 0:
            self.player.banks[leg.slot].address(leg)
        self.review(leg)
        self._keep_changed()

    def _on_event(self, leg: Leg) -> None:
        self._arm(leg, self.now + SILENT_TICKS)

    def _keep(self, leg: Leg) -> None:
        """Write the leg's record."""
        self._changed.pop(leg.id, None)
        keep(leg)

    def _keep_changed(self) -> None:
        for leg in self._changed.values():
            keep(leg)
        self._changed.clear()

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
        leg.touch()  # what is relayed to it is counted in packets, and noted here: a row of a bank is always
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


def _map_relay(source: Leg, relay: Relay) -> None:
    relay.map_types(source, g711.translation(g711.CODECS[source.codec], g711.CODECS[relay.target.codec]))
