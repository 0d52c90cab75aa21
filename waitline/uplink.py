"""The wire under ``Supervision``: JSON messages with descriptors over the link, as questions and answers or as facts.

Before ``run`` it blocks, with a deadline. In a running loop nothing blocks: where the socket is full, what is to be said waits in order,
its descriptors duplicated, since the caller may close its own at once.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from waitline.errors import BridgeError

REQUEST_TIMEOUT_S = 10.0
_MAX_MESSAGE_BYTES = 65_536
_MAX_DESCRIPTORS = 253


class Answer(NamedTuple):
    """What came back; the descriptors are the receiver's to close."""

    content: dict[str, Any]
    descriptors: list[int]


class Uplink:
    """See the module. Facts, and the end of the link as ``{"event": "gone"}``, go to ``on_fact``."""

    def __init__(self, link: socket.socket, on_fact: Callable[[dict[str, Any]], None]) -> None:
        self._link = link
        self._on_fact = on_fact
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._out: deque[tuple[bytes, list[int]]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        link.settimeout(REQUEST_TIMEOUT_S)

    # --- blocking, before there is a loop

    def ask(self, **request: Any) -> Answer:
        """Ask and wait for the answer; BridgeError where there is none, or where it is a refusal."""
        if self._loop is not None:
            raise BridgeError("a blocking request in a running loop: use the method that is awaited")
        number = next(self._ids)
        self.say({"id": number, **request})
        while True:
            message = self.await_message()
            if message.content.get("id") == number:
                return _checked(message)
            self._on_fact(message.content)

    def await_message(self, *, for_ever: bool = False) -> Answer:
        """Wait for whatever comes next; BridgeError where nothing comes in time, or the supervisor goes."""
        self._link.settimeout(None if for_ever else REQUEST_TIMEOUT_S)
        try:
            message = self._receive()
        except OSError as error:  # the time-out included
            raise BridgeError(f"no answer from the supervisor: {error}") from error
        if message.content.get("event") == "gone":
            raise BridgeError("the supervisor is gone")
        return message

    # --- in the running loop

    def run(self) -> None:
        """Read from now on, in the running loop."""
        self._loop = asyncio.get_running_loop()
        self._link.setblocking(False)
        self._loop.add_reader(self._link.fileno(), self._readable)

    async def ask_async(self, **request: Any) -> Answer:
        """``ask`` for a running loop; TimeoutError where no answer comes."""
        number = next(self._ids)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self.say({"id": number, **request})
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                return _checked(await self._waiting[number])
        finally:
            del self._waiting[number]

    def say(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Send a message, in a running loop at once or as soon as there is room; BridgeError where nobody listens."""
        data = json.dumps(message).encode()
        if self._out:
            self._out.append((data, [os.dup(descriptor) for descriptor in descriptors]))
            return
        try:
            socket.send_fds(self._link, [data], list(descriptors))
        except BlockingIOError:
            assert self._loop is not None, "only there the socket does not block"
            self._out.append((data, [os.dup(descriptor) for descriptor in descriptors]))
            self._loop.add_writer(self._link.fileno(), self._writable)
        except OSError as error:
            raise BridgeError(f"the supervisor does not listen: {error}") from error

    def close(self) -> None:
        """Let go of the link. What could not be sent yet is lost."""
        if self._loop is not None:
            self._stop_reading()
            self._stop_writing()
            self._loop = None
        self._link.close()

    # --- inside

    def _receive(self) -> Answer:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._link, _MAX_MESSAGE_BYTES, _MAX_DESCRIPTORS)
        except ConnectionResetError:  # the supervisor ended with words of ours unread: told once, and before its own last words
            data, descriptors, _, _ = socket.recv_fds(self._link, _MAX_MESSAGE_BYTES, _MAX_DESCRIPTORS)
        for descriptor in descriptors:  # not by MSG_CMSG_CLOEXEC: Python 3.11's recv_fds does not pass its flags on
            os.set_inheritable(descriptor, False)
        return Answer(json.loads(data) if data else {"event": "gone"}, list(descriptors))

    def _readable(self) -> None:
        try:
            message = self._receive()
        except BlockingIOError:
            return
        except ConnectionError:
            message = Answer({"event": "gone"}, [])
        if "id" in message.content:
            self._answered(message)
            return
        if message.content.get("event") == "gone":
            self._stop_reading()  # or the loop would spin on the end of file
            self._stop_writing()
        self._on_fact(message.content)

    def _answered(self, answer: Answer) -> None:
        future = self._waiting.get(answer.content["id"])
        if future is None or future.done():  # whoever asked has gone; closing the link ends the worker
            for descriptor in answer.descriptors:
                os.close(descriptor)
        else:
            future.set_result(answer)

    def _writable(self) -> None:
        while self._out:
            data, descriptors = self._out[0]
            try:
                socket.send_fds(self._link, [data], descriptors)
            except BlockingIOError:
                return
            except OSError:  # reading sees the end too, and tells
                self._stop_writing()
                return
            self._out.popleft()
            for descriptor in descriptors:
                os.close(descriptor)
        self._stop_writing()

    def _stop_reading(self) -> None:
        if self._loop is not None:
            self._loop.remove_reader(self._link.fileno())

    def _stop_writing(self) -> None:
        """No more is to be sent, or can be."""
        if self._loop is not None:
            self._loop.remove_writer(self._link.fileno())
        for _, descriptors in self._out:
            for descriptor in descriptors:
                os.close(descriptor)
        self._out.clear()


def _checked(answer: Answer) -> Answer:
    if "error" in answer.content:
        raise BridgeError(answer.content["error"])
    return answer
