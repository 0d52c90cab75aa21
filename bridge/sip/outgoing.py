"""The requests we write. ``Outgoing`` is the part of a request that its ACK and its CANCEL must repeat exactly (RFC 3261 §9.1, §17.1.1.3).

Text goes straight to bytes: a request of ours is written once and never looked at again, so no header dictionary is built for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from waitline.bridge.sip.flow import Flow
from waitline.bridge.sip.grammar import bracketed, is_token

HeaderList = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A request's start line and the header fields that identify it."""

    method: str
    uri: str
    branch: str
    sent_by: str
    """``SIP/2.0/UDP host:port``: where a server's response comes back to."""
    routes: tuple[str, ...] = ()
    """The values of Route, topmost first."""
    from_: str
    to: str
    call_id: str
    cseq: int
    agent: str

    def render(self, headers: str = "", body: bytes = b"") -> bytes:
        """The whole message; ``headers`` are lines with their CRLF. ``rport`` asks for the answer on this very path (RFC 3581)."""
        routes = "".join([f"Route: {route}\r\n" for route in self.routes])
        text = (
            f"{self.method} {self.uri} SIP/2.0\r\nVia: {self.sent_by};branch={self.branch};rport\r\nMax-Forwards: 70\r\n{routes}"
            f"From: {self.from_}\r\nTo: {self.to}\r\nCall-ID: {self.call_id}\r\nCSeq: {self.cseq} {self.method}\r\n"
            f"User-Agent: {self.agent}\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
        )
        return text.encode("utf-8", "replace") + body

    def to_plain(self) -> dict[str, Any]:
        """Everything, JSON-able."""
        return asdict(self) | {"routes": list(self.routes)}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Outgoing:
        """The inverse of ``to_plain``."""
        return cls(**(plain | {"routes": tuple(plain["routes"])}))

    def ack(self, to: str) -> bytes:
        """The ACK to a 300–699: same branch, same Route, the To of the response (§17.1.1.3)."""
        return replace(self, method="ACK", to=to).render()

    def cancel(self) -> Outgoing:
        """The CANCEL of this request: everything as it was, but for the method (§9.1)."""
        return replace(self, method="CANCEL")


def sent_by(flow: Flow) -> str:
    """What the topmost Via of a request on that flow says before its parameters; the flow's local address is the one the peer sees."""
    return f"SIP/2.0/{flow.transport.upper()} {bracketed(flow.local[0])}:{flow.local[1]}"


def contact_uri(flow: Flow, *, sips: bool = False) -> str:
    """The URI under which a peer on that flow reaches us again; ``sips`` where its dialog began with that, and names no transport."""
    if sips:
        return f"sips:{bracketed(flow.local[0])}:{flow.local[1]}"
    transport = "" if flow.transport == "udp" else f";transport={flow.transport}"
    return f"sip:{bracketed(flow.local[0])}:{flow.local[1]}{transport}"


def angled(uri_or_address: str) -> str:
    """A URI as a name-addr, an address as it is."""
    return uri_or_address if "<" in uri_or_address else f"<{uri_or_address}>"


def header_lines(headers: HeaderList) -> str:
    """Header fields as lines. ValueError for a name that is no token or a value with a line break: nobody injects headers through us."""
    lines = []
    for name, value in headers:
        if not is_token(name) or "\r" in value or "\n" in value:
            raise ValueError(f"not a header field: {name[:40]!r}: {value[:80]!r}")
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines)
