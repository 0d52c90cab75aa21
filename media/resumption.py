"""A successor's first work: the legs that another table left, put into an empty one.

It is done at the tick at which they were left; the owner of the table then skips to now, which is what any late worker does: timestamps go
on, sequence numbers have no hole, the marker is set. Ticks are counted from the same moment in both, so that every deadline keeps its
meaning.

The rules, where the two truths differ or something is missing:

=============================  =====================================================================================
a row of a bank with an owner  tells where the leg is: its numbers and its place in its clip
no row, not relayed            was on its way into a bank or out of it: goes on from its entry
a talk only one side has       was about to begin or end: both sides play silence; the command in hand decides
relayed to it                  the offsets stay, so that the partner's next packet follows its last one, whatever was lost between
paused, relayed to it          the numbers of its entry are a second old at most: they are stepped by the frames since
encrypted                      counters go on behind those promised, whatever the above says; what came last may be heard twice,
                               up to the record's age
no sockets, no record          cannot go on: ``LegGone`` is reported, and control decides
=============================  =====================================================================================

Of what was received before, digits are kept; loss and jitter are counted anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from waitline.media import messages
from waitline.media.keeping import revive, rows_of
from waitline.media.ledger import SLOTS, Hot, Ledger
from waitline.media.messages import Report
from waitline.media.reporting import leg_state
from waitline.media.wire import Wire

if TYPE_CHECKING:
    from waitline.media.leg import Leg
    from waitline.media.table import LegTable


class Resumption:
    """See the module."""

    def __init__(self, table: LegTable, left: Ledger, wire: Wire, report: Callable[[Report], None]) -> None:
        self._table = table
        self._left = left
        self._wire = wire
        self._report = report
        self._rows = rows_of(left, table.frame_count)

    def run(self) -> None:
        """Make all legs again, bring those that talk together, and let them send on."""
        table, frames = self._table, self._left.frames.tolist()
        table.start_again(max(frame * SLOTS + slot for slot, frame in enumerate(frames)))
        table.player.begin(frames)
        revived = [found for found in self._left.records() if self._revive(*found)]
        for record, hot, _ in revived:
            self._rejoin(table.legs[record["leg"]], int(record["peer"]), hot)
        for leg in table.legs.values():
            self._go_on(leg)

    def _revive(self, record: dict[str, Any], hot: Hot, promised: tuple[int, int]) -> bool:
        """Make a leg again; False where that cannot be: control is told, if anybody knows which leg it was."""
        table, number = self._table, int(record.get("leg", 0))
        try:
            slot = int(record["slot"])
            self._wire.resume(number)
            leg = table.add(number, (record["port"], record["rtcp_port"]), slot, table.ledger.take(), ssrc=record["ssrc"])
            table.player.take_slot(slot)
            revive(leg, record, hot, self._rows.get(number), table.player.frame_of(leg), table.frame_count)
            table.encrypt_again(leg, record.get("srtp"), promised)
        except (OSError, KeyError, TypeError, ValueError) as error:
            table.counters["legs_not_resumed"] += 1
            table.abandon(number)
            self._report(messages.LegGone(number, f"its media worker died, and the next cannot go on with it: {error!r}"))
            return False
        return True

    def _rejoin(self, leg: Leg, peer: int, hot: Hot) -> None:
        """Bring a leg of a talk together with its partner, if that is there."""
        partner = self._table.legs.get(peer)
        if partner is not None:
            self._table.join_again(leg, partner, (hot.relay_ssrc, hot.sequence_offset, hot.timestamp_offset, hot.stale))
        elif peer:
            leg.claim, leg.over = "", False

    def _go_on(self, leg: Leg) -> None:
        if leg.peer is not None and leg.peer.peer is not leg:  # only one side was told: neither is
            leg.peer = leg.relay = None
            leg.claim, leg.over = "", False
            leg.playlist.stop()
        if leg.mux:
            leg.rtcp_send = leg.send
            self._wire.share_rtcp(leg.id)
        if leg.started:
            self._table.send_again(leg, was_in_bank=leg.id in self._rows)
        self._table.review(leg)
        self._tell_again(leg)

    def _tell_again(self, leg: Leg) -> None:
        """Report what may not have been: control takes no fact twice."""
        if leg.payload_type < 0:
            self._report(messages.Opened(leg.id, leg.port, leg.rtcp_port))
        if leg.peer is not None:
            self._report(messages.Bridged(leg.id, leg.peer.id, leg.claim))
        if leg.playlist.through:
            leg.reported_token = leg.playlist.through
            self._report(messages.ClipEnded(leg.id, leg.playlist.through))
        for digit in messages.recent_digits(leg_state(leg)):
            self._report(digit)
