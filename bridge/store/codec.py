"""Records to rows and back, prepared once per record type.

A call-path write is encoded where it is appended, so that a value that cannot be stored raises at its author and a dictionary that changes
later does no harm. Text that a database would refuse (a NUL, half a surrogate pair: tenants and phones send both) is cleaned, not refused:
losing a debugger entry over one character helps nobody.

Plain data that holds keys of media (SDES, ``inline:`` in a session description) or a URL with user information is encrypted as a whole, as
secrets are, and bound to its row; so is such a URL in a column of its own. What holds none is not: that would cost every call for the sake
of a few.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, Generic, TypeVar

from waitline.bridge.store.errors import StoreError
from waitline.bridge.store.records import SECRET_FIELDS
from waitline.bridge.store.schema import Kind, plain_type
from waitline.bridge.store.secrets import SecretBox, is_encrypted

R = TypeVar("R")
Converter = Callable[[Any], Any]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_microseconds(value: datetime) -> int:
    """Return the microseconds since 1970; a date without a time zone is a TypeError."""
    delta = value - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def from_microseconds(value: int) -> datetime:
    return _EPOCH + timedelta(microseconds=value)


def clean_text(value: str) -> str:
    """Return the text with what databases refuse replaced by U+FFFD."""
    if value.isascii():
        return value.replace("\0", "\ufffd") if "\0" in value else value
    return value.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


_to_json = json.JSONEncoder(separators=(",", ":")).encode  # made once; ASCII only: any text passes, escaped


URLS = ("_url", "status_callback")
"""How columns are called that hold a URL of a tenant's."""
KEY_MARK = "inline:"
"""What media keys stand behind wherever they stand (RFC 4568 §9.2)."""

_USER_INFORMATION = re.compile(r"://(?!\*\*\*@)[^/?#\s\"]*@")  # unless it has been taken out


def holds_secret(text: str) -> bool:
    """Whether plain text holds what must not be on the disk as it is."""
    return KEY_MARK in text or _USER_INFORMATION.search(text) is not None


def _from_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise StoreError(f"a record is damaged: {error}") from error


_ENCODERS: dict[Any, Converter] = {datetime: to_microseconds, str: clean_text, dict: _to_json}
_DECODERS: dict[Any, Converter] = {datetime: from_microseconds, bool: bool, dict: _from_json}


class Codec(Generic[R]):
    """Turns records of one kind into rows and back."""

    def __init__(self, kind: Kind, box: SecretBox) -> None:
        self.kind = kind
        self._box = box
        self._values = attrgetter(*kind.written)
        self._key_values = attrgetter(*kind.key) if kind.key else None
        self._encoders = self._converters(kind.written, _ENCODERS)
        self._decoders = self._converters(kind.read, _DECODERS)
        self._secrets = SECRET_FIELDS.get(kind.record, ())
        self._plain_data = tuple(name for name in kind.written if plain_type(kind.record, name)[0] is dict or name.endswith(URLS))

    def _converters(self, names: Sequence[str], table: dict[Any, Converter]) -> list[tuple[int, Converter, bool]]:
        found = [(index, plain_type(self.kind.record, name)) for index, name in enumerate(names)]
        return [(index, table[base], nullable) for index, (base, nullable) in found if base in table]

    def encode(self, record: R) -> tuple[Any, ...]:
        """Return the row of ``kind.written``."""
        row = list(self._values(record))
        for index, convert, nullable in self._encoders:
            if not (nullable and row[index] is None):
                row[index] = convert(row[index])
        for name in self._plain_data:
            index = self.kind.written.index(name)
            if row[index] is not None and holds_secret(row[index]):
                row[index] = self._box.encrypt(row[index], *self._place(name, row, self.kind.written))
        for name in self._secrets:
            index = self.kind.written.index(name)
            if row[index] is not None:
                row[index] = self._box.encrypt(row[index], *self._place(name, row, self.kind.written))
        return tuple(row)

    def key(self, record: R) -> tuple[Any, ...]:
        """Return the values of ``kind.key``."""
        if self._key_values is None:
            raise TypeError(f"a {self.kind.record.__name__} has no key")
        values = self._key_values(record)
        return values if len(self.kind.key) > 1 else (values,)

    def decode(self, row: Sequence[Any]) -> R:
        """Return the record of a row of ``kind.read``. Raises StoreError if a secret does not decrypt."""
        values = list(row)
        for name in self._plain_data:
            index = self.kind.read.index(name)
            if values[index] is not None and is_encrypted(values[index]):
                values[index] = self._box.decrypt(values[index], *self._place(name, values, self.kind.read))
        for index, convert, nullable in self._decoders:
            if not (nullable and values[index] is None):
                values[index] = convert(values[index])
        plain = dict(zip(self.kind.read, values, strict=True))
        for name in self._secrets:
            if plain[name] is not None:
                plain[name] = self._box.decrypt(plain[name], *self._place(name, values, self.kind.read))
        record: R = self.kind.record(**plain)
        return record

    @property
    def sealable(self) -> tuple[str, ...]:
        """The columns that may hold encrypted text."""
        return (*self._secrets, *self._plain_data)

    def sealed_by(self, box: SecretBox, name: str, row: Sequence[Any]) -> str:
        """Return a row's encrypted value encrypted by another box. Raises StoreError if it does not decrypt."""
        place = self._place(name, row, self.kind.read)
        return box.encrypt(self._box.decrypt(row[self.kind.read.index(name)], *place), *place)

    def _place(self, name: str, row: Sequence[Any], names: Sequence[str]) -> tuple[str, ...]:
        """Where a value is stored: its table, its column, and its row where that has a key."""
        if name in self._secrets:
            return (self.kind.table.name, str(row[names.index("sid")]), name)
        return (self.kind.table.name, name, *(str(row[names.index(part)]) for part in self.kind.key))

    def encode_value(self, name: str, value: Any) -> Any:
        """Return a field's value as its column holds it, for a condition."""
        base, _ = plain_type(self.kind.record, name)
        return _ENCODERS.get(base, _same)(value)


def _same(value: Any) -> Any:
    return value
