"""What is kept of a leg in the ledger, and a leg made of it again.

``keep`` writes a leg's record, ``revive`` puts one into a new leg; who does so for all legs of a worker is ``resumption``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from waitline.media.dtmf import DigitReceiver, DigitSender
from waitline.media.latch import Latch
from waitline.media.ledger import SLOTS, Hot, Ledger
from waitline.media.playlist import Playlist, Program, Span
from waitline.media.reporting import PLAIN, unpack
from waitline.media.rtp import FRAME_SAMPLES

if TYPE_CHECKING:
    from waitline.media.leg import Leg

Row = tuple[int, int, Span]
"""Sequence and timestamp of the packet sent last, and what is left of the span."""


def keep(leg: Leg) -> None:
    """Write a leg's record; of programs that wait, as many as there is room for.

    The newest token of those that are left out is through when what is before them is: silence for a while, but nobody waits for ever.
    """
    hot, record, programs = leg.hot, _record(leg), leg.playlist.programs()
    if leg.entry.keep({**record, "programs": programs}, hot):
        return
    end = Program(programs[-1].token, (), 1)
    for count in range(len(programs) - 1, -1, -1):
        if leg.entry.keep({**record, "programs": [*programs[:count], end]}, hot):
            return


def revive(leg: Leg, record: dict[str, Any], hot: Hot, row: Row | None, frame: int, frame_count: int) -> None:
    """Put what was kept into a new leg, as it was after so many frames of its slot; its partner is the table's affair."""
    unpack(record, leg)
    leg.latch = Latch.restored(record["latch"], record["latch_until"])
    leg.playlist = Playlist.resumed(frame_count, hot.through, record["programs"], (hot.at, hot.loops, hot.due))
    leg.claim, leg.over = record["claim"], record["over"]
    leg.newest_token, leg.digit_token = record["newest_token"], record["digit_token"]
    leg.digit_receiver = DigitReceiver.restored(record["heard"])
    if record["keying"]:
        leg.digit_sender = DigitSender.resumed(record["digits"], hot.steps_left) if leg.started else DigitSender(record["digits"])
    leg.resume = Span(*record["resume"]) if record["resume"] else None
    leg.packets, leg.counted_from, leg.event_timestamp = hot.packets, hot.counted_from, hot.event_timestamp
    leg.sequence, leg.timestamp, leg.at_frame = hot.sequence, hot.timestamp, hot.at_frame
    if row is not None:
        leg.sequence, leg.timestamp, leg.resume = row
        leg.at_frame = frame
        if leg.is_sending:
            leg.packets += frame - hot.counted_from


def step_forward(leg: Leg, frame: int) -> None:
    """Step a relayed leg's numbers, which were noted a while ago, by what has been relayed to it since; a few too many do no harm."""
    frames = max(0, frame - leg.at_frame)
    if leg.srtp is None:  # else it is where nobody has been
        leg.sequence = (leg.sequence + frames) & 0xFFFF
    leg.timestamp = (leg.timestamp + FRAME_SAMPLES * frames) & 0xFFFFFFFF
    leg.at_frame = frame


def _record(leg: Leg) -> dict[str, Any]:
    return {
        **{name: getattr(leg, name) for name in PLAIN},
        "leg": leg.id,
        "slot": leg.slot,
        "remote": leg.remote,
        "rtcp_remote": leg.rtcp_remote,
        "latch": leg.latch.dump(),
        "srtp": leg.srtp.dump() if leg.srtp is not None else None,
        "latch_until": leg.latch.until_tick,
        "resume": leg.resume,
        "peer": 0 if leg.peer is None else leg.peer.id,
        "claim": leg.claim,
        "over": leg.over,
        "digits": "" if leg.digit_sender is None else leg.digit_sender.digits,
        "keying": leg.digit_sender is not None,
        "digit_token": leg.digit_token,
        "newest_token": leg.newest_token,
        "heard": leg.digit_receiver.dump(),
    }


def rows_of(ledger: Ledger, codec_frames: int) -> dict[int, Row]:
    """Return what the banks of a ledger hold, by leg."""
    found: dict[int, Row] = {}
    for slot in range(SLOTS):
        columns, frame = ledger.columns(slot), int(ledger.frames[slot])
        owners = columns.owners
        for row in owners.nonzero()[0].tolist():
            left = max(0, int(columns.ends[row]) - frame - 1)
            span = Span(int(columns.frames[row]) % codec_frames, int(columns.steps[row]), left)
            matrix = columns.matrix[row]
            found[int(owners[row])] = (int(matrix["sequence"]), int(matrix["timestamp"]), span)
    return found
