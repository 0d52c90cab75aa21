"""The parts of SIP's grammar (RFC 3261 §25.1) that several headers share: tokens, quoted strings, parameters, comma lists, escapes.

Every pattern uses possessive quantifiers where a run could be given back, so that time stays linear in the length of the text whatever
bytes a stranger sends. Texts come here unfolded: a line break never reaches these functions.

Tolerances, each with a test: one trailing semicolon after parameters; a parameter with an empty value (``;tag=``); a value of any
printable characters, not only token characters; underscores in host names. Never tolerated: an empty parameter between two semicolons,
a parameter given twice (the two readers of one message must not disagree about which branch or tag counts), an unterminated quote.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv6Address

from waitline.errors import SipError

TOKEN = r"[A-Za-z0-9\-.!%*_+`'~]"
QUOTED = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
HOST = r"(?:\[[0-9A-Fa-f:.]++\]|[A-Za-z0-9._\-]++)"

_TOKEN = re.compile(f"{TOKEN}++")
_VALUE = rf'(?:{QUOTED}|[^;,"\s<>]*+)'
_PARAMS = re.compile(rf"(?:[ \t]*+;[ \t]*+{TOKEN}++(?:[ \t]*+=[ \t]*+{_VALUE})?)*+[ \t]*+;?[ \t]*+", re.S)
_PARAM = re.compile(rf";[ \t]*+({TOKEN}++)(?:[ \t]*+(=)[ \t]*+({_VALUE}))?", re.S)
_LIST_ITEM = re.compile(rf'(?:[^,"<]++|{QUOTED}|<[^<>]*+>)*+', re.S)
_QUOTED_PAIR = re.compile(r"\\(.)", re.S)
_TO_QUOTE = re.compile(r'["\\]')
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})?")

Params = Mapping[str, str | None]


def is_token(text: str) -> bool:
    """Whether ``text`` is a token: a method, a header name, a parameter name."""
    return _TOKEN.fullmatch(text) is not None


def quote(text: str) -> str:
    """``text`` as a quoted-string."""
    return '"' + _TO_QUOTE.sub(r"\\\g<0>", text) + '"'


def unquote(text: str) -> str:
    """The content of a quoted-string, or ``text`` itself if it is none."""
    if len(text) < 2 or text[0] != '"':
        return text
    return _QUOTED_PAIR.sub(r"\1", text[1:-1]) if "\\" in text else text[1:-1]


def parse_params(text: str) -> dict[str, str | None]:
    """``;name=value;flag`` → {"name": "value", "flag": None}: names in lower case, quotes removed.

    Raises SipError if anything else is in the text or a name comes twice.
    """
    if not text or text.isspace():
        return {}
    if _PARAMS.fullmatch(text) is None:
        raise SipError(f"parameters cannot be read: {text[:80]!r}")
    params: dict[str, str | None] = {}
    pairs = _PARAM.findall(text) if '"' in text or " " in text or "\t" in text else _plain_pairs(text)
    for name, equals, value in pairs:
        params[name.lower()] = unquote(value) if equals else None
    if len(params) != len(pairs):
        raise SipError(f"a parameter is given twice: {text[:80]!r}")
    return params


def _plain_pairs(text: str) -> list[tuple[str, str, str]]:
    """Name, equals sign, value of each parameter of a text that matches the grammar and has neither quotes nor blanks."""
    return [part.partition("=") for part in text.split(";") if part]


def render_params(params: Params) -> str:
    """``;name=value;flag``; values that need quotes get them."""
    return "".join(f";{name}" if value is None else f";{name}={_render_value(value)}" for name, value in params.items())


_BARE_VALUE = re.compile(r'[^;,"\s<>\\=?@]++')


def _render_value(value: str) -> str:
    return value if _BARE_VALUE.fullmatch(value) else quote(value)


def split_list(value: str) -> list[str]:
    """The elements of a comma-separated header value, stripped; commas inside quotes and angle brackets do not count, empty ones drop out.

    Raises SipError for an unterminated quote or angle bracket.
    """
    if "," not in value:
        return [stripped] if (stripped := value.strip(" \t")) else []
    if '"' not in value and "<" not in value:
        return [element for part in value.split(",") if (element := part.strip(" \t"))]
    elements: list[str] = []
    position = 0
    while position <= len(value):
        match = _LIST_ITEM.match(value, position)
        assert match is not None  # the pattern matches the empty string
        if element := match[0].strip(" \t"):
            elements.append(element)
        position = match.end() + 1
        if position <= len(value) and value[position - 1] != ",":
            raise SipError(f"a quote or angle bracket is not closed: {value[:80]!r}")
    return elements


def host_of(text: str) -> str:
    """A host as we keep it: lower case, IPv6 without brackets; raises SipError if a bracketed host is no IPv6 address."""
    if text[0] != "[":
        return text.lower()
    try:
        IPv6Address(text[1:-1])
    except ValueError as error:
        raise SipError(f"not an IPv6 address: {text[:60]}") from error
    return text[1:-1].lower()


def bracketed(host: str) -> str:
    """A host as it is written before a port: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def port_of(text: str | None) -> int | None:
    """A port number 1..65535, or None for no text; raises SipError beyond."""
    if text is None:
        return None
    if not 0 < (port := int(text)) < 65536:
        raise SipError(f"port {port} is not in 1..65535")
    return port


def unescape(text: str, *, keep: str = "") -> str:
    """``%41`` → ``A``, for printable ASCII but ``%`` and the characters of ``keep``; every other octet stays an upper-case escape.

    So the result holds a per cent sign only as part of an escape, no NUL and no broken UTF-8, and ``escape`` gives back the same URI:
    a Contact with ``%FF`` in its user part is called as ``%FF``. Characters beyond ASCII, which a URI must not hold, become escapes.
    """
    if not text.isascii():
        text = "".join(c if c.isascii() else "".join(f"%{octet:02X}" for octet in c.encode()) for c in text)
    if "%" not in text:
        return text
    return _ESCAPE.sub(lambda match: _unescape_one(match, keep), text)


def _unescape_one(match: re.Match[str], keep: str) -> str:
    if match[1] is None:
        raise SipError(f"% without two hexadecimal digits: {match.string[:80]!r}")
    character = chr(int(match[1], 16))
    readable = " " <= character <= "~" and character != "%" and character not in keep
    return character if readable else match[0].upper()


def escape(text: str, unsafe: re.Pattern[str]) -> str:
    """The inverse of ``unescape``: what ``unsafe`` finds becomes escapes; escapes that are there stay."""
    return unsafe.sub(lambda match: "".join(f"%{octet:02X}" for octet in match[0].encode()), text)
