"""What tests of the shell share: an endpoint in virtual time, and who waits for its events."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

from waitline.bridge.net.endpoint import SipEndpoint
from waitline.bridge.sip.events import Event
from waitline.bridge.sip.flow import Flow
from waitline.bridge.sip.message import Message, parse
from waitline.bridge.sip.user_agent import UserAgent
from waitline.clock import VirtualClock


class Heard(list[Event]):
    """The events so far, and a way to wait for more."""

    def __init__(self) -> None:
        super().__init__()
        self._arrived = asyncio.Event()

    def take(self, event: Event) -> None:
        self.append(event)
        self._arrived.set()

    async def wait(self, kind: type[Any], count: int = 1) -> None:
        async with asyncio.timeout(10):
            while sum(isinstance(event, kind) for event in self) < count:
                self._arrived.clear()
                await self._arrived.wait()


def made(on_event: Callable[[Event], None], **options: Any) -> SipEndpoint:
    loop = asyncio.get_running_loop()
    return SipEndpoint(UserAgent(random=random.Random(3)), VirtualClock(loop.time), on_event, **options)


def ask(flow: Flow, ua: UserAgent, now: float) -> str:
    return ua.send_request("OPTIONS", "sip:x", flow, now, from_="sip:a@x", to="sip:b@x")


async def next_message(reader: asyncio.StreamReader) -> Message:
    head = await reader.readuntil(b"\r\n\r\n")
    message = parse(head.replace(b"Content-Length", b"X-Length"))
    assert message is not None
    body = await reader.readexactly(int(message.headers.get("X-Length") or 0))
    message.body = body
    return message
