"""A tenant's server that fails on purpose, on loopback: each path is one way of failing, told as what it does to the socket.

Bare streams, not a web framework: frameworks do not let one break the rules.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

Behaviour = Callable[["Visit"], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n"
DOCUMENT = b"<Response/>"


class Visit:
    """One request as the server sees it, and the ways to answer it."""

    def __init__(self, server: FaultServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self.reader = reader
        self.writer = writer
        self.head = b""
        self.body = b""

    @property
    def path(self) -> str:
        return self.head.split(b" ", 2)[1].decode()

    @property
    def method(self) -> str:
        return self.head.split(b" ", 1)[0].decode()

    def header(self, name: str) -> str:
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.decode().lower() == name.lower():
                return value.strip().decode()
        return ""

    async def read(self) -> bool:
        """Take the next request of the connection; False at its end."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            self.head = await self.reader.readuntil(b"\r\n\r\n")
            self.body = await self.reader.readexactly(int(self.header("Content-Length") or 0))
            return True
        return False

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Close with RST."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class FaultServer:
    """``visits`` is what was asked, in order."""

    def __init__(self) -> None:
        self.visits: list[Visit] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await (visit := Visit(self, reader, writer)).read():
                self.visits.append(visit)
                behaviour = FAULTS[visit.path.partition("?")[0].strip("/").split("/")[0]]
                await behaviour(visit)
                if writer.is_closing():
                    return
        except ConnectionError:
            return  # the client had enough, as it should
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def fault_server(tls: ssl.SSLContext | None = None) -> AsyncIterator[FaultServer]:
    """Serve on a free port until the block ends."""
    faults = FaultServer()
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await faults.serve(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()  # the test is over
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    faults.port = server.sockets[0].getsockname()[1]
    try:
        yield faults
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def fine(visit: Visit) -> None:
    await visit.send(OK + b"Content-Length: %d\r\n\r\n" % len(DOCUMENT) + DOCUMENT)


async def silent(visit: Visit) -> None:
    await asyncio.sleep(30)


async def reset(visit: Visit) -> None:
    visit.reset()


async def half_closed(visit: Visit) -> None:
    """Promises more than it sends."""
    await visit.send(OK + b"Content-Length: 1000\r\n\r\n<Resp")
    visit.writer.write_eof()
    await asyncio.sleep(0.05)
    visit.writer.close()


async def reset_in_the_body(visit: Visit) -> None:
    await visit.send(OK + b"Content-Length: 1000\r\n\r\n<Resp")
    await asyncio.sleep(0.02)
    visit.reset()


async def hung_up(visit: Visit) -> None:
    visit.writer.close()


async def endless(visit: Visit) -> None:
    await visit.send(OK + b"\r\n")
    while True:
        await visit.send(bytes(16384))


async def endless_chunks(visit: Visit) -> None:
    await visit.send(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    while True:
        await visit.send(b"4000\r\n" + bytes(16384) + b"\r\n")


async def drip(visit: Visit) -> None:
    """A byte now and then: no read ever takes too long."""
    await visit.send(OK + b"Content-Length: 1000\r\n\r\n")
    while True:
        await visit.send(b"x")
        await asyncio.sleep(0.05)


async def drip_head(visit: Visit) -> None:
    for byte in OK * 1000:
        await visit.send(bytes([byte]))
        await asyncio.sleep(0.05)


async def loop(visit: Visit) -> None:
    await visit.send(b"HTTP/1.1 302 Found\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n")


async def to_metadata(visit: Visit) -> None:
    await visit.send(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest\r\nContent-Length: 0\r\n\r\n")


async def nowhere(visit: Visit) -> None:
    await visit.send(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n")


async def oversized(visit: Visit) -> None:
    await visit.send(OK + b"Content-Length: 65537\r\n\r\n" + bytes(65537))


async def bomb(visit: Visit) -> None:
    data = gzip.compress(bytes(20_000_000))
    await visit.send(OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(data) + data)


async def gibberish(visit: Visit) -> None:
    await visit.send(b"SIP/2.0 200 OK\r\n\r\n")
    visit.writer.close()


async def huge_head(visit: Visit) -> None:
    await visit.send(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n")
    visit.writer.close()


async def bad_chunks(visit: Visit) -> None:
    await visit.send(OK + b"Transfer-Encoding: chunked\r\n\r\nnot a size\r\n")
    visit.writer.close()


async def broken(visit: Visit) -> None:
    await visit.send(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 9\r\n\r\nTraceback")


async def closing(visit: Visit) -> None:
    """Answers, keeps the connection open for one more request, and closes it as that comes: a keep-alive race."""
    if sum(other.writer is visit.writer for other in visit.server.visits) > 1:
        visit.writer.close()
        return
    await fine(visit)


async def typed(visit: Visit) -> None:
    kind = visit.path.split("type=")[1]
    await visit.send(b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: 4\r\n\r\nRIFF" % kind.encode())


FAULTS: dict[str, Behaviour] = {
    behaviour.__name__: behaviour
    for behaviour in (
        fine, silent, reset, half_closed, reset_in_the_body, hung_up, endless, endless_chunks, drip, drip_head, loop, to_metadata, nowhere,
        oversized, bomb, gibberish, huge_head, bad_chunks, broken, closing, typed,
    )
}  # fmt: skip
