"""Addresses: the values of From, To, Contact, Route, Record-Route and their kin (RFC 3261 §20.10, §25.1 name-addr and addr-spec).

Two forms are read: ``"Display" <uri>;params`` and ``uri;params``. In the second all parameters belong to the header, and a question mark
is an error (§20.10), because nobody could say whose it is. Written is only the first form.

Tolerated: characters beyond tokens in an unquoted display name, as long as they are not the separators ``" , ; < >``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from waitline.bridge.sip.grammar import Params, parse_params, quote, render_params, unquote
from waitline.bridge.sip.uri import Uri
from waitline.errors import SipError

_NAME_ADDR = re.compile(r'[ \t]*+(?:("(?:[^"\\]|\\.)*+")|([^"<>,;]*+))[ \t]*+<([^<>\s]*+)>(.*)', re.S)
_ADDR_SPEC = re.compile(r'[ \t]*+([^\s;?,"<>]++)(.*)', re.S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A URI, whom it shows, and the header's parameters."""

    uri: Uri
    display: str = ""
    """Without quotes; empty if there is none."""
    params: Params = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Address:
        """One address, all of ``text``; raises SipError."""
        if match := _NAME_ADDR.fullmatch(text):
            quoted, bare, uri, params = match.groups()
            display = unquote(quoted) if quoted is not None else bare.strip(" \t")
        elif "<" not in text and (match := _ADDR_SPEC.fullmatch(text)):
            display, (uri, params) = "", match.groups()
        else:
            raise SipError(f"not an address: {text[:80]!r}")
        return cls(uri=Uri.parse(uri), display=display, params=parse_params(params) if params else {})

    @property
    def tag(self) -> str | None:
        """The dialog's tag, None if there is none."""
        return self.params.get("tag")

    def __str__(self) -> str:
        display = f"{quote(self.display)} " if self.display else ""
        return f"{display}<{self.uri}>{render_params(self.params)}"
