import pytest

from waitline.bridge.sip.message import (
    MAX_BODY_BYTES,
    MAX_FIELDS,
    MAX_HEAD_BYTES,
    CSeq,
    MalformedRequest,
    Request,
    Response,
    frame_length,
    parse,
)
from waitline.errors import SipError

INVITE = b"""\
INVITE sip:+15550100@192.0.2.10;transport=udp SIP/2.0\r
Via: SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bK1;rport\r
Via: SIP/2.0/TCP edge.example.com;branch=z9hG4bK0\r
Max-Forwards: 70\r
From: "Alice" <sip:alice@example.com>;tag=a1\r
To: <sip:+15550100@192.0.2.10>\r
Call-ID: c1@192.0.2.1\r
CSeq: 7 INVITE\r
Contact: <sip:alice@192.0.2.1:5062>\r
Record-Route: <sip:p2.example.com;lr>, <sip:p1.example.com;lr>\r
Expires: 120\r
Content-Type: Application/SDP; charset=x\r
Content-Length: 5\r
\r
v=0\r
"""


def request(data=INVITE):
    message = parse(data)
    assert isinstance(message, Request)
    return message


def with_line(line):
    return INVITE.replace(b"Max-Forwards: 70", line)


def test_an_invite_is_read_with_all_its_typed_values():
    message = request()
    assert (message.method, message.uri, message.body) == ("INVITE", "sip:+15550100@192.0.2.10;transport=udp", b"v=0\r\n")
    assert (message.request_uri.user, message.request_uri.transport) == ("+15550100", "udp")
    assert (message.from_.display, message.from_.uri.user, message.from_.tag, message.to.tag) == ("Alice", "alice", "a1", None)
    assert (message.call_id, message.cseq, message.max_forwards, message.expires) == ("c1@192.0.2.1", CSeq(7, "INVITE"), 70, 120)
    assert [via.host for via in message.vias] == ["192.0.2.1", "edge.example.com"]
    assert message.via is message.via
    assert message.via.branch == "z9hG4bK1"
    assert [contact.uri.port for contact in message.contacts] == [5062]
    assert [route.uri.host for route in message.record_routes] == ["p2.example.com", "p1.example.com"]
    assert message.routes == []
    assert message.content_type == "application/sdp"


def test_what_is_written_is_what_was_read():
    assert bytes(request()) == INVITE


@pytest.mark.parametrize("data", [b"", b"\r\n", b"\r\n\r\n", b"\n"])
def test_keep_alives_are_nothing(data):
    assert parse(data) is None


def test_empty_lines_before_the_start_line_are_skipped():
    assert parse(b"\r\n\r\n" + INVITE) == request()


def test_bare_line_feeds_are_tolerated():
    assert parse(INVITE.replace(b"\r\n", b"\n").replace(b"v=0\n", b"v=0\r\n")) == request()


def test_a_message_of_bare_line_feeds_may_hold_an_empty_crlf_line_in_its_body():
    data = b"MESSAGE sip:a@h SIP/2.0\nVia: SIP/2.0/UDP h\nContent-Length: 8\n\nab\r\n\r\nc\n"
    assert request(data).body == b"ab\r\n\r\nc\n"


def test_folded_lines_are_joined_and_blanks_before_the_colon_dropped():
    message = request(with_line(b"Subject :\r\n first\r\n\t second\r\nMax-Forwards\t: 70 "))
    assert message.headers.get("Subject") == "first second"
    assert message.max_forwards == 70
    assert parse(bytes(message)) == message


def test_octets_beyond_the_content_length_are_dropped():
    assert request(INVITE + b"rubbish").body == b"v=0\r\n"


def test_without_a_content_length_the_body_is_the_rest():
    data = INVITE.replace(b"Content-Length: 5\r\n", b"")
    assert request(data).body == b"v=0\r\n"
    assert bytes(request(data)) == data


def test_a_latin_1_message_is_echoed_octet_by_octet():
    data = INVITE.replace(b'"Alice"', b'"Andr\xe9"')
    message = request(data)
    assert message.from_.display == "André"
    assert bytes(message) == data
    assert b'"Andr\xe9"' in bytes(Response.make(message, 200))


def test_utf_8_is_read_as_such():
    assert request(INVITE.replace(b"Alice", "Zoë".encode())).from_.display == "Zoë"


def test_a_comma_list_of_via_has_a_topmost_value():
    message = request(with_line(b"X: 1").replace(b"rport\r\nVia: ", b"rport, "))
    assert message.via.branch == "z9hG4bK1"
    assert len(message.vias) == 2


def test_contact_star_is_no_address():
    message = request(INVITE.replace(b"<sip:alice@192.0.2.1:5062>", b"*"))
    assert message.contact_is_star
    assert message.contacts == []


@pytest.mark.parametrize(
    ("value", "expires"), [("0", 0), ("4294967296", 2**32 - 1), ("1" + "0" * 100, 2**32 - 1), ("soon", None), ("-1", None), ("", None)]
)
def test_expires_is_clamped_and_never_an_error(value, expires):
    assert request(INVITE.replace(b"Expires: 120", f"Expires: {value}".encode())).expires == expires


def test_a_response_is_read():
    message = parse(b"SIP/2.0 183 Session Progress\r\nVia: SIP/2.0/UDP h\r\nContent-Length: 0\r\n\r\n")
    assert isinstance(message, Response)
    assert (message.status, message.reason) == (183, "Session Progress")


@pytest.mark.parametrize("line", [b"SIP/2.0 200 ", b"SIP/2.0 200", b"sip/2.0 200 "])
def test_a_reason_phrase_may_be_empty(line):
    message = parse(line + b"\r\nVia: SIP/2.0/UDP h\r\n\r\n")
    assert isinstance(message, Response)
    assert (message.status, message.reason) == (200, "")
    assert parse(bytes(message)) == message


@pytest.mark.parametrize(
    ("data", "status", "why"),
    [
        (INVITE.replace(b" SIP/2.0\r\nVia", b" SIP/3.0\r\nVia", 1), 505, "not SIP/2.0"),
        (INVITE.replace(b"INVITE ", b"INVITE  ", 1), 400, "not a start line"),
        (INVITE.replace(b"SIP/2.0\r\n", b"SIP/2.0 \r\n", 1), 400, "not a start line"),
        (INVITE.replace(b"Length: 5", b"Length: 6"), 400, "Content-Length is 6, the body 5 bytes"),
        (INVITE.replace(b"Length: 5", b"Length: -5"), 400, "'-5' is not a number"),
        (INVITE.replace(b"Length: 5", b"Length: 5x"), 400, "'5x' is not a number"),
        (INVITE.replace(b"Length: 5", b"Length: " + b"9" * 5000), 400, "is not a number of bytes"),
        (with_line(b"no colon here"), 400, "a line of the header is no field"),
        (with_line(b"Bare: a\rb"), 400, "a carriage return that ends no line"),
        (INVITE.partition(b"\r\n\r\n")[0] + b"\r\n", 400, "no empty line"),
        (with_line(b"X: y\r\n" * (MAX_FIELDS + 1) + b"X: y"), 513, f"more than {MAX_FIELDS} header fields"),
        (with_line(b"X: " + b"y" * MAX_HEAD_BYTES), 513, f"more than {MAX_HEAD_BYTES} bytes"),
        (INVITE.replace(b"Length: 5", b"Length: 70000").replace(b"v=0", b"v=0" * 30000), 513, f"is more than {MAX_BODY_BYTES}"),
    ],
)
def test_a_request_that_cannot_be_taken_says_why_and_can_be_answered(data, status, why):
    with pytest.raises(MalformedRequest, match=why) as caught:
        parse(data)
    assert caught.value.status == status
    salvage = caught.value.salvage
    assert salvage is not None
    assert salvage.method == "INVITE"
    response = Response.make(salvage, status, to_tag="t1")
    assert bytes(response).startswith(f"SIP/2.0 {status} ".encode())
    assert response.cseq == CSeq(7, "INVITE")
    assert response.call_id == "c1@192.0.2.1"
    assert response.via.branch == "z9hG4bK1"
    assert response.to.tag == "t1"


def test_a_request_without_a_readable_via_cannot_be_answered():
    for data in (INVITE.replace(b"Via:", b"Bia:"), INVITE.replace(b"SIP/2.0/UDP", b"UDP")):
        with pytest.raises(MalformedRequest) as caught:
            parse(data.replace(b"INVITE ", b"INVITE  ", 1))
        assert caught.value.salvage is None


@pytest.mark.parametrize("line", [b"SIP/2.0 99 Low", b"SIP/2.0 700 High", b"SIP/2.0 4294967301 x", b"SIP/7.0 200 OK", b"SIP/2.0 200 a\rb"])
def test_a_response_that_cannot_be_read_is_nobodys_to_answer(line):
    with pytest.raises(SipError) as caught:
        parse(line + b"\r\nVia: SIP/2.0/UDP h\r\n\r\n")
    assert not isinstance(caught.value, MalformedRequest)


@pytest.mark.parametrize(
    ("old", "new", "touch", "why"),
    [
        (b"CSeq: 7 INVITE", b"CSeq: seven INVITE", "cseq", "not a CSeq"),
        (b"CSeq: 7 INVITE", b"CSeq: 2147483648 INVITE", "cseq", "not a CSeq"),
        (b"Max-Forwards: 70", b"Max-Forwards: 300", "max_forwards", "not in 0..255"),
        (b"Max-Forwards: 70", b"Max-Forwards: x", "max_forwards", "not in 0..255"),
        (b"To: ", b"X-To: ", "to", "To is missing"),
        (b"Call-ID: c1@192.0.2.1", b"Call-ID:", "call_id", "Call-ID is missing"),
        (b'"Alice" <', b'"Alice <', "from_", "not an address"),
        (b"sip:+15550100@192.0.2.10;transport=udp SIP", b"sip:a@b:0 SIP", "request_uri", "not in 1..65535"),
        (b"UDP 192.0.2.1:5062", b"UDP", "via", "not a Via"),
        (b"Contact: <sip:alice@192.0.2.1:5062>", b"Contact: <sip:a@b>, <sip:", "contacts", "not closed"),
    ],
)
def test_a_value_that_cannot_be_read_raises_when_it_is_touched(old, new, touch, why):
    message = request(INVITE.replace(old, new, 1))
    with pytest.raises(SipError, match=why):
        getattr(message, touch)


def test_typed_values_follow_a_change_of_the_headers():
    message = request()
    assert message.to.tag is None
    message.headers.set("To", "<sip:x@h>;tag=9")
    assert message.to.tag == "9"
    assert message.to is message.to
    message.uri = "sip:other@h"
    assert message.request_uri.user == "other"


def test_the_source_is_stamped_into_the_topmost_via_only():
    message = request()
    message.stamp_source("198.51.100.7", 40000)
    assert message.via.response_address == ("198.51.100.7", 40000)
    assert len(message.vias) == 2
    assert message.vias[1].params == {"branch": "z9hG4bK0"}


def test_a_request_of_ours_has_its_content_length_and_no_injected_lines():
    made = Request.make("BYE", "sip:a@h", [("Via", "SIP/2.0/UDP h;branch=z9hG4bK1"), ("CSeq", "2 BYE")], b"xyz")
    assert bytes(made) == b"BYE sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nCSeq: 2 BYE\r\nContent-Length: 3\r\n\r\nxyz"
    assert parse(bytes(made)) == made
    with pytest.raises(ValueError, match="line break"):
        Request.make("BYE", "sip:a@h", [("Subject", "a\r\nb")])


def test_a_response_copies_what_a_response_must_and_tags_to_once():
    response = Response.make(request(), 180, headers=[("Contact", "<sip:us@h>")], body=b"b", to_tag="ours")
    assert (response.status, response.reason, response.to.tag) == (180, "Ringing", "ours")
    assert [name for name, _ in response.headers] == ["Via", "Via", "From", "To", "Call-ID", "CSeq", "Contact", "Content-Length"]
    assert "Record-Route" not in response.headers
    assert parse(bytes(response)) == response
    tagged = request(INVITE.replace(b"To: <sip:+15550100@192.0.2.10>", b"To: <sip:+15550100@192.0.2.10>;tag=x"))
    assert Response.make(tagged, 200, to_tag="ours").to.tag == "x"


def test_a_reason_phrase_of_ours_stays_in_its_line():
    assert Response.make(request(), 480, "Come Again").reason == "Come Again"
    assert Response.make(request(), 499).reason == ""
    with pytest.raises(ValueError, match="line break"):
        Response.make(request(), 200, "a\r\nb: c")


def test_a_message_equals_only_its_like():
    assert request() == request()
    assert request() != Response.make(request(), 200)
    assert "INVITE" in repr(request())
    assert "200" in repr(Response.make(request(), 200))


# --- framing a stream


def test_a_stream_is_cut_at_the_content_length():
    assert frame_length(INVITE) == len(INVITE)
    assert frame_length(INVITE + INVITE[:40]) == len(INVITE)
    assert frame_length(b"\r\n" + INVITE) == len(INVITE) + 2


def test_a_stream_fed_byte_by_byte_gives_the_same_frame():
    for length in range(1, len(INVITE)):
        assert frame_length(INVITE[:length]) is None
    assert frame_length(INVITE) == len(INVITE)


def test_a_keep_alive_in_a_stream_is_a_frame_of_its_own():
    assert frame_length(b"\r\n\r\n") == 4
    assert frame_length(b"") is None


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (INVITE.replace(b"Content-Length: 5\r\n", b""), "exactly one Content-Length"),
        (INVITE.replace(b"Content-Length: 5", b"Content-Length: 5\r\nl: 6"), "exactly one Content-Length"),
        (INVITE.replace(b"Length: 5", b"Length: -1"), "not a number"),
        (INVITE.replace(b"Length: 5", b"Length: 99999"), f"more than {MAX_BODY_BYTES}"),
        (b"x" * (MAX_HEAD_BYTES + 1), f"more than {MAX_HEAD_BYTES} bytes"),
    ],
)
def test_a_stream_that_cannot_be_framed_is_given_up(data, why):
    with pytest.raises(SipError, match=why):
        frame_length(data)
