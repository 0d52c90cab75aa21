"""SIP URIs (RFC 3261 §19.1), and other schemes as opaque text.

A ``sip:`` or ``sips:`` URI is taken apart; ``tel:`` gives its number as ``user``; of any other scheme only the name is known, which is what
a 416 needs. Values are unescaped as far as that loses nothing (see ``grammar.unescape``), so a dialled ``%2B15550100`` is the user
``+15550100``, and ``str()`` always gives an equivalent URI. The host is lower case and without the brackets of IPv6.

Tolerated: a ``#`` and other printable characters in the user part that should have been escaped (phones dial ``sip:#21#@host``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from waitline.bridge.sip.grammar import HOST, Params, bracketed, escape, host_of, port_of, unescape
from waitline.errors import SipError

_NEVER = r"\s<>\"\x00-\x1f\x7f"  # in any part: blanks, controls, and what encloses a URI
_SIP = re.compile(
    rf"([Ss][Ii][Pp][Ss]?):(?:([^@:{_NEVER}]++)(?::([^@{_NEVER}]*+))?@)?({HOST})(?::([0-9]{{1,5}}))?"
    rf"(;[^?{_NEVER}]*+)?(?:\?([^{_NEVER}]*+))?"
)
_OTHER = re.compile(rf"([A-Za-z][A-Za-z0-9+.\-]*+):([^{_NEVER}]++)")
_USER_RESERVED = "&=$,;?/"  # an escaped one of these is not the same user as a bare one (§19.1.4); + is let through: %2B1555 is a number
_UNSAFE_USER = re.compile(r"[^A-Za-z0-9\-_.!~*'()&=+$,;?/%]+")
_UNSAFE_PASSWORD = re.compile(r"[^A-Za-z0-9\-_.!~*'()&=+$,%]+")
_UNSAFE_PARAM = re.compile(r"[^A-Za-z0-9\-_.!~*'()\[\]/:&+$%]+")
_UNSAFE_HEADER = re.compile(r"[^A-Za-z0-9\-_.!~*'()\[\]/?:+$%]+")


@dataclass(slots=True, kw_only=True)  # not frozen: a third of the cost, and each message has several. Treat as a value
class Uri:
    """One URI. Two are equal if every part is; ``equivalent`` compares as RFC 3261 §19.1.4 does."""

    scheme: str = "sip"
    user: str = ""
    """Unescaped; empty if there is none."""
    password: str | None = None
    host: str = ""
    """Lower case, IPv6 without brackets; empty for schemes other than sip and sips."""
    port: int | None = None
    params: Params = field(default_factory=dict)
    """Names in lower case; None for a flag such as ``lr``."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """What follows the question mark."""
    opaque: str = ""
    """Everything after the colon, for schemes other than sip and sips."""

    @classmethod
    def parse(cls, text: str) -> Uri:
        """The URI in ``text``, all of it; raises SipError."""
        match = _SIP.fullmatch(text)
        if match is None:
            return _parse_other(text)
        scheme, user, password, host, port, params, headers = match.groups()
        return cls(
            scheme=scheme.lower(),
            user="" if user is None else unescape(user, keep=_USER_RESERVED),
            password=None if password is None else unescape(password),
            host=host_of(host),
            port=port_of(port),
            params={} if params is None else _parse_params(params),
            headers={} if headers is None else _parse_headers(headers),
        )

    @property
    def is_sip(self) -> bool:
        """Whether the scheme is one of SIP's own."""
        return self.scheme in ("sip", "sips")

    @property
    def lr(self) -> bool:
        """Whether the element is a loose router (§19.1.1)."""
        return "lr" in self.params

    @property
    def transport(self) -> str | None:
        """The transport parameter in lower case, None if there is none."""
        value = self.params.get("transport")
        return value.lower() if value else None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port; where none is given 5061 for TLS, else 5060 (§19.1.2)."""
        return self.host, self.port or (5061 if self.secure else 5060)

    @property
    def secure(self) -> bool:
        """Whether it is to be reached over TLS: by its scheme, or by the transport parameter that phones use instead."""
        return self.scheme == "sips" or self.transport == "tls"

    def equivalent(self, other: Uri) -> bool:
        """Whether both name the same resource (§19.1.4): what registrations are compared by."""
        mine = (self.scheme, self.user, self.password, self.host, self.port, self.opaque)
        if mine != (other.scheme, other.user, other.password, other.host, other.port, other.opaque):
            return False
        return _params_match(self.params, other.params) and _lowered(self.headers) == _lowered(other.headers)

    def __str__(self) -> str:
        if not self.is_sip:
            return f"{self.scheme}:{self.opaque}"
        return f"{self.scheme}:{self._userinfo()}{self.host_port}{self._tail()}"

    @property
    def host_port(self) -> str:
        """``host``, ``host:port`` or ``[v6]:port``."""
        return bracketed(self.host) if self.port is None else f"{bracketed(self.host)}:{self.port}"

    def _userinfo(self) -> str:
        if not self.user:
            return ""
        password = "" if self.password is None else ":" + escape(self.password, _UNSAFE_PASSWORD)
        return escape(self.user, _UNSAFE_USER) + password + "@"

    def _tail(self) -> str:
        params = "".join(_render_pair(";", name, value, _UNSAFE_PARAM) for name, value in self.params.items())
        headers = "&".join(_render_pair("", name, value, _UNSAFE_HEADER) for name, value in self.headers.items())
        return f"{params}?{headers}" if headers else params


def _parse_other(text: str) -> Uri:
    match = _OTHER.fullmatch(text)
    if match is None or match[1].lower() in ("sip", "sips"):
        raise SipError(f"not a URI: {text[:80]!r}")
    scheme = match[1].lower()
    user = unescape(match[2].partition(";")[0]) if scheme == "tel" else ""
    return Uri(scheme=scheme, opaque=match[2], user=user)


def _parse_params(text: str) -> dict[str, str | None]:
    """Name → value; of a name given twice the first counts."""
    params: dict[str, str | None] = {}
    for part in text.removesuffix(";").split(";")[1:]:
        name, equals, value = part.partition("=")
        if not name:
            raise SipError(f"an empty URI parameter: {text[:80]!r}")
        params.setdefault(unescape(name).lower(), unescape(value) if equals else None)
    return params


def _parse_headers(text: str) -> dict[str, str]:
    """Name → value; of a name given twice the first counts."""
    headers: dict[str, str] = {}
    for part in text.split("&"):
        name, _, value = part.partition("=")
        if not name:
            raise SipError(f"a URI header without a name: {text[:80]!r}")
        headers.setdefault(unescape(name), unescape(value))
    return headers


def _render_pair(before: str, name: str, value: str | None, unsafe: re.Pattern[str]) -> str:
    rendered = before + escape(name, unsafe)
    return rendered if value is None else f"{rendered}={escape(value, unsafe)}"


_MUST_MATCH = ("user", "ttl", "method", "maddr", "transport")


def _params_match(one: Params, other: Params) -> bool:
    """§19.1.4: a parameter in both must match; one of the five that change where a request goes must not be in one only."""
    for name in one.keys() & other.keys():
        if (one[name] or "").lower() != (other[name] or "").lower():
            return False
    return not any((name in one) != (name in other) for name in _MUST_MATCH)


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
