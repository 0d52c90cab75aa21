"""Addresses: the values of From, To, Contact, Route, Record-Route and their kin (RFC 3261 §20.10, §25.1 name-addr and addr-spec).

Two forms are read: ``"Display" <uri>;params`` and ``uri;params``. In the second all parameters belong to the header, and a question mark
is an error (§20.10), because nobody could say whose it is. Written is only the first form.

Most addresses of a message are looked at for their tag alone. So the URI of a plain one is kept as text until somebody asks for it: plain
means that ``_PLAIN`` matches, and what it matches ``Uri.parse`` cannot refuse. An error is thus always found at once, never later.

Tolerated: characters beyond tokens in an unquoted display name, as long as they are not the separators ``" , ; < >``.
"""

from __future__ import annotations

import re

from waitline.bridge.sip.grammar import QUOTED, TOKEN, Params, parse_params, quote, render_params, unquote
from waitline.bridge.sip.uri import Uri
from waitline.errors import SipError

_NAME_ADDR = re.compile(rf'[ \t]*+(?:({QUOTED})|([^"<>,;]*+))[ \t]*+<([^<>\s]*+)>(.*)', re.S)
_ADDR_SPEC = re.compile(r'[ \t]*+([^\s;?,"<>]++)(.*)', re.S)
_PLAIN_URI = (
    r"sips?:(?:[A-Za-z0-9\-_.!~*'()+#]++@)?[A-Za-z0-9._\-]++(?::[1-9][0-9]{0,3})?(?:;[A-Za-z\-]++(?:=[A-Za-z0-9\-_.!~*'()+:]++)?+)*+"
)
_PLAIN_URI_ONLY = re.compile(_PLAIN_URI)
_PLAIN = re.compile(rf'(?:"([^"\\]*+)" ?)?<({_PLAIN_URI})>(?:;tag=({TOKEN}++))?')


class Address:
    """A URI, whom it shows, and the header's parameters. A value: do not change it."""

    __slots__ = ("_uri", "display", "params")

    def __init__(self, *, uri: Uri | str, display: str = "", params: Params | None = None) -> None:
        """A ``uri`` given as text is parsed when it is asked for, and may raise SipError then."""
        self._uri = uri
        self.display = display
        """Without quotes; empty if there is none."""
        self.params: Params = {} if params is None else params
        """Of the header, not of the URI; names in lower case, None for a flag."""

    @classmethod
    def parse(cls, text: str) -> Address:
        """One address, all of ``text``; raises SipError."""
        if match := _PLAIN.fullmatch(text):
            display, uri, tag = match.groups()
            return cls(uri=uri, display=display or "", params={"tag": tag} if tag else {})
        display, uri, params = _take_apart(text)
        return cls(
            uri=uri if _PLAIN_URI_ONLY.fullmatch(uri) else Uri.parse(uri), display=display, params=parse_params(params) if params else {}
        )

    @property
    def uri(self) -> Uri:
        if isinstance(self._uri, str):
            self._uri = Uri.parse(self._uri)
        return self._uri

    @property
    def tag(self) -> str | None:
        """The dialog's tag, None if there is none."""
        return self.params.get("tag")

    def tagged(self, tag: str | None) -> Address:
        """The same with another tag, or with none."""
        params = {name: value for name, value in self.params.items() if name != "tag"}
        return Address(uri=self.uri, display=self.display, params=params if tag is None else {**params, "tag": tag})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Address):
            return NotImplemented
        return (self.uri, self.display, self.params) == (other.uri, other.display, other.params)

    __hash__ = None  # type: ignore[assignment] # parameters are a dictionary

    def __repr__(self) -> str:
        return f"Address({str(self)!r})"

    def __str__(self) -> str:
        display = f"{quote(self.display)} " if self.display else ""
        return f"{display}<{self.uri}>{render_params(self.params)}"


def _take_apart(text: str) -> tuple[str, str, str]:
    """Display name, URI, parameters."""
    if match := _NAME_ADDR.fullmatch(text):
        quoted, bare, uri, params = match.groups()
        return unquote(quoted) if quoted is not None else bare.strip(" \t"), uri, params
    if "<" not in text and (match := _ADDR_SPEC.fullmatch(text)):
        return "", match[1], match[2]
    raise SipError(f"not an address: {text[:80]!r}")
