"""``sips`` and TLS in the core: what is refused, what our Contact says, and that a dialog never leaves TLS."""

from __future__ import annotations

import pytest
from unit.sip.kit import OFFER, Lab, established, request, ringing, take_over

from waitline.bridge.sip.events import InviteReceived
from waitline.bridge.sip.flow import Flow
from waitline.bridge.sip.message import Response
from waitline.bridge.sip.uri import Uri

TLS = Flow("tls", ("192.0.2.1", 5061), ("192.0.2.9", 40001), 7)
VIA = "SIP/2.0/TLS 192.0.2.9:5071"
SIPS = "sips:+15550100@192.0.2.1"


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS", "REGISTER"])
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_sips_that_came_in_the_clear_is_refused_without_an_invitation_to_go_on_in_the_clear(method: str, transport: str) -> None:
    lab = Lab(flow=Flow(transport, ("192.0.2.1", 5060), ("192.0.2.9", 5070), int(transport == "tcp")))
    answers = lab.receive(request(method, uri=SIPS))
    assert [answer.start_line for answer in answers if isinstance(answer, Response)][-1] == "SIP/2.0 480 Temporarily Unavailable"
    assert answers[-1].headers.get("Warning") == '399 waitline "sips needs TLS on every hop"'
    assert lab.events == []


def test_sips_over_tls_is_served_and_our_contact_is_sips() -> None:
    lab = Lab(flow=TLS)
    lab.receive(request("INVITE", uri=SIPS, via=VIA, body=OFFER))
    invite = lab.event(InviteReceived)
    lab.ua.provisional(invite.dialog, 180, lab.now)
    (answer,) = lab.drain()
    assert answer.headers.get("Contact") == "<sips:192.0.2.1:5061>"


@pytest.mark.parametrize(
    ("headers", "contact", "ours"),
    [
        ("", "<sip:caller@192.0.2.9:5071;transport=tls>", "<sip:192.0.2.1:5061;transport=tls>"),
        ("", "<sips:caller@192.0.2.9:5071>", "<sips:192.0.2.1:5061>"),
        ("Record-Route: <sips:proxy.example;lr>", "<sip:caller@192.0.2.9:5071;transport=tls>", "<sips:192.0.2.1:5061>"),
        ("Record-Route: <sip:proxy.example;lr>", "<sips:caller@192.0.2.9:5071>", "<sip:192.0.2.1:5061;transport=tls>"),
    ],
)
def test_our_contact_is_sips_where_the_nearest_hop_asks_for_it(headers: str, contact: str, ours: str) -> None:
    lab = Lab(flow=TLS)
    lab.receive(request("INVITE", via=VIA, headers=headers, contact=contact, body=OFFER))
    lab.ua.provisional(lab.event(InviteReceived).dialog, 180, lab.now)
    (answer,) = lab.drain()
    assert answer.headers.get("Contact") == ours


def test_a_dialog_that_began_over_tls_does_not_leave_it_whatever_a_contact_says() -> None:
    lab = Lab(flow=TLS)
    via = f"{VIA};branch=z9hG4bK-proxy\nVia: SIP/2.0/UDP 10.0.0.9"
    handle, _ = established(lab, via=via, contact="<sip:caller@198.51.100.7:5070;transport=udp>")
    lab.ua.bye(handle, lab.now)
    lab.drain()
    _, flow, bye = lab.sent[-1]
    assert bye.start_line.startswith("BYE ")
    assert (flow.transport, flow.remote) == ("tls", ("198.51.100.7", 5070))


def test_after_a_take_over_the_dialog_is_still_sips_and_seeks_the_peer_over_tls() -> None:
    lab = Lab(flow=TLS)
    handle, _ = established(lab, uri=SIPS, via=VIA, contact="<sips:caller@192.0.2.9>")
    lab = take_over(lab, handle)
    lab.ua.reinvite(handle, OFFER, lab.now)
    lab.drain()
    _, flow, invite = lab.sent[-1]
    assert flow == Flow("tls", TLS.local, ("192.0.2.9", 5061))
    assert invite.headers.get("Contact") == "<sips:192.0.2.1:5061>"


def test_an_answer_whose_connection_is_gone_goes_to_the_port_of_tls() -> None:
    lab = Lab(flow=TLS)
    handle, _ = ringing(lab, via="SIP/2.0/TLS phone.example")
    lab.ua.flow_failed(TLS, lab.now)
    lab.ua.reject(handle, 486, lab.now)
    lab.drain()
    assert lab.sent[-1][1].remote == ("192.0.2.9", 5061)


@pytest.mark.parametrize(
    ("text", "port"),
    [("sip:a@h", 5060), ("sips:a@h", 5061), ("sip:a@h;transport=tls", 5061), ("sip:a@h;transport=TCP", 5060), ("sips:a@h:7", 7)],
)
def test_a_uri_without_a_port_means_that_of_its_transport(text: str, port: int) -> None:
    assert Uri.parse(text).address == ("h", port)
