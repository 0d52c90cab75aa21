"""What a leg says and knows of itself: RTCP reports, statistics, its row for a dump or for another worker."""

from __future__ import annotations

from typing import Any

from waitline.media import rtcp
from waitline.media.leg import Leg
from waitline.media.messages import LegState
from waitline.media.player import Player
from waitline.media.rtp import FRAME_SAMPLES


def build_rtcp(leg: Leg, player: Player, *, unix_s: float, cname: str, bye: bool = False) -> bytes:
    """Return the leg's next compound RTCP packet; a sender report if it sent anything since the last (RFC 3550 §6.4)."""
    packets = player.packets(leg)
    sender = None
    if packets != leg.reported_packets:
        sender = rtcp.SenderInfo(rtcp.ntp_time(unix_s), player.timestamp(leg), packets, packets * FRAME_SAMPLES)
    leg.reported_packets = packets
    return rtcp.build_report(leg.ssrc, sender, _blocks(leg, unix_s), cname, bye=bye)


def _blocks(leg: Leg, unix_s: float) -> tuple[rtcp.ReportBlock, ...]:
    reception = leg.reception
    if reception.ssrc < 0:
        return ()
    last_report = delay = 0
    if leg.peer_report is not None:
        last_report = rtcp.middle_32(leg.peer_report.ntp)
        delay = int(max(0.0, unix_s - leg.peer_report_at_s) * 65536)
    return (
        rtcp.ReportBlock(
            reception.ssrc, reception.fraction_lost(), reception.lost, reception.highest, int(reception.jitter), last_report, delay
        ),
    )


def leg_stats(leg: Leg, player: Player, *, dropped: int) -> dict[str, float]:
    """Return the leg's counters: packets sent and received, loss as we and as the peer see it, jitter and round trip."""
    reception = leg.reception
    return {
        "sent_packets": player.packets(leg),
        "received_packets": leg.received + dropped,
        "filtered_packets": dropped,
        "expected_packets": reception.expected,
        "lost_packets": max(0, reception.lost),
        "jitter_ms": reception.jitter / 8,
        "peer_loss": leg.peer_loss,
        "round_trip_ms": leg.round_trip_s * 1000,
        "digits": leg.digit_number,
    }


def leg_state(leg: Leg) -> LegState:
    """Return the leg's row of a dump."""
    mode = "play" if leg.peer is None else "relay"
    peer = 0 if leg.peer is None else leg.peer.id
    return LegState(leg.id, leg.port, leg.rtcp_port, mode, peer, leg.claim, leg.playlist.through, leg.digit_number, leg.recent_digits)


PLAIN = ("ssrc", "sequence", "timestamp", "started", "packets", "reported_packets", "codec", "payload_type", "dtmf_type", "direction",
          "mux", "received", "digit_number", "recent_digits", "port", "rtcp_port")  # fmt: skip


def pack(leg: Leg) -> dict[str, Any]:
    """Return a leg that has left its bank as plain values, for another worker; what it plays goes on where it is."""
    return {
        **{name: getattr(leg, name) for name in PLAIN},
        "remote": leg.remote,
        "rtcp_remote": leg.rtcp_remote,
        "latch": leg.latch.dump(),
        "srtp": leg.srtp.dump() if leg.srtp is not None else None,
        "resume": leg.resume,
        "through": leg.playlist.through,
        "programs": leg.playlist.dump(),
    }


def unpack(row: dict[str, Any], leg: Leg) -> None:
    """Put the values of ``pack`` into a new leg; latch and playlist are restored by the table, which knows the time and the store."""
    for name in PLAIN:
        setattr(leg, name, row[name])
    leg.remote = tuple(row["remote"]) if row["remote"] else None
    leg.rtcp_remote = tuple(row["rtcp_remote"]) if row["rtcp_remote"] else None
