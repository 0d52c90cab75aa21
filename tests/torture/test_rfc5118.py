"""RFC 5118, the torture tests for IPv6: in our own words, and the published octets where they are at hand."""

import pytest
from torture.verdicts import corpus, judge

from waitline.bridge.sip.description import SessionDescription
from waitline.bridge.sip.message import Request, parse
from waitline.bridge.sip.uri import Uri
from waitline.bridge.sip.via import Via
from waitline.errors import SipError

REFUSED = ("ipv6-bad", "ipv6-bug-abnf-3-colons")  # the third colon may be tolerated (§4.10); we see no one who needs it
PUBLISHED = corpus("rfc5118")


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_message_gets_its_verdict(name):
    assert judge(PUBLISHED[name]) == (400 if name in REFUSED else "taken")


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name.endswith("in-sdp") or name == "ipv4-mapped-ipv6"])
def test_a_published_session_description_is_read(name):
    message = parse(PUBLISHED[name])
    assert isinstance(message, Request)
    assert len(SessionDescription.parse(message.body).media) == 2


def test_4_1_a_good_address_is_taken_apart():
    assert Uri.parse("sip:[2001:db8::10]").address == ("2001:db8::10", 5060)


def test_4_2_an_address_without_brackets_is_refused():
    with pytest.raises(SipError, match="not a URI"):
        Uri.parse("sip:2001:db8::10")


def test_4_3_and_4_4_a_port_is_what_stands_outside_the_brackets():
    assert Uri.parse("sip:[2001:db8::10:5070]").address == ("2001:db8::10:5070", 5060)
    assert Uri.parse("sip:[2001:db8::10]:5070").address == ("2001:db8::10", 5070)


@pytest.mark.parametrize("received", ["[2001:db8::9:255]", "2001:db8::9:255"])
def test_4_5_received_is_read_with_and_without_brackets(received):
    via = Via.parse(f"SIP/2.0/UDP [2001:db8::9:1];received={received};branch=z9hG4bKas3-111")
    assert via.response_address == ("2001:db8::9:255", 5060)


def test_4_6_and_4_8_both_families_in_one_session_description():
    description = SessionDescription.parse(
        b"v=0\r\no=bob 280744730 28977631 IN IP4 host.example.com\r\ns=\r\nt=0 0\r\nm=audio 22334 RTP/AVP 0\r\n"
        b"c=IN IP4 192.0.2.1\r\nm=video 6024 RTP/AVP 107\r\nc=IN IP6 2001:db8::1\r\na=rtpmap:107 H263-1998/90000\r\n"
    )
    assert [description.host_of(media) for media in description.media] == ["192.0.2.1", "2001:db8::1"]


def test_4_7_both_families_in_one_set_of_vias():
    vias = [Via.parse(f"SIP/2.0/UDP {host};branch=z9hG4bK1") for host in ("[2001:db8::9:1]:6050", "192.0.2.1")]
    assert [(via.host, via.port) for via in vias] == [("2001:db8::9:1", 6050), ("192.0.2.1", None)]


def test_4_9_ipv4_mapped_addresses_are_taken():
    assert Via.parse("SIP/2.0/UDP [::ffff:192.0.2.10]:19823;branch=z9hG4bKbh19").host == "::ffff:192.0.2.10"


def test_4_10_two_colons_are_right_and_three_are_not():
    assert Uri.parse("sip:user@[2001:db8::192.0.2.1]").host == "2001:db8::192.0.2.1"
    with pytest.raises(SipError, match="not an IPv6 address"):
        Uri.parse("sip:user@[2001:db8:::192.0.2.1]")
