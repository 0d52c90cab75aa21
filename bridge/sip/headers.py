"""An ordered, case-insensitive multi-dictionary of header fields: text in, text out, typed values are the message's business.

A name is looked up in any case and in its compact form (RFC 3261 §7.3.3); what is written keeps the spelling it came with. ``get`` gives
the first field's raw value; ``get_all`` splits at commas where the grammar makes the header a list (§7.3.1), and nowhere else, because a
comma in a Date or a Subject is text.

To add a list header: its lower-case name goes into ``LIST_HEADERS``. A compact form: into ``COMPACT``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

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
    """The header fields of one message, in order. Changing them is safe at any time: messages notice by ``version``."""

    __slots__ = ("_fields", "_index", "version")

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        """``fields`` are taken as they are, for a parser that has checked them; text of ours goes through ``add``."""
        self._fields = list(fields)
        self.version = 0
        """Counts changes, so that what was derived from the fields can be dropped."""
        self._reindex()

    def _reindex(self) -> None:
        index: dict[str, list[str]] = {}
        keys = _KEYS
        for name, value in self._fields:
            key = keys.get(name)
            if key is None:
                key = name.lower()
            if key in index:
                index[key].append(value)
            else:
                index[key] = [value]
        self._index = index

    def get(self, name: str) -> str | None:
        """The raw value of the first field of that name."""
        values = self._index.get(key_of(name))
        return values[0] if values else None

    def fields(self, name: str) -> list[str]:
        """The raw value of every field of that name, not split."""
        return list(self._index.get(key_of(name), ()))

    def get_all(self, name: str) -> list[str]:
        """Every value of that name: list headers split at their commas, all fields in order. Raises SipError if a list cannot be read."""
        key = key_of(name)
        values = self._index.get(key, [])
        if key not in LIST_HEADERS:
            return list(values)
        elements = [element for value in values for element in split_list(value)]
        if len(elements) > MAX_LIST:
            raise SipError(f"{name} has {len(elements)} values, more than {MAX_LIST}")
        return elements

    def count(self, name: str) -> int:
        """How many fields carry that name."""
        return len(self._index.get(key_of(name), ()))

    def add(self, name: str, value: str) -> None:
        """Append a field. Raises ValueError for a name that is no token or a value with a line break: nobody injects headers through us."""
        self._fields.append((_checked_name(name), _checked_value(value)))
        self._changed()

    def set(self, name: str, *values: str) -> None:
        """Replace all fields of that name by one per value, where the first one stood, else at the end; ValueError as ``add``."""
        fields = [(_checked_name(name), _checked_value(value)) for value in values]
        key = key_of(name)
        place = next((i for i, (other, _) in enumerate(self._fields) if key_of(other) == key), len(self._fields))
        rest = [field for field in self._fields[place:] if key_of(field[0]) != key]
        self._fields[place:] = fields + rest
        self._changed()

    def remove(self, name: str) -> None:
        """Drop every field of that name."""
        key = key_of(name)
        self._fields = [field for field in self._fields if key_of(field[0]) != key]
        self._changed()

    def extend(self, fields: Iterable[tuple[str, str]]) -> None:
        """Append many; ValueError as ``add``."""
        self._fields.extend([(_checked_name(name), _checked_value(value)) for name, value in fields])
        self._changed()

    def _changed(self) -> None:
        self.version += 1
        self._reindex()

    def copy(self) -> Headers:
        """An independent copy."""
        return Headers(self._fields)

    def __contains__(self, name: str) -> bool:
        return key_of(name) in self._index

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Name and raw value of each field, as spelt, in order."""
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __eq__(self, other: object) -> bool:
        """Same fields in the same order; the spelling of names does not count."""
        if not isinstance(other, Headers):
            return NotImplemented
        return [(key_of(n), v) for n, v in self._fields] == [(key_of(n), v) for n, v in other._fields]

    __hash__ = None  # type: ignore[assignment] # mutable

    def __repr__(self) -> str:
        return f"Headers({self._fields!r})"

    def __str__(self) -> str:
        """The header section as text, each line with its CRLF."""
        return "".join([f"{name}: {value}\r\n" for name, value in self._fields])


def _checked_name(name: str) -> str:
    if not is_token(name):
        raise ValueError(f"not a header name: {name!r}")
    return name


def _checked_value(value: str) -> str:
    if "\r" in value or "\n" in value:
        raise ValueError(f"a line break in a header value: {value[:80]!r}")
    return value.strip(" \t")
