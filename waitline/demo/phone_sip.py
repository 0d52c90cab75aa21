"""The demo phone's SIP: just what a phone needs to call, talk and hang up, written from RFC 3261 apart from the platform's own.

Pure text. ``Message`` reads, ``Call`` is one call we make: the requests in it, the answers to the other side's, what we learn from a 200.
There is no authentication: the demo's platform trusts this machine.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from random import Random

Address = tuple[str, int]

_COMPACT = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length", "c": "content-type"}
_COPIED = ("via", "record-route", "from", "to", "call-id", "cseq")
TELEPHONE_EVENT = 101


class Unreadable(Exception):
    """A datagram that is not a SIP message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A request, or a response (``status`` above 0). Header names are in lower case, in order."""

    start: str
    headers: list[tuple[str, str]]
    body: str

    @classmethod
    def parse(cls, data: bytes) -> Message:
        """Read a datagram. Raises Unreadable."""
        head, _, body = data.decode("utf-8", "replace").partition("\r\n\r\n")
        lines = re.sub(r"\r\n[ \t]+", " ", head).split("\r\n")  # RFC 3261 §7.3.1 folding
        if "SIP/2.0" not in lines[0]:
            raise Unreadable(lines[0][:80])
        headers = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
        message = cls(start=lines[0], headers=[(_COMPACT.get(name, name), value) for name, value in headers], body=body)
        if not re.fullmatch(r"[0-9]+ +[A-Z]+", message["cseq"]):
            raise Unreadable(f"{lines[0][:80]}: no CSeq")
        return message

    def __getitem__(self, name: str) -> str:
        """Return the first header of that name, empty if there is none."""
        return next((value for key, value in self.headers if key == name), "")

    def all(self, name: str) -> list[str]:
        """Return all headers of that name, lists split at their commas."""
        found = [value for key, value in self.headers if key == name]
        return [item.strip() for value in found for item in re.findall(r'(?:"[^"]*"|<[^>]*>|[^,"<])+', value)]

    @property
    def status(self) -> int:
        return int(self.start.split()[1]) if self.start.startswith("SIP/2.0") else 0

    @property
    def method(self) -> str:
        """A request's method; a response's is that of its CSeq."""
        return self["cseq"].split()[1] if self.status else self.start.split()[0]

    @property
    def cseq(self) -> int:
        return int(self["cseq"].split()[0])

    @property
    def media(self) -> Address | None:
        """Where the session description wants RTP sent to; None where it says nothing about it."""
        host, port = re.search(r"^c=IN IP4 (\S+)", self.body, re.MULTILINE), re.search(r"^m=audio (\d+)", self.body, re.MULTILINE)
        return (host[1], int(port[1])) if host and port else None


def build(start: str, headers: list[tuple[str, str]], body: str = "") -> bytes:
    """Write a message."""
    if body:
        headers = [*headers, ("Content-Type", "application/sdp")]
    lines = [start, *(f"{name}: {value}" for name, value in headers), f"Content-Length: {len(body)}", "", body]
    return "\r\n".join(lines).encode()


def description(host: str, port: int) -> str:
    """Return our session description: PCMU and RFC 4733 digits."""
    lines = [
        "v=0", f"o=- 1 1 IN IP4 {host}", "s=demo", f"c=IN IP4 {host}", "t=0 0", f"m=audio {port} RTP/AVP 0 {TELEPHONE_EVENT}",
        "a=rtpmap:0 PCMU/8000", f"a=rtpmap:{TELEPHONE_EVENT} telephone-event/8000", f"a=fmtp:{TELEPHONE_EVENT} 0-15",
        "a=ptime:20", "a=sendrecv", "",
    ]  # fmt: skip
    return "\r\n".join(lines)


@dataclass(slots=True, kw_only=True)
class Call:
    """A call we make: its dialog, as far as the one who calls needs it."""

    user: str
    uri: str
    server: Address
    local: Address
    rtp_port: int
    random: Random
    call_id: str = ""
    from_tag: str = ""
    to: str = ""
    target: str = ""
    routes: list[str] = field(default_factory=list)
    cseq: int = 0
    branch: str = ""

    def __post_init__(self) -> None:
        self.call_id, self.from_tag = f"{self.random.getrandbits(64):016x}@{self.local[0]}", f"{self.random.getrandbits(32):08x}"
        self.to, self.target = f"<{self.uri}>", self.uri

    def request(self, method: str) -> bytes:
        """Return a new request of the call; its number is ``cseq`` then. An INVITE carries our offer."""
        self.cseq += 1
        self.branch = f"z9hG4bK{self.random.getrandbits(64):016x}"
        return self._request(method, self.branch, self.to, description(self.local[0], self.rtp_port) if method == "INVITE" else "")

    def ack(self, response: Message) -> bytes:
        """Return the ACK: of a 200 a request of its own, of a refusal one on the INVITE's branch (RFC 3261 §17.1.1.3)."""
        branch = f"z9hG4bK{self.random.getrandbits(64):016x}" if response.status < 300 else self.branch
        return self._request("ACK", branch, response["to"])

    def cancel(self) -> bytes:
        """Return the CANCEL of the INVITE that was sent last."""
        return self._request("CANCEL", self.branch, self.to)

    def _request(self, method: str, branch: str, to: str, body: str = "") -> bytes:
        host, port = self.local
        headers = [
            ("Via", f"SIP/2.0/UDP {host}:{port};rport;branch={branch}"),
            ("Max-Forwards", "70"),
            *(("Route", route) for route in self.routes),
            ("From", f"<sip:{self.user}@{self.server[0]}>;tag={self.from_tag}"),
            ("To", to),
            ("Call-ID", self.call_id),
            ("CSeq", f"{self.cseq} {method}"),
            ("Contact", self._contact),
        ]
        return build(f"{method} {self.target} SIP/2.0", headers, body)

    @property
    def _contact(self) -> str:
        return f"<sip:{self.user}@{self.local[0]}:{self.local[1]}>"

    def take(self, response: Message) -> None:
        """Learn the dialog from a 200 to our INVITE (RFC 3261 §12.1.2)."""
        self.to = response["to"]
        self.routes = list(reversed(response.all("record-route")))
        found = re.search(r"<([^>]+)>", response["contact"])
        self.target = found[1] if found else response["contact"] or self.target

    def answer(self, request: Message) -> bytes:
        """Return our 200 to a request of the other side."""
        headers = [(name.title(), value) for name, value in request.headers if name in _COPIED]
        with_body = request.method in ("INVITE", "UPDATE")
        return build(
            "SIP/2.0 200 OK", [*headers, ("Contact", self._contact)], description(self.local[0], self.rtp_port) if with_body else ""
        )
