"""The user agent on real sockets and the real clock: the duplicate-INVITE probe over UDP, one call over TCP."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from unit.sip.kit import ANSWER, OFFER, request

from waitline.bridge.net.endpoint import SipEndpoint
from waitline.bridge.sip.events import AckReceived, AckTimedOut, DialogEnded, Event, InviteReceived
from waitline.bridge.sip.message import Response, frame_length, parse
from waitline.bridge.sip.user_agent import UserAgent
from waitline.clock import SystemClock

pytestmark = pytest.mark.real


class Server:
    """Rings at once and answers when told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.endpoint = SipEndpoint(UserAgent(random=random.SystemRandom()), SystemClock(), self._on_event)

    def _on_event(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, InviteReceived):
            self.endpoint.do(lambda ua, now: ua.provisional(event.dialog, 180, now))

    def answer(self) -> None:
        (invite,) = (event for event in self.events if isinstance(event, InviteReceived))
        self.endpoint.do(lambda ua, now: ua.answer(invite.dialog, ANSWER, now))


class Phone:
    """A datagram socket that keeps what it receives, with the time."""

    def __init__(self, server: tuple[str, int]) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.setblocking(False)
        self._server = server
        self._loop = asyncio.get_running_loop()

    def send(self, data: bytes) -> None:
        self.sock.sendto(data, self._server)

    async def next(self, within_s: float = 2.0) -> Response:
        async with asyncio.timeout(within_s):
            message = parse(await self._loop.sock_recv(self.sock, 65536))
        assert isinstance(message, Response)
        return message

    async def silent(self, for_s: float) -> bool:
        try:
            await self.next(for_s)
        except TimeoutError:
            return True
        return False


@asynccontextmanager
async def udp_call() -> AsyncIterator[tuple[Server, Phone]]:
    server = Server()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        server.endpoint.attach_udp(sock)
        server.endpoint.read()
        phone = Phone(sock.getsockname())
        yield server, phone
        phone.sock.close()
        server.endpoint.close()


def test_the_duplicate_invite_probe_on_real_sockets() -> None:
    async def probe() -> None:
        async with udp_call() as (server, phone):
            invite = request("INVITE", body=OFFER)
            phone.send(invite)
            assert [(await phone.next()).status for _ in range(2)] == [100, 180]
            phone.send(invite)
            assert (await phone.next()).status == 180
            server.answer()
            ok = await phone.next()
            phone.send(invite)
            assert bytes(await phone.next()) == bytes(ok)
            start = asyncio.get_running_loop().time()
            resent = [((await phone.next(3.0)).status, asyncio.get_running_loop().time() - start) for _ in range(3)]
            assert [status for status, _ in resent] == [200, 200, 200]
            assert [at for _, at in resent] == pytest.approx([0.5, 1.5, 3.5], abs=0.2)
            phone.send(request("ACK", branch="z9hG4bK-ack", to_tag=ok.to.tag))
            phone.send(request("ACK", branch="z9hG4bK-ack", to_tag=ok.to.tag))
            assert await phone.silent(4.2)
            bye = request("BYE", branch="z9hG4bK-bye", cseq=2, to_tag=ok.to.tag)
            for _ in range(2):
                phone.send(bye)
                assert (await phone.next()).status == 200
            kinds = [type(event) for event in server.events]
            assert kinds == [InviteReceived, AckReceived, DialogEnded]
            assert AckTimedOut not in kinds

    asyncio.run(probe())


def test_a_call_over_tcp_on_real_sockets() -> None:
    async def call() -> None:
        server = Server()
        with socket.create_server(("127.0.0.1", 0)) as sock:
            server.endpoint.attach_tcp(sock)
            server.endpoint.read()
            reader, writer = await asyncio.open_connection(*sock.getsockname())
            stream = Stream(reader)
            via = "SIP/2.0/TCP 127.0.0.1:5999"
            writer.write(request("INVITE", via=via, body=OFFER))
            assert [(await stream.next()).status for _ in range(2)] == [100, 180]
            server.answer()
            ok = await stream.next()
            assert str(ok.contacts[0].uri) == f"sip:127.0.0.1:{sock.getsockname()[1]};transport=tcp"
            writer.write(request("ACK", branch="z9hG4bK-a", via=via, to_tag=ok.to.tag))
            writer.write(request("BYE", branch="z9hG4bK-b", via=via, cseq=2, to_tag=ok.to.tag))
            assert (await stream.next()).cseq.method == "BYE"
            assert [type(event) for event in server.events] == [InviteReceived, AckReceived, DialogEnded]
            writer.close()
            await writer.wait_closed()
            server.endpoint.close()

    asyncio.run(call())


class Stream:
    """The client's end of a connection, message by message."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._buffer = b""

    async def next(self) -> Response:
        async with asyncio.timeout(5):
            while not self._buffer or (length := frame_length(self._buffer)) is None:
                self._buffer += await self._reader.read(4096)
        data, self._buffer = self._buffer[:length], self._buffer[length:]
        message = parse(data)
        assert isinstance(message, Response)
        return message
