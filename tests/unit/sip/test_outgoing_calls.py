"""Calls and requests that we make: responses, forks, CANCEL races, failures, what the peer says in the dialog."""

from __future__ import annotations

import pytest
from unit.sip.kit import ANSWER, OFFER, TCP, UDP, Lab, established, request, response

from waitline.bridge.sip.events import (
    CallAnswered,
    CallFailed,
    CallProgress,
    DialogEnded,
    ExchangeTimedOut,
    InviteReceived,
    ResponseReceived,
)
from waitline.bridge.sip.message import Request

TARGET = "sip:agent@192.0.2.9:5070"


def calling(lab: Lab) -> tuple[str, Request]:
    """We call; returns (handle, our INVITE)."""
    flow = lab.flow
    handle = lab.ua.invite(TARGET, flow, lab.now, from_='"Q" <sip:q@x>', to=TARGET, body=OFFER)
    (invite,) = lab.drain()
    assert isinstance(invite, Request)
    return handle, invite


def requests(lab: Lab) -> list[Request]:
    return [message for message in lab.drain() if isinstance(message, Request)]


def answered(lab: Lab) -> tuple[str, Request]:
    handle, invite = calling(lab)
    lab.receive(response(invite, 200, headers="Contact: <sip:agent@192.0.2.9:5070>", body=ANSWER))
    lab.event(CallAnswered)
    return handle, invite


def test_a_call_rings_is_answered_and_acknowledged() -> None:
    lab = Lab()
    handle, invite = calling(lab)
    assert (invite.uri, invite.content_type, invite.body) == (TARGET, "application/sdp", OFFER)
    assert str(invite.contacts[0]) == "<sip:192.0.2.1:5060>"
    assert str(invite.via).startswith("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK")
    lab.receive(response(invite, 100, tag=None))
    assert lab.events == []
    lab.receive(response(invite, 180))
    assert lab.event(CallProgress).dialog == handle
    (ack,) = lab.receive(response(invite, 200, headers="Contact: <sip:direct@192.0.2.9:5071>", body=ANSWER))
    assert isinstance(ack, Request)
    assert (ack.method, ack.uri, ack.cseq.number, ack.to.tag) == ("ACK", "sip:direct@192.0.2.9:5071", invite.cseq.number, "theirs")
    assert ack.via.branch != invite.via.branch
    assert lab.event(CallAnswered).response.body == ANSWER
    assert lab.advance(40) == []


def test_a_repeated_200_is_acknowledged_again_and_heard_once() -> None:
    lab = Lab()
    _, invite = calling(lab)
    ok = response(invite, 200, headers="Contact: <sip:a@192.0.2.9>")
    first = lab.receive(ok)
    lab.event(CallAnswered)
    assert lab.receive(ok) == first
    assert lab.events == []


def test_a_second_answer_of_a_fork_is_acknowledged_and_ended() -> None:
    lab = Lab()
    handle, invite = calling(lab)
    lab.receive(response(invite, 200, tag="one", headers="Contact: <sip:one@192.0.2.9>"))
    lab.event(CallAnswered)
    second = response(invite, 200, tag="two", headers="Contact: <sip:two@192.0.2.9>")
    ack, bye = lab.receive(second)
    assert isinstance(ack, Request)
    assert isinstance(bye, Request)
    assert [(one.method, one.uri, one.to.tag) for one in (ack, bye)] == [
        ("ACK", "sip:two@192.0.2.9", "two"),
        ("BYE", "sip:two@192.0.2.9", "two"),
    ]
    assert lab.receive(second) == [ack]
    assert lab.events == []
    assert lab.ua.dialog_state(handle).remote_tag == "one"


def test_a_refusal_is_acknowledged_and_ends_the_call() -> None:
    lab = Lab()
    handle, invite = calling(lab)
    refusal = response(invite, 486)
    (ack,) = lab.receive(refusal)
    assert isinstance(ack, Request)
    assert (ack.method, ack.via.branch) == ("ACK", invite.via.branch)
    failed = lab.event(CallFailed)
    assert (failed.dialog, failed.status) == (handle, 486)
    assert lab.receive(refusal) == [ack]
    lab.advance(33)
    assert lab.idle


def test_credentials_are_the_owners_business() -> None:
    lab = Lab()
    _, invite = calling(lab)
    lab.receive(response(invite, 407, headers='Proxy-Authenticate: Digest realm="x"'))
    failed = lab.event(CallFailed)
    assert failed.response is not None
    again = lab.ua.invite(
        TARGET, UDP, lab.now, from_="sip:q@x", to=TARGET, body=OFFER, call_id=invite.call_id, cseq=1, headers=[("Authorization", "x")]
    )
    (second,) = lab.drain()
    assert again
    assert (second.call_id, second.cseq.number, second.headers.get("Authorization")) == (invite.call_id, 2, "x")


def test_silence_ends_the_call_after_32_seconds() -> None:
    lab = Lab()
    handle, _ = calling(lab)
    assert len(lab.advance(33)) == 6
    assert lab.event(CallFailed) == CallFailed(dialog=handle, status=408, response=None)
    assert lab.idle


def test_a_broken_connection_ends_the_call_at_once() -> None:
    lab = Lab(flow=TCP)
    handle, _ = calling(lab)
    lab.ua.flow_failed(TCP, lab.now)
    lab.drain()
    assert lab.event(CallFailed) == CallFailed(dialog=handle, status=503, response=None)
    assert lab.idle


# --- CANCEL


def test_a_cancel_waits_for_a_provisional_response() -> None:
    lab = Lab()
    handle, invite = calling(lab)
    lab.ua.cancel(handle, lab.now)
    assert lab.drain() == []
    (cancel,) = lab.receive(response(invite, 180))
    assert isinstance(cancel, Request)
    assert (cancel.method, cancel.via.branch, cancel.cseq.number, cancel.uri) == ("CANCEL", invite.via.branch, 1, TARGET)
    assert lab.events == []
    lab.receive(response(cancel, 200))
    lab.receive(response(invite, 487))
    assert lab.event(CallFailed).status == 487
    lab.advance(33)
    assert lab.idle


def test_a_200_that_crosses_our_cancel_is_acknowledged_and_ended() -> None:
    lab = Lab()
    handle, invite = calling(lab)
    lab.receive(response(invite, 180))
    lab.event(CallProgress)
    lab.ua.cancel(handle, lab.now)
    lab.ua.cancel(handle, lab.now)
    assert [one.method for one in requests(lab)] == ["CANCEL"]
    ack, bye = lab.receive(response(invite, 200, headers="Contact: <sip:a@192.0.2.9>"))
    assert isinstance(ack, Request)
    assert isinstance(bye, Request)
    assert (ack.method, bye.method) == ("ACK", "BYE")
    assert lab.event(CallFailed) == CallFailed(dialog=handle, status=487, response=None)
    lab.receive(response(bye, 200))
    lab.advance(70)
    assert lab.idle


def test_a_cancelled_call_that_never_ends_is_given_up() -> None:
    lab = Lab()
    handle, invite = calling(lab)
    lab.receive(response(invite, 180))
    lab.event(CallProgress)
    lab.ua.cancel(handle, lab.now)
    lab.advance(33)
    assert lab.event(CallFailed).status == 487
    assert lab.idle


def test_a_bye_before_the_answer_is_a_cancel() -> None:
    lab = Lab()
    handle, invite = calling(lab)
    lab.receive(response(invite, 180))
    assert lab.ua.bye(handle, lab.now) == ""
    assert [one.method for one in requests(lab)] == ["CANCEL"]


# --- in the dialog


def test_the_peer_can_end_a_call_that_we_made() -> None:
    lab = Lab()
    handle, invite = answered(lab)
    bye = request("BYE", call_id=invite.call_id, from_tag="theirs", to_tag=invite.from_.tag, cseq=77)
    assert [message.start_line for message in lab.receive(bye)] == ["SIP/2.0 200 OK"]
    assert lab.event(DialogEnded).dialog == handle


def test_requests_in_an_early_dialog_find_it() -> None:
    lab = Lab()
    _, invite = calling(lab)
    lab.receive(response(invite, 183, headers="Contact: <sip:a@192.0.2.9>"))
    lab.event(CallProgress)
    options = request("OPTIONS", call_id=invite.call_id, from_tag="theirs", to_tag=invite.from_.tag, cseq=5)
    assert [message.start_line for message in lab.receive(options)] == ["SIP/2.0 200 OK"]


def test_our_numbers_rise_by_one_with_every_request() -> None:
    lab = Lab()
    handle, _ = answered(lab)
    lab.ua.probe(handle, lab.now)
    lab.ua.info(handle, "application/dtmf-relay", b"Signal=1", lab.now)
    lab.ua.bye(handle, lab.now, headers=[("Reason", "Q.850;cause=16")])
    sent = requests(lab)
    assert [(one.method, one.cseq.number) for one in sent] == [("OPTIONS", 2), ("INFO", 3), ("BYE", 4)]
    assert (sent[1].content_type, sent[2].headers.get("Reason")) == ("application/dtmf-relay", "Q.850;cause=16")


def test_a_probe_tells_what_the_peer_said_or_that_it_said_nothing() -> None:
    lab = Lab()
    handle, _ = established(lab)
    first = lab.ua.probe(handle, lab.now)
    (options,) = requests(lab)
    lab.receive(response(options, 481))
    got = lab.event(ResponseReceived)
    assert (got.dialog, got.exchange, got.response.status) == (handle, first, 481)
    second = lab.ua.probe(handle, lab.now)
    lab.advance(33)
    assert lab.event(ExchangeTimedOut) == ExchangeTimedOut(dialog=handle, exchange=second)
    assert lab.ua.dialog_state(handle).status == "confirmed"


def test_a_bye_that_nobody_answers_still_ends_the_leg() -> None:
    lab = Lab()
    handle, _ = established(lab)
    exchange = lab.ua.bye(handle, lab.now)
    assert lab.ua.probe(handle, lab.now) == ""
    lab.advance(33)
    assert lab.event(ExchangeTimedOut) == ExchangeTimedOut(dialog=handle, exchange=exchange)
    assert lab.idle


def test_our_reinvite_is_acknowledged_and_its_outcome_told() -> None:
    lab = Lab()
    handle, _ = established(lab)
    exchange = lab.ua.reinvite(handle, OFFER, lab.now)
    (reinvite,) = requests(lab)
    assert reinvite.to.tag == "theirs"
    (ack,) = lab.receive(response(reinvite, 200, headers="Contact: <sip:new@192.0.2.9:5099>", body=ANSWER))
    assert isinstance(ack, Request)
    assert (ack.method, ack.uri, ack.cseq.number) == ("ACK", "sip:new@192.0.2.9:5099", reinvite.cseq.number)
    assert lab.event(ResponseReceived).exchange == exchange
    refused = lab.ua.reinvite(handle, OFFER, lab.now)
    (reinvite,) = requests(lab)
    lab.receive(response(reinvite, 491))
    got = lab.event(ResponseReceived)
    assert (got.exchange, got.response.status) == (refused, 491)
    unanswered = lab.ua.reinvite(handle, OFFER, lab.now)
    lab.advance(33)
    assert lab.event(ExchangeTimedOut).exchange == unanswered
    assert lab.ua.dialog_state(handle).status == "confirmed"


def test_requests_outside_dialogs_have_one_outcome_too() -> None:
    lab = Lab()
    exchange = lab.ua.send_request("OPTIONS", "sip:trunk@192.0.2.9", UDP, lab.now, from_="sip:us@x", to="sip:trunk@192.0.2.9")
    (options,) = requests(lab)
    lab.receive(response(options, 200))
    lab.receive(response(options, 200))
    got = lab.event(ResponseReceived)
    assert (got.dialog, got.exchange) == ("", exchange)
    lab.advance(6)
    assert lab.idle


@pytest.mark.parametrize("status", [100, 180, 200, 404])
def test_late_responses_to_a_gone_leg_are_not_heard(status: int) -> None:
    lab = Lab()
    handle, _ = established(lab)
    lab.ua.reinvite(handle, OFFER, lab.now)
    lab.ua.probe(handle, lab.now)
    sent = requests(lab)
    lab.ua.forget(handle, lab.now)
    for one in sent:
        lab.receive(response(one, status))
    lab.advance(70)
    assert lab.events == []


def test_a_call_to_ourselves_works() -> None:
    lab = Lab()
    handle, invite = calling(lab)
    lab.receive(bytes(invite))
    incoming = lab.event(InviteReceived).dialog
    lab.ua.answer(incoming, ANSWER, lab.now)
    ok = lab.drain()[-1]
    (ack,) = lab.receive(bytes(ok))
    lab.receive(bytes(ack))
    assert lab.event(CallAnswered).dialog == handle
    lab.ua.bye(handle, lab.now)
    (bye,) = requests(lab)
    (ok,) = lab.receive(bytes(bye))
    assert lab.event(DialogEnded).dialog == incoming
    lab.receive(bytes(ok))
    assert lab.event(ResponseReceived).dialog == handle
