"""What is fuzzed, one function of any bytes a parser. The invariant of each: the bytes give a value or the parser's one error; what was
read can be used and written; nothing else is raised, nothing is left behind. Time and memory are bounded by whoever calls.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable

from waitline.api import wire
from waitline.bridge.instructions import document
from waitline.bridge.sip.description import SessionDescription
from waitline.bridge.sip.digest import Authorization
from waitline.bridge.sip.flow import Flow
from waitline.bridge.sip.message import MalformedRequest, Request, Response, frame_length, parse
from waitline.bridge.sip.user_agent import UserAgent
from waitline.bridge.sip.validate import validate_request, validate_response
from waitline.errors import ApiError, DocumentError, SipError
from waitline.media import rtcp, rtp

SEPARATOR = b"\n%%\n"
FLOW = Flow("udp", ("192.0.2.1", 5060), ("198.51.100.7", 5060))
CONTENT_TYPES = (
    "text/xml",
    "application/xml; charset=utf-16",
    "text/plain",
    "text/html; charset=latin-1",
    "audio/wav",
    "text/xml; charset=utf-7",
)


def sip(data: bytes) -> None:
    """A datagram: a message that can be answered and written again, a keep-alive, or a SipError."""
    try:
        message = parse(data)
    except MalformedRequest as error:
        if error.salvage is not None:
            with contextlib.suppress(SipError, ValueError):
                bytes(Response.make(error.salvage, error.status, to_tag="x"))
        return
    except SipError:
        return
    if message is None:
        return
    again = parse(bytes(message))
    assert again == message
    with contextlib.suppress(SipError):
        _use(message)


def _use(message: Request | Response) -> None:
    for text in message.headers.fields("Authorization")[:4]:
        with contextlib.suppress(SipError):
            Authorization.parse(text)
    if isinstance(message, Request):
        validate_request(message)
        message.stamp_source("198.51.100.7", 5060)
        assert parse(bytes(Response.make(message, 200, to_tag="x"))) is not None
    else:
        validate_response(message)


def stream(data: bytes) -> None:
    """A TCP stream: cut within itself, or given up."""
    with contextlib.suppress(SipError):
        while data and (length := frame_length(data)) is not None:
            assert 0 < length <= len(data)
            sip(data[:length])
            data = data[length:]


def agent(data: bytes) -> None:
    """Datagrams, one after the other, to a user agent: it never raises, and forgets all of it in the end."""
    ua, now = UserAgent(random=random.Random(1)), 0.0
    for datagram in data.split(SEPARATOR)[:16]:
        ua.receive(datagram, FLOW, now)
        for event in ua.events():
            if dialog := getattr(event, "dialog", ""):
                ua.reject(dialog, 486, now)
            if transaction := getattr(event, "transaction", ""):
                ua.respond(transaction, 401, now, lasting=False)
        ua.effects()
        now += 0.3
    for _ in range(200):
        if (at := ua.next_timer()) is None:
            break
        now = max(now, at)
        ua.expire(now)
        ua.effects()
        ua.events()
    assert not any(ua.size.values()), ua.size


def sdp(data: bytes) -> None:
    """A session description that reads back the same, or a SipError."""
    with contextlib.suppress(SipError):
        description = SessionDescription.parse(data)
        assert SessionDescription.parse(bytes(description)) == description
        for media in description.media:
            _ = description.host_of(media), description.direction_of(media), media.encoding("0")


def rtp_packet(data: bytes) -> None:
    """A packet, or none."""
    packet = rtp.parse(data)
    assert packet is None or len(packet.payload) <= len(data) - rtp.HEADER_BYTES
    rtp.is_rtcp(data, len(data))


def rtcp_packets(data: bytes) -> None:
    """Some reports, or none."""
    assert len(rtcp.parse(data)) <= len(data)


def xml(data: bytes) -> None:
    """A document, or a DocumentError. The first byte chooses the content type."""
    if data:
        with contextlib.suppress(DocumentError):
            kind = CONTENT_TYPES[data[0] % len(CONTENT_TYPES)]
            found = document.parse(data[1:], kind, url="http://tenant.example/voice")
            assert type(found).from_plain(found.to_plain()).verbs == found.verbs


def form(data: bytes) -> None:
    """Pairs of text, or an ApiError."""
    with contextlib.suppress(ApiError):
        pairs = wire.parse_pairs(wire._as_text(data))
        assert len(pairs) <= wire.MAX_PAIRS


TARGETS: dict[str, Callable[[bytes], None]] = {
    "sip": sip, "stream": stream, "agent": agent, "sdp": sdp, "rtp": rtp_packet, "rtcp": rtcp_packets, "xml": xml, "form": form,
}  # fmt: skip
