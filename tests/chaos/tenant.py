"""The tenant: documents for every kind of call, a tone for every caller, and a log of every request with its idempotency token.

A process of its own that does as little as it can. It prints its base URL, answers the line ``log`` on standard input with one line of JSON
(each request: path, parameters, token, seconds of the day), and ends with its standard input.

Callers are called ``KIND-NUMBER``; the number chooses the wait document, and that its tone (``tone_of``), so that no two callers who wait
at one time hear the same.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable

import numpy as np
from harness import audio

TONES, LOWEST_HZ, STEP_HZ = 240, 300, 10
TONE_S = 4.0
KEYS = 8
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TOKEN = re.compile(rb"\r\ni-twilio-idempotency-token: *([^\r]+)", re.IGNORECASE)


def tone_of(name: str) -> int:
    """Return what a caller of that name is to hear, Hz."""
    return LOWEST_HZ + STEP_HZ * (int(name.partition("-")[2]) % TONES)


def _wave(path: str, _params: dict[str, str]) -> bytes:
    return audio.wav(audio.tone(int(path.rpartition("/")[2].removesuffix(".wav")), TONE_S))


class Documents:
    """What is answered to which path."""

    def __init__(self, base_url: str) -> None:
        self._base = base_url
        self._waves: dict[str, bytes] = {}
        self._of: dict[str, Callable[[dict[str, str]], str]] = {
            "/voice": lambda params: self._enqueue("line", self._caller(params)),
            "/pair": lambda params: self._enqueue("pairs", self._caller(params)),
            "/agent": lambda _: "<Dial><Queue>line</Queue></Dial>",
            "/pair-agent": lambda _: "<Dial><Queue>pairs</Queue></Dial>",
            "/wait": lambda params: f'<Play loop="2">{self._tone(params["tone"])}</Play>',
            "/left": lambda _: "<Hangup/>",
            "/keys": lambda params: self._gather(self._caller(params)),
            "/digits": lambda params: self._gather(self._caller(params)),
            "/status": lambda _: "",
        }

    def answer(self, path: str, params: dict[str, str]) -> tuple[bytes, str]:
        """Return the body and its type."""
        if path.startswith("/tone/"):
            if path not in self._waves:
                self._waves[path] = _wave(path, params)
            return self._waves[path], "audio/wav"
        return f"<Response>{self._of[path](params)}</Response>".encode(), "text/xml"

    def _caller(self, params: dict[str, str]) -> int:
        found = re.search(r"[a-z]-\d+", params["From"])
        assert found, params["From"]
        return tone_of(found[0])

    def _tone(self, hz: int | str) -> str:
        return f"{self._base}/tone/{hz}.wav"

    def _enqueue(self, queue: str, hz: int) -> str:
        return f'<Enqueue action="{self._base}/left" waitUrl="{self._base}/wait?tone={hz}">{queue}</Enqueue>'

    def _gather(self, hz: int) -> str:
        return (
            f'<Gather numDigits="{KEYS}" finishOnKey="" timeout="600" action="{self._base}/digits">'
            f'<Play loop="0">{self._tone(hz)}</Play></Gather>'
        )


class Connection(asyncio.Protocol):
    """One kept-alive connection; requests come whole or in pieces, one after the other."""

    def __init__(self, documents: Documents, log: list[dict[str, object]]) -> None:
        self._documents, self._log, self._received = documents, log, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._received, 0, end + 2)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._received) < whole:
                return
            head, body = self._received[: end + 2], self._received[end + 4 : whole]
            self._received = self._received[whole:]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        path, _, query = head.split(b" ", 2)[1].decode().partition("?")
        params = dict(urllib.parse.parse_qsl(query, keep_blank_values=True) + urllib.parse.parse_qsl(body.decode(), keep_blank_values=True))
        token = _TOKEN.search(head)
        if not path.startswith("/tone/"):
            self._log.append({"path": path, "params": params, "token": token[1].decode() if token else "", "at": time.time()})
        answer, kind = self._documents.answer(path, params)
        cached = b"Cache-Control: max-age=3600\r\n" if kind == "audio/wav" else b""
        assert isinstance(self._transport, asyncio.WriteTransport)
        head = b"HTTP/1.1 200 OK\r\n%sContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (cached, kind.encode(), len(answer))
        self._transport.write(head + answer)


class Tenant:
    """The process, as the run sees it."""

    def __init__(self, environment: dict[str, str]) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([sys.executable, "-m", "chaos.tenant"], stdin=pipe, stdout=pipe, text=True, env=environment)
        assert self._process.stdout is not None
        self.base_url = self._process.stdout.readline().strip()

    def log(self) -> list[dict[str, object]]:
        """Return all requests so far."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("log\n")
        self._process.stdin.flush()
        found: list[dict[str, object]] = json.loads(self._process.stdout.readline())
        return found

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


async def serve() -> None:
    loop = asyncio.get_running_loop()
    log: list[dict[str, object]] = []
    documents: list[Documents] = []
    server = await loop.create_server(lambda: Connection(documents[0], log), "127.0.0.1", 0, backlog=1024)
    base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    documents.append(Documents(base_url))
    print(base_url, flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(log), flush=True)


if __name__ == "__main__":
    np.seterr(all="raise")
    asyncio.run(serve())
