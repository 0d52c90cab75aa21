"""The demo phone against a server that the test plays by hand, in virtual time."""

import asyncio
import json
from random import Random

import pytest
from harness.virtual_time import run

from waitline.clock import VirtualClock
from waitline.demo.phone import Phone, PhoneRefused
from waitline.demo.phone_sip import Message, build, description

NUMBER = "sip:+15550190@127.0.0.1"


class Server(asyncio.DatagramProtocol):
    """Answers as the test says; keeps what came."""

    def __init__(self, answers):
        self.answers, self.received, self.came = answers, [], asyncio.Event()

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        message = Message.parse(data)
        self.received.append(message)
        self.phone = addr
        self.came.set()
        for status in self.answers(message, len(self.named(message.method))):
            self.respond(message, status)

    def respond(self, request, status):
        headers = [(name.title(), value) for name, value in request.headers if name in ("via", "from", "call-id", "cseq")]
        body = description("127.0.0.1", 9) if status == 200 and request.method == "INVITE" else ""
        contact = ("Contact", "<sip:line@127.0.0.1>")
        self.transport.sendto(
            build(f"SIP/2.0 {status} Some Reason", [*headers, ("To", request["to"] + ";tag=x"), contact], body), self.phone
        )

    def request(self, method, call_id):
        headers = [("Via", "v"), ("From", "f"), ("To", "t"), ("Call-ID", call_id), ("CSeq", f"1 {method}")]
        self.transport.sendto(build(f"{method} sip:a@b SIP/2.0", headers), self.phone)

    async def until(self, condition):
        async with asyncio.timeout(60):
            while not condition():
                self.came.clear()
                await self.came.wait()

    def named(self, method):
        return [message for message in self.received if message.method == method]


def answers_at_once(message, _count):
    return {"INVITE": [100, 180, 200], "ACK": []}.get(message.method, [200])


def play(answers, story):
    """Run a story with a phone and a server."""

    async def with_both():
        loop = asyncio.get_running_loop()
        transport, server = await loop.create_datagram_endpoint(lambda: Server(answers), local_addr=("127.0.0.1", 0))
        settings = {"user": "alice", "host": "127.0.0.1", "server": transport.get_extra_info("sockname"), "tones": [440]}
        phone = Phone(settings, clock=VirtualClock(loop.time), random=Random(1))
        await phone.open()
        try:
            return await story(phone, server)
        finally:
            await phone.close()
            transport.close()

    return run(with_both())


def do(phone, do, **arguments):
    return phone.handle({"id": 1, "do": do, **arguments})


def test_a_call_is_dialled_answered_acknowledged_and_hung_up(capsys):
    async def story(phone, server):
        assert (await do(phone, "dial", uri=NUMBER))["status"] == 200
        assert (await do(phone, "ping"))["status"] == 200
        assert (await do(phone, "hang_up"))["status"] == 200
        assert await do(phone, "hang_up") == {"status": 0}
        return [message.method for message in server.received]

    assert play(answers_at_once, story) == ["INVITE", "ACK", "OPTIONS", "BYE"]
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event.get("code") for event in events if event["event"] == "status"] == [100, 180]
    assert [event["event"] for event in events if event["event"] != "status"] == ["ready", "answered"]


def test_an_invite_that_nobody_answers_is_sent_again_and_given_up_after_32_s():
    async def story(phone, server):
        with pytest.raises(PhoneRefused, match="no final answer to INVITE within 32 s"):
            await do(phone, "dial", uri=NUMBER)
        return len(server.received), asyncio.get_running_loop().time()

    count, seconds = play(lambda message, count: [], story)
    assert count == 7
    assert seconds == pytest.approx(32.0, abs=0.1)


def test_an_invite_is_not_sent_again_once_it_rings():
    async def story(phone, server):
        dialling = asyncio.create_task(do(phone, "dial", uri=NUMBER))
        await asyncio.sleep(20)
        server.respond(server.received[0], 200)
        await dialling
        return len(server.named("INVITE"))

    assert play(lambda message, count: [180] if message.method == "INVITE" else [], story) == 1


def test_a_lost_invite_is_made_good():
    async def story(phone, server):
        return (await do(phone, "dial", uri=NUMBER))["status"], len(server.named("INVITE"))

    assert play(lambda message, count: [200] if message.method == "INVITE" and count == 3 else [], story) == (200, 3)


def test_a_200_that_comes_again_is_acknowledged_again():
    async def story(phone, server):
        await do(phone, "dial", uri=NUMBER)
        server.respond(server.received[0], 200)
        await server.until(lambda: len(server.named("ACK")) == 2)

    play(answers_at_once, story)


def test_a_refusal_is_acknowledged_and_told_with_its_reason():
    async def story(phone, server):
        reply = await do(phone, "dial", uri=NUMBER)
        await server.until(lambda: server.named("ACK"))
        return reply

    assert play(lambda message, count: [486] if message.method == "INVITE" else [], story) == {"status": 486, "reason": "486 Some Reason"}


def test_the_other_side_may_hang_up(capsys):
    async def story(phone, server):
        reply = await do(phone, "dial", uri=NUMBER)
        server.request("BYE", reply["call_id"])
        await server.until(lambda: server.received[-1].status == 200)
        return (await do(phone, "hang_up"))["status"]

    assert play(answers_at_once, story) == 0
    assert '"event": "bye"' in capsys.readouterr().out


def test_a_phone_that_is_told_to_end_while_it_rings_cancels():
    async def story(phone, server):
        dialling = asyncio.create_task(do(phone, "dial", uri=NUMBER))
        await server.until(lambda: server.received)
        dialling.cancel()
        await asyncio.wait({dialling})
        await server.until(lambda: server.named("CANCEL"))

    play(lambda message, count: [180] if message.method == "INVITE" else [], story)


def test_what_is_not_sip_is_told_and_nothing_else_happens(capsys):
    async def story(phone, server):
        await do(phone, "dial", uri=NUMBER)
        server.transport.sendto(b"\r\n\r\n", server.phone)
        server.transport.sendto(b"hello", server.phone)
        server.request("BYE", "another call")
        assert (await do(phone, "ping"))["status"] == 200

    play(answers_at_once, story)
    assert "not SIP: hello" in capsys.readouterr().out


def test_one_call_at_a_time_and_none_without_dialling():
    async def story(phone, server):
        with pytest.raises(PhoneRefused, match="there is no call"):
            await do(phone, "ping")
        await do(phone, "dial", uri=NUMBER)
        with pytest.raises(PhoneRefused, match="there is a call already"):
            await do(phone, "dial", uri=NUMBER)
        with pytest.raises(PhoneRefused, match="cannot fly"):
            await do(phone, "fly")

    play(answers_at_once, story)


def test_what_was_heard_is_kept_as_a_file(tmp_path):
    async def story(phone, server):
        await do(phone, "talk", hz=440)
        await do(phone, "press", digits="1")
        await do(phone, "save", path=str(tmp_path / "heard.wav"))
        return await do(phone, "figures")

    assert play(answers_at_once, story)["packets"] == 0
    assert (tmp_path / "heard.wav").read_bytes().startswith(b"RIFF")
