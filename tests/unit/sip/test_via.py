import pytest

from waitline.bridge.sip.via import Via
from waitline.errors import SipError


def test_a_via_is_read_with_blanks_wherever_the_grammar_allows_them():
    via = Via.parse("SIP  / 2.0  / TCP     spindle.example.com : 5070  ;  branch  =   z9hG4bK9ikj8  ;rport")
    assert (via.transport, via.host, via.port, via.branch) == ("TCP", "spindle.example.com", 5070, "z9hG4bK9ikj8")
    assert via.params == {"branch": "z9hG4bK9ikj8", "rport": None}
    assert str(via) == "SIP/2.0/TCP spindle.example.com:5070;branch=z9hG4bK9ikj8;rport"


def test_an_ipv6_sent_by_is_written_in_brackets():
    via = Via.parse("SIP/2.0/udp [2001:DB8::9:1];received=2001:db8::9:255;branch=z9hG4bKas3")
    assert (via.transport, via.host, via.sent_by) == ("UDP", "2001:db8::9:1", "[2001:db8::9:1]")
    assert via.response_address == ("2001:db8::9:255", 5060)


@pytest.mark.parametrize(
    ("branch", "unique"),
    [(";branch=z9hG4bKx", True), (";branch=Z9HG4BKx", True), (";branch=z9hG4bK", False), (";branch=390skdjuw", False), ("", False)],
)
def test_a_branch_counts_only_with_the_cookie_and_something_after_it(branch, unique):
    assert Via.parse("SIP/2.0/UDP h" + branch).unique_branch is unique


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("SIP/2.0/UDP a.example", ("a.example", 5060)),
        ("SIP/2.0/UDP a.example:5062", ("a.example", 5062)),
        ("SIP/2.0/UDP a.example:5062;received=192.0.2.1", ("192.0.2.1", 5062)),
        ("SIP/2.0/UDP a.example:5062;received=192.0.2.1;rport=40000", ("192.0.2.1", 40000)),
        ("SIP/2.0/UDP a.example:5062;rport", ("a.example", 5062)),
        ("SIP/2.0/UDP a.example;rport=99999", ("a.example", 5060)),
        ("SIP/2.0/UDP a.example;maddr=192.0.2.7", ("192.0.2.7", 5060)),
        ("SIP/2.0/UDP a.example;received=[2001:db8::9:255]", ("2001:db8::9:255", 5060)),
    ],
)
def test_responses_go_where_received_and_rport_say(text, address):
    assert Via.parse(text).response_address == address


def test_a_request_from_where_it_says_needs_no_stamp():
    via = Via.parse("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1")
    assert via.stamped("192.0.2.1", 5060) is via


def test_the_real_source_is_stamped_where_it_differs_or_is_asked_for():
    assert str(Via.parse("SIP/2.0/UDP h;branch=z9hG4bK1").stamped("192.0.2.1", 4000)) == "SIP/2.0/UDP h;branch=z9hG4bK1;received=192.0.2.1"
    stamped = Via.parse("SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bK1").stamped("192.0.2.1", 4000)
    assert stamped.response_address == ("192.0.2.1", 4000)
    assert Via.parse(str(stamped)) == stamped


def test_a_forged_received_is_overwritten():
    assert Via.parse("SIP/2.0/UDP h;received=203.0.113.9").stamped("192.0.2.1", 1).response_address[0] == "192.0.2.1"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not a Via"),
        ("SIP/2.0/UDP", "not a Via"),
        ("HTTP/2.0/UDP h", "not a Via"),
        ("SIP/2.0/UDP h:99999", "not in 1..65535"),
        ("SIP/2.0/UDP 192.0.2.15;;,;,,", "parameters cannot be read"),
        ("SIP/2.0/UDP h;branch=a;branch=b", "given twice"),
        ("SIP/2.0/UDP [::1", "not a Via"),
        ("SIP/2.0/UDP h;received=<x>", "parameters cannot be read"),
    ],
)
def test_what_is_no_via_is_refused_with_the_reason(text, why):
    with pytest.raises(SipError, match=why):
        Via.parse(text)
