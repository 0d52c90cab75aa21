"""The port between the webhook client and the network: one HTTP request, one answer, no redirects, no cookies, no retries.

``Transport`` is implemented over aiohttp (``transport``) and by a function (``memory``). An implementation keeps the request's limits of
time and size itself and raises ``Failure`` for everything that is not a complete answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

Headers = tuple[tuple[str, str], ...]


def body_limit(content_type: str, *, body: int, audio: int) -> int:
    """The most bytes an answer may have, by its type."""
    return max(body, audio) if content_type.strip().lower().startswith("audio/") else body


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """What goes out. ``url`` is in its canonical form (``urls.canonical``), without fragment and user information."""

    method: str
    url: str
    headers: Headers = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    connect_s: float = 5.0
    read_s: float = 15.0
    """Between two reads."""
    largest_body: int = 65536
    """In bytes, decompressed; more is Fault.TOO_LARGE."""
    largest_audio: int = 0
    """The same for an answer that is audio; 0: no other limit."""

    def limit(self, content_type: str) -> int:
        """The most bytes an answer of that type may have: a waiting caller's music may be larger than any document."""
        return body_limit(content_type, body=self.largest_body, audio=self.largest_audio)


@dataclass(frozen=True, kw_only=True)
class HttpResponse:
    """What came back, whole and decompressed."""

    status: int
    headers: Headers = ()
    body: bytes = field(default=b"", repr=False)

    def header(self, name: str) -> str | None:
        """The first value of a header, whatever its case."""
        return next(self.header_values(name), None)

    def header_values(self, name: str) -> Iterator[str]:
        wanted = name.lower()
        return (value for key, value in self.headers if key.lower() == wanted)

    @property
    def content_type(self) -> str:
        """The media type in lower case, without parameters; empty where there is none."""
        return (self.header("Content-Type") or "").partition(";")[0].strip().lower()

    @cached_property
    def digest(self) -> str:
        """Names the content; about 1 ms a megabyte, once."""
        return hashlib.blake2b(self.body, digest_size=16, person=self.content_type.encode()[:16]).hexdigest()


class Transport(Protocol):
    """One exchange with a tenant's server."""

    async def exchange(self, request: HttpRequest) -> HttpResponse:
        """Send and wait for the whole answer; raises Failure."""
        ...

    async def close(self) -> None: ...
