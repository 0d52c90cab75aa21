"""Legs that go on in another user agent: whatever state the first one left them in, the peer does not notice."""

from __future__ import annotations

import json

import pytest
from unit.sip.kit import ANSWER, OFFER, TCP, UDP, Lab, established, request, response, ringing, take_over

from waitline.bridge.sip.events import (
    AckReceived,
    AckTimedOut,
    CallAnswered,
    CallFailed,
    DialogEnded,
    ExchangeTimedOut,
    InfoReceived,
    InviteCancelled,
    InviteReceived,
    OfferReceived,
    ResponseReceived,
)
from waitline.bridge.sip.flow import Flow
from waitline.bridge.sip.message import Request, Response
from waitline.errors import BridgeError

INVITE = request("INVITE", body=OFFER)


def statuses(messages: list[Request | Response]) -> list[int]:
    return [message.status for message in messages if isinstance(message, Response)]


def received(lab: Lab, data: bytes = INVITE) -> str:
    """An INVITE has come and nothing was said to it; returns the handle."""
    lab.receive(data)
    return lab.event(InviteReceived).dialog


def silent_lab() -> Lab:
    """One whose owner sends the 100, when it has the INVITE in its store."""
    return Lab(auto_trying=False)


# --- before the answer


def test_an_invite_that_was_only_received_can_be_answered() -> None:
    first = silent_lab()
    handle = received(first)
    second = take_over(first, handle)
    second.ua.provisional(handle, 100, second.now)
    second.ua.provisional(handle, 180, second.now)
    second.ua.answer(handle, ANSWER, second.now)
    sent = second.drain()
    assert statuses(sent) == [100, 180, 200]
    assert len({message.to.tag for message in sent[1:]}) == 1
    second.receive(request("ACK", branch="z9hG4bK-ack", to_tag=sent[-1].to.tag))
    assert second.event(AckReceived).dialog == handle


def test_an_invite_that_was_only_received_stays_silent_until_the_owner_speaks() -> None:
    first = silent_lab()
    second = take_over(first, received(first))
    assert second.receive(INVITE) == []
    assert second.events == []


def test_a_retransmitted_invite_gets_the_last_provisional_response_of_the_process_before() -> None:
    first = Lab()
    handle, tag = ringing(first)
    (last,) = [data for data in (bytes(message) for _, _, message in first.sent) if b"180" in data[:20]]
    second = take_over(first, handle)
    (again,) = second.receive(INVITE)
    assert (bytes(again), again.to.tag) == (last, tag)
    assert second.events == []


def test_a_ringing_call_can_be_answered_and_its_tag_stays() -> None:
    first = Lab()
    handle, tag = ringing(first, headers="Record-Route: <sip:p.example.com;lr>")
    second = take_over(first, handle)
    second.ua.answer(handle, ANSWER, second.now)
    (ok,) = second.drain()
    assert isinstance(ok, Response)
    assert (ok.status, ok.to.tag, ok.body, len(ok.record_routes)) == (200, tag, ANSWER, 1)


def test_a_ringing_call_can_be_refused() -> None:
    first = Lab()
    handle, tag = ringing(first)
    second = take_over(first, handle)
    second.ua.reject(handle, 486, second.now)
    (busy,) = second.drain()
    assert (statuses([busy]), busy.to.tag) == ([486], tag)
    second.receive(request("ACK", to_tag=tag))
    assert second.advance(40.0) == []
    assert second.idle


def test_a_cancel_in_the_gap_ends_the_call_with_487() -> None:
    first = Lab()
    handle, _ = ringing(first)
    second = take_over(first, handle)
    assert statuses(second.receive(request("CANCEL"))) == [200, 487]
    assert second.event(InviteCancelled).dialog == handle


def test_the_487_is_resent_by_the_next_process_until_its_ack() -> None:
    first = Lab()
    handle, tag = ringing(first)
    first.ua.snapshot(handle)
    first.receive(request("CANCEL"))
    second = take_over(first, handle)
    assert second.advance(1.6) == [(0.5, "SIP/2.0 487 Request Terminated"), (1.5, "SIP/2.0 487 Request Terminated")]
    assert statuses(second.receive(request("CANCEL", branch="z9hG4bK-1"))) == [200]
    second.receive(request("ACK", to_tag=tag))
    assert second.advance(40.0) == []
    assert second.idle


def test_a_merged_invite_is_refused_by_the_next_process_too() -> None:
    first = Lab()
    handle, _ = ringing(first)
    second = take_over(first, handle)
    assert statuses(second.receive(request("INVITE", branch="z9hG4bK-other-path", body=OFFER))) == [482]


# --- the answer on its way


def answered() -> tuple[Lab, str, str]:
    lab = Lab()
    handle, tag = ringing(lab)
    lab.ua.answer(handle, ANSWER, lab.now)
    lab.drain()
    return lab, handle, tag


@pytest.mark.parametrize("at", [0.0, 0.4, 3.4, 10.0])
def test_a_200_is_resent_octet_for_octet_when_it_would_have_been(at: float) -> None:
    undisturbed, _, _ = answered()
    expected = [time for time, line in undisturbed.advance(31.9) if "200" in line]
    first, handle, _ = answered()
    before = [time for time, line in first.advance(at) if "200" in line]
    second = take_over(first, handle)
    after = [round(time + at, 3) for time, line in second.advance(31.9 - at) if "200" in line]
    assert before + after == expected
    octets = {bytes(message) for _, _, message in first.sent + second.sent if isinstance(message, Response) and message.status == 200}
    assert len(octets) == 1


def test_a_200_that_was_due_while_nobody_was_there_is_resent_at_once() -> None:
    first, handle, _ = answered()
    second = take_over(first, handle, after_s=3.0)
    second.advance(0.0)
    assert statuses([message for _, _, message in second.sent]) == [200]


def test_the_ack_stops_the_200_of_the_process_before() -> None:
    first, handle, tag = answered()
    second = take_over(first, handle)
    second.receive(request("ACK", branch="z9hG4bK-ack", to_tag=tag, body=b"sdp"))
    assert second.event(AckReceived) == AckReceived(dialog=handle, body=b"sdp")
    assert second.advance(40.0) == []


def test_an_ack_that_never_comes_is_missed_64_t1_after_the_200_however_often_the_process_dies() -> None:
    lab, handle, _ = answered()
    for _ in range(3):
        lab.advance(8.0)
        lab = take_over(lab, handle)
    lab.advance(7.9)
    assert lab.events == []
    lab.advance(0.2)
    assert lab.event(AckTimedOut).dialog == handle


def test_a_retransmitted_invite_gets_the_200_again() -> None:
    first, handle, tag = answered()
    second = take_over(first, handle)
    (ok,) = second.receive(INVITE)
    assert (statuses([ok]), ok.to.tag) == ([200], tag)


def test_a_late_invite_whose_200_was_acknowledged_makes_no_second_call() -> None:
    first = Lab()
    handle, _ = established(first)
    second = take_over(first, handle)
    assert second.receive(INVITE) == []
    assert second.events == []
    second.advance(33.0)
    assert second.ua.size["servers"] == 0


def test_a_bye_that_waits_for_the_ack_is_sent_after_it() -> None:
    first, handle, tag = answered()
    exchange = first.ua.bye(handle, first.now)
    assert first.drain() == []
    second = take_over(first, handle)
    second.receive(request("ACK", branch="z9hG4bK-ack", to_tag=tag))
    (_, _, bye) = second.sent[-1]
    assert isinstance(bye, Request)
    assert bye.method == "BYE"
    second.receive(response(bye, 200))
    assert second.event(ResponseReceived).exchange == exchange
    assert second.ua.size["sessions"] == 0


# --- an established dialog


def test_a_dialog_goes_on_with_its_numbers_routes_target_and_flow() -> None:
    first = Lab()
    handle, tag = established(first, headers="Record-Route: <sip:p.example.com;lr>")
    first.ua.probe(handle, first.now)
    (options,) = first.drain()
    assert isinstance(options, Request)
    first.receive(response(options, 200))
    second = take_over(first, handle)
    exchange = second.ua.probe(handle, second.now)
    (again,) = second.drain()
    assert isinstance(again, Request)
    assert again.cseq.number > options.cseq.number
    assert (again.uri, again.to.tag, [str(route) for route in again.routes]) == (options.uri, "theirs", ["<sip:p.example.com;lr>"])
    assert second.sent[-1][1] == UDP
    second.receive(response(again, 200))
    assert second.event(ResponseReceived).exchange == exchange
    assert statuses(second.receive(request("BYE", branch="z9hG4bK-b", cseq=2, to_tag=tag))) == [200]
    assert second.event(DialogEnded).dialog == handle


def test_a_number_that_the_dead_process_used_and_could_not_keep_is_not_used_again() -> None:
    first = Lab()
    handle, _ = established(first)
    plain = first.ua.snapshot(handle)
    assert plain is not None
    first.ua.probe(handle, first.now)
    (options,) = first.drain()
    second = Lab()
    second.ua.restore(plain, second.now)
    second.ua.bye(handle, second.now)
    (bye,) = second.drain()
    assert bye.cseq.number > options.cseq.number


def test_a_request_of_ours_is_resent_when_it_would_have_been_and_its_answer_is_heard() -> None:
    first = Lab()
    handle, _ = established(first)
    exchange = first.ua.probe(handle, first.now)
    (options,) = first.drain()
    second = take_over(first, handle, after_s=0.2)
    assert second.advance(1.4) == [(0.3, options.start_line), (1.3, options.start_line)]
    assert bytes(second.sent[-1][2]) == bytes(options)
    assert isinstance(options, Request)
    second.receive(response(options, 200))
    assert second.event(ResponseReceived).exchange == exchange


def test_a_request_of_ours_without_an_answer_times_out_32_s_after_it_was_sent_first() -> None:
    first = Lab()
    handle, _ = established(first)
    exchange = first.ua.probe(handle, first.now)
    first.advance(20.0)
    second = take_over(first, handle, after_s=2.0)
    second.advance(9.9)
    assert second.events == []
    second.advance(0.2)
    assert second.event(ExchangeTimedOut).exchange == exchange


def test_our_bye_is_resent_by_the_next_process_until_it_is_answered() -> None:
    first = Lab()
    handle, _ = established(first)
    exchange = first.ua.bye(handle, first.now)
    (bye,) = first.drain()
    second = take_over(first, handle)
    assert second.ua.bye(handle, second.now) == exchange
    assert second.advance(0.6) == [(0.5, bye.start_line)]
    assert isinstance(bye, Request)
    second.receive(response(bye, 200))
    assert second.event(ResponseReceived).exchange == exchange
    assert second.ua.size["sessions"] == 0


# --- offers


def test_a_re_invite_that_waits_for_our_answer_is_told_again_and_answered() -> None:
    first = Lab()
    handle, tag = established(first)
    again = request("INVITE", branch="z9hG4bK-re", cseq=2, to_tag=tag, body=OFFER)
    first.receive(again)
    second = take_over(first, handle)
    offer = second.event(OfferReceived)
    assert (offer.dialog, offer.body) == (handle, OFFER)
    assert statuses(second.receive(again)) == [100]
    second.ua.answer_offer(handle, ANSWER, second.now)
    assert statuses(second.drain()) == [200]
    assert [line for _, line in second.advance(0.6)] == ["SIP/2.0 200 OK"]
    second.receive(request("ACK", branch="z9hG4bK-ack2", cseq=2, to_tag=tag))
    assert second.event(AckReceived).dialog == handle
    assert second.advance(40.0) == []


def test_an_answered_re_invite_that_comes_again_gets_its_200_again() -> None:
    first = Lab()
    handle, tag = established(first)
    again = request("INVITE", branch="z9hG4bK-re", cseq=2, to_tag=tag, body=OFFER)
    first.receive(again)
    first.ua.answer_offer(handle, ANSWER, first.now)
    (ok,) = first.drain()
    second = take_over(first, handle)
    assert [bytes(message) for message in second.receive(again)] == [bytes(ok)]
    assert second.events == []


def test_a_refused_re_invite_that_comes_again_gets_its_refusal_again() -> None:
    first = Lab()
    handle, tag = established(first)
    again = request("INVITE", branch="z9hG4bK-re", cseq=2, to_tag=tag, body=OFFER)
    first.receive(again)
    first.ua.reject_offer(handle, 488, first.now)
    first.drain()
    second = take_over(first, handle)
    assert statuses(second.receive(again)) == [488]
    assert second.ua.dialog_state(handle).status == "confirmed"


def test_an_update_that_waits_for_our_answer_is_told_again_and_answered() -> None:
    first = Lab()
    handle, tag = established(first)
    update = request("UPDATE", branch="z9hG4bK-up", cseq=2, to_tag=tag, body=OFFER)
    first.receive(update)
    second = take_over(first, handle)
    assert second.event(OfferReceived).body == OFFER
    second.ua.answer_offer(handle, ANSWER, second.now)
    assert statuses(second.drain()) == [200]
    third = take_over(second, handle)
    assert statuses(third.receive(update)) == [200]
    assert third.events == []


def test_our_re_invite_is_answered_to_the_next_process_which_acknowledges_every_200() -> None:
    first = Lab()
    handle, _ = established(first)
    exchange = first.ua.reinvite(handle, OFFER, first.now)
    (ours,) = first.drain()
    assert isinstance(ours, Request)
    second = take_over(first, handle)
    (ack,) = second.receive(response(ours, 200, headers="Contact: <sip:caller@192.0.2.9:5070>", body=ANSWER))
    assert (ack.start_line.split()[0], ack.cseq.number) == ("ACK", ours.cseq.number)
    answer = second.event(ResponseReceived)
    assert (answer.exchange, answer.response.body) == (exchange, ANSWER)
    third = take_over(second, handle)
    (again,) = third.receive(response(ours, 200, headers="Contact: <sip:caller@192.0.2.9:5070>", body=ANSWER))
    assert bytes(again) == bytes(ack)
    assert third.events == []


def test_while_our_re_invite_is_open_theirs_is_refused_by_the_next_process_too() -> None:
    first = Lab()
    handle, tag = established(first)
    first.ua.reinvite(handle, OFFER, first.now)
    second = take_over(first, handle)
    assert statuses(second.receive(request("INVITE", branch="z9hG4bK-re", cseq=2, to_tag=tag, body=OFFER))) == [491]
    assert second.ua.reinvite(handle, OFFER, second.now) == ""


# --- calls we make


def calling(lab: Lab) -> tuple[str, Request]:
    handle = lab.ua.invite("sip:a@192.0.2.9:5070", UDP, lab.now, from_="sip:q@x", to="sip:a@x", body=OFFER)
    (invite,) = lab.drain()
    assert isinstance(invite, Request)
    return handle, invite


def test_a_call_of_ours_is_set_up_by_the_next_process() -> None:
    first = Lab()
    handle, invite = calling(first)
    second = take_over(first, handle)
    second.receive(response(invite, 180))
    third = take_over(second, handle)
    third.receive(response(invite, 200, headers="Contact: <sip:a@192.0.2.9:5070>", body=ANSWER))
    assert third.event(CallAnswered).dialog == handle
    assert third.ua.dialog_state(handle).remote_tag == "theirs"


def test_a_call_of_ours_that_was_being_given_up_is_given_up() -> None:
    first = Lab()
    handle, invite = calling(first)
    first.receive(response(invite, 180))
    first.ua.cancel(handle, first.now)
    first.drain()
    second = take_over(first, handle)
    assert [message.start_line.split()[0] for _, _, message in second.sent] == ["CANCEL"]
    second.receive(response(invite, 487))
    assert second.event(CallFailed).status == 487


# --- what was answered before the death


def test_an_info_that_comes_again_is_answered_and_not_heard_twice() -> None:
    first = Lab()
    handle, tag = established(first)
    info = request("INFO", branch="z9hG4bK-i", cseq=2, to_tag=tag, headers="Content-Type: application/dtmf-relay", body=b"Signal=5")
    first.receive(info)
    first.event(InfoReceived)
    second = take_over(first, handle)
    assert statuses(second.receive(info)) == [200]
    assert second.events == []
    later = request("INFO", branch="z9hG4bK-j", cseq=3, to_tag=tag, headers="Content-Type: application/dtmf-relay", body=b"Signal=6")
    second.receive(later)
    assert second.event(InfoReceived).body == b"Signal=6"


def test_after_32_s_an_old_number_is_out_of_order_again() -> None:
    first = Lab()
    handle, tag = established(first)
    second = take_over(first, handle)
    old = request("OPTIONS", branch="z9hG4bK-i", cseq=1, to_tag=tag)
    assert statuses(second.receive(old)) == [200]
    second.advance(33.0)
    assert statuses(second.receive(old.replace(b"-i", b"-k"))) == [500]


def test_a_bye_that_comes_again_gets_its_200_from_the_next_process() -> None:
    first = Lab()
    handle, tag = established(first)
    bye = request("BYE", branch="z9hG4bK-bye", cseq=2, to_tag=tag)
    (ok,) = first.receive(bye)
    second = take_over(first, handle)
    assert [bytes(message) for message in second.receive(bye)] == [bytes(ok)]
    assert second.events == []
    second.advance(33.0)
    assert second.idle


def test_within_its_grace_a_bye_for_an_unknown_dialog_is_answered_200_and_nothing_else_is() -> None:
    lab = Lab()
    lab.ua.grace(lab.now + 32.0)
    assert statuses(lab.receive(request("BYE", branch="z9hG4bK-a", cseq=2, to_tag="gone"))) == [200]
    assert statuses(lab.receive(request("INFO", branch="z9hG4bK-b", cseq=2, to_tag="gone"))) == [481]
    lab.advance(32.1)
    assert statuses(lab.receive(request("BYE", branch="z9hG4bK-c", cseq=2, to_tag="gone"))) == [481]


# --- what is held


def test_of_a_kept_leg_every_response_is_held_in_order_and_when_it_is_repeated() -> None:
    lab = Lab(auto_trying=False)
    handle = received(lab)
    lab.ua.snapshot(handle)
    lab.ua.provisional(handle, 180, lab.now)
    lab.ua.answer(handle, ANSWER, lab.now)
    assert lab.ua.effects() == []
    assert [send.data[:11] for send in lab.ua.held()] == [b"SIP/2.0 180", b"SIP/2.0 200"]
    lab.ua.receive(INVITE, UDP, lab.now)
    assert lab.ua.effects() == []
    assert [send.data[:11] for send in lab.ua.held()] == [b"SIP/2.0 200"]


def test_the_200s_to_bye_info_and_cancel_are_held_for_a_kept_leg() -> None:
    lab = Lab()
    handle, tag = established(lab)
    lab.ua.snapshot(handle)
    info = request("INFO", branch="z9hG4bK-i", cseq=2, to_tag=tag, headers="Content-Type: application/dtmf-relay", body=b"Signal=5")
    bye = request("BYE", branch="z9hG4bK-b", cseq=3, to_tag=tag)
    for data in (info, bye):
        lab.ua.receive(data, UDP, lab.now)
        assert lab.ua.effects() == []
        assert len(lab.ua.held()) == 1
    other, _ = ringing(lab, call_id="call-2", branch="z9hG4bK-2")
    lab.ua.snapshot(other)
    lab.ua.receive(request("CANCEL", call_id="call-2", branch="z9hG4bK-2"), UDP, lab.now)
    assert lab.ua.effects() == []
    assert len(lab.ua.held()) == 2


def test_of_a_leg_that_nobody_keeps_nothing_is_held() -> None:
    lab = Lab()
    handle, _ = ringing(lab)
    lab.ua.answer(handle, ANSWER, lab.now)
    assert lab.ua.held() == []
    assert len(lab.ua.effects()) == 1


# --- connections


def test_over_a_connection_that_outlived_the_process_everything_goes_on() -> None:
    first = Lab(flow=TCP)
    handle, _ = ringing(first)
    second = take_over(first, handle, connections={TCP.connection})
    second.ua.answer(handle, ANSWER, second.now)
    second.drain()
    assert second.sent[-1][1] == TCP


def test_an_answer_whose_connection_is_gone_goes_to_where_the_via_says() -> None:
    first = Lab(flow=TCP)
    handle, _ = ringing(first)
    second = take_over(first, handle)
    second.ua.answer(handle, ANSWER, second.now)
    second.drain()
    assert second.sent[-1][1] == Flow("tcp", TCP.local, ("192.0.2.9", 5070))


def test_a_caller_that_comes_back_on_another_connection_gets_its_answers_there() -> None:
    first = Lab(flow=TCP)
    handle, _ = ringing(first)
    second = take_over(first, handle)
    back = TCP._replace(remote=("192.0.2.9", 41000), connection=3)
    assert statuses(second.receive(INVITE, back)) == [180]
    second.ua.answer(handle, ANSWER, second.now)
    second.drain()
    assert second.sent[-1][1] == back


def test_a_request_of_ours_whose_connection_is_gone_is_sent_again_on_another_one() -> None:
    first = Lab(flow=TCP)
    handle, _ = established(first, contact="<sip:caller@192.0.2.9:5070;transport=tcp>")
    first.ua.bye(handle, first.now)
    (bye,) = first.drain()
    second = take_over(first, handle)
    assert [(flow, bytes(message)) for _, flow, message in second.sent] == [(Flow("tcp", TCP.local, ("192.0.2.9", 5070)), bytes(bye))]


def test_a_dialog_follows_its_peer_to_the_connection_of_its_next_request() -> None:
    first = Lab(flow=TCP)
    handle, tag = established(first)
    second = take_over(first, handle)
    back = TCP._replace(remote=("192.0.2.9", 41000), connection=3)
    second.receive(request("INFO", branch="z9hG4bK-i", cseq=2, to_tag=tag), back)
    second.ua.probe(handle, second.now)
    second.drain()
    assert second.sent[-1][1] == back


def test_a_connection_that_breaks_ends_neither_a_ringing_nor_an_established_call() -> None:
    lab = Lab(flow=TCP)
    up, _ = established(lab)
    early, _ = ringing(lab, call_id="call-2", branch="z9hG4bK-2")
    lab.ua.flow_failed(TCP, lab.now)
    lab.ua.flow_failed(Flow("tcp", TCP.local, ("192.0.2.9", 5070)), lab.now)
    lab.drain()
    assert lab.events == []
    lab.ua.answer(early, ANSWER, lab.now)
    assert lab.ua.dialog_state(up).status == "confirmed"


# --- the form


def test_a_snapshot_of_a_later_version_is_refused() -> None:
    lab = Lab()
    handle, _ = established(lab)
    plain = lab.ua.snapshot(handle)
    assert plain is not None
    with pytest.raises(BridgeError, match="version 2"):
        Lab().ua.restore(plain | {"version": 2}, 0.0)


def test_the_first_form_which_was_the_dialog_alone_is_read() -> None:
    lab = Lab()
    handle, tag = established(lab)
    second = Lab()
    assert second.ua.restore(lab.ua.dialog_state(handle).to_json(), second.now) == handle
    second.receive(request("BYE", branch="z9hG4bK-b", cseq=2, to_tag=tag))
    assert second.event(DialogEnded).dialog == handle


def test_of_a_handle_that_nobody_knows_there_is_no_snapshot() -> None:
    assert Lab().ua.snapshot("nobody") is None


def test_a_clock_that_began_anew_keeps_nothing_waiting_for_ever() -> None:
    first, handle, _ = answered()
    plain = json.loads(json.dumps(first.ua.snapshot(handle)))
    second = Lab()
    second.now = 5.0
    second.ua.restore(plain, second.now)
    second.advance(33.0)
    assert second.event(AckTimedOut).dialog == handle
