"""How long it takes from an agent who dequeues to the caller who hears them.

    PYTHONPATH=tests python -m bench.handoff [--callers 40] [--held 0]

So many callers wait in a queue, each hearing music and sending 50 packets a second as a phone does. One agent after the other calls a
number whose document is ``<Dial><Queue>``, sends its ACK as soon as the 200 is there and its first RTP packet with it, then one every
20 ms. Measured are the times until the first of them arrives at the caller: from the arrival of the 200 (claim, command to the media
worker and relay are in it, and at the worst the 20 ms between two of the agent's packets), and from the agent's first packet. Arrivals are
the kernel's time stamps, so that the phones' own scheduling is not in the figures; they and the agents are one process with one clock. The
whole platform runs as in life (``rig``). ``--held``: so many more callers wait in another queue, hear music and talk (``phones.c``).
"""

from __future__ import annotations

import argparse
import random
import selectors
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bench import rig
from bench.crowd import Crowd
from bench.figures import Figure, missing, tell
from bench.hold import raise_file_limit
from bench.programs import Missing, phones
from harness import sip_message
from harness.sip_message import Message, build

CALLERS, AGENTS, OTHERS = "+15550100", "+15550199", "+15550101"
DOCUMENTS = {
    "/caller": "<Response><Enqueue>support</Enqueue></Response>",
    "/other": '<Response><Enqueue maxQueueSize="5000">others</Enqueue></Response>',
    "/agent": "<Response><Dial><Queue>support</Queue></Dial></Response>",
}
SO_TIMESTAMPNS = 35
TICK_NS = 20_000_000
WITHIN_S = 10.0
DIAL_RATE = 80.0
GOAL_P50_MS, GOAL_P99_MS = 15.0, 25.0


def bound() -> socket.socket:
    """Return a socket whose arrivals the kernel stamps."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    return sock


def arrivals(sock: socket.socket) -> Iterator[tuple[bytes, int]]:
    """Return what has come, with the time of its arrival in ns (time of day)."""
    while True:
        try:
            data, ancillary, _, _ = sock.recvmsg(4096, 64)
        except BlockingIOError:
            return
        except ConnectionError:  # an ICMP error for an earlier packet
            continue
        seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
        yield data, seconds * 1_000_000_000 + nanoseconds


class Party:
    """One call of the phones; it says ``mark`` all the time, and knows when it first heard whom."""

    def __init__(self, phones: Phones, number: str, mark: int, seed: random.Random) -> None:
        self._phones = phones
        self._number = number
        self._rtp = bound()
        self.call_id = f"{seed.getrandbits(64):x}"
        self._tag = f"{seed.getrandbits(32):x}"
        self._cseq = 1
        self._to = f"<{self._uri}>"
        self._target = self._uri
        self._peer: tuple[str, int] | None = None
        self._packet = bytearray(struct.pack("!BBHII", 0x80, 0, 0, 0, seed.getrandbits(32)) + bytes([mark]) * 160)
        self._due_ns = 0
        self.answered_ns = self.first_sent_ns = 0
        self.heard: dict[int, int] = {}
        """Mark → arrival of the first packet that says it"""
        self.packets = 0
        self.over = False
        phones.watch(self._rtp, self._listen)

    @property
    def _uri(self) -> str:
        host, port = self._phones.server
        return f"sip:{self._number}@{host}:{port}"

    def invite(self) -> None:
        self._send("INVITE", sip_message.sdp("127.0.0.1", self._rtp.getsockname()[1], codecs="0"))

    def hang_up(self) -> None:
        self._cseq += 1
        self.over = True
        self._send("BYE")

    def close(self) -> None:
        self._phones.forget(self._rtp)
        self._rtp.close()

    def _send(self, method: str, body: str = "") -> None:
        headers = [
            ("Via", f"SIP/2.0/UDP 127.0.0.1:{self._phones.port};rport;branch=z9hG4bK{self.call_id}{self._cseq}{method}"),
            ("Max-Forwards", "70"),
            ("From", f"<sip:phone@127.0.0.1:{self._phones.port}>;tag={self._tag}"),
            ("To", self._to),
            ("Call-ID", self.call_id),
            ("CSeq", f"{self._cseq} {method}"),
            ("Contact", f"<sip:phone@127.0.0.1:{self._phones.port}>"),
        ]
        self._phones.send(build(f"{method} {self._target} SIP/2.0", headers, body))

    def take(self, message: Message, at_ns: int) -> None:
        """React as a phone does."""
        if message.method == "BYE" and not message.status:
            self.over = True
            echoed = [(name.title(), value) for name, value in message.headers if name in ("via", "from", "to", "call-id", "cseq")]
            self._phones.send(build("SIP/2.0 200 OK", echoed))
        elif message.method == "INVITE" and message.status == 200 and not self.answered_ns:
            self.answered_ns, self._to, self._target, self._peer = at_ns, message["to"], message.contact_uri, message.rtp
            self._send("ACK")
            self.talk(time.time_ns())
        elif message.status >= 300:
            raise SystemExit(f"refused: {message.start}")

    def talk(self, now_ns: int) -> None:
        """Send what is due."""
        if self._peer is None or self.over or now_ns < self._due_ns:
            return
        first, second, sequence, timestamp = struct.unpack_from("!BBHI", self._packet)
        struct.pack_into("!BBHI", self._packet, 0, first, second, (sequence + 1) & 0xFFFF, timestamp + 160)
        if not self.first_sent_ns:
            self.first_sent_ns = self._due_ns = time.time_ns()
        self._due_ns += TICK_NS
        self._rtp.sendto(self._packet, self._peer)

    def _listen(self) -> None:
        for data, at_ns in arrivals(self._rtp):
            payload = data[12:]
            self.packets += 1
            if len(payload) == 160 and payload == payload[:1] * 160:
                self.heard.setdefault(payload[0], at_ns)


class Phones:
    """All parties: one SIP socket, one loop."""

    def __init__(self, server: tuple[str, int]) -> None:
        self.server = server
        self._sip = bound()
        self.port = self._sip.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._parties: dict[str, Party] = {}
        self._random = random.Random(1)
        self.watch(self._sip, self._take)

    def watch(self, sock: socket.socket, reader: Callable[[], None]) -> None:
        self._selector.register(sock, selectors.EVENT_READ, reader)

    def forget(self, sock: socket.socket) -> None:
        self._selector.unregister(sock)

    def call(self, number: str, mark: int) -> Party:
        """Call a number, and wait until it has answered."""
        party = Party(self, number, mark, self._random)
        self._parties[party.call_id] = party
        party.invite()
        self.until(lambda: party.answered_ns, f"an answer from {number}")
        return party

    def send(self, data: bytes) -> None:
        self._sip.sendto(data, self.server)

    def passes(self, seconds: float) -> None:
        """Go on for so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._turn()

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Go on until then."""
        deadline = time.monotonic() + WITHIN_S
        while not condition():
            if time.monotonic() > deadline:
                raise SystemExit(f"no {what} within {WITHIN_S} s")
            self._turn()

    def close(self) -> None:
        """Hang up what is up."""
        for party in self._parties.values():
            if not party.over:
                party.hang_up()
            party.close()
        self._selector.close()
        self._sip.close()

    def _turn(self) -> None:
        for key, _ in self._selector.select(0.001):
            key.data()
        now_ns = time.time_ns()
        for party in self._parties.values():
            party.talk(now_ns)

    def _take(self) -> None:
        for data, at_ns in arrivals(self._sip):
            message = Message.parse(data)
            if party := self._parties.get(message["call-id"]):
                party.take(message, at_ns)


def hand_off(phones: Phones, callers: list[Party], mark: int) -> dict[str, float]:
    """Let one agent take the next caller; returns what that took, ms."""
    agent = phones.call(AGENTS, mark)
    phones.until(lambda: any(mark in caller.heard for caller in callers), "caller who hears the agent")
    [caller] = [caller for caller in callers if mark in caller.heard]
    heard_ns = caller.heard[mark]
    phones.passes(0.1)
    agent.hang_up()
    phones.until(lambda: caller.over, "end of the caller's call")
    return {"from_200_ms": (heard_ns - agent.answered_ns) / 1e6, "from_rtp_ms": (heard_ns - agent.first_sent_ns) / 1e6}


@contextmanager
def held(platform: rig.Platform, count: int) -> Iterator[None]:
    """Let so many callers wait in another queue."""
    if not count:
        yield
        return
    raise_file_limit()
    with phones(count) as ears:
        crowd = Crowd(platform.serve.sip, ears)
        try:
            crowd.call(OTHERS, range(count), DIAL_RATE)
            if len(crowd.held) < count:
                raise SystemExit(f"only {len(crowd.held)} of {count} callers are held")
            yield
        finally:
            crowd.close()


def measure(count: int, behind: int) -> dict[str, Any]:
    """Return the figures of so many hand-offs."""
    gaps = random.Random(2)
    with rig.platform(DOCUMENTS) as (platform, tenant):
        platform.number(CALLERS, f"{tenant}/caller")
        platform.number(AGENTS, f"{tenant}/agent")
        platform.number(OTHERS, f"{tenant}/other")
        with held(platform, behind):
            parties = Phones(platform.serve.sip)
            try:
                callers = [parties.call(CALLERS, 0x11) for _ in range(count)]
                parties.until(lambda: all(caller.packets > 50 for caller in callers), "music for every caller")
                taken = []
                for number in range(count):
                    taken.append(hand_off(parties, callers, 0x20 + number % 64))
                    parties.passes(0.05 + 0.05 * gaps.random())  # else the agents would keep the step of the first one
            finally:
                parties.close()
    return {"bench": "handoff", "callers": count, "held": behind, **{name: spread([one[name] for one in taken]) for name in taken[0]}}


def spread(values: list[float]) -> dict[str, float]:
    """Return what of the values goes into a table."""
    ordered = sorted(values)
    shares = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    return {name: round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2) for name, share in shares.items()}


def figure(found: dict[str, Any]) -> Figure:
    """The line of the common table."""
    times = found["from_200_ms"]
    return Figure(
        name="dequeue to audio: the agent's 200 to the caller hearing the agent",
        goal=f"p50 ≤ {GOAL_P50_MS:g}, p99 ≤ {GOAL_P99_MS:g} ms",
        measured=f"p50 {times['p50']:.1f}, p99 {times['p99']:.1f}, max {times['max']:.1f} ms",
        met=times["p50"] <= GOAL_P50_MS and times["p99"] <= GOAL_P99_MS,
        method=f"{found['callers'] + found['held']:,} callers held, {found['callers']} agents one after the other; kernel time stamps",
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--callers", type=int, default=40, help="who wait, and agents who take them")
    parser.add_argument("--held", type=int, default=0, help="who wait in another queue")
    options = parser.parse_args()
    try:
        found = measure(options.callers, options.held)
    except Missing as why:
        tell("handoff", [missing("dequeue to audio", f"p50 ≤ {GOAL_P50_MS:g}, p99 ≤ {GOAL_P99_MS:g} ms", str(why))])
        return 0
    print(f"{'ms':<28}{'p50':>8}{'p99':>8}{'max':>8}")
    for name, since in (("from_200_ms", "since the agent's 200"), ("from_rtp_ms", "since the agent's first RTP")):
        print(f"{since:<28}" + "".join(f"{found[name][share]:>8.2f}" for share in ("p50", "p99", "max")))
    tell(found.pop("bench"), [figure(found)], **found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
