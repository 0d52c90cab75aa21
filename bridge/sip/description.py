"""Session descriptions (RFC 4566 / 8866): bytes ↔ values. What is agreed from them is decided in ``sdp``.

Kept is what a voice call needs: origin, connection, attributes, and for each media line its port, transport, formats, connection and
attributes. Other lines (b=, k=, i= …) are read over. The description we write holds one address, one time ``0 0`` and no more.

Tolerated: bare LF, blanks and empty lines at the end, no ``s=`` or ``t=``, lines in an unusual order. Not tolerated: a line that is not
``x=…``, no ``v=0``, a media line that cannot be read. Errors are SipError with status 400.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address

from waitline.errors import SipError

MAX_MEDIA = 32  # media lines
MAX_LINES = 1000
DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")

_STATIC = {"0": ("PCMU", 8000), "8": ("PCMA", 8000)}  # RFC 3551: known without an rtpmap

Attribute = tuple[str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The o= line: whose session, and which version of its description."""

    username: str = "-"
    session_id: int
    version: int
    host: str

    def __str__(self) -> str:
        return f"o={self.username} {self.session_id} {self.version} IN {_family(self.host)} {self.host}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """One m= line and what belongs to it."""

    kind: str
    """``audio``, ``video`` …"""
    port: int
    """0: the stream is refused or removed."""
    transport: str = "RTP/AVP"
    formats: tuple[str, ...] = ()
    """Payload types as text, in order of preference."""
    host: str | None = None
    """Of an own c= line."""
    attributes: tuple[Attribute, ...] = ()

    def attribute(self, name: str) -> str | None:
        """The value of the first attribute of that name; None if there is none, or none with a value."""
        for key, value in self.attributes:
            if key == name:
                return value
        return None

    def has(self, name: str) -> bool:
        """Whether there is an attribute of that name, such as ``rtcp-mux``."""
        for key, _ in self.attributes:  # noqa: SIM110 # a generator costs more than the search
            if key == name:
                return True
        return False

    @property
    def direction(self) -> str | None:
        """The stream's own direction, as its sender sees it; None if it says none."""
        return _direction(self.attributes)

    def encoding(self, payload_type: str) -> tuple[str, int] | None:
        """Name (upper case) and clock rate in Hz of a payload type; None if unknown. Without an rtpmap 0 is PCMU and 8 is PCMA."""
        for key, value in self.attributes:
            if key == "rtpmap" and value and value.startswith(payload_type + " "):
                return _encoding(value.partition(" ")[2])
        return _STATIC.get(payload_type)

    def rejected(self) -> Media:
        """The answer that refuses this line (RFC 3264 §6): port 0, the same formats."""
        return Media(kind=self.kind, port=0, transport=self.transport, formats=self.formats)

    def lines(self) -> list[str]:
        """As written."""
        lines = [f"m={self.kind} {self.port} {self.transport} {' '.join(self.formats)}".rstrip()]
        if self.host is not None:
            lines.append(f"c=IN {_family(self.host)} {self.host}")
        return lines + _attribute_lines(self.attributes)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionDescription:
    """One description; ``bytes()`` writes it."""

    origin: Origin
    name: str = "-"
    host: str | None = None
    """Of the session's c= line."""
    attributes: tuple[Attribute, ...] = ()
    media: tuple[Media, ...] = ()

    @classmethod
    def parse(cls, data: bytes) -> SessionDescription:
        """Raises SipError (status 400)."""
        fields = _fields(data)
        starts = [i for i, (letter, _) in enumerate(fields) if letter == "m"]
        if len(starts) > MAX_MEDIA:
            raise SipError(f"more than {MAX_MEDIA} media lines")
        session, ends = fields[: starts[0]] if starts else fields, [*starts[1:], len(fields)]
        return cls(
            origin=_origin(session),
            name=_first(session, "s") or "-",
            host=_connection(session),
            attributes=_attributes(session),
            media=tuple(_media(fields[start:end]) for start, end in zip(starts, ends, strict=False)),
        )

    @property
    def direction(self) -> str | None:
        """The session's own direction, which counts for media without one."""
        return _direction(self.attributes)

    def host_of(self, media: Media) -> str | None:
        """Where a stream is to be sent: its own c= line's host, else the session's."""
        return media.host if media.host is not None else self.host

    def direction_of(self, media: Media) -> str:
        """A stream's direction as the description's sender sees it."""
        return media.direction or self.direction or "sendrecv"

    def lines(self) -> list[str]:
        """As written."""
        lines = ["v=0", str(self.origin), f"s={self.name}"]
        if self.host is not None:
            lines.append(f"c=IN {_family(self.host)} {self.host}")
        lines += ["t=0 0", *_attribute_lines(self.attributes)]
        for media in self.media:
            lines += media.lines()
        return lines

    def __bytes__(self) -> bytes:
        return "\r\n".join([*self.lines(), ""]).encode()


@lru_cache(maxsize=4096)  # hosts come back
def is_ip(host: str) -> bool:
    """Whether ``host`` is an address: a name is never looked up for media."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _fields(data: bytes) -> list[tuple[str, str]]:
    """(letter, value) of each line; the first is v=0."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    lines = text.rstrip("\r\n \t\0").replace("\r\n", "\n").split("\n")
    if len(lines) > MAX_LINES:
        raise SipError(f"a session description of {len(lines)} lines")
    if lines[0].rstrip() != "v=0":
        raise SipError(f"not a session description: {lines[0][:40]!r}")
    for line in lines:
        if line[1:2] != "=" or not line[0].isalpha() or "\r" in line or "\0" in line:
            raise SipError(f"not a line of a session description: {line[:60]!r}")
    return [(line[0], line[2:].strip(" \t")) for line in lines]


def _first(fields: list[tuple[str, str]], wanted: str) -> str | None:
    """The value of the first line of that letter."""
    for letter, value in fields:
        if letter == wanted:
            return value
    return None


def _origin(fields: list[tuple[str, str]]) -> Origin:
    value = _first(fields, "o")
    if value is None:
        raise SipError("the session description has no o= line")
    parts = value.split()
    if len(parts) != 6 or not _is_number(parts[1]) or not _is_number(parts[2]):
        raise SipError(f"not an o= line: {value[:80]!r}")
    return Origin(username=parts[0], session_id=int(parts[1]), version=int(parts[2]), host=parts[5])


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 30


def _connection(fields: list[tuple[str, str]]) -> str | None:
    """The host of the first c= line; a TTL of a multicast address is dropped."""
    value = _first(fields, "c")
    if value is None:
        return None
    parts = value.split()
    if len(parts) != 3 or parts[0].upper() != "IN":
        raise SipError(f"not a c= line: {value[:80]!r}")
    return parts[2].partition("/")[0]


def _attributes(fields: list[tuple[str, str]]) -> tuple[Attribute, ...]:
    attributes: list[Attribute] = []
    for letter, value in fields:
        if letter == "a":
            name, colon, rest = value.partition(":")
            attributes.append((name.strip().lower(), rest.strip() if colon else None))
    return tuple(attributes)


def _media(fields: list[tuple[str, str]]) -> Media:
    value = fields[0][1]
    kind, port, transport, *formats = [*value.split(), "", "", ""][: max(3, len(value.split()))]
    port, _, count = port.partition("/")
    if not _is_number(port) or int(port) > 65535 or (count and not _is_number(count)) or not transport:
        raise SipError(f"not an m= line: {value[:80]!r}")
    return Media(
        kind=kind.lower(),
        port=int(port),
        transport=transport,
        formats=tuple(formats),
        host=_connection(fields),
        attributes=_attributes(fields),
    )


def _encoding(text: str) -> tuple[str, int] | None:
    """``PCMU/8000`` or ``PCMU/8000/1``; None for what cannot be read and for more than one channel."""
    name, _, rest = text.strip().partition("/")
    rate, _, channels = rest.partition("/")
    if not _is_number(rate) or channels not in ("", "1"):
        return None
    return name.upper(), int(rate)


def _direction(attributes: tuple[Attribute, ...]) -> str | None:
    for name, value in attributes:
        if value is None and name in DIRECTIONS:
            return name
    return None


def _attribute_lines(attributes: tuple[Attribute, ...]) -> list[str]:
    return [f"a={name}" if value is None else f"a={name}:{value}" for name, value in attributes]


def _family(host: str) -> str:
    return "IP6" if ":" in host else "IP4"
