"""A small scripted phone on a raw socket, written apart from the product: each message is sent when the test says so.

A thread receives. Requests inside a dialog (BYE, re-INVITE, OPTIONS, INFO, UPDATE) are answered as a phone would, unless ``phone.auto`` is
False; everything else waits in ``received`` until the test asks for it. The phone does not retransmit by itself: ``again`` sends the last
message once more, and that is how the probes for duplicates are written::

    with SipPhone(server=platform.sip) as phone:
        call = phone.invite("+15550100")
        call.answered()                       # waits for the 200, sends ACK
        call.ear.wait_for_tone(440)
        call.hang_up()
"""

from __future__ import annotations

import contextlib
import random
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from harness import sip_message
from harness.audio import Pcm
from harness.rtp_ear import RtpEar
from harness.sip_message import Message, build

WITHIN_S = 5.0
OFFER = "offer"


class SipPhone:
    """One socket, one user; ``transport`` is udp or tcp."""

    def __init__(
        self, *, server: tuple[str, int], user: str = "alice", password: str = "", domain: str = "", transport: str = "udp", seed: int = 1
    ) -> None:
        self.server, self.user, self.password, self.transport = server, user, password, transport
        self.domain = domain or f"{server[0]}:{server[1]}"
        self.random = random.Random(f"{seed} {user}")
        self.auto = True
        self.received: list[Message] = []
        self.calls: dict[str, PhoneCall] = {}
        self._arrived = threading.Condition()
        self._closing = threading.Event()
        self._nonce_count = 0
        self._last = b""
        self._wire = self._connect()
        self.host, self.port = self._wire.getsockname()
        self._listener = threading.Thread(target=self._listen_datagrams if transport == "udp" else self._listen_stream, daemon=True)
        self._listener.start()

    # --- the wire

    def _connect(self) -> socket.socket:
        if self.transport == "tcp":
            wire = socket.create_connection(self.server, timeout=WITHIN_S)
        else:
            wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            wire.bind(("127.0.0.1", 0))
        wire.settimeout(0.2)
        return wire

    def _listen_datagrams(self) -> None:
        while not self._closing.is_set():
            try:
                data = self._wire.recv(65_536)
            except TimeoutError:
                continue
            except ConnectionError:  # nobody listens on the server's port: the test will see that nothing comes
                continue
            if data.strip() and data[0] < 0x80:  # RTP for whoever had this port before us begins with 0x80
                self._take(Message.parse(data))

    def _listen_stream(self) -> None:
        buffer = b""
        while not self._closing.is_set():
            try:
                data = self._wire.recv(65_536)
            except TimeoutError:
                continue
            except ConnectionError:
                return
            if not data:
                return
            buffer = (buffer + data).lstrip(b"\r\n")
            while (end := buffer.find(b"\r\n\r\n")) >= 0:
                length = end + 4 + int(re.search(rb"(?im)^(?:content-length|l)\s*:\s*(\d+)", buffer[:end])[1])  # type: ignore[index]
                if len(buffer) < length:
                    break
                self._take(Message.parse(buffer[:length]))
                buffer = buffer[length:].lstrip(b"\r\n")

    def _take(self, message: Message) -> None:
        call = self.calls.get(message["call-id"])
        if self.auto and not message.status and message.method != "ACK" and call is not None:
            call.react(message)
        with self._arrived:
            self.received.append(message)
            self._arrived.notify_all()

    def send(self, data: bytes) -> None:
        """Put bytes on the wire as they are."""
        self._last = data
        if self.transport == "udp":
            self._wire.sendto(data, self.server)
        else:
            self._wire.sendall(data)

    def again(self) -> None:
        """Send the last message once more: a retransmission."""
        self.send(self._last)

    # --- waiting

    def wait(self, wanted: Callable[[Message], object], *, within_s: float = WITHIN_S, skip: int = 0) -> Message:
        """Return the first message that is wanted, after ``skip`` of them; fails with what came instead."""

        def found() -> list[Message]:
            return [message for message in self.received if wanted(message)][skip : skip + 1]

        with self._arrived:
            self._arrived.wait_for(found, within_s)
            came = [message.start for message in self.received]
            assert found(), f"{self.user} waited {within_s} s; received: {came}"
            return found()[0]

    def count(self, wanted: Callable[[Message], object]) -> int:
        """Return how many such messages have come so far."""
        with self._arrived:
            return sum(1 for message in self.received if wanted(message))

    def silent_for(self, seconds: float, wanted: Callable[[Message], object]) -> bool:
        """Tell whether no more such messages come within that time."""
        before = self.count(wanted)
        with self._arrived:
            return not self._arrived.wait_for(lambda: sum(1 for m in self.received if wanted(m)) > before, seconds)

    # --- making messages

    def branch(self) -> str:
        return f"z9hG4bK{self.random.getrandbits(64):016x}"

    def via(self, branch: str) -> str:
        return f"SIP/2.0/{self.transport.upper()} {self.host}:{self.port};rport;branch={branch}"

    @property
    def contact(self) -> str:
        return f"<sip:{self.user}@{self.host}:{self.port};transport={self.transport}>"

    def request(self, method: str, uri: str, *, to: str = "", headers: list[tuple[str, str]] | None = None, body: str = "") -> Message:
        """Send a request outside any dialog, answering one challenge if there is a password; return the final response."""
        call_id, tag, target = f"{self.random.getrandbits(64):x}@{self.host}", f"{self.random.getrandbits(32):x}", to or uri

        def attempt(cseq: int, given: list[tuple[str, str]]) -> Message:
            common = [
                ("Via", self.via(self.branch())),
                ("Max-Forwards", "70"),
                ("From", f"<sip:{self.user}@{self.domain}>;tag={tag}"),
                ("To", f"<{target}>"),
                ("Call-ID", call_id),
                ("CSeq", f"{cseq} {method}"),
            ]
            self.send(build(f"{method} {uri} SIP/2.0", [*common, *(headers or []), *given], body))
            return self.wait(lambda m: m.status >= 200 and m["call-id"] == call_id and m.cseq == cseq)

        response = attempt(1, [])
        if response.status in (401, 407) and self.password:
            response = attempt(2, [self.credentials(response, method, uri)])
        return response

    def credentials(self, response: Message, method: str, uri: str, *, algorithm: str = "MD5", qop: bool = True) -> tuple[str, str]:
        """Return the header that answers a 401 or 407, for the challenge with that algorithm."""
        name, answer = ("www-authenticate", "Authorization") if response.status == 401 else ("proxy-authenticate", "Proxy-Authorization")
        challenges = [sip_message.challenge(value) for key, value in response.headers if key == name]
        given = next(c for c in challenges if c.get("algorithm", "MD5").upper() == algorithm.upper())
        self._nonce_count += 1
        cnonce = f"{self.random.getrandbits(64):016x}"
        return answer, sip_message.authorization(
            given, method=method, uri=uri, username=self.user, password=self.password, cnonce=cnonce, nc=self._nonce_count, qop=qop
        )

    def register(self, *, expires: int = 60, contact: str | None = None) -> Message:
        """Register at the server's domain; returns the final response."""
        uri, user = f"sip:{self.domain}", f"sip:{self.user}@{self.domain}"
        headers = [("Contact", self.contact if contact is None else contact), ("Expires", str(expires))]
        return self.request("REGISTER", uri, to=user, headers=headers)

    def options(self, user: str = "") -> Message:
        """Ask the server (or what it calls that user) whether it is there."""
        return self.request("OPTIONS", f"sip:{user}@{self.domain}" if user else f"sip:{self.domain}", headers=[("Contact", self.contact)])

    def invite(
        self, number: str, *, body: str = OFFER, headers: list[tuple[str, str]] | None = None, codecs: str = "0 8", extra: str = ""
    ) -> PhoneCall:
        """Send an INVITE for ``number`` (or a whole ``sip:`` URI); ``body`` empty: without an offer. Waits for nothing."""
        uri = number if number.startswith("sip:") else f"sip:{number}@{self.domain}"
        call = PhoneCall(
            phone=self, uri=uri, ear=RtpEar(seed=self.random.getrandbits(32)), codecs=codecs, extra=extra, headers=headers or []
        )
        self.calls[call.call_id] = call
        call.invite(call.offer() if body == OFFER else body)
        return call

    # --- the end

    def close(self) -> None:
        """Stop listening; calls that are up are hung up first."""
        for call in self.calls.values():
            call.close()
        self._closing.set()
        self._wake()
        self._listener.join(2)
        self._wire.close()

    def lose_connection(self) -> None:
        """End the TCP connection without a word; calls stay up."""
        self._wire.shutdown(socket.SHUT_RDWR)
        self._listener.join(2)

    def _wake(self) -> None:
        """End the wait of the thread that listens."""
        if self.transport == "udp":
            self._wire.sendto(b"", (self.host, self.port))
            return
        with contextlib.suppress(OSError):  # the server has closed it already
            self._wire.shutdown(socket.SHUT_RD)

    def __enter__(self) -> SipPhone:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass
class PhoneCall:
    """A call this phone made."""

    phone: SipPhone
    uri: str
    ear: RtpEar
    codecs: str
    extra: str
    headers: list[tuple[str, str]]
    call_id: str = ""
    tag: str = ""
    cseq: int = 0
    target: str = ""
    to: str = ""
    routes: list[str] = field(default_factory=list)
    version: int = 0
    direction: str = "sendrecv"
    branches: dict[int, str] = field(default_factory=dict)
    up: bool = False
    remote_rtp: tuple[str, int] = ("", 0)
    invite_headers: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.call_id = f"{self.phone.random.getrandbits(64):x}@{self.phone.host}"
        self.tag = f"{self.phone.random.getrandbits(32):x}"
        self.target, self.to = self.uri, f"<{self.uri}>"

    # --- offers and requests

    def offer(self, direction: str | None = None) -> str:
        """Return our session description, its version one up."""
        self.version += 1
        self.direction = direction or self.direction
        return sip_message.sdp(
            self.ear.host, self.ear.port, codecs=self.codecs, direction=self.direction, version=self.version, extra=self.extra
        )

    def send(self, method: str, *, cseq: int = 0, branch: str = "", headers: list[tuple[str, str]] | None = None, body: str = "") -> int:
        """Send a request in this call; returns its CSeq."""
        number = cseq or self.cseq + 1
        self.cseq = max(self.cseq, number)
        branch = branch or self.phone.branch()
        self.branches[number] = branch
        common = [
            ("Via", self.phone.via(branch)),
            ("Max-Forwards", "70"),
            *(("Route", route) for route in self.routes),
            ("From", f"<sip:{self.phone.user}@{self.phone.domain}>;tag={self.tag}"),
            ("To", self.to),
            ("Call-ID", self.call_id),
            ("CSeq", f"{number} {method}"),
        ]
        if method in ("INVITE", "OPTIONS", "UPDATE"):
            common.append(("Contact", self.phone.contact))
        self.phone.send(build(f"{method} {self.target} SIP/2.0", [*common, *(headers or [])], body))
        return number

    def invite(self, body: str) -> int:
        """Send the INVITE (again, after a challenge)."""
        return self.send("INVITE", headers=[*self.headers, *self.invite_headers], body=body)

    def final(self, cseq: int = 0, *, within_s: float = WITHIN_S) -> Message:
        """Wait for the final response to the request of that CSeq (default: the newest). A CANCEL shares its INVITE's: not meant."""
        number = cseq or self.cseq

        def wanted(m: Message) -> bool:
            return m.status >= 200 and m["call-id"] == self.call_id and m.cseq == number and m.method != "CANCEL"

        return self.phone.wait(wanted, within_s=within_s)

    def provisional(self, status: int, *, within_s: float = WITHIN_S) -> Message:
        """Wait for that provisional response."""
        return self.phone.wait(lambda m: m.status == status and m["call-id"] == self.call_id, within_s=within_s)

    # --- the course of a call

    def answered(self, *, within_s: float = WITHIN_S, ack: bool = True) -> Message:
        """Wait for the 200 (answering one challenge if the phone has a password), take the dialog from it, send ACK."""
        response = self.final(within_s=within_s)
        if response.status in (401, 407) and self.phone.password:
            self.ack(response)
            self.invite_headers = [self.phone.credentials(response, "INVITE", self.uri)]
            self.invite(self.offer())
            response = self.final(within_s=within_s)
        assert response.status == 200, response.start
        self.take_dialog(response)
        if ack:
            self.ack(response)
        return response

    def refused(self, *, within_s: float = WITHIN_S) -> Message:
        """Wait for a final response that is not a 200, and acknowledge it."""
        response = self.final(within_s=within_s)
        assert response.status >= 300, response.start
        self.ack(response)
        return response

    def take_dialog(self, response: Message) -> None:
        """Remember the peer's tag, target and route (RFC 3261 §12.1.2)."""
        self.to, self.target, self.up = response["to"], response.contact_uri, True
        self.routes = list(reversed(response.all("record-route")))
        if response.body:
            self.remote_rtp = response.rtp

    def ack(self, response: Message, *, body: str = "") -> None:
        """Acknowledge: a 200 by a request of its own, anything else on the INVITE's branch (RFC 3261 §17.1.1.3)."""
        if response.status < 300:
            self.send("ACK", cseq=response.cseq, body=body)
            return
        to, self.to = self.to, response["to"]
        self.send("ACK", cseq=response.cseq, branch=self.branches[response.cseq])
        self.to = to

    def cancel(self) -> Message:
        """Cancel the INVITE; returns the response to the CANCEL. The 487 is then waited for with ``refused``."""
        number = self.cseq
        self.send("CANCEL", cseq=number, branch=self.branches[number])
        return self.phone.wait(lambda m: m.status >= 200 and m["call-id"] == self.call_id and m.method == "CANCEL")

    def reinvite(self, direction: str = "sendrecv", *, body: str = OFFER) -> Message:
        """Offer again, with that direction, and acknowledge; returns the final response."""
        response = self.final(self.send("INVITE", body=self.offer(direction) if body == OFFER else body))
        if response.status == 200 and response.body:
            self.remote_rtp = response.rtp
        self.ack(response, body=self.offer() if not body else "")
        return response

    def hang_up(self) -> Message:
        """Send BYE and say no more; returns its final response."""
        self.up = False
        self.ear.fall_silent()
        return self.final(self.send("BYE"))

    def info_digit(self, digit: str) -> Message:
        """Send a digit as SIP INFO, the form most gateways use."""
        headers = [("Content-Type", "application/dtmf-relay")]
        return self.final(self.send("INFO", headers=headers, body=f"Signal={digit}\r\nDuration=160\r\n"))

    def press(self, digits: str, *, marker: bool = True) -> None:
        """Send digits as RFC 4733."""
        self.ear.press(self.remote_rtp, digits, marker=marker)

    def talk(self, pcm: Pcm, *, codec: str = "PCMU", loop: bool = False) -> None:
        """Speak to the peer."""
        self.ear.talk(self.remote_rtp, pcm, codec=codec, loop=loop)

    def hung_up(self, *, within_s: float = WITHIN_S) -> Message:
        """Wait until the peer has hung up; returns its BYE."""
        return self.phone.wait(lambda m: m.method == "BYE" and not m.status and m["call-id"] == self.call_id, within_s=within_s)

    def respond(self, request: Message, status: int = 200, reason: str = "OK", *, body: str = "") -> None:
        """Answer a request of the peer."""
        copied = [
            (name.title(), value) for name, value in request.headers if name in ("via", "record-route", "from", "to", "call-id", "cseq")
        ]
        contact = [("Contact", self.phone.contact)] if request.method == "INVITE" else []
        self.phone.send(build(f"SIP/2.0 {status} {reason}", [*copied, *contact], body))

    def react(self, request: Message) -> None:
        """Answer as a phone would."""
        if request.method == "BYE":
            self.up = False
            self.ear.fall_silent()  # the port may be another call's by now, which would take our voice for its peer's
        if request.method in ("INVITE", "UPDATE"):
            if request.body:
                self.remote_rtp = request.rtp
            self.respond(request, body=self.offer())
        else:
            self.respond(request)

    def close(self) -> None:
        """Hang up if the call is up, without waiting, and stop the ear."""
        if self.up:
            self.up = False
            self.send("BYE")
        self.ear.close()
