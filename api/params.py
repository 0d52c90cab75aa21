"""Declared parameters: what a route takes, how each is read, how the OpenAPI document tells it.

A route has a tuple of ``Param``. ``read`` gives a dictionary by record field of those that were sent, so that a handler can say
``replace(record, **given)``; each refusal names the parameter. A parameter that no route of that kind knows is refused (20001): a misspelt
``MaxSise`` must not pass silently. A parameter that client libraries may send but that means nothing here (messaging, emergency calling) is
declared ``inert``: taken and dropped.

A kind of value is a frozen dataclass with ``parse`` (raises ValueError with the reason) and ``schema``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Protocol
from urllib.parse import urlsplit

from waitline.api.problems import invalid
from waitline.api.wire import Pairs
from waitline.errors import ApiError

Schema = dict[str, Any]

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
LONGEST_URL = 4000


class Kind(Protocol):
    """A kind of value."""

    def parse(self, text: str, /) -> object: ...

    def schema(self) -> Schema: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Characters; control characters other than line ends and tabs are refused, because no record may hold them."""

    longest: int = 64
    shortest: int = 0

    def parse(self, text: str) -> str:
        if not self.shortest <= len(text) <= self.longest:
            raise ValueError(f"{self.shortest} to {self.longest} characters, not {len(text)}")
        if _CONTROL.search(text):
            raise ValueError("it holds a control character")
        return text

    def schema(self) -> Schema:
        return {"type": "string", "maxLength": self.longest, "minLength": self.shortest}


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A whole number within bounds."""

    low: int
    high: int

    def parse(self, text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,12}", text) or not self.low <= int(text) <= self.high:
            raise ValueError(f"a whole number from {self.low} to {self.high}")
        return int(text)

    def schema(self) -> Schema:
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """``true`` or ``false``, in any case."""

    def parse(self, text: str) -> bool:
        if text.lower() not in {"true", "false"}:
            raise ValueError("true or false")
        return text.lower() == "true"

    def schema(self) -> Schema:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Url:
    """An absolute http or https URL, or, where allowed, nothing: that clears it."""

    clears: bool = False

    def parse(self, text: str) -> str:
        if not text and self.clears:
            return text
        if len(text) > LONGEST_URL or not _is_web_url(text):
            raise ValueError("an absolute http or https URL")
        return text

    def schema(self) -> Schema:
        return {"type": "string", "maxLength": LONGEST_URL, **({} if self.clears else {"format": "uri"})}


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """GET or POST, kept in capitals."""

    def parse(self, text: str) -> str:
        if text.upper() not in {"GET", "POST"}:
            raise ValueError("GET or POST")
        return text.upper()

    def schema(self) -> Schema:
        return {"type": "string", "enum": ["GET", "POST"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One word of a few."""

    words: tuple[str, ...]

    def parse(self, text: str) -> str:
        if text not in self.words:
            raise ValueError(f"one of {', '.join(self.words)}")
        return text

    def schema(self) -> Schema:
        return {"type": "string", "enum": list(self.words)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """Text of a form; ``means`` says in words which."""

    pattern: str
    means: str

    def parse(self, text: str) -> str:
        if not re.fullmatch(self.pattern, text):
            raise ValueError(self.means)
        return text

    def schema(self) -> Schema:
        return {"type": "string", "pattern": f"^{self.pattern}$", "description": self.means}


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """``2024-01-02T00:00:00Z`` (a datetime in UTC) or ``2024-01-02`` (a date: the whole day)."""

    def parse(self, text: str) -> datetime | date:
        value = date.fromisoformat(text) if len(text) == len("2024-01-02") else datetime.fromisoformat(text)
        if not 1970 <= value.year <= 9000:  # room for another time zone and for the end of the day
            raise ValueError("a year from 1970 to 9000")
        if not isinstance(value, datetime):
            return value
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)

    def schema(self) -> Schema:
        return {"type": "string", "description": "a date (YYYY-MM-DD) or a date and time (ISO 8601, UTC)"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """One parameter: its ``name`` on the wire, the record ``field`` it sets, its ``kind``, and the codes of its refusals."""

    name: str
    field: str = ""
    kind: Kind = Text()
    required: bool = False
    code: int = 20422
    missing: int = 0
    """The code for its absence; ``code`` where 0."""
    inert: bool = False
    repeats: bool = False


def inert(*names: str) -> tuple[Param, ...]:
    """Parameters that are taken and dropped."""
    return tuple(Param(name=name, kind=Text(longest=LONGEST_URL), inert=True, repeats=True) for name in names)


def sid_kind(prefix: str, *, clears: bool = False) -> Pattern:
    """An identifier of a kind, or nothing where that clears it."""
    pattern = f"{prefix}[0-9a-f]{{32}}"
    return Pattern(pattern=f"({pattern})?" if clears else pattern, means=f"an identifier of the form {prefix} and 32 hexadecimal digits")


def read(params: Sequence[Param], pairs: Pairs) -> dict[str, Any]:
    """Values by record field, of the parameters that were sent. ApiError for the first that cannot be used."""
    known = {param.name: param for param in params}
    sent: dict[str, str] = {}
    for name, value in pairs:
        _admit(known, sent, name)
        sent[name] = value
    _check_present(params, sent)
    return {known[name].field: _parsed(known[name], value) for name, value in sent.items() if not known[name].inert}


def _admit(known: dict[str, Param], sent: Iterable[str], name: str) -> None:
    if name not in known:
        raise ApiError(f"Unknown parameter {name[:64]!r}", status=400, code=20001)
    if name in sent and not known[name].repeats:
        raise invalid(name, "it is given twice", code=known[name].code)


def _check_present(params: Sequence[Param], sent: dict[str, str]) -> None:
    for param in params:
        if param.required and param.name not in sent:
            raise ApiError(f"{param.name} is required", status=400, code=param.missing or param.code)


def _parsed(param: Param, text: str) -> object:
    try:
        return param.kind.parse(text)
    except ValueError as error:
        raise invalid(param.name, str(error), code=param.code) from error


def _is_web_url(text: str) -> bool:
    if re.search(r"[\s\x00-\x1f\x7f]", text):
        return False
    parts = urlsplit(text)
    try:
        port = parts.port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and port != 0
