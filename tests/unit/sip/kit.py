"""A user agent under a fake clock, and a scripted peer that writes its requests by hand. ``Lab.advance`` fires timers one by one."""

from __future__ import annotations

import json
import random
from collections.abc import Container
from typing import Any, TypeVar

from waitline.bridge.sip.events import Event
from waitline.bridge.sip.flow import Flow
from waitline.bridge.sip.message import Request, Response, parse
from waitline.bridge.sip.user_agent import UserAgent

OURS = ("192.0.2.1", 5060)
THEIRS = ("192.0.2.9", 5070)
UDP = Flow("udp", OURS, THEIRS)
TCP = Flow("tcp", OURS, ("192.0.2.9", 40001), 7)
OFFER = b"v=0\r\n(offer)\r\n"
ANSWER = b"v=0\r\n(answer)\r\n"

AnEvent = TypeVar("AnEvent")


class Lab:
    """``sent`` holds (time, flow, message) of everything that went out; ``take`` drains it."""

    def __init__(self, *, flow: Flow = UDP, **options: Any) -> None:
        self.now = 100.0
        self.flow = flow
        self.ua = UserAgent(random=random.Random(7), **options)
        self.sent: list[tuple[float, Flow, Request | Response]] = []
        self.events: list[Event] = []

    def receive(self, data: bytes, flow: Flow | None = None) -> list[Request | Response]:
        self.ua.receive(data, flow or self.flow, self.now)
        return self.drain()

    def drain(self) -> list[Request | Response]:
        """Take what is to be sent, what is held as well: here everything is durable at once."""
        messages = []
        for flow, data in [*self.ua.effects(), *self.ua.held()]:
            message = parse(data)
            assert message is not None
            messages.append(message)
            self.sent.append((self.now, flow, message))
        self.events += self.ua.events()
        return messages

    def advance(self, seconds: float) -> list[tuple[float, str]]:
        """Let time pass; returns what went out as (seconds from now, first line)."""
        start, end, before = self.now, self.now + seconds, len(self.sent)
        while (at := self.ua.next_timer()) is not None and at <= end:
            self.now = max(self.now, at)
            self.ua.expire(self.now)
            self.drain()
        self.now = end
        return [(round(at - start, 3), message.start_line) for at, _, message in self.sent[before:]]

    def event(self, kind: type[AnEvent]) -> AnEvent:
        """The one event of that kind since the last look; looking takes it."""
        found = [event for event in self.events if isinstance(event, kind)]
        assert len(found) == 1, (kind.__name__, self.events)
        self.events = [event for event in self.events if not isinstance(event, kind)]
        return found[0]

    @property
    def idle(self) -> bool:
        """Whether nothing at all is remembered."""
        return not any(self.ua.size.values())


def request(
    method: str,
    *,
    branch: str = "z9hG4bK-1",
    cseq: int = 1,
    call_id: str = "call-1",
    from_tag: str | None = "theirs",
    to_tag: str | None = None,
    uri: str = "sip:+15550100@192.0.2.1:5060",
    via: str = "SIP/2.0/UDP 192.0.2.9:5070",
    headers: str = "",
    contact: str | None = "<sip:caller@192.0.2.9:5070>",
    body: bytes = b"",
) -> bytes:
    """A request of the peer, as bytes."""
    lines = [
        f"{method} {uri} SIP/2.0",
        f"Via: {via};branch={branch};rport" if branch else f"Via: {via}",
        "Max-Forwards: 70",
        'From: "Caller" <sip:caller@example.com>' + (f";tag={from_tag}" if from_tag else ""),
        "To: <sip:+15550100@192.0.2.1>" + (f";tag={to_tag}" if to_tag else ""),
        f"Call-ID: {call_id}",
        f"CSeq: {cseq} {method}",
        *([f"Contact: {contact}"] if contact else []),
        *([line for line in headers.split("\n") if line]),
        *(["Content-Type: application/sdp"] if body and "Content-Type" not in headers else []),
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def response(to: Request, status: int, *, tag: str | None = "theirs", headers: str = "", body: bytes = b"") -> bytes:
    """The peer's response to a request of ours."""
    lines = [f"{name}: {value}" for name, value in headers_of(headers)]
    made = Response.make(to, status, "Whatever", [tuple(line.split(": ", 1)) for line in lines], body, tag)  # type: ignore[misc]
    return bytes(made)


def headers_of(text: str) -> list[tuple[str, str]]:
    return [(name, value) for name, _, value in (line.partition(": ") for line in text.split("\n") if line)]


def ringing(lab: Lab, **options: Any) -> tuple[str, str]:
    """An INVITE has come and rings; returns (handle, our tag)."""
    from waitline.bridge.sip.events import InviteReceived

    lab.receive(request("INVITE", body=OFFER, **options))
    handle = lab.event(InviteReceived).dialog
    lab.ua.provisional(handle, 180, lab.now)
    (message,) = lab.drain()
    assert message.to.tag is not None
    return handle, message.to.tag


def established(lab: Lab, **options: Any) -> tuple[str, str]:
    """A call that is up, ACK included; returns (handle, our tag)."""
    from waitline.bridge.sip.events import AckReceived

    handle, tag = ringing(lab, **options)
    lab.ua.answer(handle, ANSWER, lab.now)
    lab.drain()
    lab.receive(request("ACK", branch="z9hG4bK-ack", to_tag=tag))
    lab.event(AckReceived)
    return handle, tag


def take_over(lab: Lab, *handles: str, after_s: float = 0.0, connections: Container[int] = ()) -> Lab:
    """Another user agent goes on with what is kept of these legs, by way of JSON; the first one is heard of no more.

    What it was holding back is lost with it, as its answers were not durable.
    """
    plains = [json.loads(json.dumps(plain)) for handle in handles if (plain := lab.ua.snapshot(handle)) is not None]
    lab.ua.held()
    second = Lab(flow=lab.flow)
    second.now = lab.now + after_s
    for plain in plains:
        assert second.ua.restore(plain, second.now, connections=connections) in handles
    second.drain()
    return second
