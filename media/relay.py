"""One direction of a bridge: a packet in, its header rewritten where it lies, the same packet out.

Sequence numbers and timestamps are moved by offsets, so that what the sender's network lost stays visible to the receiver, and there is
no jitter buffer to add delay. The offsets are taken anew, and the marker is set, when the target heard something else before (music,
digits, silence) and when the sender begins another stream: another SSRC, or a jump that no loss explains. What comes late or twice is
dropped: a receiver would have to, and digits would double.

Payload types are the receiver's own; audio goes from µ-law to A-law and back by a table where the two differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from waitline.media.rtp import FRAME_SAMPLES, HEADER, MARKER, payload_bounds
from waitline.media.sequence import MAX_DROPOUT, MAX_MISORDER

if TYPE_CHECKING:
    from waitline.media.leg import Leg

_NONE = -1
NO_OFFSETS = (_NONE, 0, 0, 1)
"""Of a relay that has seen no packet."""


class Relay:
    """From one leg to its partner."""

    __slots__ = (
        "_highest",
        "_probation",
        "_sequence_offset",
        "_ssrc",
        "_table",
        "_timestamp_offset",
        "_types",
        "rebased",
        "stale",
        "target",
    )

    def __init__(self, target: Leg) -> None:
        self.target = target
        self.stale = True
        """The offsets must be taken anew."""
        self.rebased = False
        """They were, and nobody has noted it yet."""
        self._types: dict[int, int] = {}
        self._table: dict[int, bytes | None] = {}
        self._ssrc = self._highest = self._probation = _NONE
        self._sequence_offset = self._timestamp_offset = 0

    @property
    def offsets(self) -> tuple[int, int, int, int]:
        """The sender's SSRC, what is added to its sequence numbers and timestamps, and 1 where that must be found anew."""
        return self._ssrc, self._sequence_offset, self._timestamp_offset, int(self.stale)

    def resume(self, offsets: tuple[int, int, int, int]) -> None:
        """Go on with ``offsets`` of another relay; what was the newest packet is not known, the next is."""
        self._ssrc, self._sequence_offset, self._timestamp_offset, stale = offsets
        self.stale = bool(stale)
        self._highest = _NONE

    def map_types(self, source: Leg, table: bytes | None) -> None:
        """Note which payload types go through, as what, and how their payload is translated. Called after each offer and answer."""
        target = self.target
        self._types = {source.payload_type: target.payload_type}
        self._table = {source.payload_type: table}
        if source.dtmf_type >= 0 and target.dtmf_type >= 0:
            self._types[source.dtmf_type] = target.dtmf_type
        self.stale = True

    def rewrite(self, data: memoryview, size: int, frame: int) -> bool:
        """Make the packet one of the target's; ``frame`` is the target's frame number now. False: it must not go out."""
        first, kind, sequence, timestamp, ssrc = HEADER.unpack_from(data)
        payload_type = self._types.get(kind & 0x7F, _NONE)
        if payload_type == _NONE or not self._follow(ssrc, sequence):
            return False
        target = self.target
        marker = kind & MARKER
        if self.stale:
            self._rebase(sequence, timestamp, frame)
            marker = MARKER
        table = self._table.get(kind & 0x7F)
        if table is not None:
            start, end = payload_bounds(data, size)
            data[start:end] = bytes(data[start:end]).translate(table)
        target.sequence = (sequence + self._sequence_offset) & 0xFFFF
        target.timestamp = (timestamp + self._timestamp_offset) & 0xFFFFFFFF
        target.at_frame = frame + 1  # it lies between two frames: what we play after it continues without a hole
        target.packets += 1
        HEADER.pack_into(data, 0, first, payload_type | marker, target.sequence, target.timestamp, target.ssrc)
        return True

    def _follow(self, ssrc: int, sequence: int) -> bool:
        """Keep up with the sender's stream; False for a packet that is late or a duplicate."""
        step = (sequence - self._highest) & 0xFFFF
        if ssrc != self._ssrc:
            self._ssrc = ssrc
            self.stale = True
        elif step == 0 or step > MAX_DROPOUT:
            if self._highest == _NONE:  # resumed: the first packet since
                pass
            elif step and step < 0x8000:
                self.stale = True
            elif not self._is_restart(sequence, step):
                return False
            else:
                self.stale = True
        self._highest = sequence
        self._probation = _NONE
        return True

    def _is_restart(self, sequence: int, step: int) -> bool:
        """Tell whether the sender's numbering has begun anew: two in order, far from where it was (RFC 3550 A.1)."""
        if step == 0 or step > 0x10000 - MAX_MISORDER:
            return False
        is_second = sequence == self._probation
        self._probation = (sequence + 1) & 0xFFFF
        return is_second

    def _rebase(self, sequence: int, timestamp: int, frame: int) -> None:
        target = self.target
        elapsed = max(1, frame - target.at_frame)
        self._sequence_offset = target.sequence + 1 - sequence
        self._timestamp_offset = target.timestamp + FRAME_SAMPLES * elapsed - timestamp
        self.stale = False
        self.rebased = True
