"""Secrets out of text that people read: log lines, Notifications, the log of a call's webhooks.

Nothing of ours writes a secret on purpose. What tenants and peers send may hold one where nobody looks for it: a webhook URL with user and
password, a document with a ``password`` attribute, a message of another library that quotes a header. So what goes out is passed through
``redacted``, which takes out what can be told by its form:

============================================  =====================================
``https://user:password@host/``               user information of a URL
``sip:user:password@host``                    the password of a SIP URI
``Authorization: Digest …``, ``Basic …``      credentials of a header, to the line's end
``response="…"``, ``password="…"``, …         digest answers and attributes, quoted in whatever way or not
``inline:…``                                  keys of media (RFC 4568 §9.2)
============================================  =====================================

Lengths are bounded, so that no text takes longer than its length says. A secret without a form (an auth token alone on a line) cannot be
told from other hexadecimal digits: who logs must not log it.
"""

from __future__ import annotations

import re
from typing import NamedTuple, TextIO

MARK = "***"
_NAMES = r"password|passwd|(?:secondary_)?auth_?token|secret|ha1|sipauthpassword"
_WORDS = ("passw", "token", "secret", "ha1")
_QUOTED = r"(?P<quote>\\?[\"'])(?:(?!(?P=quote)).){0,512}(?P=quote)"


class _Form(NamedTuple):
    """What is looked for, and only where one of some words is there: most text has none, and is searched at the speed of memory."""

    words: tuple[str, ...]
    pattern: re.Pattern[str]
    shown: str


def _form(words: tuple[str, ...], pattern: str, shown: str) -> _Form:
    return _Form(words, re.compile(pattern, re.IGNORECASE), shown)


_FORMS = (
    _form(("://",), r"://[^/?#\s\"'<>\\]{0,512}@", f"://{MARK}@"),
    _form(("sip:", "sips:"), r"(\bsips?:[^@:;,\s\"'<>/]{1,128}:)[^@;,\s\"'<>]{0,128}(?=@)", rf"\1{MARK}"),
    # A log line is JSON: not past the string's end.
    _form(("authorization",), r"(\b(?:Proxy-)?Authorization\\?['\"]?\s*[:=]\s*)(?:\\.|[^\r\n\"\\])*", rf"\1{MARK}"),
    _form(("basic",), r"(\bBasic +)(?-i:(?=[a-z]*[A-Z0-9]))[A-Za-z0-9+/]{8,}=*", rf"\1{MARK}"),
    _form(("response=",), rf"(\bresponse=){_QUOTED}", rf"\1\g<quote>{MARK}\g<quote>"),
    _form(_WORDS, rf"(\b(?:{_NAMES})\\?['\"]?\s*[=:]\s*){_QUOTED}", rf"\1\g<quote>{MARK}\g<quote>"),
    _form(_WORDS, rf"(\b(?:{_NAMES})=)[^&\s\"'<>,;\\]+", rf"\1{MARK}"),
    _form(("inline:",), r"(\binline:)[A-Za-z0-9+/=|]+", rf"\1{MARK}"),
)


def redacted(text: str) -> str:
    """Return the text with ``***`` in the place of each secret."""
    if "@" not in text and "=" not in text and ":" not in text and " " not in text:  # no form is without one: a SID, a number
        return text
    lower = text.lower()
    for words, pattern, shown in _FORMS:
        for word in words:
            if word in lower:
                text = pattern.sub(shown, text)
                break
    return text


class RedactedStream:
    """A stream for a log: what is written to it comes out without secrets."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(redacted(text))
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()
