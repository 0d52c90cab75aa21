"""Form and query strings to pairs of text, strictly: what is not form-encoded UTF-8 is refused, never half read.

Only ``application/x-www-form-urlencoded`` bodies are taken (an empty body needs no type). Names may repeat; order is kept. A body has a
size limit, kept by the HTTP library (``app.MAX_BODY_BYTES``), and a deadline, so that a peer that drips cannot hold a handler.
"""

from __future__ import annotations

import asyncio
import re
from urllib.parse import unquote_plus

from aiohttp import web

from waitline.errors import ApiError

Pairs = tuple[tuple[str, str], ...]

BODY_TIMEOUT_S = 15.0
MAX_PAIRS = 200
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_FORM = "application/x-www-form-urlencoded"


def parse_pairs(text: str) -> Pairs:
    """Pairs of a form or query string. ApiError 20001 for what is not one."""
    parts = [part for part in text.split("&") if part]
    if len(parts) > MAX_PAIRS:
        raise _malformed(f"more than {MAX_PAIRS} parameters")
    if _BROKEN_ESCAPE.search(text):
        raise _malformed("a % is not followed by two hexadecimal digits")
    return tuple(_pair(part) for part in parts)


async def read_form(request: web.Request) -> Pairs:
    """The form in a request's body. ApiError 20415 for another type of body, 20408 for one that does not arrive."""
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            data = await request.read()
    except TimeoutError as error:
        raise ApiError(f"The request's body did not arrive within {BODY_TIMEOUT_S:g} s", status=408, code=20408) from error
    if not data:
        return ()
    if "Content-Type" in request.headers and request.content_type != _FORM:
        raise ApiError(f"The request's body has to be {_FORM}, not {request.content_type}", status=415, code=20415)
    return parse_pairs(_as_text(data))


def _as_text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _malformed("not UTF-8") from error


def _pair(part: str) -> tuple[str, str]:
    name, equals, value = part.partition("=")
    if not equals or not name:
        raise _malformed("a parameter without name or value")
    try:
        return unquote_plus(name, errors="strict"), unquote_plus(value, errors="strict")
    except UnicodeDecodeError as error:
        raise _malformed("not UTF-8") from error


def _malformed(why: str) -> ApiError:
    return ApiError(f"The request's parameters cannot be read: {why}", status=400, code=20001)
