"""The phones: all calls of a run in one process of its own, no part of the product, each with a UDP socket for SIP and one for RTP.

One epoll reads everything; the kernel stamps the arrivals, so that this process being late is in no figure. A phone retransmits as RFC 3261
says (INVITE, BYE, ACK to a repeated 200), answers what comes in a dialog, and otherwise does as it is told, one JSON object a line on
standard input::

    {"do": "call", "name": "w17", "number": "+15550100", "talks": false, "hang_up_after_heard_s": 1.0, "patience_s": 3}
    {"do": "press", "name": "g3", "digits": "12"}        RFC 4733, one key after the other
    {"do": "hang_up", "name": "w17"}
    {"do": "listen"}                                     prints where a plain sender is to send (``references`` flows)
    {"do": "probe"}                                      OPTIONS in every dialog that should live
    {"do": "report"}                                     prints everything that is known of every call
    {"do": "end"}

It prints ``{"event": "answered" | "refused" | "ended" | "met", "name": …, "at": …}`` as that happens (``ended``: the platform hung up;
``met``: the first packet of another phone). Times are seconds of the day.

Whom one hears is in the payload: a phone that talks says its own number 40 times in each packet, which no music does, and which a bridge
hands on as it is. A caller talks as soon as somebody talks to it.
"""

from __future__ import annotations

import heapq
import json
import random
import selectors
import socket
import struct
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import numpy as np
from harness.audio import decode
from harness.sip_message import Message, build, sdp

SO_TIMESTAMPNS = 35
T1_S, T2_S, GIVE_UP_S = 0.5, 4.0, 32.0
TICK_S = 0.02
NOTED_GAP_S = 0.05
"""Gaps in a flow that are longer are reported one by one."""
KEPT_PACKETS = 50
MARK = b"WL"
KEY_PACKETS, KEY_PAUSE_S = 5, 0.08
REFERENCES = 20
MUX = "a=rtcp-mux\r\n"


def bound(*, stamped: bool) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    sock.bind(("127.0.0.1", 0))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    if stamped:
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    return sock


class Flow:
    """Arrivals at one socket: the gaps between packets, the last sound, and who was heard."""

    def __init__(self, sock: socket.socket, on_mark: Callable[[int, float], None] = lambda _mark, _at: None) -> None:
        self.sock = sock
        self.first = self.last = 0.0
        self.packets = 0
        self.gaps: list[tuple[float, float]] = []
        """Of each noted gap: its end, how long it was"""
        self.deviations: Counter[int] = Counter()
        """How far from 20 ms each packet came after the one before, in halves of a millisecond"""
        self.sound: deque[bytes] = deque(maxlen=KEPT_PACKETS)
        self._on_mark = on_mark

    def read(self) -> None:
        while True:
            try:
                data, ancillary, _, _ = self.sock.recvmsg(2048, 64)
            except BlockingIOError:
                return
            except ConnectionError:  # an ICMP error for an earlier packet
                continue
            if len(data) == 172 and not data[1] & 0x60:  # neither RTCP nor a digit
                seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
                self._take(data[12:], seconds + nanoseconds / 1e9)

    def _take(self, payload: bytes, at: float) -> None:
        if self.packets:
            self.deviations[int(abs(at - self.last - TICK_S) * 2000)] += 1
            if at - self.last > NOTED_GAP_S:
                self.gaps.append((at, at - self.last))
        self.first = self.first or at
        self.last = at
        self.packets += 1
        if payload[:2] == MARK and payload[:4] == payload[4:8]:
            self._on_mark(struct.unpack_from("!H", payload, 2)[0], at)
        else:
            self.sound.append(payload)

    def tone(self) -> float:
        """Return the frequency that is strongest in the last second of what was no phone's voice, Hz; 0 where too little came."""
        if len(self.sound) < KEPT_PACKETS:
            return 0.0
        spectrum = np.abs(np.fft.rfft(decode(b"".join(self.sound)).astype(np.float64)))
        return float(np.argmax(spectrum)) * 8000 / (KEPT_PACKETS * 160)


class Call:
    """One call that a phone makes."""

    def __init__(self, phones: Phones, number: int, order: dict[str, Any]) -> None:
        self._phones = phones
        self.name, self.order = str(order["name"]), order
        self._sip, rtp = bound(stamped=False), bound(stamped=True)
        self._port = self._sip.getsockname()[1]
        self.flow = Flow(rtp, self._heard_mark)
        seed = phones.random
        self.call_id, self._tag, self._ssrc = f"{seed.getrandbits(64):x}", f"{seed.getrandbits(32):x}", seed.getrandbits(32)
        self._uri = f"sip:{order['number']}@{phones.server[0]}:{phones.server[1]}"
        self._to, self._target = f"<{self._uri}>", self._uri
        self._cseq, self._sequence, self._stamp = 0, seed.getrandbits(15), seed.getrandbits(31)
        self._voice = (MARK + struct.pack("!H", number)) * 40
        self._awaiting: dict[tuple[int, str], bytes] = {}
        self._peer: tuple[str, int] | None = None
        self._keys: deque[str] = deque()
        self._pressing = False
        self._talks = bool(order.get("talks"))
        self.heard: dict[int, float] = {}
        self.number = number
        self.invited_at = self.answered_at = self.ended_at = self.hung_up_at = 0.0
        self.refused = self.probed = 0
        self.responses_to_bye = 0
        self.repeated = 0
        phones.watch(self._sip, self._read_sip)
        phones.watch(rtp, self.flow.read)

    @property
    def up(self) -> bool:
        return bool(self.answered_at and not self.ended_at and not self.hung_up_at)

    # --- SIP out

    def invite(self) -> None:
        self.invited_at = time.time()
        self._request("INVITE", sdp("127.0.0.1", self.flow.sock.getsockname()[1], codecs="0", extra=MUX))

    def hang_up(self) -> None:
        if self.up:
            self.hung_up_at = time.time()
            self._request("BYE")

    def _lose_patience(self) -> None:
        if not self.heard:
            self.hang_up()

    def probe(self) -> None:
        if self.up:
            self._request("OPTIONS")

    def _request(self, method: str, body: str = "") -> None:
        self._cseq += 1
        self._repeat(self._message(method, self._cseq, body), (self._cseq, method), T1_S, time.monotonic() + GIVE_UP_S)

    def _message(self, method: str, cseq: int, body: str = "") -> bytes:
        here = f"127.0.0.1:{self._port}"
        headers = [
            ("Via", f"SIP/2.0/UDP {here};rport;branch=z9hG4bK{self.call_id}{cseq}{method}"),
            ("Max-Forwards", "70"),
            ("From", f"<sip:{self.name}@{here}>;tag={self._tag}"),
            ("To", self._to),
            ("Call-ID", self.call_id),
            ("CSeq", f"{cseq} {method}"),
            ("Contact", f"<sip:{self.name}@{here}>"),
        ]
        return build(f"{method} {self._target} SIP/2.0", headers, body)

    def _repeat(self, data: bytes, key: tuple[int, str], pause_s: float, until: float) -> None:
        """Send until there is a response; INVITE doubles its pause, all others up to T2 (RFC 3261 §17.1)."""
        if key in self._awaiting:
            self.repeated += 1
        self._awaiting[key] = data
        self._send(data)
        self._phones.at(time.monotonic() + pause_s, lambda: self._again(key, pause_s, until))

    def _again(self, key: tuple[int, str], pause_s: float, until: float) -> None:
        if key not in self._awaiting:
            return
        if time.monotonic() < until:
            longer = pause_s * 2 if key[1] == "INVITE" else min(T2_S, pause_s * 2)
            self._repeat(self._awaiting[key], key, longer, until)
        else:
            self._final(key, 408)

    def _send(self, data: bytes) -> None:
        self._sip.sendto(data, self._phones.server)

    # --- SIP in

    def _read_sip(self) -> None:
        while True:
            try:
                data = self._sip.recv(65_536)
            except BlockingIOError:
                return
            except ConnectionError:
                continue
            if data[:1] >= b"\x80":  # media for whoever had this port before us
                continue
            message = Message.parse(data)
            if message["call-id"] == self.call_id:
                self._response(message) if message.status else self._answer(message)

    def _response(self, message: Message) -> None:
        key = (message.cseq, message.method)
        if message.method == "INVITE" and message.status == 200:
            if not self.answered_at:
                self.answered_at = time.time()
                self._to, self._target, self._peer = message["to"], message.contact_uri, message.rtp
                self._awaiting.pop(key, None)
                self._phones.say("answered", self, self.answered_at)
                if (patience_s := self.order.get("patience_s")) is not None:
                    self._phones.at(time.monotonic() + patience_s, self._lose_patience)
                if self._talks:
                    self._talk()
                else:
                    self._say_something()
            self._send(self._message("ACK", message.cseq))
        elif message.status >= 200:
            if message.method == "INVITE":
                to, self._to = self._to, message["to"]
                self._send(self._message("ACK", message.cseq).replace(b"%dACK\r\n" % message.cseq, b"%dINVITE\r\n" % message.cseq, 1))
                self._to = to
            self._final(key, message.status)
        elif message.method == "INVITE":  # provisional: no more repeats, and no end of patience here
            self._awaiting.pop(key, None)

    def _final(self, key: tuple[int, str], status: int) -> None:
        if self._awaiting.pop(key, None) is None and key[1] != "INVITE":
            return
        if key[1] == "INVITE" and not self.answered_at and not self.refused:
            self.refused = status
            self._phones.say("refused", self, time.time())
        elif key[1] == "BYE":
            self.responses_to_bye = status
        elif key[1] == "OPTIONS":
            self.probed = status

    def _answer(self, request: Message) -> None:
        if request.method == "ACK":
            return
        if request.method == "BYE" and not self.ended_at:
            self.ended_at = time.time()
            self._phones.say("ended", self, self.ended_at)
        echoed = [
            (name.title(), value) for name, value in request.headers if name in ("via", "from", "to", "call-id", "cseq", "record-route")
        ]
        body = ""
        if request.method in ("INVITE", "UPDATE"):
            echoed.append(("Contact", f"<sip:{self.name}@127.0.0.1:{self._port}>"))
            body = sdp("127.0.0.1", self.flow.sock.getsockname()[1], codecs="0", version=2, extra=MUX)
            self._peer = request.rtp if request.body else self._peer
        self._send(build("SIP/2.0 200 OK", echoed, body))

    # --- RTP

    def _heard_mark(self, mark: int, at: float) -> None:
        if mark in self.heard:
            return
        self.heard[mark] = at
        self._phones.say("met", self, at)
        if not self._talks:
            self._talks = True
            self._talk()
        if (after_s := self.order.get("hang_up_after_heard_s")) is not None:
            self._phones.at(time.monotonic() + after_s, self.hang_up)

    def _talk(self) -> None:
        self._phones.at(time.monotonic(), lambda: self._talk_at(time.monotonic()))

    def _talk_at(self, due: float) -> None:
        if not self.up:
            return
        self._packet(0, self._voice)
        self._phones.at(due + TICK_S, lambda: self._talk_at(due + TICK_S))

    def _say_something(self) -> None:
        """One packet of silence, as a phone's first; who waits listens, and this process has many of them."""
        self._packet(0, b"\xff" * 160)

    def _packet(self, payload_type: int, payload: bytes, *, step: int = 160) -> None:
        if self._peer is None:
            return
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._stamp = (self._stamp + step) & 0xFFFFFFFF
        self.flow.sock.sendto(struct.pack("!BBHII", 0x80, payload_type, self._sequence, self._stamp, self._ssrc) + payload, self._peer)

    def press(self, digits: str) -> None:
        self._keys.extend(digits)
        if not self._pressing:
            self._next_key()

    def _next_key(self) -> None:
        self._pressing = bool(self._keys and self.up)  # and during the pause after a key: two at once would be one of them twice
        if self._pressing:
            self._key("0123456789*#".index(self._keys[0]), 0)

    def _key(self, event: int, count: int) -> None:
        """A packet each 20 ms, the last three with the end bit (RFC 4733 §2.5.1)."""
        ends = count >= KEY_PACKETS
        length = min(count + 1, KEY_PACKETS) * 160
        first = 0 if count else 0x80  # the marker
        self._packet(101 | first, struct.pack("!BBH", event, (0x80 if ends else 0) | 10, length), step=0 if count else 800)
        if count < KEY_PACKETS + 2:
            self._phones.at(time.monotonic() + TICK_S, lambda: self._key(event, count + 1))
        else:
            self._keys.popleft()
            self._phones.at(time.monotonic() + KEY_PAUSE_S, self._next_key)

    # --- the end

    def report(self) -> dict[str, Any]:
        names = (
            "name",
            "number",
            "invited_at",
            "answered_at",
            "ended_at",
            "hung_up_at",
            "refused",
            "probed",
            "responses_to_bye",
            "repeated",
        )
        found: dict[str, Any] = {name: getattr(self, name) for name in names}
        return found | {
            "heard": [[mark, at] for mark, at in self.heard.items()],
            "first_packet_at": self.flow.first,
            "last_packet_at": self.flow.last,
            "gaps": self.flow.gaps,
            "deviations": list(self.flow.deviations.items()),
            "tone": self.flow.tone() if self.up else 0.0,
        }


class Phones:
    """All calls, and the loop they live in."""

    def __init__(self, server: tuple[str, int], seed: int) -> None:
        self.server = server
        self.random = random.Random(seed)
        self._calls: dict[str, Call] = {}
        self._references: list[Flow] = []
        self._selector = selectors.DefaultSelector()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._orders = b""
        self._ending = False

    def watch(self, sock: socket.socket, read: Callable[[], None]) -> None:
        self._selector.register(sock, selectors.EVENT_READ, read)

    def at(self, when: float, then: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._due, (when, self._count, then))

    def say(self, event: str, call: Call, at: float) -> None:
        print(json.dumps({"event": event, "name": call.name, "at": at}), flush=True)

    def run(self) -> None:
        sys.stdin = sys.stdin.detach().detach()  # type: ignore[union-attr]
        self._selector.register(sys.stdin, selectors.EVENT_READ, self._read_orders)
        while not self._ending:
            now = time.monotonic()
            while self._due and self._due[0][0] <= now:
                heapq.heappop(self._due)[2]()
            pause_s = max(0.0, self._due[0][0] - time.monotonic()) if self._due else None
            for key, _ in self._selector.select(pause_s):
                key.data()

    def _read_orders(self) -> None:
        data = sys.stdin.read(65_536)
        if not data:
            self._ending = True
        *lines, self._orders = (self._orders + data).split(b"\n")  # type: ignore[operator]
        for line in lines:
            self._obey(json.loads(line))

    def _obey(self, order: dict[str, Any]) -> None:
        match order["do"]:
            case "call":
                call = self._calls[order["name"]] = Call(self, len(self._calls) + 1, order)
                call.invite()
            case "press":
                self._calls[order["name"]].press(order["digits"])
            case "hang_up":
                self._calls[order["name"]].hang_up()
            case "probe":
                for call in self._calls.values():
                    call.probe()
            case "listen":
                self._listen()
            case "report":
                calls = [call.report() for call in self._calls.values()]
                references = [
                    {"gaps": flow.gaps, "packets": flow.packets, "deviations": list(flow.deviations.items())} for flow in self._references
                ]
                print(json.dumps({"event": "report", "calls": calls, "references": references}), flush=True)
            case "end":
                self._ending = True

    def _listen(self) -> None:
        self._references = [Flow(bound(stamped=True)) for _ in range(REFERENCES)]
        for flow in self._references:
            self.watch(flow.sock, flow.read)
        print(json.dumps({"event": "listening", "ports": [flow.sock.getsockname()[1] for flow in self._references]}), flush=True)


def main() -> None:
    host, port, seed = sys.argv[1:]
    Phones((host, int(port)), int(seed)).run()


if __name__ == "__main__":
    main()
