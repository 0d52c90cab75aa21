"""What hurts, over the wire: after each message the next request is answered, by UDP and by TCP, and nothing is left of any of them."""

from __future__ import annotations

import random

import pytest
from torture.vectors import VECTORS, cut, message

from waitline.bridge.sip.flow import Flow
from waitline.bridge.sip.message import frame_length
from waitline.bridge.sip.user_agent import UserAgent
from waitline.errors import SipError

UDP = Flow("udp", ("192.0.2.9", 5060), ("192.0.2.1", 5060))
TCP = Flow("tcp", ("192.0.2.9", 5060), ("192.0.2.1", 5060), 1)
PROBE = message("OPTIONS sip:probe@example.com SIP/2.0", "Call-ID: probe", "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKprobe")


def framed(data: bytes) -> list[bytes]:
    """What a stream makes of it: messages, and what is left when it is given up."""
    found = []
    try:
        while data and (length := frame_length(data)) is not None:
            found.append(data[:length])
            data = data[length:]
    except SipError:
        found.append(data)
    return found


@pytest.mark.parametrize("name", VECTORS)
@pytest.mark.parametrize("flow", [UDP, TCP], ids=["udp", "tcp"])
def test_after_each_the_next_request_is_answered_and_nothing_is_left(name: str, flow: Flow) -> None:
    agent, now = UserAgent(random=random.Random(1)), 0.0
    for data in framed(VECTORS[name]) if flow is TCP else [VECTORS[name]]:
        agent.receive(data, flow, now)
    for event in agent.events():
        if dialog := getattr(event, "dialog", ""):
            agent.reject(dialog, 404, now)
        if transaction := getattr(event, "transaction", ""):
            agent.respond(transaction, 401, now, lasting=False)
    agent.effects()
    agent.receive(PROBE, flow, now)
    assert [send.data[:15] for send in agent.effects()] == [b"SIP/2.0 200 OK\r"]
    while (at := agent.next_timer()) is not None:
        now = max(at, now)
        agent.expire(now)
    assert not any(agent.size.values()), agent.size


def test_pieces_are_the_whole() -> None:
    for data in VECTORS.values():
        assert b"".join(cut(data)) == data
