"""Many callers at once: their SIP from one socket of this process, their media from ``phones.c``.

``Crowd.call`` lets them call one after the other at a rate, as a phone does (INVITE again after T1 without an answer, ACK, 200 to a BYE),
and their media begins as soon as each is answered. A call that the platform ends meanwhile is counted: nobody may be dropped.
"""

from __future__ import annotations

import re
import select
import socket
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bench.programs import Phones

T1_S = 0.5
ANSWERED_WITHIN_S = 20.0
_STATUS = re.compile(rb"SIP/2\.0 (\d{3})")
_CALL_ID = re.compile(rb"\r\n(?:Call-ID|i):[ \t]*(\S+)", re.IGNORECASE)
_CSEQ = re.compile(rb"\r\nCSeq:[ \t]*(\d+) (\w+)", re.IGNORECASE)
_TO = re.compile(rb"\r\nTo:[ \t]*([^\r]+)", re.IGNORECASE)
_CONTACT = re.compile(rb"\r\nContact:[^<\r]*<([^>]+)>", re.IGNORECASE)
_AUDIO = re.compile(rb"\r\nm=audio (\d+) ")
_ECHOED = re.compile(rb"\r\n((?:Via|From|To|Call-ID|CSeq):[^\r]*)", re.IGNORECASE)
_RETRY_AFTER = re.compile(rb"\r\nRetry-After:[ \t]*\d", re.IGNORECASE)


@dataclass
class Caller:
    """One call."""

    flow: int
    number: str
    media: int
    call_id: str
    sent_at: float = 0.0
    again_s: float = T1_S
    status: int = 0
    """Of the final answer; 0: none yet"""
    heard: bool = False
    """Something came: the INVITE arrived"""
    to: str = ""
    target: str = ""
    over: bool = False


class Crowd:
    """Callers of one platform; their media is that of ``phones``."""

    def __init__(self, server: tuple[str, int], phones: Phones, *, tag: str = "crowd") -> None:
        self._server = server
        self._phones = phones
        self._tag = tag
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(("127.0.0.1", 0))
        self._sock.setblocking(False)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._port = self._sock.getsockname()[1]
        self._begun = 0
        self.callers: dict[str, Caller] = {}
        self.retransmissions = 0
        self.refused: Counter[str] = Counter()

    @property
    def held(self) -> list[Caller]:
        """Calls that are up."""
        return [caller for caller in self.callers.values() if caller.status == 200 and not caller.over]

    @property
    def dropped(self) -> int:
        """Calls that the platform ended."""
        return sum(caller.over for caller in self.callers.values())

    def call(self, number: str, flows: Sequence[int], rate: float) -> float:
        """Let the callers of these flows call; returns how long it took until the last had its final answer, seconds."""
        waiting: list[Caller] = []
        begun = time.monotonic()
        for number_of, flow in enumerate(flows):
            self._turn_until(begun + number_of / rate, waiting)
            waiting.append(self._invite(number, flow))
        deadline = time.monotonic() + ANSWERED_WITHIN_S
        while any(not caller.status for caller in waiting) and time.monotonic() < deadline:
            self._turn_until(time.monotonic() + 0.02, waiting)
        return time.monotonic() - begun

    def serve(self, seconds: float) -> None:
        """Go on for so long: answer what comes."""
        self._turn_until(time.monotonic() + seconds, [])

    def hang_up(self, rate: float = 500.0, callers: Sequence[Caller] | None = None) -> None:
        """End calls, all that are up unless said."""
        begun = time.monotonic()
        for number, caller in enumerate(self.held if callers is None else callers):
            self._turn_until(begun + number / rate, [])
            self._send(caller, "BYE", 2)
            caller.over = True
            del self.callers[caller.call_id]
        self.serve(0.5)

    def close(self) -> None:
        self._sock.close()

    # --- the wire

    def _invite(self, number: str, flow: int) -> Caller:
        self._begun += 1
        caller = Caller(flow, number, self._phones.ports[flow], f"{self._tag}-{self._begun}-{self._port}", time.monotonic())
        self.callers[caller.call_id] = caller
        self._send(caller, "INVITE", 1)
        return caller

    def _turn_until(self, at: float, waiting: list[Caller]) -> None:
        while True:
            left = at - time.monotonic()
            ready, _, _ = select.select([self._sock], [], [], max(0.0, min(left, 0.05)))
            if ready:
                self._read()
            now = time.monotonic()
            self._repeat(waiting, now)
            if now >= at:
                return

    def _repeat(self, waiting: list[Caller], now: float) -> None:
        """Send again what was not answered; callers who were are taken out."""
        while waiting and waiting[0].status:
            waiting.pop(0)
        for caller in waiting:
            if now - caller.sent_at < T1_S:
                return  # they are in the order of their calls
            if not caller.heard and now - caller.sent_at >= caller.again_s:
                caller.again_s *= 2
                self.retransmissions += 1
                self._send(caller, "INVITE", 1)

    def _read(self) -> None:
        answered: list[tuple[int, int]] = []
        for _ in range(256):
            try:
                data = self._sock.recv(4096)
            except BlockingIOError:
                break
            except ConnectionError:  # an ICMP error for an earlier packet
                continue
            if port := self._take(data):
                answered.append(port)
        if answered:
            self._phones.talk(answered)

    def _take(self, data: bytes) -> tuple[int, int] | None:
        found = _CALL_ID.search(data)
        caller = self.callers.get(found[1].decode()) if found else None
        status = _STATUS.match(data)
        if status is None:
            self._answer(data, caller)
        elif caller is not None and (cseq := _CSEQ.search(data)) and cseq[2] == b"INVITE":
            return self._answered(caller, int(status[1]), data)
        return None

    def _answer(self, data: bytes, caller: Caller | None) -> None:
        if data.startswith(b"BYE ") and caller is not None:
            caller.over = True
        if not data.startswith(b"ACK "):
            echoed = b"\r\n".join(_ECHOED.findall(data.partition(b"\r\n\r\n")[0]))
            self._sock.sendto(b"SIP/2.0 200 OK\r\n" + echoed + b"\r\nContent-Length: 0\r\n\r\n", self._server)

    def _answered(self, caller: Caller, status: int, data: bytes) -> tuple[int, int] | None:
        caller.heard = True
        if status < 200:
            return None
        first, caller.status = not caller.status, status
        to = _TO.search(data)
        caller.to = to[1].decode() if to else ""
        if status >= 300:
            self._send(caller, "ACK", 1)
            if first:
                self.refused[f"{status}{' with Retry-After' if _RETRY_AFTER.search(data) else ''}"] += 1
                del self.callers[caller.call_id]
            return None
        contact, audio = _CONTACT.search(data), _AUDIO.search(data)
        caller.target = contact[1].decode() if contact else self._uri(caller)
        self._send(caller, "ACK", 1)
        return (caller.flow, int(audio[1])) if first and audio else None

    def _uri(self, caller: Caller) -> str:
        return f"sip:{caller.number}@{self._server[0]}:{self._server[1]}"

    def _send(self, caller: Caller, method: str, cseq: int) -> None:
        uri = self._uri(caller)
        refused = method == "ACK" and caller.status >= 300  # RFC 3261 section 17.1.1.3: the INVITE's branch and URI
        branch = f"z9hG4bK{caller.call_id}{'INVITE' if refused else method}"
        body = _sdp(caller.media) if method == "INVITE" else ""
        kind = "Content-Type: application/sdp\r\n" if body else ""
        self._sock.sendto(
            f"{method} {uri if refused else caller.target or uri} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP 127.0.0.1:{self._port};rport;branch={branch}\r\nMax-Forwards: 70\r\n"
            f"From: <sip:caller@127.0.0.1:{self._port}>;tag={caller.call_id}\r\nTo: {caller.to or f'<{uri}>'}\r\n"
            f"Call-ID: {caller.call_id}\r\nCSeq: {cseq} {method}\r\nContact: <sip:caller@127.0.0.1:{self._port}>\r\n"
            f"{kind}Content-Length: {len(body)}\r\n\r\n{body}".encode(),
            self._server,
        )


def _sdp(port: int) -> str:
    return (
        "v=0\r\no=- 1000 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        f"m=audio {port} RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"
    )
