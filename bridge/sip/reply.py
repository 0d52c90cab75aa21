"""The responses to one request. What all of them share (RFC 3261 §8.2.6.2: Via, From, To, Call-ID, CSeq) is rendered once.

Via is stamped with the address the request came from (§18.2.1, RFC 3581). Responses go to that address over the flow of the request even
where no rport was asked for: a phone behind a translator names an address in its Via that nobody can reach, and a phone that listens on
another port than it sends from has not been seen for years.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from waitline.bridge.sip.flow import Flow
from waitline.bridge.sip.message import Request
from waitline.bridge.sip.outgoing import HeaderList, header_lines
from waitline.bridge.sip.reasons import reason_for
from waitline.bridge.sip.via import Via
from waitline.errors import SipError

_PLAIN_TAG = re.compile(r"[A-Za-z0-9\-._~@]++")
_RPORT = re.compile(r";[ \t]*rport(?:[ \t]*=[^;]*)?", re.I)


class Reply:
    """Everything needed to answer one request, and nothing else of it."""

    __slots__ = ("_agent", "_encoding", "_head", "_record_routes", "to_tag")

    def __init__(self, request: Request, flow: Flow, *, new_tag: Callable[[], str], agent: str) -> None:
        """A tag from ``new_tag`` is added to the To of every response if the request has none there."""
        get = request.headers.get
        theirs = tag_in(request, "To")
        self.to_tag = theirs or new_tag()
        to = get("To") if theirs else f"{get('To')};tag={self.to_tag}"
        self._agent = agent
        self._encoding = request.encoding
        self._head = f"{_vias(request, flow)}From: {get('From')}\r\nTo: {to}\r\nCall-ID: {get('Call-ID')}\r\nCSeq: {get('CSeq')}\r\n"
        self._record_routes = "".join([f"Record-Route: {value}\r\n" for value in request.headers.fields("Record-Route")])

    def to_plain(self) -> dict[str, str]:
        """Everything, JSON-able."""
        return {"to_tag": self.to_tag, "encoding": self._encoding, "head": self._head, "record_routes": self._record_routes}

    @classmethod
    def from_plain(cls, plain: dict[str, Any], *, agent: str) -> Reply:
        """The inverse of ``to_plain``."""
        reply = cls.__new__(cls)
        reply.to_tag, reply._encoding = plain["to_tag"], plain["encoding"]
        reply._head, reply._record_routes = plain["head"], plain["record_routes"]
        reply._agent = agent
        return reply

    def render(
        self,
        status: int,
        *,
        headers: HeaderList = (),
        body: bytes = b"",
        reason: str | None = None,
        forms_dialog: bool = False,
    ) -> bytes:
        """The response as bytes; one that forms a dialog repeats Record-Route (§12.1.1). ValueError as ``header_lines``."""
        phrase = reason_for(status) if reason is None else reason.replace("\r", " ").replace("\n", " ")
        text = (
            f"SIP/2.0 {status} {phrase}\r\n{self._head}{self._record_routes if forms_dialog else ''}"
            f"Server: {self._agent}\r\n{header_lines(headers)}Content-Length: {len(body)}\r\n\r\n"
        )
        return text.encode(self._encoding, "replace") + body


def tag_in(request: Request, name: str) -> str:
    """The tag of From or To, empty if there is none or the header cannot be read; taken from the text where it has the usual form."""
    _, usual, tag = (request.headers.get(name) or "").rpartition(">;tag=")
    if usual and _PLAIN_TAG.fullmatch(tag):
        return tag
    try:
        return (request.to if name == "To" else request.from_).tag or ""
    except SipError:
        return ""


def _vias(request: Request, flow: Flow) -> str:
    """The Via lines as they came, the topmost one stamped."""
    fields = request.headers.fields("Via")
    if "," in fields[0]:
        fields = request.headers.get_all("Via")
    lines = [f"Via: {_stamped(fields[0], request.via, *flow.remote)}\r\n"]
    lines += [f"Via: {value}\r\n" for value in fields[1:]]
    return "".join(lines)


def _stamped(text: str, via: Via, host: str, port: int) -> str:
    """``Via.stamped`` on the text itself, a third of its cost; odd ones take the long way."""
    if "received" in via.params or '"' in text:
        return str(via.stamped(host, port))
    if "rport" in via.params:
        return f"{_RPORT.sub(f';rport={port}', text, count=1)};received={host}"
    return text if host == via.host else f"{text};received={host}"
