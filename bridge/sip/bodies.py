"""Multipart bodies (RFC 5621): carriers wrap the session description together with what only they understand.

``unwrap`` puts the description in the wrapper's place, so that all above see a plain ``application/sdp``. Where there is none, or the
wrapper cannot be read, the message stays as it is and its type is refused like any other.
"""

from __future__ import annotations

from waitline.bridge.sip.grammar import parse_params
from waitline.bridge.sip.message import Message

SDP = "application/sdp"
MAX_PARTS = 16


def unwrap(message: Message) -> None:
    """Replace a multipart body by its first session description. SipError if the parameters of Content-Type cannot be read."""
    if not message.body or not message.content_type.startswith("multipart/"):
        return
    _, semicolon, params = (message.headers.get("Content-Type") or "").partition(";")
    boundary = parse_params(semicolon + params).get("boundary")
    if boundary and (part := _session_description(message.body, boundary.encode())) is not None:
        message.body = part
        message.headers.set("Content-Type", SDP)
        message.headers.set("Content-Length", str(len(part)))


def _session_description(body: bytes, boundary: bytes) -> bytes | None:
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary, MAX_PARTS)[1:]:
        if part.startswith(b"--"):  # the closing delimiter
            return None
        head, empty, content = part.partition(b"\r\n\r\n")
        lines = [line.partition(b":") for line in head.split(b"\r\n")]
        types = [value for name, _, value in lines if name.strip().lower() in (b"content-type", b"c")]
        if empty and types and types[0].partition(b";")[0].strip().lower() == SDP.encode():
            return content
    return None
