"""Who attacks: each function does one thing to a platform for some seconds from loopback addresses of its own, and tells what came of it.

``let_in`` is what nobody of them may ever get: a call that rings or is answered, a registration, a found user or password, a request of
somebody honest that is not answered.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.sip_message import Message, authorization, build, challenge
from torture.vectors import VECTORS, cut

Address = tuple[str, int]
HONEST = "127.0.0.1"


@dataclass(frozen=True)
class Outcome:
    """What came of an attack."""

    name: str
    tried: int
    refused: int
    """Answered with a refusal; the rest was not answered at all"""
    let_in: int
    note: str = ""


class Peer:
    """A UDP socket of an address, and what it was answered."""

    def __init__(self, host: str) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.sock.bind((host, 0))
        self.host, self.port = self.sock.getsockname()
        self.statuses: Counter[int] = Counter()

    def request(self, method: str, uri: str, number: object, *headers: tuple[str, str], cseq: int = 1, body: str = "") -> bytes:
        common = [
            ("Via", f"SIP/2.0/UDP {self.host}:{self.port};branch=z9hG4bK{method}{number}c{cseq}"),
            ("From", f"<{uri}>;tag={number}"),
            ("To", f"<{uri}>"),
            ("Call-ID", f"{method}{number}@{self.host}"),
            ("CSeq", f"{cseq} {method}"),
            ("Contact", f"<sip:x@{self.host}:{self.port}>"),
            ("Max-Forwards", "70"),
        ]
        return build(f"{method} {uri} SIP/2.0", [*common, *headers], body)

    def send(self, data: bytes, server: Address) -> None:
        with contextlib.suppress(BlockingIOError):  # as good as lost
            self.sock.sendto(data, server)

    def hears(self, within_s: float = 0.0) -> list[Message]:
        """All that has come by then."""
        until = time.monotonic() + within_s
        found: list[Message] = []
        while True:
            try:
                message = Message.parse(self.sock.recv(65_536))
            except BlockingIOError:
                if found or time.monotonic() >= until:
                    return found
                time.sleep(0.002)
                continue
            self.statuses[message.status] += 1
            found.append(message)

    @property
    def refused(self) -> int:
        return sum(count for status, count in self.statuses.items() if status >= 300)

    @property
    def let_in(self) -> int:
        return sum(count for status, count in self.statuses.items() if 180 <= status < 300)


@contextlib.contextmanager
def peers_at(*hosts: str) -> Iterator[list[Peer]]:
    """A peer at each address, for as long as it takes."""
    made = [Peer(host) for host in hosts]
    try:
        yield made
    finally:
        for peer in made:
            peer.sock.close()


def paced(seconds: float, rate: float) -> Iterator[int]:
    """Numbers, so many a second."""
    start, number = time.monotonic(), 0
    while (now := time.monotonic()) < start + seconds:
        while number < (now - start) * rate:
            yield number
            number += 1
        time.sleep(0.005)


def garbage(server: Address, seconds: float) -> Outcome:
    """2,000 datagrams a second that are no SIP."""
    chance, tried = random.Random(1), 0
    with peers_at("127.0.0.66") as [peer]:
        for _ in paced(seconds, 2000):
            peer.send(chance.randbytes(chance.randrange(1, 1400)), server)
            tried += 1
        return Outcome("garbage, 2,000 a second", tried, len(peer.hears(0.3)), 0)


def invites(server: Address, seconds: float, *, sources: int = 1) -> Outcome:
    """200 INVITEs a second without credentials."""
    tried = 0
    with peers_at(*(f"127.0.{sources}.{number + 1}" for number in range(sources))) as peers:
        for number in paced(seconds, 200):
            peer = peers[number % sources]
            peer.send(peer.request("INVITE", f"sip:+1555{number:04}@{server[0]}", number), server)
            peer.hears()
            tried += 1
        for peer in peers:
            peer.hears(0.1)
    name = f"INVITEs without credentials, 200 a second from {sources} address{'es' if sources > 1 else ''}"
    return Outcome(name, tried, sum(peer.refused for peer in peers), sum(peer.let_in for peer in peers))


def guesses(server: Address, seconds: float, domain: str, user: str, password: str, *, sources: int = 1) -> Outcome:
    """Passwords for a user who exists, and in the end the right one."""
    tried, until = 0, time.monotonic() + seconds
    with peers_at(*(f"127.0.{100 + sources}.{number + 1}" for number in range(sources))) as peers:
        while time.monotonic() < until:
            right = until - time.monotonic() < seconds / 10
            _guess(peers[tried % sources], server, f"sip:{domain}", user, password if right else f"guess{tried}", tried)
            tried += 1
    name = f"passwords guessed from {sources} address{'es' if sources > 1 else ''}, the right one at last"
    return Outcome(name, tried, sum(peer.refused for peer in peers), sum(peer.let_in for peer in peers))


def _guess(peer: Peer, server: Address, uri: str, user: str, password: str, number: int) -> None:
    to = ("To", f"<sip:{user}@{uri.partition(':')[2]}>")
    plain = peer.request("REGISTER", uri, number)
    peer.send(plain.replace(f"To: <{uri}>".encode(), f"To: {to[1]}".encode()), server)
    for message in peer.hears(0.05):
        if message.status == 401:
            words = authorization(
                challenge(message["www-authenticate"]), method="REGISTER", uri=uri, username=user, password=password, cnonce="c", nc=1
            )
            again = peer.request("REGISTER", uri, number, ("Authorization", words), cseq=2)
            peer.send(again.replace(f"To: <{uri}>".encode(), f"To: {to[1]}".encode()), server)
            peer.hears(0.05)
            return


def torture(server: Address, _seconds: float) -> Outcome:
    """Messages that hurt, by UDP and, in pieces, by TCP; after each of them an honest OPTIONS is to be answered."""
    unanswered, tried = 0, 0
    with peers_at(HONEST) as [peer]:
        for data in VECTORS.values():
            peer.send(data[:65_000], server)
            unanswered += not answered(peer, server, f"u{tried}")
            with socket.create_connection(server, 2) as stream:
                with contextlib.suppress(OSError):  # closed amid it: a way of refusing
                    for piece in cut(data):
                        stream.sendall(piece)
                unanswered += not answered(peer, server, f"t{tried}")
            tried += 2
    return Outcome("messages that hurt, by UDP and TCP, an OPTIONS after each", tried, peer.refused, unanswered)


def answered(peer: Peer, server: Address, number: object) -> bool:
    """Whether an OPTIONS is, within what SIP repeats."""
    for again in range(6):
        peer.send(peer.request("OPTIONS", f"sip:{server[0]}", f"{number}x{again}"), server)
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            if any(message.status == 200 and message.method == "OPTIONS" for message in peer.hears(0.1)):
                return True
    return False


def streams(server: Address, seconds: float) -> Outcome:
    """Connections that drip, that never read, and that are too many; an honest OPTIONS over TCP meanwhile."""
    held: list[socket.socket] = []
    for number in range(300):
        stream = socket.socket()
        stream.bind(("127.0.0.80" if number else "127.0.0.81", 0))
        stream.settimeout(1)
        try:
            stream.connect(server)
        except OSError:
            stream.close()
            continue
        stream.setblocking(False)
        held.append(stream)
    unanswered = 0
    with peers_at("127.0.0.81", HONEST) as [deaf, honest]:
        for number in paced(seconds, 200):
            request = deaf.request("OPTIONS", f"sip:{server[0]}", number)
            with contextlib.suppress(OSError):  # full, or closed by the platform: as it should be
                held[0].send(request * 20)
                held[1 + number % (len(held) - 1)].send(request[number % 100 : number % 100 + 1])
            if number % 200 == 0:
                unanswered += not _answered_by_tcp(honest, server, number)
    for stream in held:
        stream.close()
    return Outcome("TCP connections that drip or never read", len(held), 0, unanswered)


def _answered_by_tcp(peer: Peer, server: Address, number: int) -> bool:
    with socket.create_connection(server, 3) as stream:
        stream.settimeout(3)
        stream.sendall(peer.request("OPTIONS", f"sip:{server[0]}", f"s{number}"))
        return stream.recv(4096).startswith(b"SIP/2.0 200")


TOOLS = {
    "svmap": ["{host}", "-p{port}"],
    "svwar": ["-e100-199", "-p{port}", "--force", "{host}"],
    "svcrack": ["-u{user}", "-r100-999", "-p{port}", "-x{binding}", "{host}"],
}


def sipvicious(server: Address, seconds: float, user: str, folder: Path) -> list[Outcome]:
    """The tools that every open port meets; [] where they cannot be had."""
    found = shutil.which("sipvicious_svmap") or _fetched(folder)
    return [_tool(name, server, seconds, user, Path(found).parent) for name in TOOLS] if found else []


def _fetched(folder: Path) -> str | None:
    """From the package index, into an environment of its own."""
    made = subprocess.run([sys.executable, "-m", "venv", str(folder / "tools")], capture_output=True, check=False)
    command = [str(folder / "tools/bin/python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", "sipvicious==0.3.8"]
    if made.returncode or subprocess.run(command, capture_output=True, timeout=120, check=False).returncode:
        return None
    return str(folder / "tools/bin/sipvicious_svmap")


def _tool(name: str, server: Address, seconds: float, user: str, where: Path) -> Outcome:
    binding = f"127.0.0.{90 + len(name)}"
    words = [word.format(host=server[0], port=server[1], user=user, binding=binding) for word in TOOLS[name]]
    command = ["timeout", "-k", "2", f"{max(15.0, seconds):.0f}", str(where / f"sipvicious_{name}"), "-b", binding, *words]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HOME": str(where)}, check=False)
    told = done.stdout + done.stderr
    table = [line for line in told.splitlines() if line.startswith(("|", "+", "│", "├"))]
    said = [line.rpartition(":")[2].strip() for line in told.splitlines() if line.strip()] or ["heard nothing"]
    why = next((line for line in said if "nothing" in line), said[-1])
    return Outcome(f"sipvicious {name}", 1, 0, len(table), note=why[:60])


Attack = Callable[[Address, float], Outcome]
