"""SIP messages (RFC 3261 §7): bytes → Request or Response, lazily.

``parse`` does what every message needs and no more: start line, header fields as text, Content-Length, body. Typed values are read when
touched and kept until the headers change; a value that cannot be read raises SipError at that moment. ``validate_request`` and
``validate_response`` (in ``validate``) touch all that a user agent relies on, so after them nothing below raises.

A request that cannot be taken but has a readable Via raises ``MalformedRequest`` with enough of it in ``salvage`` for a 400; everything
else is a plain SipError and dropped. CRLF keep-alives (RFC 5626 §3.5.1) give None.

Text: UTF-8; a message that is not is Latin-1 altogether, and answered in Latin-1 so that what we echo is what was sent.

Tolerated: bare LF as line end; line folding; empty lines before the start line; octets after the body that Content-Length announces
(dropped); no Content-Length in a datagram. Not tolerated: a bare CR, a missing empty line, more or other spaces in the start line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from waitline.bridge.sip.address import Address
from waitline.bridge.sip.grammar import TOKEN, split_list
from waitline.bridge.sip.headers import Headers
from waitline.bridge.sip.reasons import reason_for
from waitline.bridge.sip.uri import Uri
from waitline.bridge.sip.via import Via
from waitline.errors import SipError

MAX_HEAD_BYTES = 32_768  # start line and header fields
MAX_BODY_BYTES = 65_536
MAX_FIELDS = 256
MAX_LINES = 1024  # of fields, continuation lines included
MAX_CSEQ = 2**31 - 1  # RFC 3261 §8.1.1.5
MAX_EXPIRES_S = 2**32 - 1  # RFC 3261 §20.19; more means this

_REQUEST_LINE = re.compile(rf"({TOKEN}++) ([A-Za-z][A-Za-z0-9+.\-]*+:[^\s<>\"]++) [Ss][Ii][Pp]/2\.0")
_STATUS_LINE = re.compile(r"[Ss][Ii][Pp]/2\.0 ([1-6][0-9]{2})(?: ([^\r\n]*))?")
_ANY_VERSION = re.compile(r"(?:.* )?SIP/(?!2\.0\b)[0-9]+\.[0-9]+(?: .*)?", re.I)
_BEFORE_COLON = re.compile(rf"^({TOKEN}++)[ \t]++:")
_LINE_END = re.compile(r"\r?\n")
_FOLD = re.compile(r"\r?\n[ \t]++")
_BLANK = re.compile(rb"\r?\n\r?\n")
_CSEQ = re.compile(rf"([0-9]{{1,20}})[ \t]++({TOKEN}++)")
_NUMBER = re.compile(r"[0-9]++")
_ECHOED = ("via", "from", "to", "call-id", "cseq")


class CSeq(NamedTuple):
    """A request's number within its dialog and direction, and its method."""

    number: int
    method: str


class MalformedRequest(SipError):
    """A request that cannot be taken. ``salvage`` holds what a response needs of it, or is None: then there is nobody to tell."""

    def __init__(self, message: str, *, status: int = 400, salvage: Request | None = None) -> None:
        super().__init__(message, status=status)
        self.salvage = salvage


class Message:
    """What requests and responses share. Equality compares start line, fields and body."""

    __slots__ = ("body", "encoding", "headers")

    def __init__(self, headers: Headers, body: bytes = b"", *, encoding: str = "utf-8") -> None:
        self.headers = headers
        self.body = body
        self.encoding = encoding

    @property
    def start_line(self) -> str:
        """The first line, without CRLF."""
        raise NotImplementedError

    def __bytes__(self) -> bytes:
        head = f"{self.start_line}\r\n{self.headers}\r\n"
        return head.encode(self.encoding, "replace") + self.body

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message) or type(self) is not type(other):
            return NotImplemented
        return (self.start_line, self.headers, self.body) == (other.start_line, other.headers, other.body)

    __hash__ = None  # type: ignore[assignment] # mutable

    def _required(self, name: str) -> str:
        value = self.headers.get(name)
        if not value:
            raise SipError(f"{name} is missing")
        return value

    @property
    def call_id(self) -> str:
        """Call-ID; raises SipError if there is none."""
        return self._required("Call-ID")

    @property
    def cseq(self) -> CSeq:
        """CSeq; raises SipError if there is none or it is out of range."""
        cseq: CSeq | None = self.headers.derived.get("cseq")
        if cseq is None:
            cseq = self.headers.derived["cseq"] = _parse_cseq(self._required("CSeq"))
        return cseq

    @property
    def from_(self) -> Address:
        """From; raises SipError if there is none."""
        return self._address("From")

    @property
    def to(self) -> Address:
        """To; raises SipError if there is none."""
        return self._address("To")

    def _address(self, name: str) -> Address:
        address: Address | None = self.headers.derived.get(name)
        if address is None:
            address = self.headers.derived[name] = Address.parse(self._required(name))
        return address

    @property
    def via(self) -> Via:
        """The topmost Via; raises SipError if there is none."""
        via: Via | None = self.headers.derived.get("via")
        if via is None:
            via = self.headers.derived["via"] = Via.parse(_first(self._required("Via")))
        return via

    @property
    def vias(self) -> list[Via]:
        """All of Via, topmost first; [] if there is none."""
        vias: list[Via] | None = self.headers.derived.get("vias")
        if vias is None:
            vias = self.headers.derived["vias"] = [Via.parse(text) for text in self.headers.get_all("Via")]
        return vias

    @property
    def contacts(self) -> list[Address]:
        """Contact; [] if there is none, and for ``Contact: *``, which ``contact_is_star`` tells."""
        return [] if self.contact_is_star else self._addresses("Contact")

    @property
    def contact_is_star(self) -> bool:
        """Whether Contact is the one star that means all bindings (§10.2.2)."""
        return self.headers.get("Contact") == "*" and self.headers.count("Contact") == 1

    @property
    def routes(self) -> list[Address]:
        """Route, topmost first."""
        return self._addresses("Route")

    @property
    def record_routes(self) -> list[Address]:
        """Record-Route, topmost first."""
        return self._addresses("Record-Route")

    def _addresses(self, name: str) -> list[Address]:
        if name not in self.headers:
            return []
        addresses: list[Address] | None = self.headers.derived.get(name)
        if addresses is None:
            addresses = self.headers.derived[name] = [Address.parse(text) for text in self.headers.get_all(name)]
        return addresses

    @property
    def content_type(self) -> str:
        """The media type in lower case without its parameters, as in ``application/sdp``; empty if there is none."""
        return (self.headers.get("Content-Type") or "").partition(";")[0].strip().lower()

    @property
    def expires(self) -> int | None:
        """Expires in seconds, at most 2**32-1; None if there is none or it is no number (§20.19 lets a registrar choose then)."""
        value = self.headers.get("Expires")
        return min(int(value[:10]) if len(value) <= 10 else MAX_EXPIRES_S, MAX_EXPIRES_S) if value and _NUMBER.fullmatch(value) else None


class Request(Message):
    """A request."""

    __slots__ = ("_request_uri", "method", "uri")

    def __init__(self, method: str, uri: str, headers: Headers, body: bytes = b"", *, encoding: str = "utf-8") -> None:
        self.headers, self.body, self.encoding = headers, body, encoding
        self.method = method
        """Case-sensitive."""
        self.uri = uri
        """The Request-URI as it stands on the wire; ``request_uri`` takes it apart."""
        self._request_uri: tuple[str, Uri] | None = None

    @classmethod
    def make(cls, method: str, uri: str | Uri, headers: Iterable[tuple[str, str]], body: bytes = b"") -> Request:
        """A request of ours; Content-Length is set. ValueError for a header that would break out of its line."""
        made = Headers()
        made.extend(headers)
        made.set("Content-Length", str(len(body)))
        return cls(method, str(uri), made, body)

    @property
    def start_line(self) -> str:
        return f"{self.method} {self.uri} SIP/2.0"

    @property
    def request_uri(self) -> Uri:
        """The Request-URI; raises SipError if it cannot be read."""
        if self._request_uri is None or self._request_uri[0] is not self.uri:
            self._request_uri = (self.uri, Uri.parse(self.uri))
        return self._request_uri[1]

    @property
    def max_forwards(self) -> int | None:
        """Max-Forwards; None if there is none. Raises SipError outside 0..255."""
        value = self.headers.get("Max-Forwards")
        if value is None:
            return None
        if not _NUMBER.fullmatch(value) or len(value) > 9 or int(value) > 255:
            raise SipError(f"Max-Forwards {value[:20]!r} is not in 0..255")
        return int(value)

    def stamp_source(self, host: str, port: int) -> None:
        """Write received and rport into the topmost Via (§18.2.1, RFC 3581): the first thing done with a request from the wire.

        Raises SipError if there is no readable Via.
        """
        stamped = self.via.stamped(host, port)
        if stamped is not self.via:
            self.headers.set("Via", str(stamped), *self.headers.get_all("Via")[1:])

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.uri}>"


class Response(Message):
    """A response."""

    __slots__ = ("reason", "status")

    def __init__(self, status: int, reason: str, headers: Headers, body: bytes = b"", *, encoding: str = "utf-8") -> None:
        super().__init__(headers, body, encoding=encoding)
        self.status = status
        self.reason = reason

    @classmethod
    def make(
        cls,
        request: Request,
        status: int,
        reason: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        to_tag: str | None = None,
    ) -> Response:
        """The response to ``request``: its Via, From, To, Call-ID and CSeq as they came (§8.2.6.2), then ``headers``, Content-Length.

        ``to_tag`` is added to a To that has none. Record-Route of a dialog-forming response is the caller's to add. Works on a salvaged
        request: what it lacks is left out.
        """
        made = Headers(_echoed(request, to_tag))
        made.extend(headers)
        made.set("Content-Length", str(len(body)))
        return cls(status, reason_for(status) if reason is None else _one_line(reason), made, body, encoding=request.encoding)

    @property
    def start_line(self) -> str:
        return f"SIP/2.0 {self.status} {self.reason}"

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.reason}>"


def _first(value: str) -> str:
    """The first element of a list header's field."""
    if "," not in value:
        return value
    elements = split_list(value)
    return elements[0] if elements else ""


def _echoed(request: Request, to_tag: str | None) -> list[tuple[str, str]]:
    names = {"via": "Via", "from": "From", "to": "To", "call-id": "Call-ID", "cseq": "CSeq"}
    fields = [(names[key], value) for key in _ECHOED for value in request.headers.fields(key)]
    return [(name, _tagged(value, to_tag)) if name == "To" and to_tag else (name, value) for name, value in fields]


def _tagged(value: str, tag: str) -> str:
    """A To value with the tag, if it has none; as it came if it cannot be read (a salvaged request)."""
    try:
        present = Address.parse(value).tag
    except SipError:
        return value
    return value if present else f"{value};tag={tag}"


def _one_line(reason: str) -> str:
    if "\r" in reason or "\n" in reason:
        raise ValueError(f"a line break in a reason phrase: {reason[:80]!r}")
    return reason


def _parse_cseq(value: str) -> CSeq:
    match = _CSEQ.fullmatch(value)
    if match is None or (number := int(match[1])) > MAX_CSEQ:
        raise SipError(f"not a CSeq: {value[:80]!r}")
    return CSeq(number, match[2])


def parse(data: bytes) -> Request | Response | None:
    """One whole message, as a datagram holds it or ``frame_length`` has cut it out of a stream; None for a keep-alive.

    Raises MalformedRequest for a request that can be answered with an error, SipError for what cannot be answered at all.
    """
    data = data.lstrip(b"\r\n")
    if not data:
        return None
    try:
        return _parse_message(data)
    except SipError as error:
        if data[:4].upper() == b"SIP/":
            raise
        raise MalformedRequest(str(error), status=error.status, salvage=_salvage(data)) from error


def _parse_message(data: bytes) -> Request | Response:
    end = data.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES + 4)
    text, encoding = _decode(data[: max(end, 0)])
    lines, rest = text.split("\r\n"), data[end + 4 :]
    # Every line end is CRLF and every line a field: nearly all messages. The rest is legal too, and slower.
    headers = Headers.from_lines(lines[1:]) if text.count("\n") == text.count("\r") == len(lines) - 1 else None
    if headers is None or end < 0:
        lines, rest, encoding = _split_slowly(data)
        headers = Headers.from_lines(lines[1:])
    if headers is None:
        raise SipError("a line of the header is no field")
    if len(lines) > MAX_FIELDS:
        raise SipError(f"more than {MAX_FIELDS} header fields", status=513)
    return _assemble(lines[0], headers, _cut_body(headers, rest), encoding)


def _split_slowly(data: bytes) -> tuple[list[str], bytes, str]:
    """Lines with folding and bare line feeds resolved, what follows the empty line, the encoding."""
    match = _BLANK.search(data, 0, MAX_HEAD_BYTES + 4)
    if match is None:
        if len(data) > MAX_HEAD_BYTES:
            raise SipError(f"more than {MAX_HEAD_BYTES} bytes of header fields", status=513)
        raise SipError("no empty line ends the header fields")
    text, encoding = _decode(data[: match.start()])
    if text.count("\n") > MAX_LINES:
        raise SipError(f"more than {MAX_LINES} lines of header fields", status=513)
    return _unfolded(text), data[match.end() :], encoding


def _decode(head: bytes) -> tuple[str, str]:
    try:
        return head.decode(), "utf-8"
    except UnicodeDecodeError:
        return head.decode("latin-1"), "latin-1"


def _unfolded(text: str) -> list[str]:
    """Start line and field lines: continuation lines joined (§7.3.1), no blanks between name and colon, either kind of line end."""
    start, _, fields = text.partition("\n")
    lines = _LINE_END.split(_FOLD.sub(" ", fields))
    if "\r" in fields.replace("\r\n", ""):
        raise SipError("a carriage return that ends no line")
    return [start.removesuffix("\r"), *(_BEFORE_COLON.sub(r"\1:", line, count=1) for line in lines if fields)]


def _cut_body(headers: Headers, rest: bytes) -> bytes:
    """The body: as long as Content-Length says, else all there is."""
    value = headers.get("Content-Length")
    length = len(rest) if value is None else _content_length(value)
    if length > MAX_BODY_BYTES:
        raise SipError(f"a body of {length} bytes is more than {MAX_BODY_BYTES}", status=513 if length <= len(rest) else 400)
    if length > len(rest):
        raise SipError(f"Content-Length is {length}, the body {len(rest)} bytes")
    return rest[:length]


def _content_length(value: str) -> int:
    if not _NUMBER.fullmatch(value) or len(value) > 9:
        raise SipError(f"Content-Length {value[:20]!r} is not a number of bytes")
    return int(value)


def _assemble(start: str, headers: Headers, body: bytes, encoding: str) -> Request | Response:
    if match := _REQUEST_LINE.fullmatch(start):
        return Request(match[1], match[2], headers, body, encoding=encoding)
    if match := _STATUS_LINE.fullmatch(start):
        return Response(int(match[1]), match[2] or "", headers, body, encoding=encoding)
    if _ANY_VERSION.fullmatch(start):
        raise SipError(f"not SIP/2.0: {start[:80]!r}", status=505)
    raise SipError(f"not a start line: {start[:80]!r}")


def _salvage(data: bytes) -> Request | None:
    """What a response needs of a request that could not be read; None without a readable Via. Looks a little beyond the limits."""
    head = _BLANK.split(data[: 2 * MAX_HEAD_BYTES], maxsplit=1)[0].replace(b"\r", b"")
    text, encoding = _decode(b"\n".join(head.split(b"\n", MAX_LINES)[:MAX_LINES]))
    start, *lines = _unfolded(text)
    fields = [(name, value.strip(" \t")) for name, colon, value in (line.partition(":") for line in lines) if colon]
    method, _, uri = start.strip().partition(" ")
    salvage = Request(method[:32], uri.strip().partition(" ")[0], Headers(_needed(fields)), encoding=encoding)
    return salvage if _has_via(salvage) else None


def _needed(fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Every Via, and the first of each other field that a response echoes."""
    headers = Headers(fields)
    return [(key, value) for key in _ECHOED for value in headers.fields(key)[: None if key == "via" else 1]]


def _has_via(request: Request) -> bool:
    try:
        return bool(request.via.host)
    except SipError:
        return False


def frame_length(buffer: bytes) -> int | None:
    """How many bytes of a stream's ``buffer`` are its first message or keep-alive (RFC 3261 §18.3); None if more must be read.

    Raises SipError when no framing can be trusted any more: no or bad Content-Length, a header section or body beyond the limits. The
    connection is to be closed then.
    """
    skipped = len(buffer) - len(buffer.lstrip(b"\r\n"))
    if skipped == len(buffer):
        return skipped or None
    match = _BLANK.search(buffer, skipped, skipped + MAX_HEAD_BYTES + 4)
    if match is None:
        if len(buffer) - skipped > MAX_HEAD_BYTES:
            raise SipError(f"more than {MAX_HEAD_BYTES} bytes of header fields", status=513)
        return None
    length = _framed_body(buffer[skipped : match.start()] + b"\r\n")
    return match.end() + length if len(buffer) >= match.end() + length else None


_LENGTH_FIELD = re.compile(rb"^(?:Content-Length|l)[ \t]*+:[ \t\r\n]*+([^\r\n]*+)", re.I | re.M)


def _framed_body(head: bytes) -> int:
    values = {value.strip() for value in _LENGTH_FIELD.findall(head)}
    if len(values) != 1:
        raise SipError("a stream needs exactly one Content-Length")
    length = _content_length(values.pop().decode("latin-1"))
    if length > MAX_BODY_BYTES:
        raise SipError(f"a body of {length} bytes is more than {MAX_BODY_BYTES}", status=513)
    return length
