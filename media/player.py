"""What legs send while they are not relayed: clips from the banks, and digits.

Time is a tick number, 5 ms each; tick n belongs to slot n % 4 and is frame n // 4 of that slot's bank. A leg keeps its slot for life, so
its packets are 20 ms apart whatever the other slots do.

A leg is in one of four places, and this module moves it between them: *idle* (audio was not started), *in its bank* (it plays), *keying*
(it sends digits, a frame at a time, and its clip waits), or *relayed* (packets of its partner are sent when they come, see the table).
Sequence and timestamp go with it, so that on the wire it is one stream.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from waitline.media.bank import Bank
from waitline.media.dtmf import SILENT_STEP, Step, event_payload
from waitline.media.ledger import SLOTS, Ledger
from waitline.media.leg import Leg
from waitline.media.playlist import Span
from waitline.media.rtp import FRAME_SAMPLES, Address, RtpPacket

TICK_S = 0.005
TICKS_PER_S = 200
CUT_FRAMES = 3
"""60 ms: how much longer a clip is heard after a bridge whose first packet does not come."""


class Player:
    """The banks and the keying legs of a worker. ``on_through`` is told of each leg whose token may have moved."""

    def __init__(self, store: NDArray[np.uint8], on_through: Callable[[Leg], None], ledger: Ledger) -> None:
        self.banks = tuple(Bank(store, self._next_span, ledger, slot) for slot in range(SLOTS))
        self.send_errors = 0
        self._store = store
        self._on_through = on_through
        self._keying: tuple[dict[int, Leg], ...] = tuple({} for _ in range(SLOTS))
        self._legs_of_slot = [0] * SLOTS

    def pick_slot(self) -> int:
        """Return the slot with the fewest legs, and count one more in it."""
        slot = self._legs_of_slot.index(min(self._legs_of_slot))
        return self.take_slot(slot)

    def take_slot(self, slot: int) -> int:
        """Count one more leg in a slot."""
        self._legs_of_slot[slot] += 1
        return slot

    def begin(self, frames: Sequence[int]) -> None:
        """Begin, with nobody playing, where another table has got to: so many frames of each slot are done."""
        for bank, frame in zip(self.banks, frames, strict=True):
            bank.frame = frame

    def frame_of(self, leg: Leg) -> int:
        """Return the number of the leg's frame that was sent last."""
        return self.banks[leg.slot].frame

    def enter(self, leg: Leg) -> None:
        """Let a leg play what its playlist says next, if it may: started, not keying, not there already."""
        if leg.started and leg.row < 0 and leg.digit_sender is None:
            self.banks[leg.slot].add(leg, self._next_span(leg))

    def leave(self, leg: Leg) -> None:
        """Take a leg out of its bank."""
        if leg.row >= 0:
            self.banks[leg.slot].remove(leg)

    def forget(self, leg: Leg) -> None:
        """Drop a leg that closed."""
        self.leave(leg)
        self._keying[leg.slot].pop(leg.id, None)
        self._legs_of_slot[leg.slot] -= 1

    def switch(self, leg: Leg) -> None:
        """Go to the playlist's next span now: a new program was set."""
        if leg.row >= 0:
            bank = self.banks[leg.slot]
            bank.follow(leg, self._next_span(leg))
            bank.mark(leg)

    def key(self, leg: Leg) -> None:
        """Begin to send the leg's digits; its clip waits where it is."""
        if leg.row >= 0:
            bank = self.banks[leg.slot]
            start, step, left = bank.position(leg)
            leg.resume = Span(start, step, left)
            bank.remove(leg)
        self._keying[leg.slot][leg.id] = leg

    def cut(self, leg: Leg) -> None:
        """Let what plays end within CUT_FRAMES; what comes then is silence."""
        leg.playlist.stop()
        leg.resume = None
        if leg.row >= 0:
            self.banks[leg.slot].cut(leg, CUT_FRAMES)

    def tick(self, tick: int) -> None:
        """Send the frame of a tick."""
        slot = tick % SLOTS
        self.banks[slot].tick()
        if self._keying[slot]:
            for leg in list(self._keying[slot].values()):
                self._key_frame(leg)

    def advance(self, tick: int, to_tick: int) -> None:
        """Do as if all frames after ``tick`` up to ``to_tick`` had been sent. Nobody may be keying."""
        for slot, bank in enumerate(self.banks):
            bank.advance(_frame_at(to_tick, slot) - _frame_at(tick, slot))

    def skip(self, tick: int, to_tick: int) -> int:
        """Leave out the frames after ``tick`` up to ``to_tick``, which are too late; return how many packets that are."""
        skipped = 0
        for slot, bank in enumerate(self.banks):
            frames = _frame_at(to_tick, slot) - _frame_at(tick, slot)
            skipped += frames * bank.count
            bank.skip(frames)
            for leg in self._keying[slot].values():
                leg.timestamp = (leg.timestamp + FRAME_SAMPLES * frames) & 0xFFFFFFFF
                leg.at_frame = bank.frame
        return skipped

    def next_event(self, tick: int, heard: Callable[[Address], bool]) -> int | None:
        """Return the first tick after ``tick`` that must not be skipped: a clip ends, a digit goes out, or somebody listens."""
        found = [self._next_event_of(slot, tick, heard) for slot in range(SLOTS)]
        return min((event for event in found if event is not None), default=None)

    def packets(self, leg: Leg) -> int:
        """Return how many packets the leg has sent."""
        if leg.row >= 0:
            self.banks[leg.slot].settle(leg)
        return leg.packets

    def timestamp(self, leg: Leg) -> int:
        """Return the timestamp of the newest packet."""
        return self.banks[leg.slot].timestamp(leg) if leg.row >= 0 else leg.timestamp

    def _next_event_of(self, slot: int, tick: int, heard: Callable[[Address], bool]) -> int | None:
        bank = self.banks[slot]
        if self._keying[slot] or bank.is_heard(heard):
            return tick + 1 + (slot - tick - 1) % SLOTS
        if not bank.count:
            return None
        return (bank.next_end - 1) * SLOTS + slot

    def _next_span(self, leg: Leg) -> Span:
        if leg.resume is not None:
            span, leg.resume = leg.resume, None
            return span
        through = leg.playlist.through
        span = leg.playlist.next_span()
        if leg.playlist.through != through or leg.over:
            self._on_through(leg)
        leg.touch()
        return span

    def _key_frame(self, leg: Leg) -> None:
        """Send one frame of digits. Timestamps keep time; the packets of one event share its first (RFC 4733 §2.2.1)."""
        step = leg.digit_sender.step() if leg.digit_sender is not None else None
        if step is None:  # the bank has sent its part of this frame already: this leg's is silence
            self._send_step(leg, SILENT_STEP)
            self._end_digits(leg)
        else:
            self._send_step(leg, step)

    def _send_step(self, leg: Leg, step: Step) -> None:
        frame = self.banks[leg.slot].frame
        leg.timestamp = (leg.timestamp + FRAME_SAMPLES * max(1, frame - leg.at_frame)) & 0xFFFFFFFF
        leg.at_frame = frame
        if step.first:
            leg.event_timestamp = leg.timestamp
        if leg.is_sending and leg.remote is not None:
            leg.sequence = (leg.sequence + 1) & 0xFFFF
            leg.packets += 1
            self._send(leg, leg.remote, step)
        leg.touch()

    def _send(self, leg: Leg, remote: Address, step: Step) -> None:
        if step.event >= 0:
            packet = RtpPacket(leg.dtmf_type, leg.sequence, leg.event_timestamp, leg.ssrc, event_payload(step), step.first)
        else:
            silence = self._store[leg.codec, 0].tobytes()
            packet = RtpPacket(leg.payload_type, leg.sequence, leg.timestamp, leg.ssrc, silence)
        try:
            leg.send(bytes(packet), remote)
        except OSError:
            self.send_errors += 1

    def _end_digits(self, leg: Leg) -> None:
        del self._keying[leg.slot][leg.id]
        leg.digit_sender = None
        leg.playlist.through = max(leg.playlist.through, leg.digit_token)
        self.enter(leg)
        self._on_through(leg)


def _frame_at(tick: int, slot: int) -> int:
    """Return the number of the slot's frame that was sent last when a tick is over."""
    return (tick - slot) // SLOTS
