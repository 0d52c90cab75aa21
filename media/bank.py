"""The legs of one slot that play, as columns: the part of the program whose cost is counted per packet.

A bank holds one row per playing leg, without holes: a row that leaves is filled by the last. The packet matrix *is* the state: sequence
and timestamp are incremented in network order where they lie, the payload is gathered from the frame store by one fancy index, and each
row is sent through a memoryview that was made when the row was. Per frame and row nothing is allocated but what ``sendto`` itself needs.

A row follows a span (see playlist.py): its frame index grows by ``step`` until ``end``, a frame number. ``next_end`` is the least of all
ends, so that a frame in which no clip ends costs one comparison of integers, and so that ``advance`` can skip to it: where nobody listens,
frames are arithmetic.

A muted row (held by its peer, or without an address) keeps time: its clip runs and its timestamp grows, its sequence does not, and its
packets are not sent.

``frame`` is the number of the frame sent last; all rows of a bank share it.

The columns lie in the ledger (see ledger.py), where a successor finds them: a row belongs to its ``owner``, who is written last and taken
away first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from waitline.media.ledger import Ledger
from waitline.media.leg import Leg
from waitline.media.playlist import FOREVER, Span
from waitline.media.rtp import FRAME_SAMPLES, HEADER_BYTES, MARKER, PACKET_BYTES, VERSION_2, Address, Buffer

_FIRST_ROWS = 64
_HEADER_AND_PAYLOAD = np.dtype([("header", f"V{HEADER_BYTES}"), ("payload", f"V{FRAME_SAMPLES}")])


def _unsent(_packet: Buffer, _address: Address) -> None:
    """What a muted row sends through."""


_NOWHERE: Address = ("", 0)


class Bank:
    """One slot's rows. ``on_end`` is asked for the next span of a leg whose span is through."""

    def __init__(self, store: NDArray[np.uint8], on_end: Callable[[Leg], Span], ledger: Ledger, slot: int) -> None:
        self.frame = -1
        self.count = 0
        self.next_end = FOREVER
        self.send_errors = 0
        self.legs: list[Leg] = []
        self._codec_frames = store.shape[1]
        self._store = store.reshape(-1, FRAME_SAMPLES).view(f"V{FRAME_SAMPLES}").reshape(-1)
        self._on_end = on_end
        self._sends: list[Callable[[Buffer, Address], object]] = []
        self._addresses: list[Address] = []
        self._marked: list[Leg] = []
        self._arrays = ledger.columns(slot)
        self._matrix, self._frames, self._steps, self._ends, self._unmuted, self._owners = self._arrays
        self._flat = memoryview(self._matrix.view(np.uint8).data)
        self._packets: list[memoryview] = []
        self._kept_frame = ledger.frames[slot : slot + 1]
        self._kept_frame[0] = -1
        self._slice()

    def add(self, leg: Leg, span: Span) -> None:
        """Give a leg a row; its first packet goes out at the next frame, marked."""
        if self.count == len(self._packets):
            self._grow()
        row = leg.row = self.count
        self.count += 1
        self.legs.append(leg)
        self._sends.append(_unsent)
        self._addresses.append(_NOWHERE)
        elapsed = max(1, self.frame + 1 - leg.at_frame)
        timestamp = (leg.timestamp + FRAME_SAMPLES * (elapsed - 1)) & 0xFFFFFFFF
        self._matrix[row] = (VERSION_2, leg.payload_type & 0x7F, leg.sequence, timestamp, leg.ssrc, 0)
        self._unmuted[row] = 0
        self.follow(leg, span)
        self.address(leg)
        self.mark(leg)
        self._owners[row] = leg.id
        self._slice()

    def remove(self, leg: Leg) -> None:
        """Take a leg's row away; where it stands is in the leg again."""
        self.settle(leg)
        row, last = leg.row, self.count - 1
        leg.sequence, leg.timestamp = int(self._matrix["sequence"][row]), int(self._matrix["timestamp"][row])
        leg.at_frame = self.frame
        leg.touch()
        self._owners[row] = 0
        if row != last:
            self._move(last, row)
        del self.legs[last], self._sends[last], self._addresses[last]
        leg.row = -1
        self.count = last
        self._slice()

    def follow(self, leg: Leg, span: Span) -> None:
        """Let a row play a span from the next frame on."""
        row = leg.row
        self._frames[row] = leg.codec * self._codec_frames + span.start
        self._steps[row] = span.step
        self._ends[row] = end = self.frame + 1 + span.length
        self.next_end = min(self.next_end, end)

    def cut(self, leg: Leg, frames: int) -> None:
        """Let a row's span end after at most so many more frames."""
        end = min(int(self._ends[leg.row]), self.frame + 1 + frames)
        self._ends[leg.row] = end
        self.next_end = min(self.next_end, end)

    def mark(self, leg: Leg) -> None:
        """Set the marker on the row's next packet."""
        self._matrix["kind"][leg.row] |= MARKER
        self._marked.append(leg)

    def address(self, leg: Leg) -> None:
        """Send the row to where the leg sends now, or mute it."""
        row = leg.row
        self.settle(leg)
        was_sending = bool(self._unmuted[row])
        is_sending = leg.remote is not None and leg.is_sending
        self._sends[row] = leg.send if is_sending else _unsent
        self._addresses[row] = leg.remote or _NOWHERE
        self._unmuted[row] = is_sending
        if is_sending and not was_sending:
            self.mark(leg)

    def media(self, leg: Leg, old_codec: int) -> None:
        """Take over a change of payload type and codec in the middle of a span."""
        row = leg.row
        self._frames[row] += (leg.codec - old_codec) * self._codec_frames
        self._matrix["kind"][row] = leg.payload_type & 0x7F
        self.mark(leg)

    def position(self, leg: Leg) -> tuple[int, int, int]:
        """Return where the row's span stands: frame, step and frames left."""
        row = leg.row
        return int(self._frames[row]) - leg.codec * self._codec_frames, int(self._steps[row]), int(self._ends[row]) - self.frame - 1

    def settle(self, leg: Leg) -> None:
        """Bring the leg's packet count up to date."""
        if self._unmuted[leg.row]:
            leg.packets += self.frame - leg.counted_from
        leg.counted_from = self.frame

    def timestamp(self, leg: Leg) -> int:
        """Return the timestamp of the row's newest packet."""
        return int(self._matrix["timestamp"][leg.row])

    def is_heard(self, heard: Callable[[Address], bool]) -> bool:
        """Tell whether somebody listens to one of the rows."""
        return any(map(heard, self._addresses))

    def tick(self) -> None:
        """Send one frame."""
        self.frame += 1
        if not self.count:
            self._kept_frame[0] = self.frame
            return
        np.add(self._sequence, self._step_of_sequence, out=self._sequence)
        np.add(self._timestamp, FRAME_SAMPLES, out=self._timestamp)
        self._payload[...] = self._store[self._frame]
        self._send()
        if self._marked:
            self._unmark()
        np.add(self._frame, self._step, out=self._frame)
        self._kept_frame[0] = self.frame
        if self.frame + 1 >= self.next_end:
            self._end_spans()

    def advance(self, frames: int) -> None:
        """Do as if so many frames had been sent. What ends within them ends."""
        self._run(frames, sequence_per_frame=1)

    def skip(self, frames: int) -> None:
        """Leave so many frames out, because they are too late: time and clips go on, sequence numbers do not (RFC 3550 §5.1)."""
        for leg in self.legs:
            self.settle(leg)
        self._run(frames, sequence_per_frame=0)
        for leg in self.legs:
            leg.counted_from = self.frame
            self.mark(leg)

    def _run(self, frames: int, *, sequence_per_frame: int) -> None:
        while frames > 0:
            part = frames if not self.count else max(1, min(frames, self.next_end - 1 - self.frame))
            self.frame += part
            frames -= part
            if not self.count:
                continue
            self._sequence += (self._step_of_sequence.astype(np.uint32) * (part * sequence_per_frame)).astype(np.uint16)
            self._timestamp += np.uint32((FRAME_SAMPLES * part) & 0xFFFFFFFF)
            self._frame += self._step * part
            if self._marked and sequence_per_frame:
                self._unmark()
            if self.frame + 1 >= self.next_end:
                self._end_spans()
        self._kept_frame[0] = self.frame

    def _send(self) -> None:
        """Send all rows. An error costs its own packet only: the iterator goes on where it was."""
        rows = zip(self._sends, self._addresses, self._packets, strict=False)
        while True:
            try:
                for send, address, packet in rows:
                    send(packet, address)
            except OSError:
                self.send_errors += 1
            else:
                return

    def _unmark(self) -> None:
        for leg in self._marked:
            if leg.row >= 0:
                self._matrix["kind"][leg.row] &= 0xFF ^ MARKER
        self._marked.clear()

    def _end_spans(self) -> None:
        ended: Iterable[int] = np.flatnonzero(self._end <= self.frame + 1).tolist()
        for row in ended:
            leg = self.legs[row]
            self.follow(leg, self._on_end(leg))
        self.next_end = int(self._end.min())

    def _move(self, source: int, target: int) -> None:
        for array in self._arrays[:-1]:
            array[target] = array[source]
        self._owners[target] = self._owners[source]
        self._owners[source] = 0
        self.legs[target], self._sends[target], self._addresses[target] = self.legs[source], self._sends[source], self._addresses[source]
        self.legs[target].row = target

    def _grow(self) -> None:
        """Make views of more rows' packets. Which rows there are is the ledger's affair, and it has refused the leg before it runs out."""
        first, end = len(self._packets), min(len(self._matrix), max(_FIRST_ROWS, 2 * len(self._packets)))
        self._packets += [
            self._flat[start : start + PACKET_BYTES] for start in range(first * PACKET_BYTES, end * PACKET_BYTES, PACKET_BYTES)
        ]

    def _slice(self) -> None:
        """Make the views of the rows in use, which ``tick`` works on: cheaper once per change than once per frame."""
        rows = slice(self.count)
        self._sequence = self._matrix["sequence"][rows]
        self._timestamp = self._matrix["timestamp"][rows]
        self._payload = self._matrix.view(_HEADER_AND_PAYLOAD)["payload"][rows]
        self._frame, self._step, self._end = self._frames[rows], self._steps[rows], self._ends[rows]
        self._step_of_sequence = self._unmuted[rows]
