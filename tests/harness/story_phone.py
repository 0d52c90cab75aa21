"""A story's phone: SIP and RTP over wires in memory, written apart from the product, one call at a time.

What it sends it sends at once and does not repeat, unless ``repeats`` says so; what the platform sends it answers as a phone would, unless
``answers`` says otherwise. Waiting is in virtual time and always has a deadline::

    await caller.calls("+15550100")
    await caller.hears(400, within=2)
    caller.presses("5")
    caller.hangs_up()
"""

from __future__ import annotations

import asyncio
import base64
import random
import struct
from collections.abc import Callable
from typing import Protocol

from harness.audio import encode, tone
from harness.sip_message import Message, build, sdp
from harness.srtp_peer import KEY_BYTES, SALT_BYTES, Direction
from harness.story_ear import FRAME_S, Ear, Frame, Heard, Sound

Address = tuple[str, int]
KEYS = "0123456789*#ABCD"
T1, T2, TIMES = 0.5, 4.0, 6
"""How requests are repeated, seconds (RFC 3261 §17.1)"""


class Wires(Protocol):
    """What a phone needs of its story."""

    @property
    def platform(self) -> Address: ...
    def now(self) -> float: ...
    def send_sip(self, data: bytes, source: Address) -> None: ...
    def listen(self, phone: Phone) -> None: ...
    def send_rtp(self, packet: bytes, source: Address, to: Address) -> None: ...


class Phone:
    """See the module; made by ``Story.phone``."""

    def __init__(self, story: Wires, name: str, number: str, host: str, ear: Ear) -> None:
        self.name, self.number, self.host = name, number, host
        self.ear = ear
        self.ear.on_frame = self._on_frame
        self.address: Address = (host, 5060)
        self.rtp: Address = (host, 40000)
        self.received: list[tuple[float, Message]] = []
        self.answers: Callable[[Message], bool] = lambda _request: True
        """Which requests of the platform it answers by itself."""
        self.acknowledges = True
        self.repeats = False
        """Whether a request is sent again until it is answered, as SIP over UDP wants it."""
        self.doubles_packets = False
        """Whether each packet of a key arrives twice."""
        self.loses_packets: Callable[[int], bool] = lambda _number: False
        """Which of a key's five packets (0..4, the last three its end) get lost."""
        self.codecs = "0 8"
        self.transport = "udp"
        self.profile = "RTP/AVP"
        self.suite = ""
        """How it encrypts, by RFC 4568's name; empty: not at all"""
        self.key = b""
        self.hears_by: Direction | None = None
        self.says_by: Direction | None = None
        self.crypto: list[str] = []
        """What the platform's newest description said of keys"""
        self._their_key = ""
        self._story = story
        self._random = random.Random(name)
        self._waiting: list[tuple[Callable[[], bool], asyncio.Event]] = []
        self._fresh_call()
        self._ssrc = self._random.getrandbits(32)
        self._sequence = self._rollovers = 0
        self._timestamp = 0
        self._talking: list[bytes] = []
        self._talk_timer: asyncio.TimerHandle | None = None

    def _fresh_call(self) -> None:
        self.call_id = f"{self._random.getrandbits(64):x}@{self.host}"
        self.tag = f"{self._random.getrandbits(32):x}"
        self.cseq = 0
        self.version = 0
        self.direction = "sendrecv"
        self.sdp_host = self.host
        self.is_up = False
        self._offered = True
        self.target = self.to = ""
        self.media: Address = ("", 0)
        self._branches: dict[int, str] = {}
        self._acks: dict[int, bytes] = {}
        self.since = self._story.now()
        """When the newest call began."""

    # --- calling

    async def calls(self, number: str, *, within: float = 20.0) -> None:
        """Dial, and wait for the answer."""
        self.dials(number)
        await self.is_answered(within=within)

    def dials(self, number: str, *, offer: bool = True, headers: tuple[tuple[str, str], ...] = ()) -> None:
        """Send the INVITE and wait for nothing; without an offer, the answer goes out with the ACK."""
        self._fresh_call()
        self._offered = offer
        host, port = self._story.platform
        self.target = number if number.startswith("sip:") else f"sip:{number}@{host}:{port}"
        self.to = f"<{self.target}>"
        self.send("INVITE", body=self.offer() if offer else "", headers=headers)

    async def is_answered(self, *, within: float = 20.0) -> Message:
        response = await self.gets(lambda m: m.status >= 200 and m.method == "INVITE", within=within)
        assert response.status == 200, response.start
        return response

    async def is_refused(self, *, within: float = 20.0) -> int:
        """Wait for a final response other than 200; returns its status."""
        response = await self.gets(lambda m: m.status >= 200 and m.method == "INVITE", within=within)
        assert response.status >= 300, response.start
        return response.status

    def hangs_up(self) -> None:
        self.is_up = False
        self.stops_talking()
        self.send("BYE")

    def cancels(self) -> None:
        self.send("CANCEL", cseq=self.cseq, branch=self._branches[self.cseq])

    async def is_hung_up_on(self, *, within: float = 10.0) -> Message:
        """Wait for the platform's BYE."""
        return await self.gets(lambda m: not m.status and m.method == "BYE", within=within)

    async def holds(self, direction: str = "sendonly", *, host: str = "", within: float = 5.0) -> Message:
        """Re-INVITE with that direction (``host`` 0.0.0.0: the old way); returns the 200."""
        self.direction, self.sdp_host = direction, host or self.host
        return await self._reinvites(within)

    async def moves_to_port(self, port: int, *, within: float = 5.0) -> Message:
        """Re-INVITE: sound is to go to another port of this phone's."""
        self.rtp = (self.host, port)
        self._story.listen(self)
        return await self._reinvites(within)

    async def resumes(self, *, within: float = 5.0) -> Message:
        return await self.holds("sendrecv", within=within)

    async def _reinvites(self, within: float) -> Message:
        response = await self.offers(self.offer(), within=within)
        assert response.status == 200, response.start
        return response

    async def offers(self, body: str, *, within: float = 5.0) -> Message:
        """Re-INVITE with that description, or, where it is empty, for one of the platform's; returns the final response."""
        self._offered = bool(body)
        number = self.send("INVITE", body=body)
        return await self.gets(lambda m: m.status >= 200 and m.cseq == number and m.method == "INVITE", within=within)

    # --- hearing

    async def hears(self, sound: Sound, *, within: float = 5.0, for_s: float = 0.1, since: float | None = None) -> float:
        """Wait until a sound, not heard before this moment for as long as ``for_s``, is heard; returns when it began.

        ``since``: an earlier moment; what was heard since then counts too.
        """
        begun = self._story.now()
        if since is not None and (run := next((run for run in self.heard(since).runs if run.sound == sound), None)) and run.seconds > for_s:
            return run.since

        def hears_it() -> bool:
            run = self.ear.run
            return run.sound == sound and run.seconds >= for_s - 1e-6 and run.since + run.seconds > begun + for_s

        await self._until(hears_it, within, lambda: f"hear {sound}; heard: {self.heard(begun)}")
        return self.ear.run.since

    def heard(self, since: float | None = None, until: float | None = None) -> Heard:
        """What was heard in that time; default from the call's beginning to now."""
        return self.ear.heard(self.since if since is None else since, self._story.now() if until is None else until)

    def heard_between(self, since: float, until: float) -> Heard:
        return self.heard(since, until)

    @property
    def hears_now(self) -> Sound:
        """The sound of the newest frame."""
        return self.ear.frames[-1].sound if self.ear.frames else "nothing"

    def _on_frame(self, _frame: Frame) -> None:
        self._look()

    # --- speaking

    async def presses_by_info(self, key: str) -> int:
        """Send a key as SIP INFO; returns the answer's status."""
        body = f"Signal={key}\r\nDuration=160\r\n"
        number = self.send("INFO", body=body, headers=(("Content-Type", "application/dtmf-relay"),))
        return (await self.gets(lambda m: m.status >= 200 and m.cseq == number)).status

    def presses(self, keys: str, *, gap_s: float = 0.1) -> None:
        """Send RFC 4733 digits, one after the other; each takes 60 ms."""
        loop = asyncio.get_running_loop()
        for index, key in enumerate(keys):
            loop.call_later(index * (0.06 + gap_s), self._press, KEYS.index(key))

    def _press(self, event: int) -> None:
        loop = asyncio.get_running_loop()
        timestamp = self._timestamp = (self._timestamp + 800) & 0xFFFFFFFF
        for number, (end, duration) in enumerate([(0, 160), (0, 320), (1, 480), (1, 480), (1, 480)]):
            payload = struct.pack("!BBH", event, end << 7 | 10, duration)
            if self.loses_packets(number):
                continue
            for _ in range(1 + self.doubles_packets):
                loop.call_later(number * 0.015, self._send_rtp, 101, timestamp, payload, number == 0)

    def talks(self, hz: int) -> None:
        """Speak a tone from now on, a packet each 20 ms."""
        data = encode(tone(hz, FRAME_S), "PCMU")
        self._talking = [data]
        if self._talk_timer is None:
            self._talk()

    def stops_talking(self) -> None:
        if self._talk_timer is not None:
            self._talk_timer.cancel()
            self._talk_timer = None

    def _talk(self) -> None:
        self._timestamp = (self._timestamp + 160) & 0xFFFFFFFF
        self._talk_timer = asyncio.get_running_loop().call_later(FRAME_S, self._talk)
        self._send_rtp(0, self._timestamp, self._talking[0], False)

    def _send_rtp(self, kind: int, timestamp: int, payload: bytes, marker: bool) -> None:
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._rollovers += not self._sequence
        packet = struct.pack("!BBHII", 0x80, kind | marker << 7, self._sequence, timestamp, self._ssrc) + payload
        if self.says_by is not None:
            packet = self.says_by.seal(packet, self._rollovers)
        if self.media[1]:
            self._story.send_rtp(packet, self.rtp, self.media)

    def take_rtp(self, packet: bytes) -> None:
        """A packet arrived; reports are not for the ear."""
        if not 192 <= packet[1] <= 223:
            self.ear.take(packet if self.hears_by is None else self.hears_by.open(packet))

    # --- SIP

    @property
    def from_(self) -> str:
        return f'"{self.name}" <sip:{self.number}@{self.host}>;tag={self.tag}'

    def offer(self) -> str:
        self.version += 1
        extra = ""
        if self.suite:
            self.key = self.key or self._random.randbytes(KEY_BYTES[self.suite] + SALT_BYTES[self.suite])
            extra = f"a=crypto:7 {self.suite} inline:{base64.b64encode(self.key).decode()}|2^31\r\n"
        return sdp(
            self.sdp_host,
            self.rtp[1],
            codecs=self.codecs,
            direction=self.direction,
            version=self.version,
            extra=extra,
            profile=self.profile,
        )

    def send(self, method: str, *, cseq: int = 0, branch: str = "", body: str = "", headers: tuple[tuple[str, str], ...] = ()) -> int:
        """Send a request of the newest call; returns its CSeq."""
        number = cseq or self.cseq + 1
        self.cseq = max(self.cseq, number)
        self._branches[number] = branch or (self._branches[number] if method == "CANCEL" else f"z9hG4bK{self._random.getrandbits(64):x}")
        common = [
            ("Via", f"SIP/2.0/{self.transport.upper()} {self.host}:{self.address[1]};rport;branch={self._branches[number]}"),
            ("Max-Forwards", "70"),
            ("From", self.from_),
            ("To", self.to),
            ("Call-ID", self.call_id),
            ("CSeq", f"{number} {method}"),
            ("Contact", f"<sip:{self.name}@{self.host}:{self.address[1]}>"),
        ]
        self.last_sent = build(f"{method} {self.target} SIP/2.0", [*common, *headers], body)
        self._story.send_sip(self.last_sent, self.address)
        if self.repeats and method != "ACK":
            self._repeat((self.call_id, method, number), self.last_sent, T1, TIMES)
        return number

    def _repeat(self, asked: tuple[str, str, int], data: bytes, after_s: float, times: int) -> None:
        """Send a request again and again, until anything answers it."""

        def again() -> None:
            if times and not any(m.status and (m["call-id"], m.method, m.cseq) == asked for _, m in self.received):
                self._story.send_sip(data, self.address)
                self._repeat(asked, data, min(2 * after_s, T2), times - 1)

        asyncio.get_running_loop().call_later(after_s, again)

    def again(self) -> None:
        """Send the last request once more, octet for octet: a retransmission."""
        self._story.send_sip(self.last_sent, self.address)

    def take_sip(self, data: bytes) -> None:
        """A datagram arrived."""
        message = Message.parse(data)
        self.received.append((self._story.now(), message))
        if message["call-id"] == self.call_id:
            if message.status:
                self._take_response(message)
            elif message.method != "ACK" and self.answers(message):
                self._answer(message)
        self._look()

    def _take_response(self, response: Message) -> None:
        if response.method != "INVITE" or response.status < 200:
            return
        if (known := self._acks.get(response.cseq)) is not None:
            self._story.send_sip(known, self.address)  # it has come before; its ACK may not have
            return
        if response.status == 200:
            self.to, self.target, self.is_up = response["to"], response.contact_uri, True
            self._take_media(response)
        if self.acknowledges:
            self.acknowledge(response)

    def acknowledge(self, response: Message) -> None:
        if response.status < 300:
            self.send("ACK", cseq=response.cseq, body="" if self._offered else self.offer())
        else:
            to, self.to = self.to, response["to"]
            self.send("ACK", cseq=response.cseq, branch=self._branches[response.cseq])
            self.to = to
        self._acks[response.cseq] = self.last_sent

    def _take_media(self, message: Message) -> None:
        if message.body:
            self._take_keys(message)
            self.media = message.rtp
            self.ear.codec = "PCMA" if message.sdp("m")[0].split()[3] == "8" else "PCMU"

    def _take_keys(self, message: Message) -> None:
        """The platform's key, if it took ours; one that is the same goes on."""
        self.crypto = [value.removeprefix("crypto:") for value in message.sdp("a") if value.startswith("crypto:")]
        if not self.suite or not self.crypto:
            self.hears_by = self.says_by = None
            return
        tag, suite, key = self.crypto[0].split()
        assert (tag, suite) == ("7", self.suite), self.crypto
        if self.says_by is None:
            self.says_by = Direction(suite, self.key)
        if self.hears_by is None or key != self._their_key:
            self.hears_by, self._their_key = Direction(suite, base64.b64decode(key.removeprefix("inline:"))), key

    def _answer(self, request: Message) -> None:
        if request.method == "BYE":
            self.is_up = False
            self.stops_talking()
        copied = [(n.title(), v) for n, v in request.headers if n in ("via", "record-route", "from", "to", "call-id", "cseq")]
        body = ""
        if request.method == "INVITE" and request.body:  # the platform's sound comes from elsewhere, or its session is refreshed
            self._take_media(request)
            body = self.offer()
            copied += [("Contact", f"<sip:{self.name}@{self.host}:{self.address[1]}>"), ("Content-Type", "application/sdp")]
        self._story.send_sip(build("SIP/2.0 200 OK", copied, body), self.address)

    # --- waiting

    async def gets(self, wanted: Callable[[Message], bool], *, within: float = 5.0, skip: int = 0) -> Message:
        """Wait for a message of the newest call; one that has come already counts."""

        def found() -> list[Message]:
            return [m for _, m in self.received if m["call-id"] == self.call_id and wanted(m)][skip:]

        await self._until(lambda: bool(found()), within, lambda: f"get it; got: {[m.start for _, m in self.received]}")
        return found()[0]

    def count(self, wanted: Callable[[Message], bool]) -> int:
        """How many such messages of the newest call have come."""
        return sum(m["call-id"] == self.call_id and wanted(m) for _, m in self.received)

    async def _until(self, met: Callable[[], bool], within: float, what: Callable[[], str]) -> None:
        if met():
            return
        arrived = asyncio.Event()
        entry = (met, arrived)
        self._waiting.append(entry)
        try:
            async with asyncio.timeout(within):
                await arrived.wait()
        except TimeoutError:
            raise AssertionError(f"{self.name} waited {within} s in vain to {what()}") from None
        finally:
            self._waiting.remove(entry)

    def _look(self) -> None:
        for met, arrived in self._waiting:
            if not arrived.is_set() and met():
                arrived.set()
