"""The shell in virtual time: in-memory wires, real sockets on loopback, TCP framing and limits."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Awaitable, Iterator
from functools import partial
from typing import Any

import pytest
from harness.virtual_time import run
from unit.net.kit import Heard, ask, made, next_message
from unit.sip.kit import ANSWER, OFFER, request

from waitline.bridge.net.gate import Gate, GateLimits
from waitline.bridge.net.sip_tcp import TcpLimits
from waitline.bridge.net.sip_udp import widen_receive_buffer
from waitline.bridge.sip.events import (
    AckReceived,
    AckTimedOut,
    CallAnswered,
    DialogEnded,
    Event,
    ExchangeTimedOut,
    InviteReceived,
    ResponseReceived,
)
from waitline.bridge.sip.flow import Flow
from waitline.bridge.sip.message import Message, parse

OURS = ("192.0.2.1", 5060)
PEER = Flow("udp", OURS, ("192.0.2.9", 5070))


class MemoryWire:
    def __init__(self) -> None:
        self.sent: list[tuple[float, Flow, Message]] = []

    def send(self, data: bytes, flow: Flow) -> None:
        message = parse(data)
        assert message is not None
        self.sent.append((asyncio.get_running_loop().time(), flow, message))

    @property
    def lines(self) -> list[str]:
        return [message.start_line for _, _, message in self.sent]


def test_a_call_over_an_in_memory_wire_keeps_the_timers() -> None:
    async def story() -> None:
        events: list[Event] = []
        endpoint, wire = made(events.append), MemoryWire()
        endpoint.attach_wire(wire, OURS)
        endpoint.datagram(request("INVITE", body=OFFER), PEER)
        (invite,) = events
        assert isinstance(invite, InviteReceived)
        endpoint.do(lambda ua, now: ua.answer(invite.dialog, ANSWER, now))
        assert wire.lines == ["SIP/2.0 100 Trying", "SIP/2.0 200 OK"]
        await asyncio.sleep(40)
        assert [round(at, 3) for at, _, _ in wire.sent[2:]] == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
        assert isinstance(events[-1], AckTimedOut)
        endpoint.close()

    run(story())


def test_commands_from_within_an_event_are_sent_after_it_in_order() -> None:
    async def story() -> None:
        wire = MemoryWire()
        depth: list[int] = [0]

        def on_event(event: Event) -> None:
            assert depth[0] == 0
            depth[0] += 1
            if isinstance(event, InviteReceived):
                endpoint.do(lambda ua, now: ua.provisional(event.dialog, 180, now))
                endpoint.do(lambda ua, now: ua.reject(event.dialog, 486, now))
            depth[0] -= 1

        endpoint = made(on_event)
        endpoint.attach_wire(wire, OURS)
        endpoint.datagram(request("INVITE", body=OFFER), PEER)
        assert wire.lines == ["SIP/2.0 100 Trying", "SIP/2.0 180 Ringing", "SIP/2.0 486 Busy Here"]
        endpoint.close()

    run(story())


def test_an_owner_that_fails_on_one_event_hears_the_next_ones() -> None:
    async def story() -> None:
        heard: list[Event] = []

        def on_event(event: Event) -> None:
            heard.append(event)
            if len(heard) == 1:
                raise RuntimeError("a mistake in control")

        endpoint, wire = made(on_event), MemoryWire()
        endpoint.attach_wire(wire, OURS)
        with pytest.raises(RuntimeError):
            endpoint.datagram(request("INVITE", body=OFFER), PEER)
        endpoint.datagram(request("INVITE", branch="z9hG4bK-x", call_id="2", body=OFFER), PEER)
        assert len(heard) == 2
        endpoint.close()

    run(story())


# --- UDP


def udp_socket(host: str = "127.0.0.1") -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    return sock


@pytest.fixture
def phone() -> Iterator[socket.socket]:
    sock = udp_socket()
    sock.settimeout(5)
    yield sock
    sock.close()


def exchange(phone: socket.socket, server: tuple[str, int], data: bytes) -> Awaitable[list[Message]]:
    async def go() -> list[Message]:
        phone.setblocking(False)
        loop = asyncio.get_running_loop()
        phone.sendto(data, server)
        answer = await loop.sock_recv(phone, 65536)
        message = parse(answer)
        assert message is not None
        return [message]

    return go()


@pytest.mark.parametrize(
    ("bind", "advertised_host", "expected"),
    [("127.0.0.1", "", "127.0.0.1"), ("0.0.0.0", "", "127.0.0.1"), ("0.0.0.0", "203.0.113.7", "203.0.113.7")],
)
def test_what_is_advertised_is_never_a_wildcard(phone: socket.socket, bind: str, advertised_host: str, expected: str) -> None:
    async def story() -> None:
        events: list[Event] = []
        with udp_socket(bind) as sock:
            endpoint = made(events.append, advertised_host=advertised_host)
            endpoint.attach_udp(sock)
            endpoint.read()
            port = sock.getsockname()[1]
            (trying,) = await exchange(phone, ("127.0.0.1", port), request("INVITE", body=OFFER))
            assert trying.start_line == "SIP/2.0 100 Trying"
            (invite,) = events
            assert isinstance(invite, InviteReceived)
            assert invite.flow == Flow("udp", (expected, port), phone.getsockname())
            assert endpoint.advertised(invite.flow) == (expected, port)
            assert endpoint.flow_to("udp", ("127.0.0.1", 9)).local == (expected, port)
            endpoint.close()

    run(story())


def test_a_burst_of_datagrams_is_read_in_one_go(phone: socket.socket) -> None:
    async def story() -> None:
        events = Heard()
        with udp_socket() as sock:
            endpoint = made(events.take)
            endpoint.attach_udp(sock)
            endpoint.read()
            for number in range(200):
                phone.sendto(request("INVITE", branch=f"z9hG4bK-b{number}", call_id=f"c{number}", body=OFFER), sock.getsockname())
            await events.wait(InviteReceived, 200)
            endpoint.close()

    run(story())


def test_the_receive_buffer_is_widened_and_what_the_kernel_gave_is_told() -> None:
    with udp_socket() as sock:
        before = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
        assert widen_receive_buffer(sock) >= before


def test_a_datagram_to_nowhere_is_lost_without_a_sound() -> None:
    async def story() -> None:
        with udp_socket() as sock:
            endpoint = made(lambda _: None)
            endpoint.attach_udp(sock)
            endpoint.read()
            for remote in (("127.0.0.1", 1), ("::1", 5060), ("127.0.0.1", 0)):
                flow = Flow("udp", ("127.0.0.1", 5060), remote)
                endpoint.do(partial(ask, flow))
            await asyncio.sleep(1)
            endpoint.close()

    run(story())


# --- TCP


class TcpDesk:
    """An endpoint that listens on TCP, within a story."""

    def __init__(self, *, gate: Gate | None = None, **limits: Any) -> None:
        self.events = Heard()
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.address = self.sock.getsockname()[:2]
        self.endpoint = made(self.events.take, tcp_limits=TcpLimits(**limits), gate=gate)
        self.endpoint.attach_tcp(self.sock)
        self.endpoint.read()

    async def __aenter__(self) -> TcpDesk:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.endpoint.close()
        self.sock.close()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.address)


def test_messages_are_cut_out_of_the_stream_however_it_is_chopped() -> None:
    async def story() -> None:
        async with TcpDesk() as desk:
            reader, writer = await desk.connect()
            both = request("OPTIONS", via="SIP/2.0/TCP 10.0.0.1") + request("OPTIONS", branch="z9hG4bK-2", call_id="2", body=b"x" * 30)
            for start in range(0, len(both), 7):
                writer.write(both[start : start + 7])
                await writer.drain()
                await asyncio.sleep(0)
            for _ in range(2):
                assert (await next_message(reader)).start_line == "SIP/2.0 200 OK"
            writer.close()

    run(story())


def test_a_ping_gets_a_pong() -> None:
    async def story() -> None:
        async with TcpDesk() as desk:
            reader, writer = await desk.connect()
            writer.write(b"\r\n\r\n")
            assert await reader.readexactly(2) == b"\r\n"
            writer.write(b"\r\n\r\n" + request("OPTIONS"))
            assert await reader.readexactly(2) == b"\r\n"
            assert (await next_message(reader)).start_line == "SIP/2.0 200 OK"
            writer.close()

    run(story())


def test_a_stream_without_framing_gets_its_400_and_is_closed() -> None:
    async def story() -> None:
        async with TcpDesk() as desk:
            reader, writer = await desk.connect()
            writer.write(request("OPTIONS").replace(b"Content-Length: 0", b"Content-Length: 0\r\nContent-Length: 5"))
            assert (await next_message(reader)).start_line == "SIP/2.0 400 Bad Request"
            assert await reader.read() == b""
            writer.close()

    run(story())


def test_who_does_not_finish_a_message_is_closed() -> None:
    async def story() -> None:
        async with TcpDesk(message_s=5.0) as desk:
            reader, writer = await desk.connect()
            writer.write(b"OPTIONS sip:x SIP/2.0\r\n")
            assert await reader.read() == b""
            assert 5.0 <= asyncio.get_running_loop().time() < 6.0
            writer.close()

    run(story())


def test_dripping_does_not_prolong_the_time_for_a_message() -> None:
    async def story() -> None:
        async with TcpDesk(message_s=5.0) as desk:
            reader, writer = await desk.connect()
            drip = asyncio.ensure_future(drip_into(writer))
            assert await reader.read() == b""
            assert asyncio.get_running_loop().time() < 6.0
            drip.cancel()
            writer.close()

    run(story())


async def drip_into(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"OPTIONS")
        await asyncio.sleep(1.0)


def test_who_says_nothing_for_too_long_is_closed() -> None:
    async def story() -> None:
        async with TcpDesk(idle_s=100.0) as desk:
            reader, writer = await desk.connect()
            assert await reader.read() == b""
            writer.close()

    run(story())


def test_too_many_connections_are_refused() -> None:
    async def story() -> None:
        async with TcpDesk(connections=1) as desk:
            reader, writer = await desk.connect()
            writer.write(request("OPTIONS"))
            await next_message(reader)
            late, late_writer = await desk.connect()
            assert await late.read() == b""
            writer.close()
            late_writer.close()

    run(story())


LOOPBACK = "127.0.0.1"


async def answered(desk: TcpDesk, number: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await desk.connect()
    writer.write(request("OPTIONS", branch=f"z9hG4bK-c{number}", call_id=f"c{number}"))
    await next_message(reader)
    return reader, writer


def test_one_stranger_has_few_connections() -> None:
    async def story() -> None:
        async with TcpDesk(gate=Gate(GateLimits(connections=2))) as desk:
            held = [await answered(desk, number) for number in range(2)]
            late, late_writer = await desk.connect()
            assert await late.read() == b""
            held[0][1].close()
            await asyncio.sleep(0.1)
            again = await answered(desk, 3)
            for _, writer in (*held, again):
                writer.close()
            late_writer.close()

    run(story())


def test_where_all_connections_are_taken_the_oldest_stranger_makes_room_and_no_phone() -> None:
    async def story() -> None:
        gate = Gate()
        async with TcpDesk(gate=gate, connections=2) as desk:
            first, second, third = [await answered(desk, number) for number in range(3)]
            assert await first[0].read() == b""
            gate.proved(LOOPBACK, 0.0)
            late, late_writer = await desk.connect()
            assert await late.read() == b""
            for writer in (first[1], second[1], third[1], late_writer):
                writer.close()

    run(story())


def test_a_stranger_that_floods_a_connection_is_closed_and_not_answered_for_a_while() -> None:
    async def story() -> None:
        gate = Gate()
        async with TcpDesk(gate=gate) as desk:
            reader, writer = await desk.connect()
            for number in range(390):
                writer.write(request("OPTIONS", branch=f"z9hG4bK-f{number}", call_id=f"f{number}"))
            answers = b""
            with contextlib.suppress(ConnectionResetError):  # closed with octets unread: answers may be lost with it
                while piece := await reader.read(65536):
                    answers += piece
            assert 0 < answers.count(b"SIP/2.0 200") <= 300
            writer.close()
            for _ in range(3):
                again, again_writer = await desk.connect()
                assert await again.read() == b""
                again_writer.close()
            await asyncio.sleep(61)
            _, late_writer = await answered(desk, 1)
            late_writer.close()
            assert gate.dropped["blocked"] == 1

    run(story())


async def flood(sock: socket.socket) -> None:
    """Ask and ask without ever reading."""
    for number in range(100_000):
        await asyncio.get_running_loop().sock_sendall(sock, request("OPTIONS", branch=f"z9hG4bK-s{number}", call_id=str(number)))
        await asyncio.sleep(0)


def test_a_slow_reader_is_closed() -> None:
    async def story() -> None:
        async with TcpDesk(unsent_bytes=20_000) as desk:
            with socket.socket() as slow:
                slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
                slow.connect(desk.address)
                slow.setblocking(False)
                with pytest.raises(ConnectionError):
                    await flood(slow)

    run(story())


def test_a_call_over_tcp_goes_on_over_a_new_connection_when_the_first_is_gone() -> None:
    async def story() -> None:
        async with TcpDesk() as desk, TcpDesk() as other:
            reader, writer = await desk.connect()
            contact = f"<sip:phone@127.0.0.1:{other.address[1]};transport=tcp>"
            writer.write(request("INVITE", contact=contact, body=OFFER))
            await next_message(reader)
            (invite,) = desk.events
            assert isinstance(invite, InviteReceived)
            desk.endpoint.do(lambda ua, now: ua.answer(invite.dialog, ANSWER, now))
            tag = (await next_message(reader)).to.tag
            writer.write(request("ACK", branch="z9hG4bK-a", to_tag=tag))
            writer.close()
            await writer.wait_closed()
            await asyncio.sleep(0.1)
            desk.endpoint.do(lambda ua, now: ua.bye(invite.dialog, now))
            await desk.events.wait(ResponseReceived)
            assert desk.events[-1].response.status == 481  # type: ignore[union-attr]

    run(story())


def test_two_endpoints_talk_over_tcp() -> None:
    async def story() -> None:
        async with TcpDesk() as one, TcpDesk() as two:
            flow = one.endpoint.flow_to("tcp", two.address)
            handle = one.endpoint.do(lambda ua, now: ua.invite("sip:two@x", flow, now, from_="sip:one@x", to="sip:two@x", body=OFFER))
            await two.events.wait(InviteReceived)
            invite = two.events.pop()
            assert isinstance(invite, InviteReceived)
            two.endpoint.do(lambda ua, now: ua.answer(invite.dialog, ANSWER, now))
            await one.events.wait(CallAnswered)
            await two.events.wait(AckReceived)
            one.endpoint.do(lambda ua, now: ua.bye(handle, now))
            await two.events.wait(DialogEnded)

    run(story())


@pytest.mark.parametrize("remote", [("127.0.0.1", 0), ("255.255.255.255", 5060)])
def test_a_connection_that_cannot_even_be_tried_ends_the_exchange_too(remote: tuple[str, int]) -> None:
    async def story() -> None:
        async with TcpDesk() as desk:
            desk.endpoint.do(partial(ask, desk.endpoint.flow_to("tcp", remote)))
            await desk.events.wait(ExchangeTimedOut)
            assert asyncio.get_running_loop().time() < 1.0

    run(story())


def test_a_connection_that_cannot_be_opened_ends_the_exchange_at_once() -> None:
    async def story() -> None:
        async with TcpDesk() as desk:
            with socket.socket() as unused:
                unused.bind(("127.0.0.1", 0))
                flow = desk.endpoint.flow_to("tcp", unused.getsockname())
                desk.endpoint.do(partial(ask, flow))
                await desk.events.wait(ExchangeTimedOut)
            assert isinstance(desk.events[0], ExchangeTimedOut)
            assert asyncio.get_running_loop().time() < 1.0

    run(story())


def test_an_answer_for_a_closed_connection_that_cannot_be_reached_is_given_up() -> None:
    async def story() -> None:
        async with TcpDesk() as desk:
            reader, writer = await desk.connect()
            writer.write(request("INVITE", via="SIP/2.0/TCP 127.0.0.1:1", body=OFFER))
            await next_message(reader)
            (invite,) = desk.events
            assert isinstance(invite, InviteReceived)
            writer.close()
            await writer.wait_closed()
            await asyncio.sleep(0.1)
            desk.endpoint.do(lambda ua, now: ua.reject(invite.dialog, 486, now))
            await asyncio.sleep(40)
            assert not any(desk.endpoint.user_agent.size.values())

    run(story())


def test_without_descriptors_connections_wait_and_the_loop_is_not_kept_busy_by_them(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with TcpDesk() as desk:
            tries: list[float] = []

            def none_left(_sock: socket.socket) -> Any:
                tries.append(asyncio.get_running_loop().time())
                raise OSError(errno.EMFILE, "Too many open files")

            with monkeypatch.context() as exhausted:
                exhausted.setattr(socket.socket, "accept", none_left)
                reader, writer = await desk.connect()
                await asyncio.sleep(5.5)
            assert 5 <= len(tries) <= 7
            writer.write(request("OPTIONS", via="SIP/2.0/TCP 10.0.0.1"))
            async with asyncio.timeout(5):
                assert (await next_message(reader)).start_line == "SIP/2.0 200 OK"
            writer.close()

    run(story())
