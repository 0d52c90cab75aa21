import pytest

from waitline.bridge.sip.message import MalformedRequest, Request, Response, parse
from waitline.bridge.sip.validate import validate_request, validate_response
from waitline.errors import SipError

OPTIONS = b"""\
OPTIONS sip:a@h SIP/2.0\r
Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r
From: <sip:b@h>;tag=1\r
To: <sip:a@h>\r
Call-ID: c1\r
CSeq: 1 OPTIONS\r
Max-Forwards: 70\r
\r
"""


def request(data=OPTIONS):
    message = parse(data)
    assert isinstance(message, Request)
    return message


def test_a_sound_request_passes():
    validate_request(request())


@pytest.mark.parametrize("line", [b"Max-Forwards: 70\r\n", b";tag=1"])
def test_rfc_2543_clients_pass_without(line):
    validate_request(request(OPTIONS.replace(line, b"")))


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b"From: <sip:b@h>;tag=1\r\n", b"", "From is missing"),
        (b"To: <sip:a@h>\r\n", b"", "To is missing"),
        (b"Call-ID: c1\r\n", b"", "Call-ID is missing"),
        (b"CSeq: 1 OPTIONS\r\n", b"", "CSeq is missing"),
        (b"CSeq: 1 OPTIONS", b"CSeq: 1 INVITE", "CSeq is of INVITE, the request of OPTIONS"),
        (b"Call-ID: c1", b"Call-ID: c 1", "not a Call-ID"),
        (b"Call-ID: c1", b"Call-ID: c1\r\ni: c2", "call-id is there more than once"),
        (b"To: ", b"To: <sip:x@h>\r\nt: ", "to is there more than once"),
        (b"Max-Forwards: 70", b"Max-Forwards: 256", "not in 0..255"),
        (b"Max-Forwards: 70", b"Contact: <sip:a@b>;;", "parameters cannot be read"),
        (b"Max-Forwards: 70", b"Route: sip", "not a URI"),
        (b"Max-Forwards: 70", b"Record-Route: <sip:a@b:0>", "not in 1..65535"),
        (b"Max-Forwards: 70", b"Date: Fri, 01 Jan 2010 16:00:00 EST", "not a Date"),
        (b"sip:a@h SIP", b"sip:a@h?Route=%3Csip:x%3E SIP", "the Request-URI holds header fields"),
        (b"sip:a@h SIP", b"sip:2001:db8::10 SIP", "not a URI"),
    ],
)
def test_an_unsound_request_is_named_and_can_be_answered(old, new, why):
    bad: Request = request(OPTIONS.replace(old, new, 1))
    with pytest.raises(MalformedRequest, match=why) as caught:
        validate_request(bad)
    assert caught.value.status == 400
    assert caught.value.salvage == bad
    assert bytes(Response.make(bad, 400, to_tag="x")).startswith(
        b"SIP/2.0 400 Bad Request\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"
    )


@pytest.mark.parametrize("via", [b"", b"Via: x\r\n"])
def test_without_a_readable_via_nobody_can_be_told(via):
    with pytest.raises(MalformedRequest) as caught:
        validate_request(request(OPTIONS.replace(b"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n", via)))
    assert caught.value.salvage is None


def test_a_date_in_gmt_passes():
    validate_request(request(OPTIONS.replace(b"Max-Forwards: 70", b"Date: Sat, 15 Oct 2005 04:44:56 GMT")))


def test_a_response_is_dropped_for_what_a_request_is_refused_for():
    good = OPTIONS.replace(b"OPTIONS sip:a@h SIP/2.0", b"SIP/2.0 200 OK")
    for data, why in ((good, None), (good.replace(b"CSeq: 1", b"CSeq: 9292394834772304023312"), "not a CSeq")):
        response = parse(data)
        assert isinstance(response, Response)
        if why is None:
            validate_response(response)
        else:
            with pytest.raises(SipError, match=why):
                validate_response(response)
