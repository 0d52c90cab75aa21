"""Dialogs as data: routes, targets, flows, the way through a store into another user agent."""

from __future__ import annotations

import json

import pytest
from unit.sip.kit import ANSWER, OFFER, TCP, UDP, Lab, established, request, response

from waitline.bridge.sip.dialog import DialogState, next_hop
from waitline.bridge.sip.events import CallAnswered, InviteReceived
from waitline.bridge.sip.flow import Flow
from waitline.bridge.sip.message import Request


def up(lab: Lab, **options: object) -> str:
    """A call that is up; returns its handle."""
    lab.receive(request("INVITE", body=OFFER, **options))  # type: ignore[arg-type]
    handle = lab.event(InviteReceived).dialog
    lab.ua.answer(handle, ANSWER, lab.now)
    tag = lab.drain()[-1].to.tag
    lab.receive(request("ACK", branch="z9hG4bK-ack", to_tag=tag))
    lab.events.clear()
    return handle


def bye_of(lab: Lab, handle: str) -> tuple[Flow, Request]:
    lab.ua.bye(handle, lab.now)
    lab.drain()
    _, flow, bye = lab.sent[-1]
    assert isinstance(bye, Request)
    return flow, bye


def test_a_phone_behind_a_translator_is_reached_over_the_flow_it_came_by() -> None:
    lab = Lab()
    flow, bye = bye_of(lab, up(lab, contact="<sip:phone@10.0.0.5:5060>"))
    assert (flow, bye.uri) == (UDP, "sip:phone@10.0.0.5:5060")


def test_behind_a_proxy_that_did_not_stay_requests_go_to_the_contact() -> None:
    lab = Lab()
    handle = up(lab, contact="<sip:phone@198.51.100.5:5080>", headers="Via: SIP/2.0/UDP 198.51.100.5:5080;branch=z9hG4bKx")
    flow, _ = bye_of(lab, handle)
    assert flow == Flow("udp", UDP.local, ("198.51.100.5", 5080))


def test_behind_a_proxy_a_contact_that_is_a_name_is_reached_over_the_flow() -> None:
    lab = Lab()
    handle = up(lab, contact="<sip:phone@phone.example.com>", headers="Via: SIP/2.0/UDP 198.51.100.5:5080;branch=z9hG4bKx")
    assert bye_of(lab, handle)[0] == UDP


def test_a_loose_route_set_is_followed() -> None:
    lab = Lab()
    routes = "Record-Route: <sip:203.0.113.1:5090;lr>, <sip:p1.example.com;lr>"
    flow, bye = bye_of(lab, up(lab, headers=routes))
    assert bye.uri == "sip:caller@192.0.2.9:5070"
    assert [str(route.uri) for route in bye.routes] == ["sip:203.0.113.1:5090;lr", "sip:p1.example.com;lr"]
    assert flow.remote == ("203.0.113.1", 5090)


def test_a_route_set_that_begins_with_a_name_goes_over_the_flow() -> None:
    lab = Lab()
    assert bye_of(lab, up(lab, headers="Record-Route: <sip:edge.example.com;lr>"))[0] == UDP


def test_a_strict_router_gets_itself_as_the_request_uri() -> None:
    lab = Lab()
    _, bye = bye_of(lab, up(lab, headers="Record-Route: <sip:p1.example.com;method=INVITE;x=1>, <sip:p2.example.com;lr>"))
    assert bye.uri == "sip:p1.example.com;x=1"
    assert [str(route.uri) for route in bye.routes] == ["sip:p2.example.com;lr", "sip:caller@192.0.2.9:5070"]


def test_the_route_set_of_a_call_we_made_is_turned_round() -> None:
    lab = Lab()
    handle = lab.ua.invite("sip:a@192.0.2.9", UDP, lab.now, from_="sip:q@x", to="sip:a@x", body=OFFER)
    (invite,) = lab.drain()
    assert isinstance(invite, Request)
    routes = "Contact: <sip:a@10.1.1.1>\nRecord-Route: <sip:far.example.com;lr>, <sip:near.example.com;lr>"
    (ack,) = lab.receive(response(invite, 200, headers=routes))
    lab.event(CallAnswered)
    assert [str(route.uri) for route in ack.routes] == ["sip:near.example.com;lr", "sip:far.example.com;lr"]
    assert lab.ua.dialog_state(handle).route_set == ("<sip:near.example.com;lr>", "<sip:far.example.com;lr>")


def test_from_and_to_of_our_requests_repeat_what_the_peer_wrote() -> None:
    lab = Lab()
    handle = up(lab)
    _, bye = bye_of(lab, handle)
    assert bye.headers.get("To") == '"Caller" <sip:caller@example.com>;tag=theirs'
    assert (bye.headers.get("From") or "").startswith("<sip:+15550100@192.0.2.1>;tag=")


def test_a_phone_that_changed_its_network_is_followed_by_its_reinvite() -> None:
    lab = Lab()
    handle = up(lab)
    tag = lab.ua.dialog_state(handle).local_tag
    moved = Flow("udp", UDP.local, ("198.51.100.77", 1234))
    lab.receive(request("INVITE", branch="z9hG4bK-re", cseq=2, to_tag=tag, body=OFFER), moved)
    lab.ua.answer_offer(handle, ANSWER, lab.now)
    assert lab.ua.dialog_state(handle).flow == moved


def test_when_the_connection_is_gone_the_contact_is_called_over_a_new_one() -> None:
    lab = Lab(flow=TCP)
    handle, _ = established(lab, contact="<sip:caller@192.0.2.9:5070;transport=tcp>")
    lab.ua.flow_failed(TCP, lab.now)
    assert bye_of(lab, handle)[0] == Flow("tcp", TCP.local, ("192.0.2.9", 5070))


def test_an_unreachable_route_never_reaches_the_shell_as_a_name() -> None:
    state = DialogState(handle="h", call_id="c", local_tag="l", remote_tag="r", local_uri="<sip:a@x>", remote_uri="<sip:b@x>", flow=UDP)
    for route in ("<sip:999.1.1.1;lr>", "<sip:some.name;lr>", "<sip:1.2.3;lr>"):
        state.route_set = (route,)
        assert next_hop(state) == UDP


def test_a_dialog_survives_a_store() -> None:
    lab = Lab()
    state = lab.ua.dialog_state(up(lab, headers="Record-Route: <sip:p.example.com;lr>"))
    assert DialogState.from_json(json.loads(json.dumps(state.to_json()))) == state


def test_the_copy_of_a_state_does_not_change_with_the_dialog() -> None:
    lab = Lab()
    handle = up(lab)
    before = lab.ua.dialog_state(handle)
    lab.ua.probe(handle, lab.now)
    assert lab.ua.dialog_state(handle).local_cseq == before.local_cseq + 1


@pytest.mark.parametrize("text", ['"a;tag=b" <sip:x@y;tag=c>;tag=d;other=1', "sip:x@y;tag=d;other=1"])
def test_the_tag_is_taken_from_behind_the_address_only(text: str) -> None:
    lab = Lab()
    data = request("INVITE", body=OFFER).replace(b'From: "Caller" <sip:caller@example.com>;tag=theirs', f"From: {text}".encode())
    lab.receive(data)
    state = lab.ua.dialog_state(lab.event(InviteReceived).dialog)
    assert state.remote_tag == "d"
    assert state.remote_uri == text.replace(";tag=d", "")
