"""What control and a media worker say to each other.

Commands go down, reports come up; each is a NamedTuple of plain values whose wire form is a JSON list headed by its name, so that two
versions of the program can read each other. Nothing here is per packet: a held call costs no message at all.

A *program* is a tuple of segments ``(start, frames, loops)`` over the frame store: frame index, number of 20 ms frames, how often
(0: for ever). A worker plays the segments one after the other, and silence frames when they are out, so that RTP never stops.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

Segment = tuple[int, int, int]
"""(start frame, number of frames, loops; 0 loops for ever)"""


class OpenLeg(NamedTuple):
    """Bind a port (two without rtcp-mux) for a new leg; answered by Opened or OpenFailed."""

    epoch: int
    leg: int
    ssrc: int
    sequence: int
    timestamp: int


class SetMedia(NamedTuple):
    """What offer and answer agreed. Sent again after each re-INVITE."""

    epoch: int
    leg: int
    codec: str
    """PCMU or PCMA"""
    payload_type: int
    dtmf_payload_type: int
    """-1: none agreed"""
    host: str
    """Where to send, from the SDP; replaced by what the leg latches on to."""
    port: int
    rtcp_port: int
    """0: rtcp-mux"""
    direction: str
    """As seen from us: sendrecv, sendonly (peer holds us, or listens only), recvonly, inactive"""
    latch_hosts: tuple[str, ...]
    """Addresses that the leg may latch on to; empty: any"""


class SetKeys(NamedTuple):
    """Encrypt the leg from now on (SRTP), before the SetMedia of the same agreement; a direction whose key is the same goes on."""

    epoch: int
    leg: int
    suite: str
    """Of RFC 4568 and RFC 7714; empty: in the clear"""
    send_key: str
    """Master key and salt, base64"""
    receive_key: str

    def __repr__(self) -> str:
        return f"SetKeys(leg={self.leg}, suite={self.suite!r})"  # keys are not for logs


class StartAudio(NamedTuple):
    """Begin to send (at ACK, or 500 ms after the 200). The first RTP packet from the peer does the same."""

    epoch: int
    leg: int


class Play(NamedTuple):
    """Play a program from the leg's next slot on; ClipEnded(token) is reported when ``report_after`` segments are through (0: never)."""

    epoch: int
    leg: int
    token: int
    segments: tuple[Segment, ...]
    report_after: int


class PlayNext(NamedTuple):
    """As Play, but after the segments that are still to be reported have ended, with no frame between."""

    epoch: int
    leg: int
    token: int
    segments: tuple[Segment, ...]
    report_after: int


class SendDigits(NamedTuple):
    """Send RFC 4733 digits (0-9 A-D # * and w = 0.5 s, W = 1 s of pause), then ClipEnded(token)."""

    epoch: int
    leg: int
    token: int
    digits: str


class Bridge(NamedTuple):
    """Relay between two legs of this worker from the first relayed packet on; both keep the claim; answered by Bridged."""

    epoch: int
    leg: int
    peer: int
    claim: str


class Unbridge(NamedTuple):
    """End the relay; both legs play silence until told otherwise."""

    epoch: int
    leg: int


class CloseLeg(NamedTuple):
    """Stop, send an RTCP BYE, drain the port."""

    epoch: int
    leg: int


class HandOver(NamedTuple):
    """Give the leg up to another worker: answered by HandedOver, with the leg's sockets beside it. It plays no more here."""

    epoch: int
    leg: int


class TakeOver(NamedTuple):
    """Go on with a leg that another worker handed over (its sockets come beside the message); answered by Opened."""

    epoch: int
    leg: int
    row: dict[str, Any]


class Configure(NamedTuple):
    """The first message to a new worker: where to bind and what to tell."""

    epoch: int
    host: str
    first_port: int
    last_port: int
    quiet_s: int
    """Report Quiet after so many seconds without a packet."""
    cname: str
    """RTCP's canonical name of this platform (RFC 3550 §6.5.1)."""


class Dump(NamedTuple):
    """Report all legs: what a control that attaches asks first."""

    epoch: int


class AskStats(NamedTuple):
    epoch: int
    leg: int
    """0: the worker's own counters"""


class Opened(NamedTuple):
    leg: int
    port: int
    rtcp_port: int


class OpenFailed(NamedTuple):
    leg: int
    reason: str


class ClipEnded(NamedTuple):
    """Level-triggered: the newest token that is through."""

    leg: int
    token: int


class Digit(NamedTuple):
    """A key of the peer, once, at its end; ``number`` counts them per leg from 1."""

    leg: int
    number: int
    digit: str
    duration_ms: int


class Bridged(NamedTuple):
    """Both legs carry the claim and relay: the fact that confirms it."""

    leg: int
    peer: int
    claim: str


class Latched(NamedTuple):
    leg: int
    host: str
    port: int


class Quiet(NamedTuple):
    """No RTP or RTCP for ``seconds`` although the peer should send; repeated at each multiple of the limit."""

    leg: int
    seconds: int


class HandedOver(NamedTuple):
    """The leg's row, to be sent on in a TakeOver."""

    leg: int
    row: dict[str, Any]


class Stats(NamedTuple):
    leg: int
    values: dict[str, float]


class LegState(NamedTuple):
    """One row of a dump."""

    leg: int
    port: int
    rtcp_port: int
    mode: str
    """play | relay"""
    peer: int
    claim: str
    token: int
    """Newest token through"""
    digit_number: int = 0
    """Keys reported so far"""
    recent_digits: str = ""
    """The newest of them: a control that read a report may have died before it had kept the key"""


class LegGone(NamedTuple):
    """The successor of a worker that died cannot go on with this leg."""

    leg: int
    reason: str


class Dumped(NamedTuple):
    """The end of a dump: all LegStates are before it."""

    legs: int


Command = (
    OpenLeg
    | SetMedia
    | SetKeys
    | StartAudio
    | Play
    | PlayNext
    | SendDigits
    | Bridge
    | Unbridge
    | CloseLeg
    | HandOver
    | TakeOver
    | Configure
    | Dump
    | AskStats
)
Report = Opened | OpenFailed | ClipEnded | Digit | Bridged | Latched | Quiet | HandedOver | Stats | LegState | LegGone | Dumped
Message = Command | Report

MAX_BATCH_BYTES = 32_000

_to_json = json.JSONEncoder(separators=(",", ":")).encode  # json.dumps makes an encoder for each call that is not its default
_from_json = json.JSONDecoder().decode  # json.loads guesses the encoding of bytes

_TYPES: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        OpenLeg, SetMedia, SetKeys, StartAudio, Play, PlayNext, SendDigits, Bridge, Unbridge, CloseLeg, HandOver, TakeOver, Configure,
        Dump, AskStats, Opened, OpenFailed, ClipEnded, Digit, Bridged, Latched, Quiet, HandedOver, Stats, LegState, LegGone, Dumped,
    )
}  # fmt: skip


def encode(messages: list[Message]) -> bytes:
    """Return one batch as bytes. The caller keeps it under MAX_BATCH_BYTES."""
    return _to_json([[type(m).__name__, *m] for m in messages]).encode()


def decode(batch: bytes) -> list[Message]:
    """Return the messages of a batch; inner lists become tuples. A type that is unknown (a newer peer's) is left out."""
    return [
        _TYPES[name](*[_tupled(value) if type(value) is list else value for value in values])
        for name, *values in _from_json(batch.decode())
        if name in _TYPES
    ]


def recent_digits(state: LegState) -> list[Digit]:
    """Return the newest keys of a leg as they were reported; how long they were pressed is not known any more."""
    first = state.digit_number - len(state.recent_digits) + 1
    return [Digit(state.leg, number, digit, 0) for number, digit in enumerate(state.recent_digits, first)]


def _tupled(value: Any) -> Any:
    return tuple(_tupled(item) for item in value) if isinstance(value, list) else value
