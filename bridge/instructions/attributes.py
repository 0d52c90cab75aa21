"""How the text of an attribute, or of an element, becomes a typed value.

A *kind* is a function of the text and of the URL of the document it stands in. It returns the value, or raises ``BadValue`` whose
message a tenant reads in a Notification. A value that is merely out of bounds carries ``use``: the bound is taken and the tenant warned,
since a Dial asked to wait for 2 s is better served by 5 s than by the default of 30.

An *attribute* is one row of a verb's table: its XML name, the field it fills, its kind, the notification code when it is bad, and whether
a bad one is a fault of the verb (the runner must not run it as written) or a warning (the default is used).

To add a kind, write a function here; it must neither block nor look at anything but its arguments.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

MAX_URL_LENGTH = 4000
ACTION_NOT_ABSOLUTE = 15004
BAD_URL = 11100

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_INTEGER = re.compile(r"[+-]?[0-9]{1,9}")
_DIGITS_TO_PLAY = re.compile(r"[0-9A-D#*wW]*")


class BadValue(ValueError):
    """The text is no value of its kind; ``use`` is the nearest that is (None: the default), ``code`` a more telling code than the row's."""

    def __init__(self, message: str, *, use: Any = None, code: int = 0) -> None:
        super().__init__(message)
        self.use = use
        self.code = code


Kind = Callable[[str, str], Any]
"""(text, URL of the document; "" for an inline one) → value"""


class Attribute(NamedTuple):
    """One row of a verb's attribute table."""

    xml: str
    """Name in XML; "" in the row for the element's own text"""
    field: str
    kind: Kind
    code: int
    """Notification code when the value is bad"""
    fault: bool = False
    """A bad value makes the verb unusable rather than being replaced by the default."""


def text(value: str, base: str) -> str:
    """Any text, without the white space around it."""
    return value.strip()


def flag(value: str, base: str) -> bool:
    """``true`` or ``false``; XML Schema's 1 and 0 too, which some generators write."""
    known = {"true": True, "1": True, "false": False, "0": False}
    if (word := value.strip().lower()) not in known:
        raise BadValue(f"{value!r} is neither true nor false")
    return known[word]


def method(value: str, base: str) -> str:
    """GET or POST, in either case."""
    if (word := value.strip().upper()) not in ("GET", "POST"):
        raise BadValue(f"{value!r} is neither GET nor POST")
    return word


def whole(low: int, high: int, *, clamp: bool = False) -> Kind:
    """A whole number in low..high; with ``clamp`` one outside is moved to the bound, and the tenant warned."""

    def read(value: str, base: str) -> int:
        if not _INTEGER.fullmatch(word := value.strip()):
            raise BadValue(f"{value!r} is not a whole number")
        number = int(word)
        if not low <= number <= high:
            raise BadValue(f"{number} is not in {low}..{high}", use=max(low, min(high, number)) if clamp else None)
        return number

    return read


def loops(value: str, base: str) -> int:
    """How often; 0 is until the call ends. 1000 at most, which is what the wire contract caps it to without a word."""
    number: int = whole(0, 999_999_999)(value, base)
    return min(number, 1000)


def one_of(*words: str) -> Kind:
    """One of the words, as written."""

    def read(value: str, base: str) -> str:
        if (word := value.strip()) not in words:
            raise BadValue(f"{value!r} is none of {', '.join(words)}")
        return word

    return read


def words_of(*known: str) -> Kind:
    """Several of the words, separated by spaces or commas."""

    def read(value: str, base: str) -> tuple[str, ...]:
        found = tuple(value.replace(",", " ").split())
        if not found or not set(found) <= set(known):
            raise BadValue(f"{value!r} is not made of {', '.join(known)}")
        return found

    return read


def keys(value: str, base: str) -> str:
    """Keys of a telephone; "" is none."""
    word = value.strip()
    if not set(word) <= set("0123456789*#ABCD"):
        raise BadValue(f"{value!r} holds more than keys 0-9, *, # and A-D")
    return word


def digits_to_play(value: str, base: str) -> str:
    """0-9 A-D # * and the pauses w (0.5 s) and W (1 s)."""
    if not _DIGITS_TO_PLAY.fullmatch(word := value.strip()):
        raise BadValue(f"{value!r} holds more than 0-9, A-D, #, *, w and W")
    return word


def language(value: str, base: str) -> str:
    """A language tag such as en-GB; whether there is a voice for it is for the speech engine to say."""
    word = value.strip()
    if not re.fullmatch(r"[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8}){0,4}", word):
        raise BadValue(f"{value!r} is not a language tag")
    return word


def spoken(value: str, base: str) -> str:
    """Text for a voice: runs of white space are one blank. Empty is bad, though harmless."""
    if not (words := " ".join(value.split())):
        raise BadValue("there is nothing to say")
    return words


def queue_name(*, too_long: int) -> Kind:
    """1 to 64 characters after trimming; a longer one has a code of its own."""

    def read(value: str, base: str) -> str:
        name = value.strip()
        if not name:
            raise BadValue("the queue has no name")
        if len(name) > 64:
            raise BadValue(f"the queue's name has {len(name)} characters, 64 are allowed", code=too_long)
        return name

    return read


def url(value: str, base: str) -> str:
    """An absolute http or https URL, resolved against the document's own; 15004 for a relative one in an inline document."""
    word = value.strip()
    if not base and not _SCHEME.match(word):
        raise BadValue(f"{word[:200]!r} is relative, and the document has no URL of its own", code=ACTION_NOT_ABSOLUTE)
    if len(word) > MAX_URL_LENGTH:
        raise BadValue(f"a URL of {len(word)} characters, {MAX_URL_LENGTH} are allowed")
    return _checked(_joined(base, word))


def url_or_none(value: str, base: str) -> str | None:
    """As ``url``; empty text is the same as no attribute."""
    return url(value, base) if value.strip() else None


def url_or_empty(value: str, base: str) -> str:
    """As ``url``; empty text stays empty, and means something (an empty waitUrl is silence)."""
    return url(value, base) if value.strip() else ""


def _joined(base: str, word: str) -> str:
    try:
        return urljoin(base, word)
    except ValueError as error:
        raise BadValue(f"{word[:200]!r} is not a URL: {error}") from error


def _checked(absolute: str) -> str:
    try:
        parts = urlsplit(absolute)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise BadValue(f"{absolute[:200]!r} is not a URL: {error}") from error
    if parts.scheme not in ("http", "https") or not host:
        raise BadValue(f"{absolute[:200]!r} is not an http or https URL")
    if _has_controls(absolute):
        raise BadValue(f"{absolute[:200]!r} holds a control character or a blank")
    return absolute


def _has_controls(characters: Iterable[str]) -> bool:
    return any(character <= " " or character == "\x7f" for character in characters)
