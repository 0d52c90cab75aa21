"""Calls that come to us: the duplicate-INVITE probe, CANCEL races, refusals, offers in the dialog."""

from __future__ import annotations

import pytest
from unit.sip.kit import ANSWER, OFFER, TCP, UDP, Lab, established, request, ringing

from waitline.bridge.sip.events import (
    AckReceived,
    AckTimedOut,
    DialogEnded,
    InfoReceived,
    InviteCancelled,
    InviteReceived,
    OfferReceived,
    RegisterReceived,
    RequestReceived,
    ResponseReceived,
)
from waitline.bridge.sip.message import Request, Response
from waitline.errors import BridgeError


def statuses(messages: list[Request | Response]) -> list[int]:
    return [message.status for message in messages if isinstance(message, Response)]


# --- the probe of sip-evidence §3


def test_a_duplicate_invite_while_ringing_gets_the_180_again_and_makes_no_second_call() -> None:
    lab = Lab()
    ringing(lab)
    assert statuses(lab.receive(request("INVITE", body=OFFER))) == [180]
    assert lab.events == []


def test_a_duplicate_invite_before_anything_but_100_gets_the_100_again() -> None:
    lab = Lab()
    assert statuses(lab.receive(request("INVITE", body=OFFER))) == [100]
    assert statuses(lab.receive(request("INVITE", body=OFFER))) == [100]
    lab.event(InviteReceived)


def test_a_duplicate_invite_after_the_200_gets_the_200_again_with_one_dialog() -> None:
    lab = Lab()
    handle, tag = ringing(lab)
    lab.ua.answer(handle, ANSWER, lab.now)
    lab.drain()
    (again,) = lab.receive(request("INVITE", body=OFFER))
    assert isinstance(again, Response)
    assert (again.status, again.to.tag, again.body) == (200, tag, ANSWER)
    assert lab.ua.size["sessions"] == 1
    assert lab.events == []


def test_an_unacknowledged_200_is_resent_at_doubling_intervals_up_to_4_s_and_given_up_after_32_s() -> None:
    lab = Lab()
    handle, _ = ringing(lab)
    lab.ua.answer(handle, ANSWER, lab.now)
    lab.drain()
    times = [at for at, line in lab.advance(31.9) if line == "SIP/2.0 200 OK"]
    assert times == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert lab.events == []
    lab.advance(0.2)
    assert lab.event(AckTimedOut).dialog == handle
    lab.ua.bye(handle, lab.now)
    (bye,) = lab.drain()
    assert isinstance(bye, Request)
    assert bye.method == "BYE"


def test_a_200_whose_ack_was_lost_is_resent_until_the_next_ack() -> None:
    lab = Lab()
    handle, tag = ringing(lab)
    lab.ua.answer(handle, ANSWER, lab.now)
    lab.drain()
    assert len(lab.advance(4.0)) == 3
    lab.receive(request("ACK", branch="z9hG4bK-ack", to_tag=tag, body=b"sdp"))
    assert lab.event(AckReceived) == AckReceived(dialog=handle, body=b"sdp")
    assert lab.advance(40.0) == []


def test_a_duplicate_ack_is_heard_once() -> None:
    lab = Lab()
    _, tag = established(lab)
    lab.receive(request("ACK", branch="z9hG4bK-ack2", to_tag=tag))
    assert lab.events == []


def test_an_ack_with_the_invites_own_branch_is_taken_as_the_ack_to_the_200() -> None:
    lab = Lab()
    handle, tag = ringing(lab)
    lab.ua.answer(handle, ANSWER, lab.now)
    lab.receive(request("ACK", to_tag=tag))
    assert lab.event(AckReceived).dialog == handle


def test_a_duplicate_bye_gets_the_200_again() -> None:
    lab = Lab()
    handle, tag = established(lab)
    bye = request("BYE", branch="z9hG4bK-bye", cseq=2, to_tag=tag)
    assert statuses(lab.receive(bye)) == [200]
    ended = lab.event(DialogEnded)
    assert (ended.dialog, ended.cause) == (handle, "bye")
    assert ended.request is not None
    assert statuses(lab.receive(bye)) == [200]
    assert lab.events == []


@pytest.mark.parametrize("flow", [UDP, TCP])
def test_nothing_of_a_finished_call_is_remembered_after_its_timers(flow: object) -> None:
    lab = Lab(flow=flow)  # type: ignore[arg-type]
    _, tag = established(lab)
    lab.receive(request("BYE", branch="z9hG4bK-bye", cseq=2, to_tag=tag))
    assert lab.advance(33.0) == []
    assert lab.idle


def test_an_invite_of_rfc_2543_without_branch_and_tags_is_one_call_too() -> None:
    lab = Lab()
    lab.receive(request("INVITE", branch="", from_tag=None, contact=None, body=OFFER))
    assert statuses(lab.receive(request("INVITE", branch="", from_tag=None, contact=None, body=OFFER))) == [100]
    handle = lab.event(InviteReceived).dialog
    lab.ua.answer(handle, ANSWER, lab.now)
    (ok,) = lab.drain()
    lab.receive(request("ACK", branch="", from_tag=None, to_tag=ok.to.tag, contact=None))
    assert lab.event(AckReceived).dialog == handle
    lab.ua.bye(handle, lab.now)
    (bye,) = lab.drain()
    assert isinstance(bye, Request)
    assert (bye.uri, bye.to.tag) == ("sip:caller@example.com", None)


def test_a_challenged_invite_that_comes_back_with_its_old_branch_is_a_new_attempt() -> None:
    lab = Lab()
    lab.receive(request("INVITE", body=OFFER))
    lab.ua.reject(lab.event(InviteReceived).dialog, 401, lab.now, headers=[("WWW-Authenticate", "Digest")])
    lab.drain()
    lab.receive(request("ACK", to_tag="whatever"))
    lab.receive(request("INVITE", cseq=2, from_tag="new", body=OFFER))
    lab.event(InviteReceived)


# --- answers


def test_the_answer_repeats_record_route_and_names_a_contact_that_is_ours() -> None:
    lab = Lab()
    routes = "Record-Route: <sip:p2.example.com;lr>, <sip:p1.example.com>\nRecord-Route: <sip:p0.example.com;lr;x=1>"
    lab.receive(request("INVITE", body=OFFER, headers=routes))
    handle = lab.event(InviteReceived).dialog
    lab.ua.provisional(handle, 180, lab.now)
    lab.ua.answer(handle, ANSWER, lab.now, headers=[("X-Call", "1")])
    for message in lab.drain()[-2:]:
        assert [str(route) for route in message.record_routes] == [
            "<sip:p2.example.com;lr>",
            "<sip:p1.example.com>",
            "<sip:p0.example.com;lr;x=1>",
        ]
        assert str(message.contacts[0]) == "<sip:192.0.2.1:5060>"
    assert (message.content_type, message.body, message.headers.get("X-Call")) == ("application/sdp", ANSWER, "1")


def test_the_via_says_where_the_request_came_from_if_asked() -> None:
    lab = Lab()
    (trying,) = lab.receive(request("INVITE", via="SIP/2.0/UDP 10.0.0.5:5060", body=OFFER))
    assert (trying.via.params["received"], trying.via.params["rport"]) == ("192.0.2.9", "5070")
    _, flow, _ = lab.sent[-1]
    assert flow == UDP


def test_every_via_of_the_request_is_in_the_response() -> None:
    lab = Lab()
    second = "Via: SIP/2.0/TCP 10.1.1.1;branch=z9hG4bKa, SIP/2.0/UDP 10.1.1.2;branch=z9hG4bKb"
    (trying,) = lab.receive(request("INVITE", headers=second, body=OFFER))
    assert [via.host for via in trying.vias] == ["192.0.2.9", "10.1.1.1", "10.1.1.2"]


def test_the_contact_over_tcp_names_the_transport() -> None:
    lab = Lab(flow=TCP)
    handle, _ = ringing(lab)
    lab.ua.answer(handle, ANSWER, lab.now)
    assert str(lab.drain()[0].contacts[0]) == "<sip:192.0.2.1:5060;transport=tcp>"


def test_the_100_is_left_to_the_owner_where_it_wants_to() -> None:
    lab = Lab(auto_trying=False)
    assert lab.receive(request("INVITE", body=OFFER)) == []
    assert lab.receive(request("INVITE", body=OFFER)) == []
    lab.ua.provisional(lab.event(InviteReceived).dialog, 100, lab.now)
    assert statuses(lab.drain()) == [100]


def test_a_refusal_is_resent_until_acknowledged_and_then_forgotten() -> None:
    lab = Lab()
    handle, tag = ringing(lab)
    lab.ua.reject(handle, 486, lab.now, headers=[("Retry-After", "5")])
    (busy,) = lab.drain()
    assert (statuses([busy]), busy.to.tag, busy.headers.get("Retry-After")) == ([486], tag, "5")
    assert len(lab.advance(2.0)) == 2
    lab.receive(request("ACK", to_tag=tag))
    assert lab.advance(10.0) == []
    assert lab.idle


def test_a_second_answer_is_the_owners_mistake_and_a_command_to_a_gone_leg_is_not() -> None:
    lab = Lab()
    handle, _ = established(lab)
    for mistake in (
        lambda: lab.ua.answer(handle, ANSWER, lab.now),
        lambda: lab.ua.provisional(handle, 180, lab.now),
        lambda: lab.ua.reject(handle, 486, lab.now),
    ):
        with pytest.raises(BridgeError):
            mistake()
    lab.ua.forget(handle, lab.now)
    lab.ua.answer(handle, ANSWER, lab.now)
    assert lab.ua.bye(handle, lab.now) == lab.ua.probe(handle, lab.now) == lab.ua.reinvite(handle, b"", lab.now) == ""
    assert lab.drain() == []
    with pytest.raises(BridgeError):
        lab.ua.dialog_state(handle)


# --- CANCEL


def test_a_cancel_while_ringing_is_answered_200_and_ends_the_invite_with_487() -> None:
    lab = Lab()
    handle, tag = ringing(lab)
    messages = lab.receive(request("CANCEL"))
    assert [(message.cseq.method, status) for message, status in zip(messages, statuses(messages), strict=True)] == [
        ("CANCEL", 200),
        ("INVITE", 487),
    ]
    assert messages[1].to.tag == tag
    assert lab.event(InviteCancelled).dialog == handle
    lab.receive(request("ACK", to_tag=tag))
    lab.ua.answer(handle, ANSWER, lab.now)  # the owner had not heard yet
    assert lab.drain() == []
    lab.advance(33)
    assert lab.idle


def test_a_duplicate_cancel_is_answered_again_and_heard_once() -> None:
    lab = Lab()
    ringing(lab)
    lab.receive(request("CANCEL"))
    lab.event(InviteCancelled)
    assert statuses(lab.receive(request("CANCEL"))) == [200]
    assert lab.events == []


def test_a_cancel_after_the_200_is_answered_and_has_no_effect() -> None:
    lab = Lab()
    handle, tag = ringing(lab)
    lab.ua.answer(handle, ANSWER, lab.now)
    lab.drain()
    assert statuses(lab.receive(request("CANCEL"))) == [200]
    assert lab.events == []
    lab.receive(request("ACK", branch="z9hG4bK-ack", to_tag=tag))
    lab.event(AckReceived)


def test_a_cancel_for_nothing_gets_481() -> None:
    assert statuses(Lab().receive(request("CANCEL"))) == [481]


def test_a_bye_before_our_answer_is_as_good_as_a_cancel() -> None:
    lab = Lab()
    handle, tag = ringing(lab)
    assert statuses(lab.receive(request("BYE", branch="z9hG4bK-b", cseq=2, to_tag=tag))) == [200, 487]
    assert lab.event(InviteCancelled).dialog == handle


# --- what is refused before anyone is asked


@pytest.mark.parametrize(
    ("status", "data"),
    [
        (481, request("BYE", to_tag="nobody")),
        (481, request("INVITE", to_tag="nobody", body=OFFER)),
        (481, request("BYE")),
        (481, request("OPTIONS", to_tag="nobody")),
        (405, request("FROBNICATE")),
        (405, request("SUBSCRIBE")),
        (416, request("OPTIONS", uri="soap.beep://192.0.2.103:3002")),
        (420, request("INVITE", headers="Require: precondition", body=OFFER)),
        (415, request("INVITE", headers="Content-Type: text/plain", body=b"hello")),
        (415, request("INVITE", headers="Content-Encoding: gzip", body=OFFER)),
        (406, request("INVITE", headers="Accept: text/plain", body=OFFER)),
        (400, request("INVITE", headers='Accept: "a, b', body=OFFER)),
        (400, request("INVITE").replace(b"Call-ID: call-1\r\n", b"")),
        (400, request("INVITE").replace(b"CSeq: 1 INVITE", b"CSeq: 1 BYE")),
        (505, request("INVITE").replace(b"SIP/2.0\r\n", b"SIP/7.0\r\n", 1)),
        (200, request("OPTIONS")),
        (200, request("OPTIONS").replace(b"Max-Forwards: 70", b"Max-Forwards: 0")),
    ],
)
def test_the_user_agent_answers_by_itself(status: int, data: bytes) -> None:
    lab = Lab()
    assert statuses(lab.receive(data)) == [status]
    assert lab.events == []


def test_a_refusal_says_what_would_do() -> None:
    lab = Lab()
    (bad_extension,) = lab.receive(request("OPTIONS", headers="Require: a, b", branch="z9hG4bK-r"))
    assert bad_extension.headers.get("Unsupported") == "a, b"
    (bad_method,) = lab.receive(request("PUBLISH", branch="z9hG4bK-m"))
    assert "INVITE" in bad_method.headers.get_all("Allow")
    (fine,) = lab.receive(request("OPTIONS", call_id="o", branch="z9hG4bK-o"))
    assert (fine.headers.get("Accept"), "BYE" in fine.headers.get_all("Allow")) == ("application/sdp", True)


def test_the_same_request_on_two_paths_is_a_loop() -> None:
    lab = Lab()
    lab.receive(request("INVITE", body=OFFER))
    assert statuses(lab.receive(request("INVITE", branch="z9hG4bK-2", body=OFFER))) == [482]
    lab.event(InviteReceived)


def test_stray_acks_responses_and_garbage_are_dropped_in_silence() -> None:
    lab = Lab()
    answer = b"From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: x\r\nCSeq: 1 BYE\r\n\r\n"
    stray = b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKno\r\n" + answer
    broken_ack = request("ACK").replace(b"Call-ID: call-1\r\n", b"")
    for data in (request("ACK", to_tag="no"), stray, broken_ack, b"hello", b"\x00" * 20, b"INVITE sip:a SIP/2.0\r\n\r\n"):
        assert lab.receive(data) == []
    assert lab.ua.dropped == 6
    assert lab.receive(b"\r\n\r\n") == []
    assert lab.idle


def test_a_register_waits_for_the_owners_answer_once() -> None:
    lab = Lab()
    data = request("REGISTER", uri="sip:example.com")
    assert lab.receive(data) == []
    assert lab.receive(data) == []
    transaction = lab.event(RegisterReceived).transaction
    lab.ua.respond(transaction, 401, lab.now, headers=[("WWW-Authenticate", "Digest x")])
    lab.ua.respond(transaction, 200, lab.now)
    assert statuses(lab.drain()) == [401]
    assert statuses(lab.receive(data)) == [401]


def test_a_register_that_nobody_answers_is_forgotten() -> None:
    lab = Lab(further_methods=frozenset(["MESSAGE"]))
    lab.receive(request("REGISTER", uri="sip:example.com"))
    lab.receive(request("MESSAGE", branch="z9hG4bK-m"))
    message = lab.event(RequestReceived).transaction
    lab.advance(33)
    assert lab.idle
    lab.ua.respond(message, 200, lab.now)
    assert lab.drain() == []


# --- within the dialog


def test_a_reinvite_is_the_owners_to_answer_and_its_200_waits_for_an_ack_too() -> None:
    lab = Lab()
    handle, tag = established(lab)
    hold = request("INVITE", branch="z9hG4bK-re", cseq=2, to_tag=tag, body=b"hold", contact="<sip:moved@192.0.2.9:5072>")
    assert statuses(lab.receive(hold)) == [100]
    offer = lab.event(OfferReceived)
    assert (offer.dialog, offer.body) == (handle, b"hold")
    lab.ua.answer_offer(handle, b"held", lab.now)
    (ok,) = lab.drain()
    assert (statuses([ok]), ok.body) == ([200], b"held")
    assert len(lab.advance(1.0)) == 1
    lab.receive(request("ACK", branch="z9hG4bK-ack2", cseq=2, to_tag=tag))
    assert lab.event(AckReceived).dialog == handle
    assert lab.advance(40) == []
    assert lab.ua.dialog_state(handle).remote_target == "sip:moved@192.0.2.9:5072"


def test_a_refused_or_cancelled_reinvite_leaves_the_dialog_as_it_was() -> None:
    lab = Lab()
    handle, tag = established(lab)
    lab.receive(request("INVITE", branch="z9hG4bK-re", cseq=2, to_tag=tag, body=OFFER))
    lab.event(OfferReceived)
    lab.ua.reject_offer(handle, 488, lab.now)
    assert statuses(lab.drain()) == [488]
    lab.receive(request("INVITE", branch="z9hG4bK-re2", cseq=3, to_tag=tag, body=OFFER))
    lab.event(OfferReceived)
    assert statuses(lab.receive(request("CANCEL", branch="z9hG4bK-re2", cseq=3))) == [200, 487]
    lab.ua.answer_offer(handle, b"too late", lab.now)
    assert lab.drain() == []
    assert lab.ua.dialog_state(handle).status == "confirmed"


def test_a_second_offer_while_one_is_open_is_put_off() -> None:
    lab = Lab()
    handle, tag = established(lab)
    lab.receive(request("INVITE", branch="z9hG4bK-re", cseq=2, to_tag=tag, body=OFFER))
    lab.event(OfferReceived)
    for number, method in ((3, "INVITE"), (4, "UPDATE")):
        (put_off,) = lab.receive(request(method, branch=f"z9hG4bK-{number}", cseq=number, to_tag=tag, body=OFFER))
        assert statuses([put_off]) == [500]
        assert 0 <= int(put_off.headers.get("Retry-After") or -1) <= 10
    assert lab.ua.reinvite(handle, OFFER, lab.now) == ""


def test_an_offer_that_crosses_ours_gets_491() -> None:
    lab = Lab()
    handle, tag = established(lab)
    assert lab.ua.reinvite(handle, OFFER, lab.now)
    lab.drain()
    assert statuses(lab.receive(request("INVITE", branch="z9hG4bK-re", cseq=2, to_tag=tag, body=OFFER))) == [491]
    assert statuses(lab.receive(request("UPDATE", branch="z9hG4bK-up", cseq=3, to_tag=tag, body=OFFER))) == [491]
    assert lab.events == []


def test_an_update_is_an_offer_if_it_has_a_body_and_a_refresh_otherwise() -> None:
    lab = Lab()
    handle, tag = established(lab)
    assert statuses(lab.receive(request("UPDATE", branch="z9hG4bK-u1", cseq=2, to_tag=tag))) == [200]
    assert lab.events == []
    assert lab.receive(request("UPDATE", branch="z9hG4bK-u2", cseq=3, to_tag=tag, body=OFFER)) == []
    lab.event(OfferReceived)
    lab.ua.answer_offer(handle, ANSWER, lab.now)
    (ok,) = lab.drain()
    assert (statuses([ok]), ok.body) == ([200], ANSWER)
    assert lab.advance(5) == []


def test_digits_by_info_are_answered_and_reported() -> None:
    lab = Lab()
    handle, tag = established(lab)
    info = request("INFO", branch="z9hG4bK-i", cseq=2, to_tag=tag, headers="Content-Type: application/DTMF-Relay; x=1", body=b"Signal=5")
    assert statuses(lab.receive(info)) == [200]
    assert lab.event(InfoReceived) == InfoReceived(dialog=handle, content_type="application/dtmf-relay", body=b"Signal=5")
    assert statuses(lab.receive(info)) == [200]
    assert lab.events == []


def test_options_in_the_dialog_are_answered_and_unknown_methods_refused() -> None:
    lab = Lab()
    _, tag = established(lab)
    assert statuses(lab.receive(request("OPTIONS", branch="z9hG4bK-o", cseq=2, to_tag=tag))) == [200]
    assert statuses(lab.receive(request("NOTIFY", branch="z9hG4bK-n", cseq=3, to_tag=tag))) == [405]
    assert statuses(lab.receive(request("REGISTER", branch="z9hG4bK-r", cseq=4))) == []


@pytest.mark.parametrize("method", ["BYE", "INFO", "INVITE", "OPTIONS"])
def test_a_number_that_is_not_higher_than_the_last_is_refused(method: str) -> None:
    lab = Lab()
    handle, tag = established(lab)
    lab.receive(request("OPTIONS", branch="z9hG4bK-o", cseq=10, to_tag=tag))
    for number in (9, 10):
        assert statuses(
            lab.receive(request(method, branch=f"z9hG4bK-{number}", cseq=number, to_tag=tag, body=OFFER if method == "INVITE" else b""))
        ) == [500]
    assert lab.ua.dialog_state(handle).status == "confirmed"


def test_a_bye_with_the_wrong_tags_ends_nobodys_call() -> None:
    lab = Lab()
    handle, tag = established(lab)
    assert statuses(lab.receive(request("BYE", branch="z9hG4bK-1b", cseq=2, to_tag=tag, from_tag="other"))) == [481]
    assert statuses(lab.receive(request("BYE", branch="z9hG4bK-2b", cseq=2, to_tag=tag, call_id="other"))) == [481]
    assert lab.ua.dialog_state(handle).status == "confirmed"


def test_a_bye_answers_what_was_pending_in_the_dialog() -> None:
    lab = Lab()
    _, tag = established(lab)
    lab.receive(request("INVITE", branch="z9hG4bK-re", cseq=2, to_tag=tag, body=OFFER))
    lab.event(OfferReceived)
    assert statuses(lab.receive(request("BYE", branch="z9hG4bK-b", cseq=3, to_tag=tag))) == [200, 487]
    lab.event(DialogEnded)


def test_a_bye_before_the_ack_waits_for_it() -> None:
    lab = Lab()
    handle, tag = ringing(lab)
    lab.ua.answer(handle, ANSWER, lab.now)
    lab.drain()
    exchange = lab.ua.bye(handle, lab.now)
    assert exchange
    assert lab.ua.bye(handle, lab.now) == exchange
    assert lab.drain() == []
    (bye,) = lab.receive(request("ACK", branch="z9hG4bK-ack", to_tag=tag))
    assert isinstance(bye, Request)
    assert bye.method == "BYE"
    assert lab.events == []
    lab.receive(bytes(Response.make(bye, 200)))
    assert lab.event(ResponseReceived).exchange == exchange
    lab.advance(33)
    assert lab.idle


def test_a_bye_that_waits_for_an_ack_goes_out_when_none_comes() -> None:
    lab = Lab()
    handle, _ = ringing(lab)
    lab.ua.answer(handle, ANSWER, lab.now)
    lab.drain()
    lab.ua.bye(handle, lab.now)
    lines = [line for _, line in lab.advance(32.1)]
    assert lines[-1].startswith("BYE ")
    assert lab.events == []


def test_a_bye_while_ringing_refuses_the_invite() -> None:
    lab = Lab()
    handle, _ = ringing(lab)
    assert lab.ua.bye(handle, lab.now) == ""
    assert statuses(lab.drain()) == [480]


def test_byes_that_cross_are_both_answered() -> None:
    lab = Lab()
    handle, tag = established(lab)
    lab.ua.bye(handle, lab.now)
    (ours,) = lab.drain()
    assert statuses(lab.receive(request("BYE", branch="z9hG4bK-b", cseq=2, to_tag=tag))) == [200]
    lab.event(DialogEnded)
    assert isinstance(ours, Request)
    lab.receive(bytes(Response.make(ours, 481)))
    assert lab.events == []
    lab.advance(33)
    assert lab.idle


def test_requests_that_break_out_of_their_line_are_refused_before_anything_is_sent() -> None:
    lab = Lab()
    handle, _ = ringing(lab)
    with pytest.raises(ValueError, match="header field"):
        lab.ua.answer(handle, ANSWER, lab.now, headers=[("X-Bad", "a\r\nVia: evil")])
    lab.drain()
    lab.ua.reject(handle, 486, lab.now, reason="no\r\nVia: evil")
    (busy,) = lab.drain()
    assert len(busy.vias) == 1


def test_a_tag_in_an_unusual_place_finds_its_dialog_too() -> None:
    lab = Lab()
    handle, tag = established(lab)
    bye = request("BYE", branch="z9hG4bK-b", cseq=2, to_tag=tag)
    bye = bye.replace(f"<sip:+15550100@192.0.2.1>;tag={tag}".encode(), f'"x" <sip:+15550100@192.0.2.1> ; foo=1 ; TAG={tag}'.encode())
    assert statuses(lab.receive(bye)) == [200]
    assert lab.event(DialogEnded).dialog == handle


def test_a_request_in_the_dialog_whose_cseq_names_another_method_ends_nothing() -> None:
    lab = Lab()
    handle, tag = established(lab)
    bye = request("BYE", branch="z9hG4bK-b", cseq=2, to_tag=tag).replace(b"CSeq: 2 BYE", b"CSeq: 2 INFO")
    assert statuses(lab.receive(bye)) == [400]
    assert lab.ua.dialog_state(handle).status == "confirmed"


def test_a_contact_of_the_owners_own_replaces_the_default_one() -> None:
    lab = Lab()
    lab.receive(request("INVITE", body=OFFER))
    handle = lab.event(InviteReceived).dialog
    lab.ua.provisional(handle, 180, lab.now, headers=[("Contact", "<sip:own@203.0.113.1>")])
    lab.ua.answer(handle, ANSWER, lab.now, contact="<sip:own@203.0.113.1>")
    for message in lab.drain():
        assert [str(contact) for contact in message.contacts] == ["<sip:own@203.0.113.1>"]


def test_what_a_latin_1_message_says_comes_back_as_it_was() -> None:
    lab = Lab()
    (trying,) = lab.receive(request("INVITE", body=OFFER).replace(b'"Caller"', b'"J\xf6rg"'))
    assert trying.headers.get("From") == '"J\u00f6rg" <sip:caller@example.com>;tag=theirs'
