from __future__ import annotations

import pytest
from unit.sip.kit import Lab, request

from waitline.bridge.sip.events import InviteReceived
from waitline.bridge.sip.message import Response

SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\n"
MIXED = 'Content-Type: multipart/mixed;boundary="x y"'


def wrapped(*parts: tuple[str, bytes]) -> bytes:
    return b"preamble" + b"".join(f"\r\n--x y\r\nContent-Type: {kind}\r\n\r\n".encode() + body for kind, body in parts) + b"\r\n--x y--\r\n"


def test_the_session_description_is_found_among_the_parts() -> None:
    lab = Lab()
    body = wrapped(("application/isup", b"\x01\x02"), ("Application/SDP; x=1", SDP), ("application/sdp", b"second"))
    lab.receive(request("INVITE", headers=MIXED, body=body))
    invite = lab.event(InviteReceived).request
    assert (invite.content_type, invite.body) == ("application/sdp", SDP)


@pytest.mark.parametrize(
    ("status", "header", "body"),
    [
        (415, MIXED, wrapped(("text/plain", b"hello"))),
        (415, MIXED, b"no part at all"),
        (415, MIXED, b"\r\n--x y--\r\n--x y\r\nContent-Type: application/sdp\r\n\r\nafter the end"),
        (415, "Content-Type: multipart/mixed", wrapped(("application/sdp", SDP))),
        (400, "Content-Type: multipart/mixed;;", wrapped(("application/sdp", SDP))),
    ],
)
def test_a_wrapper_without_one_is_refused(status: int, header: str, body: bytes) -> None:
    (answer,) = Lab().receive(request("INVITE", headers=header, body=body))
    assert isinstance(answer, Response)
    assert answer.status == status
