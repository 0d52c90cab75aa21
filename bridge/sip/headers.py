"""An ordered, case-insensitive multi-dictionary of header fields: text in, text out, typed values are the message's business.

A name is looked up in any case and in its compact form (RFC 3261 §7.3.3); what is written keeps the spelling it came with. ``get`` gives
the first field's raw value; ``get_all`` splits at commas where the grammar makes the header a list (§7.3.1), and nowhere else, because a
comma in a Date or a Subject is text.

To add a list header: its lower-case name goes into ``LIST_HEADERS``. A compact form: into ``COMPACT``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from waitline.bridge.sip.grammar import is_token, split_list
from waitline.errors import SipError

MAX_LIST = 128  # elements of one list header in one message; a Via for every hop of Max-Forwards 70 fits

COMPACT = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "n": "identity-info",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}

# fmt: off
LIST_HEADERS = frozenset(
    (
        "accept", "accept-contact", "accept-encoding", "accept-language", "alert-info", "allow", "allow-events", "call-info", "contact",
        "content-encoding", "content-language", "diversion", "error-info", "history-info", "in-reply-to", "p-asserted-identity",
        "p-associated-uri", "p-preferred-identity", "path", "proxy-require", "reason", "record-route", "reject-contact", "require",
        "route", "security-client", "security-server", "security-verify", "service-route", "supported", "unsupported", "via", "warning",
    )
)

# The usual spellings, so that a look-up replaces lower() and the compact table in nearly all messages.
_SPELLINGS = (
    "Via", "Max-Forwards", "From", "To", "Call-ID", "CSeq", "Contact", "Content-Type", "Content-Length", "User-Agent", "Allow",
    "Supported", "Route", "Record-Route", "Expires", "Authorization", "Require", "Accept", "Session-Expires", "Min-SE", "Allow-Events",
    "P-Asserted-Identity", "Date", "Server", "WWW-Authenticate", "Subject", "Event",
)
# fmt: on
_KEYS = {
    **{name: name.lower() for name in _SPELLINGS},
    **COMPACT,
    **{letter.upper(): name for letter, name in COMPACT.items()},
}


def key_of(name: str) -> str:
    """The name a field is filed under: lower case, compact forms resolved."""
    key = _KEYS.get(name)
    return key if key is not None else name.lower()


class Headers:
    """The header fields of one message, in order. They may be changed at any time: what was derived from them is dropped then."""

    __slots__ = ("_fields", "_first", "_lines", "_repeated", "derived")

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        """``fields`` are taken as they are, for a parser that has checked them; text of ours goes through ``add`` or ``extend``."""
        self._lines: list[str] | None = None
        self._fields: list[tuple[str, str]] | None = list(fields)
        self._first: dict[str, str] = {}
        self._repeated: dict[str, list[str]] = {}  # all values of the keys that more than one field has
        self.derived: dict[str, Any] = {}
        """Where a message keeps what it has parsed; emptied by every change."""
        self._reindex()

    @classmethod
    def from_lines(cls, lines: list[str]) -> Headers | None:
        """The fields of unfolded ``name: value`` lines; None if one of them is anything else.

        The hot path of every message: one pass, fields stay text until somebody changes or writes them.
        """
        headers = cls.__new__(cls)
        first: dict[str, str] = {}
        repeated: dict[str, list[str]] = {}
        known = _KEYS
        for line in lines:
            name, colon, value = line.partition(":")
            key = known.get(name)
            if key is None:
                if not is_token(name):
                    return None
                key = name.lower()
            if not colon:
                return None
            if key in first:
                repeated.setdefault(key, [first[key]]).append(value.strip(" \t"))
            else:
                first[key] = value.strip(" \t")
        headers._lines, headers._fields, headers._first, headers._repeated = lines, None, first, repeated
        headers.derived = {}
        return headers

    def _reindex(self) -> None:
        self._first = {}
        self._repeated = {}
        for name, value in self._all():
            key = key_of(name)
            if key in self._first:
                self._repeated.setdefault(key, [self._first[key]]).append(value)
            else:
                self._first[key] = value

    def _all(self) -> list[tuple[str, str]]:
        """The fields, made from the lines when first needed."""
        if self._fields is None:
            self._fields = [(name, value.strip(" \t")) for name, _, value in (line.partition(":") for line in self._lines or ())]
            self._lines = None
        return self._fields

    def get(self, name: str) -> str | None:
        """The raw value of the first field of that name."""
        return self._first.get(_KEYS.get(name) or name.lower())

    def fields(self, name: str) -> list[str]:
        """The raw value of every field of that name, not split."""
        key = key_of(name)
        if key in self._repeated:
            return list(self._repeated[key])
        return [self._first[key]] if key in self._first else []

    def get_all(self, name: str) -> list[str]:
        """Every value of that name: list headers split at their commas, all fields in order. Raises SipError if a list cannot be read."""
        values = self.fields(name)
        if not values or key_of(name) not in LIST_HEADERS:
            return values
        elements = [element for value in values for element in split_list(value)]
        if len(elements) > MAX_LIST:
            raise SipError(f"{name} has {len(elements)} values, more than {MAX_LIST}")
        return elements

    def count(self, name: str) -> int:
        """How many fields carry that name."""
        return len(self.fields(name))

    @property
    def repeated(self) -> Collection[str]:
        """The keys (lower case, long form) that more than one field has."""
        return self._repeated.keys()

    def add(self, name: str, value: str) -> None:
        """Append a field. Raises ValueError for a name that is no token or a value with a line break: nobody injects headers through us."""
        self.extend([(name, value)])

    def extend(self, fields: Iterable[tuple[str, str]]) -> None:
        """Append many; ValueError as ``add``."""
        self._all().extend([(_checked_name(name), _checked_value(value)) for name, value in fields])
        self._changed()

    def set(self, name: str, *values: str) -> None:
        """Replace all fields of that name by one per value, where the first one stood, else at the end; ValueError as ``add``."""
        fields = [(_checked_name(name), _checked_value(value)) for value in values]
        key, old = key_of(name), self._all()
        place = next((i for i, (other, _) in enumerate(old) if key_of(other) == key), len(old))
        rest = [field for field in old[place:] if key_of(field[0]) != key]
        old[place:] = fields + rest
        self._changed()

    def remove(self, name: str) -> None:
        """Drop every field of that name."""
        key = key_of(name)
        self._fields = [field for field in self._all() if key_of(field[0]) != key]
        self._changed()

    def _changed(self) -> None:
        self.derived.clear()
        self._reindex()

    def copy(self) -> Headers:
        """An independent copy."""
        return Headers(self._all())

    def __contains__(self, name: str) -> bool:
        return key_of(name) in self._first

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Name and raw value of each field, as spelt, in order."""
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __eq__(self, other: object) -> bool:
        """Same fields in the same order; the spelling of names does not count."""
        if not isinstance(other, Headers):
            return NotImplemented
        return [(key_of(n), v) for n, v in self] == [(key_of(n), v) for n, v in other]

    __hash__ = None  # type: ignore[assignment] # mutable

    def __repr__(self) -> str:
        return f"Headers({self._all()!r})"

    def __str__(self) -> str:
        """The header section as text, each line with its CRLF."""
        return "".join([f"{name}: {value}\r\n" for name, value in self._all()])


def _checked_name(name: str) -> str:
    if not is_token(name):
        raise ValueError(f"not a header name: {name!r}")
    return name


def _checked_value(value: str) -> str:
    if "\r" in value or "\n" in value:
        raise ValueError(f"a line break in a header value: {value[:80]!r}")
    return value.strip(" \t")
