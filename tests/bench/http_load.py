"""A client that asks as fast as it is answered, over some kept-alive connections: for figures of the REST interface.

It costs little, writes requests that are made beforehand, and reads of an answer no more than its status and length.
"""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Account:
    """Whom it asks for, and where."""

    host: str
    port: int
    sid: str
    token: str

    def request(self, method: str, resource: str, form: str = "") -> bytes:
        """Return a request for a resource of the account."""
        credentials = base64.b64encode(f"{self.sid}:{self.token}".encode()).decode()
        return (
            f"{method} /2010-04-01/Accounts/{self.sid}/{resource} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
            f"Authorization: Basic {credentials}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(form)}\r\n\r\n{form}"
        ).encode()


class Connection:
    """One kept-alive connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, request: bytes, *, expect: int) -> bytes:
        """Return the body. Raises RuntimeError for another status."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        body = await self._reader.readexactly(int(length[1])) if length else b""
        if int(head[9:12]) != expect:
            raise RuntimeError(f"{head.splitlines()[0]!r} to {request.splitlines()[0]!r}: {body[:200]!r}")
        return body

    def close(self) -> None:
        self._writer.close()


async def rate(account: Account, turn: Callable[[Connection, int], Awaitable[object]], *, connections: int, seconds: float) -> float:
    """Return how many turns a second go through; ``turn`` is given a connection and a number that no other turn has."""
    made = [Connection(*await asyncio.open_connection(account.host, account.port)) for _ in range(connections)]
    done = 0
    until = time.monotonic() + seconds

    async def go_on(connection: Connection) -> None:
        nonlocal done
        while time.monotonic() < until:
            done += 1
            await turn(connection, done)

    begun = time.monotonic()
    try:
        await asyncio.gather(*(go_on(connection) for connection in made))
    finally:
        for connection in made:
            connection.close()
    return done / (time.monotonic() - begun)
