"""Shapes of answers, for the OpenAPI document: an object of named fields, every one of them always present."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

STRING: Schema = {"type": "string"}
OPTIONAL: Schema = {"type": ["string", "null"]}
INTEGER: Schema = {"type": "integer"}
BOOLEAN: Schema = {"type": "boolean"}
OBJECT: Schema = {"type": "object"}
NULL: Schema = {"type": "null"}
DATE: Schema = {"type": "string", "pattern": r"^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} [+]0000$"}
ISO_DATE: Schema = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$"}
OPTIONAL_DATE: Schema = {"type": ["string", "null"]}
DATES = {"date_created": DATE, "date_updated": DATE}


def sid(prefix: str) -> Schema:
    return {"type": "string", "pattern": f"^{prefix}[0-9a-f]{{32}}$"}


def record(**fields: Schema) -> Schema:
    """An object with exactly these fields."""
    return {"type": "object", "properties": fields, "required": sorted(fields), "additionalProperties": False}


def envelope(key: str, item: Schema) -> Schema:
    """A page of a list. Client libraries take the one key they do not know for the list, so there is never another."""
    return record(
        **{key: {"type": "array", "items": item}},
        page=INTEGER, page_size=INTEGER, start=INTEGER, end=INTEGER,
        uri=STRING, first_page_uri=STRING, previous_page_uri=OPTIONAL, next_page_uri=OPTIONAL,
    )  # fmt: skip


ERROR = record(code=INTEGER, message=STRING, more_info=STRING, status=INTEGER)
