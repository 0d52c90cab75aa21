"""A small SIP phone without a face: it dials, listens, talks in tones, presses keys and hangs up when told to.

A process (``python -m waitline.demo.phone``, spoken to as ``pipe.py`` says). The first line of input::

    {"user": "caller-1", "server": ["127.0.0.1", 5060], "host": "127.0.0.1", "tones": [440, 587]}

Commands: ``dial`` {uri} (replies when it was answered or refused), ``talk`` {hz} (0: silence), ``press`` {digits}, ``ping`` (asks the other
side by OPTIONS in the dialog whether the call is up), ``hang_up``, ``save`` {path} (what was heard in the last call, as WAV), ``figures``.
Events: ``ready``, ``status`` {code} while it rings, ``answered``, ``hears`` {what, at} whenever what it hears changes, ``bye`` when the
other side has hung up. Times are CLOCK_MONOTONIC, the same for all processes of a machine.

UDP only, one call at a time. From the 200 to the BYE it sends 50 packets a second, as a phone does.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

from waitline.clock import Clock, SystemClock
from waitline.demo.phone_rtp import Ear, Mouth
from waitline.demo.phone_sip import Address, Call, Message, Unreadable
from waitline.demo.pipe import Command, obey, say
from waitline.demo.sound import Hearing, wav

T1_S, T2_S, TIMER_B_S = 0.5, 4.0, 32.0
FRAME_S = 0.02


class PhoneRefused(Exception):
    """What was asked of the phone did not come to pass; the text says why."""


class _Wire(asyncio.DatagramProtocol):
    """A UDP socket: what it receives goes to ``taken``."""

    def __init__(self, taken: Callable[[bytes], None]) -> None:
        self._taken = taken
        self._transport: asyncio.DatagramTransport | None = None

    @classmethod
    async def open(cls, host: str, taken: Callable[[bytes], None]) -> _Wire:
        transport, wire = await asyncio.get_running_loop().create_datagram_endpoint(lambda: cls(taken), local_addr=(host, 0))
        wire._transport = transport
        return wire

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._taken(data)

    def error_received(self, exc: Exception) -> None:
        say(event="wire", error=str(exc))  # nobody listens over there: whoever waits for an answer will say so

    @property
    def port(self) -> int:
        assert self._transport is not None
        return int(self._transport.get_extra_info("sockname")[1])

    def send(self, data: bytes, to: Address) -> None:
        assert self._transport is not None
        self._transport.sendto(data, to)

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()


class Phone:
    """One phone; ``run`` works until standard input ends. ``open``, ``handle`` and ``close`` are its parts."""

    def __init__(self, settings: Mapping[str, Any], *, clock: Clock, random: Random) -> None:
        self._user, self._host, self._tones = str(settings["user"]), str(settings["host"]), list(settings["tones"])
        self._server: Address = (settings["server"][0], int(settings["server"][1]))
        self._clock, self._random = clock, random
        self._sip: _Wire
        self._rtp: _Wire
        self._speaking: asyncio.Task[None]
        self._call: Call | None = None
        self._up = False
        self._ack = b""
        self._media: Address | None = None
        self._responses: asyncio.Queue[Message] = asyncio.Queue()
        self._mouth = Mouth(random)
        self._ear, self._hearing = Ear(), Hearing(self._tones)
        self._lifted = asyncio.Event()
        self._exchange = asyncio.Lock()

    async def run(self) -> None:
        """Obey until standard input ends."""
        await self.open()
        try:
            await obey(self.handle, (PhoneRefused, OSError))
        finally:
            await self.close()

    async def open(self) -> None:
        """Bind both sockets and begin to speak whenever a call is up."""
        self._sip = await _Wire.open(self._host, self._take_sip)
        self._rtp = await _Wire.open(self._host, self._take_rtp)
        self._speaking = asyncio.create_task(self._speak())
        say(event="ready", sip=self._sip.port, rtp=self._rtp.port)

    async def close(self) -> None:
        """Hang up without waiting for the answer, and free the sockets."""
        if self._up:
            self._sip.send(self._present_call().request("BYE"), self._server)
        self._speaking.cancel()
        await asyncio.wait({self._speaking})
        self._sip.close()
        self._rtp.close()

    async def handle(self, command: Command) -> dict[str, Any]:
        """Obey one command; returns its reply. Raises PhoneRefused and OSError."""
        match command["do"]:
            case "dial":
                return await self._dial(command["uri"])
            case "talk":
                self._mouth.talk(int(command["hz"]))
            case "press":
                self._mouth.press(command["digits"])
            case "ping":
                return {"status": (await self._ask("OPTIONS")).status}
            case "hang_up":
                return {"status": await self._hang_up()}
            case "save":
                self._save(Path(command["path"]))
            case "figures":
                return self._ear.figures()
            case unknown:
                raise PhoneRefused(f"a phone cannot {unknown}")
        return {}

    def _save(self, path: Path) -> None:
        path.write_bytes(wav(self._ear.sound()))

    # --- SIP

    async def _dial(self, uri: str) -> dict[str, Any]:
        if self._up:
            raise PhoneRefused("there is a call already")
        self._ear, self._hearing = Ear(), Hearing(self._tones)
        self._call = Call(
            user=self._user, uri=uri, server=self._server, local=(self._host, self._sip.port), rtp_port=self._rtp.port, random=self._random
        )
        try:
            response = await self._ask("INVITE")
        except asyncio.CancelledError:  # we are told to end while it rings
            self._sip.send(self._call.cancel(), self._server)
            raise
        self._ack = self._call.ack(response)
        if response.status >= 300:
            self._sip.send(self._ack, self._server)
            return {"status": response.status, "reason": response.start.partition(" ")[2]}
        self._call.take(response)
        self._ack = self._call.ack(response)
        self._sip.send(self._ack, self._server)
        self._up, self._media = True, response.media
        self._lifted.set()
        say(event="answered", at=self._clock.now(), call_id=self._call.call_id)
        return {"status": response.status, "call_id": self._call.call_id}

    def _present_call(self) -> Call:
        if self._call is None:
            raise PhoneRefused("there is no call")
        return self._call

    async def _ask(self, method: str) -> Message:
        """Send a request and return its final response; it is sent again until there is any (RFC 3261 §17.1)."""
        call = self._present_call()
        async with self._exchange:
            data = call.request(method)
            cseq, wait_s, again = call.cseq, T1_S, True
            deadline = self._clock.now() + TIMER_B_S
            self._sip.send(data, self._server)
            while (left := deadline - self._clock.now()) > 0:
                try:
                    async with asyncio.timeout(min(wait_s, left) if again else left):
                        response = await self._responses.get()
                except TimeoutError:
                    self._sip.send(data, self._server)
                    wait_s = wait_s * 2 if method == "INVITE" else min(T2_S, wait_s * 2)
                    continue
                if response.cseq != cseq or response["call-id"] != call.call_id or response.method != method:
                    continue
                if response.status >= 200:
                    return response
                again = again and method != "INVITE"
                say(event="status", code=response.status, at=self._clock.now())
        raise PhoneRefused(f"no final answer to {method} within {TIMER_B_S:g} s")

    async def _hang_up(self) -> int:
        if not self._up:
            return 0
        self._quiet()
        return (await self._ask("BYE")).status

    def _quiet(self) -> None:
        self._up = False
        self._lifted.clear()

    def _take_sip(self, data: bytes) -> None:
        if not data.strip():
            return
        try:
            message = Message.parse(data)
        except Unreadable as error:
            say(event="wire", error=f"not SIP: {error}")
            return
        if not message.status:
            self._react(message)
        elif self._ack and self._call and message.method == "INVITE" and message.status >= 200 and self._up:
            self._sip.send(self._ack, self._server)  # our ACK was lost: the 200 comes again (RFC 3261 §13.2.2.4)
        else:
            self._responses.put_nowait(message)

    def _react(self, request: Message) -> None:
        """Answer a request of the other side as a phone does."""
        call = self._call
        if call is None or request["call-id"] != call.call_id or request.method == "ACK":
            return
        self._sip.send(call.answer(request), self._server)
        if request.method in ("INVITE", "UPDATE") and request.media:
            self._media = request.media
        if request.method == "BYE" and self._up:
            self._quiet()
            say(event="bye", at=self._clock.now(), call_id=call.call_id)

    # --- RTP

    def _take_rtp(self, data: bytes) -> None:
        at = self._clock.now()
        pcm = self._ear.take(data, at)
        if pcm is None:
            return
        for heard in self._hearing.feed(pcm, at):
            say(event="hears", what=heard.what, at=heard.at)

    async def _speak(self) -> None:
        """Send 50 packets a second while a call is up, by absolute deadlines."""
        while True:
            await self._lifted.wait()
            began, count = self._clock.now(), 0
            while self._lifted.is_set():
                if self._media:
                    self._rtp.send(self._mouth.packet(), self._media)
                count += 1
                await asyncio.sleep(max(0.0, began + count * FRAME_S - self._clock.now()))


def main() -> None:
    """Read the first line and be a phone."""
    settings = json.loads(sys.stdin.readline())
    asyncio.run(Phone(settings, clock=SystemClock(), random=SystemRandom()).run())


if __name__ == "__main__":
    main()
