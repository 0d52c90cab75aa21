"""One leg of a worker's table: what is not per packet.

The columns that change with every packet (sequence, timestamp, frame index) live in a bank of the player while the leg plays, and here
while it does not: ``row`` is -1 then. Everything else about a leg is here: what offer and answer agreed, where it sends, what it has
received, whom it relays to. The table and its parts change it; it has no behaviour of its own but derived facts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from waitline.media.dtmf import DigitReceiver, DigitSender
from waitline.media.latch import Latch
from waitline.media.ledger import Entry, Hot
from waitline.media.playlist import Playlist, Span
from waitline.media.relay import NO_OFFSETS, Relay
from waitline.media.rtcp import SenderInfo
from waitline.media.rtp import Address, Buffer
from waitline.media.sequence import Reception
from waitline.media.srtp import Srtp

NEVER = 1 << 60
"""Ticks: a timer that is not set."""
SENDING = ("sendrecv", "sendonly")

Send = Callable[[Buffer, Address], object]
Take = Callable[[Any, memoryview, int, Address, float], None]


class Leg:
    """A row of the table."""

    __slots__ = (
        "at_frame", "claim", "codec", "counted_from", "digit_number", "digit_receiver", "digit_sender", "digit_token", "direction",
        "drop_type", "dtmf_type", "due", "entry", "event_timestamp", "id", "is_urgent", "latch", "life", "mux", "newest_token", "over",
        "packets", "payload_type", "peer", "peer_loss", "peer_report", "peer_report_at_s", "playlist", "port", "quiet_count", "received",
        "recent_digits", "reception", "relay", "relayed_at", "remote", "reported_packets", "reported_token", "resume", "round_trip_s",
        "row", "rtcp_due", "rtcp_port", "rtcp_remote", "rtcp_send", "send", "sequence", "slot", "srtp", "ssrc", "started", "take",
        "takes_relay", "timestamp",
    )  # fmt: skip

    def __init__(
        self,
        leg: int,
        slot: int,
        entry: Entry,
        *,
        ssrc: int,
        sequence: int,
        timestamp: int,
        playlist: Playlist,
        send: Send,
        rtcp_send: Send,
        take: Take,
    ) -> None:
        self.id = leg
        self.slot = slot
        self.entry = entry
        self.port = self.rtcp_port = 0
        self._outgoing(ssrc, sequence, timestamp)
        self.playlist = playlist
        self.send, self.rtcp_send = send, rtcp_send
        self.take: Take = take
        """What a datagram of the RTP port is given to"""
        self.srtp: Srtp | None = None
        """None: in the clear"""
        self._agreed()
        self._incoming()
        self._timers()

    @property
    def is_sending(self) -> bool:
        """Packets may go out: audio was started, the direction lets us, and there is somewhere to send to."""
        return self.started and self.direction in SENDING and self.remote is not None

    @property
    def is_expecting(self) -> bool:
        """The peer should send. Not while it holds us or only listens: a muted caller is a caller."""
        return self.started and self.direction == "sendrecv"

    @property
    def hot(self) -> Hot:
        """What changes without a command, for the ledger."""
        sender, relay = self.digit_sender, self.relay
        return Hot(
            self.sequence,
            self.timestamp,
            self.at_frame,
            self.packets,
            self.counted_from,
            self.event_timestamp,
            sender.left if sender is not None else 0,
            self.playlist.through,
            *self.playlist.place,
            *(relay.offsets if relay is not None else NO_OFFSETS),
        )

    def touch(self) -> None:
        """Bring the hot part of the leg's entry up to date."""
        self.entry.touch(self.hot)

    def _outgoing(self, ssrc: int, sequence: int, timestamp: int) -> None:
        self.ssrc = ssrc
        self.sequence = (sequence - 1) & 0xFFFF
        """Of the newest packet sent; a bank keeps it while the leg has a row."""
        self.timestamp = (timestamp - 160) & 0xFFFFFFFF
        self.at_frame = -1
        """The frame number (of its slot) that ``timestamp`` belongs to."""
        self.row = -1
        self.packets = 0
        """Sent until ``counted_from``; a bank sends one a frame since."""
        self.counted_from = 0
        self.started = False
        self.digit_sender: DigitSender | None = None
        self.digit_token = 0
        self.event_timestamp = 0
        self.resume: Span | None = None
        """What was under way when digits began."""

    def _agreed(self) -> None:
        self.codec = 0
        self.payload_type = -1
        """-1: no media was set yet"""
        self.dtmf_type = -1
        self.direction = "sendrecv"
        self.mux = False
        self.remote: Address | None = None
        self.rtcp_remote: Address | None = None
        self.latch = Latch()

    def _incoming(self) -> None:
        self.received = 0
        self.drop_type = -1
        """What the kernel filter drops; -1: no filter"""
        self.is_urgent = False
        """Packets are waited for, not fetched once a slot."""
        self.reception = Reception()
        self.digit_receiver = DigitReceiver()
        self.digit_number = 0
        self.recent_digits = ""
        """The newest keys, for a control that read them and died before it had kept them."""
        self.peer: Leg | None = None
        """The partner of a bridge."""
        self.relay: Relay | None = None
        """What this leg receives goes there."""
        self.claim = ""
        self.over = False
        """A program plays over the relay to this leg, until it is out."""
        self.relayed_at = 0
        """The tick at which a packet was relayed to this leg last."""
        self.takes_relay = False

    def _timers(self) -> None:
        self.life = 0
        """The tick at which the peer gave the last sign of life."""
        self.quiet_count = 0
        self.due = NEVER
        self.rtcp_due = NEVER
        self.reported_packets = 0
        self.reported_token = 0
        self.newest_token = 0
        """Of the newest command that had one: none is obeyed twice."""
        self.peer_report: SenderInfo | None = None
        self.peer_report_at_s = 0.0
        self.peer_loss = 0.0
        self.round_trip_s = 0.0
