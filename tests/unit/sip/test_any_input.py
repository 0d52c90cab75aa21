"""Whatever arrives in whatever order, the user agent does not raise, and forgets everything in the end."""

from __future__ import annotations

import json
import random
from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st
from unit.sip.kit import ANSWER, OFFER, TCP, UDP, Lab, request

from waitline.bridge.sip.events import CallAnswered, InviteReceived, OfferReceived, RegisterReceived
from waitline.bridge.sip.message import Request, Response

METHODS = ("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "INFO", "UPDATE", "REGISTER", "PRACK", "NONSENSE")

tags = st.sampled_from([None, "OURS", "theirs", "x"])
requests = st.builds(
    request,
    st.sampled_from(METHODS),
    branch=st.sampled_from(["", "z9hG4bK", "z9hG4bK-1", "z9hG4bK-2", "z9hG4bK-3"]),
    cseq=st.integers(1, 4),
    call_id=st.sampled_from(["call-1", "call-2"]),
    from_tag=tags,
    to_tag=tags,
    contact=st.sampled_from([None, "<sip:caller@192.0.2.9:5070>", "<tel:+1555>", "*", '"a', "<sip:h@[::1]>"]),
    headers=st.sampled_from(["", "Record-Route: <sip:p;lr>", "Record-Route: <sip:10.0.0.1>", "Require: x", 'Accept: "a, b']),
    body=st.sampled_from([b"", OFFER]),
)
steps = st.one_of(
    st.tuples(st.just("request"), requests),
    st.tuples(st.just("octets"), st.binary(max_size=80)),
    st.tuples(st.just("cut"), st.tuples(requests, st.integers(0, 400), st.binary(max_size=3))),
    st.tuples(st.just("answer our"), st.sampled_from([100, 180, 200, 302, 404, 481, 487])),
    st.tuples(st.just("wait"), st.sampled_from([0.1, 0.6, 5.0, 33.0])),
    st.tuples(st.just("command"), st.integers(0, 12)),
    st.tuples(st.just("die"), st.booleans()),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(steps, max_size=14), st.booleans())
def test_no_sequence_of_datagrams_timers_and_commands_raises(script: list[tuple[str, object]], tcp: bool) -> None:
    play = Play(tcp)
    for kind, value in script:
        play.step(kind, value)
    for handle in play.handles:
        play.lab.ua.forget(handle, play.lab.now)
    play.lab.advance(200.0)
    assert play.lab.idle, play.lab.ua.size


class Play:
    def __init__(self, tcp: bool) -> None:
        self.lab = Lab(flow=TCP if tcp else UDP)
        self.handles: list[str] = []
        self.choose = random.Random(1)

    def step(self, kind: str, value: object) -> None:
        lab = self.lab
        if kind == "request":
            lab.receive(self.with_our_tag(value))  # type: ignore[arg-type]
        elif kind == "octets":
            lab.receive(value)  # type: ignore[arg-type]
        elif kind == "cut":
            data, at, junk = cast(tuple[bytes, int, bytes], value)
            lab.receive(data[:at] + junk + data[at + len(junk) :])
        elif kind == "answer our":
            self.answer_something(value)  # type: ignore[arg-type]
        elif kind == "wait":
            lab.advance(value)  # type: ignore[arg-type]
        elif kind == "die":
            self.die(connection_stays=bool(value))
        else:
            self.command(value)  # type: ignore[arg-type]
        self.handles += [event.dialog for event in lab.events if isinstance(event, InviteReceived | CallAnswered)]
        for event in lab.events:
            if isinstance(event, OfferReceived):
                lab.ua.answer_offer(event.dialog, ANSWER, lab.now)
            elif isinstance(event, RegisterReceived):
                lab.ua.respond(event.transaction, 401, lab.now)
        lab.events.clear()
        lab.drain()

    def die(self, *, connection_stays: bool) -> None:
        """Another user agent goes on with every leg that is left."""
        before = self.lab.ua
        kept = [json.loads(json.dumps(plain)) for handle in dict.fromkeys(self.handles) if (plain := before.snapshot(handle))]
        self.lab.ua = Lab().ua
        for plain in kept:
            self.lab.ua.restore(plain, self.lab.now, connections={TCP.connection} if connection_stays else ())

    def with_our_tag(self, data: bytes) -> bytes:
        tos = [message.headers.get("To") or "" for _, _, message in self.lab.sent if isinstance(message, Response)]
        ours = next((to.rpartition(";tag=")[2] for to in reversed(tos) if ";tag=" in to), "none")
        return data.replace(b"tag=OURS", b"tag=" + ours.encode())

    def answer_something(self, status: int) -> None:
        ours = [message for _, _, message in self.lab.sent if isinstance(message, Request) and message.method != "ACK"]
        if ours:
            self.lab.receive(bytes(Response.make(self.choose.choice(ours), status, to_tag=self.choose.choice(["a", "b"]))))

    def command(self, which: int) -> None:
        lab, now = self.lab, self.lab.now
        if which == 0:
            self.handles.append(lab.ua.invite("sip:a@192.0.2.9", lab.flow, now, from_="sip:q@x", to="sip:a@x", body=OFFER))
            return
        if which == 1:
            lab.ua.flow_failed(lab.flow, now)
            return
        if not self.handles:
            return
        handle = self.choose.choice(self.handles)
        awaits = lab.ua.size["sessions"] and self.awaits_answer(handle)
        if which in (2, 3) and awaits:
            lab.ua.answer(handle, ANSWER, now)
        elif which == 4 and awaits:
            lab.ua.reject(handle, 486, now)
        elif which == 5 and awaits:
            lab.ua.provisional(handle, 180, now)
        elif which in (6, 7):
            lab.ua.bye(handle, now)
        elif which == 8:
            lab.ua.cancel(handle, now)
        elif which == 9:
            lab.ua.reinvite(handle, OFFER, now)
        elif which == 10:
            lab.ua.probe(handle, now)
        elif which == 11:
            lab.ua.reject_offer(handle, 488, now)
        elif which == 12:
            lab.ua.forget(handle, lab.now)

    def awaits_answer(self, handle: str) -> bool:
        session = self.lab.ua._context.sessions.get(handle)
        return session is not None and session.initial and session.server is not None and session.server.pending
