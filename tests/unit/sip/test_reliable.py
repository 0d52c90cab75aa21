"""Provisional responses that a caller acknowledges (RFC 3262)."""

from __future__ import annotations

from typing import Any

import pytest
from unit.sip.kit import ANSWER, OFFER, Lab, request, take_over

from waitline.bridge.sip.events import InviteCancelled, InviteReceived
from waitline.bridge.sip.message import Request, Response


def rings(lab: Lab) -> tuple[str, Response]:
    """An INVITE that requires 100rel has come and rings; returns (handle, the 180)."""
    lab.receive(request("INVITE", body=OFFER, headers="Require: 100rel"))
    handle = lab.event(InviteReceived).dialog
    lab.ua.provisional(handle, 180, lab.now)
    (ringing,) = lab.drain()
    assert isinstance(ringing, Response)
    return handle, ringing


def prack(ringing: Any, *, rack: str = "", cseq: int = 2) -> bytes:
    rack = rack or f"{ringing.headers.get('RSeq')} 1 INVITE"
    return request("PRACK", branch=f"z9hG4bK-prack{cseq}", cseq=cseq, to_tag=ringing.to.tag, headers=f"RAck: {rack}")


def statuses(messages: list[Any]) -> list[int]:
    return [message.status for message in messages]


def test_a_180_is_numbered_and_resent_until_its_prack() -> None:
    lab = Lab()
    _, ringing = rings(lab)
    assert (ringing.headers.get("RSeq"), ringing.headers.get("Require")) == ("1", "100rel")
    assert [at for at, _ in lab.advance(4)] == [0.5, 1.5, 3.5]
    assert statuses(lab.receive(prack(ringing))) == [200]
    assert lab.advance(40) == []


def test_who_only_supports_it_is_not_asked_for_a_prack() -> None:
    lab = Lab()
    lab.receive(request("INVITE", body=OFFER, headers="Supported: 100rel"))
    lab.ua.provisional(lab.event(InviteReceived).dialog, 180, lab.now)
    (ringing,) = lab.drain()
    assert ringing.headers.get("RSeq") is None


@pytest.mark.parametrize("rack", ["2 1 INVITE", "1 2 INVITE", "1 1 UPDATE"])
def test_a_prack_for_something_else_is_answered_481_and_stops_nothing(rack: str) -> None:
    lab = Lab()
    _, ringing = rings(lab)
    assert statuses(lab.receive(prack(ringing, rack=rack))) == [481]
    assert len(lab.advance(1)) == 1


@pytest.mark.parametrize("rack", ["nonsense", "1 1", "1 1 INVITE more", "99999999999 1 INVITE", "-1 1 INVITE"])
def test_a_rack_that_cannot_be_read_is_a_bad_request(rack: str) -> None:
    lab = Lab()
    _, ringing = rings(lab)
    assert statuses(lab.receive(prack(ringing, rack=rack))) == [400]


def test_what_comes_meanwhile_waits_for_the_prack() -> None:
    lab = Lab()
    handle, ringing = rings(lab)
    lab.ua.provisional(handle, 181, lab.now)
    lab.ua.provisional(handle, 182, lab.now)
    assert lab.drain() == []
    acknowledged = lab.receive(prack(ringing))
    assert statuses(acknowledged) == [200, 182]
    assert acknowledged[1].headers.get("RSeq") == "2"
    assert statuses(lab.receive(prack(acknowledged[1], cseq=3))) == [200]


def test_the_answer_ends_the_resending_and_a_late_prack_gets_481() -> None:
    lab = Lab()
    handle, ringing = rings(lab)
    lab.ua.answer(handle, ANSWER, lab.now)
    assert statuses(lab.drain()) == [200]
    assert all("200" in line for _, line in lab.advance(3))
    assert statuses(lab.receive(prack(ringing)))[0] == 481


def test_a_180_that_is_never_acknowledged_ends_the_invite_after_32_s() -> None:
    lab = Lab()
    rings(lab)
    sent = lab.advance(32.1)
    assert sent[-1][1].startswith("SIP/2.0 504")
    lab.event(InviteCancelled)


def test_nothing_is_left_of_a_call_that_was_refused_while_it_rang() -> None:
    lab = Lab()
    handle, ringing = rings(lab)
    lab.ua.reject(handle, 486, lab.now)
    (refused,) = lab.drain()
    assert isinstance(refused, Response)
    lab.receive(request("ACK", to_tag=ringing.to.tag))
    lab.advance(64)
    assert lab.idle


def test_the_process_that_takes_over_sends_it_again_and_takes_the_prack() -> None:
    lab = Lab()
    handle, ringing = rings(lab)
    lab.ua.provisional(handle, 182, lab.now)
    lab.drain()
    second = take_over(lab, handle)
    ((_, line), *_) = second.advance(0.1)
    assert line == ringing.start_line
    assert statuses(second.receive(prack(ringing))) == [200, 182]


def test_a_prack_without_a_dialog_is_answered_481() -> None:
    lab = Lab()
    (answer,) = lab.receive(request("PRACK", to_tag="nobody", headers="RAck: 1 1 INVITE"))
    assert isinstance(answer, Response)
    assert answer.status == 481
    assert not isinstance(answer, Request)
