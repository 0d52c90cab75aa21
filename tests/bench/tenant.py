"""A tenant that costs next to nothing, as a process of its own: each path has one constant document.

The scripted tenant of the tests logs and checks every request and costs more than the platform; here the machine's time is the figure.
Reads its documents as one line of JSON, prints its base URL, ends with its standard input. ``/requests`` tells how many came. A document
that begins with ``wav:`` and a number is so many seconds of sound that may be kept for a day.
"""

from __future__ import annotations

import asyncio
import io
import json
import re
import subprocess
import sys
import wave
from collections.abc import Iterator
from contextlib import contextmanager

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Connection(asyncio.Protocol):
    """One kept-alive connection; requests come whole or in pieces, one after the other."""

    requests = 0
    """Of all connections"""

    def __init__(self, answers: dict[bytes, bytes]) -> None:
        self._answers = answers
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._received, 0, end + 2)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._received) < whole:
                return
            path = self._received.split(b" ", 2)[1].partition(b"?")[0]
            self._received = self._received[whole:]
            assert isinstance(self._transport, asyncio.WriteTransport)
            Connection.requests += 1
            if path == b"/requests":
                self._transport.write(answer(str(Connection.requests)))
                continue
            self._transport.write(self._answers.get(path, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"))


def answer(document: str) -> bytes:
    """Return the whole response that carries a document."""
    kind, body = b"text/xml", document.encode()
    if document.startswith("wav:"):
        kind, body = b"audio/wav\r\nCache-Control: max-age=86400", _sound(float(document[4:]))
    return b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (kind, len(body), body)


def _sound(seconds: float) -> bytes:
    """A quiet sawtooth, 8 kHz."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(b"".join((at % 40 * 50).to_bytes(2, "little") for at in range(round(8000 * seconds))))
    return file.getvalue()


async def serve(documents: dict[str, str]) -> None:
    """Answer until standard input ends."""
    loop = asyncio.get_running_loop()
    answers = {path.encode(): answer(document) for path, document in documents.items()}
    server = await loop.create_server(lambda: Connection(answers), "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


@contextmanager
def tenant(documents: dict[str, str]) -> Iterator[str]:
    """Run it; gives its base URL."""
    process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(documents) + "\n")
        process.stdin.flush()
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait(5)
        process.stdout.close()


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.stdin.readline())))
