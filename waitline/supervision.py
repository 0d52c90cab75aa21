"""Control's side of the supervisor: how control is given sockets, shared memory and workers, and hears what it is to do.

At start control asks with blocking calls, in the order its parts are built; then it calls ``attach`` in its running loop, and from then
on facts from the supervisor arrive at ``on_event`` and a worker is started with ``spawn_async``, which does not block the loop. The
protocol is described in ``waitline.supervisor``.

Everything received is close-on-exec and the caller's own: closing a socket here does not close the supervisor's, which keeps it for a
control that comes after this one.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from waitline.errors import BridgeError, ConfigError

REQUEST_TIMEOUT_S = 10.0
_MAX_MESSAGE_BYTES = 65_536
_MAX_DESCRIPTORS = 4


@dataclass(frozen=True, slots=True)
class Drain:
    """Take no new work; end when the last call has ended or the drain limit is reached."""


@dataclass(frozen=True, slots=True)
class End:
    """End now: hang up what is left and exit; the process is killed three seconds later."""


@dataclass(frozen=True, slots=True)
class WorkerDied:
    """A worker's process is gone; ``why`` is a signal's name or an exit code, for people."""

    kind: str
    index: int
    why: str


@dataclass(frozen=True, slots=True)
class SupervisorGone:
    """The supervisor ended without a word: exit at once."""


SupervisionEvent = Drain | End | WorkerDied | SupervisorGone
_Answer = tuple[dict[str, Any], list[int]]


class Supervision:
    """The link to the supervisor."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[_Answer]] = {}
        self._early: list[SupervisionEvent] = []
        self._on_event: Callable[[SupervisionEvent], None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        link.settimeout(REQUEST_TIMEOUT_S)

    @classmethod
    def from_environment(cls) -> Supervision:
        """Return the link that WAITLINE_SUPERVISOR_FD names; raises ConfigError outside a supervisor."""
        number = os.environ.pop("WAITLINE_SUPERVISOR_FD", "")
        if not number:
            raise ConfigError("this process is started by the supervisor: use `waitline serve`")
        link = socket.socket(fileno=int(number))
        link.set_inheritable(False)
        return cls(link)

    # --- requests at start: they block

    def listen(self, kind: str, host: str, port: int, *, setting: str = "") -> socket.socket:
        """Return the ``udp`` or ``tcp`` socket bound to that address, listening if it is TCP; port 0 is any free one.

        Raises ConfigError, with the name of the ``setting``, where the address is in use or not ours.
        """
        return self._listen(kind, host, port, setting)[0]

    def listen_both(self, host: str, port: int, *, setting: str = "") -> tuple[socket.socket, socket.socket]:
        """Return a UDP and a TCP socket on one port number; port 0 is any that is free for both."""
        udp, tcp = self._listen("both", host, port, setting)
        return udp, tcp

    def memfd(self, name: str, size: int) -> int:
        """Return a descriptor of the shared memory file of that name, made with ``size`` bytes if there is none yet."""
        return self._ask(do="memfd", name=name, size=size)[0]

    def spawn(self, kind: str, index: int, *, memfd: str = "frames", args: Sequence[str] = ()) -> socket.socket:
        """Start a ``media`` or ``clip`` worker; returns our end of its link (SOCK_SEQPACKET, non-blocking)."""
        return _as_link(self._ask(do="spawn", kind=kind, index=index, memfd=memfd, args=list(args)))

    def ready(self, *, http: str, sip: str) -> None:
        """Have the ready line printed: both are HOST:PORT, the real ports."""
        self._send({"do": "ready", "http": http, "sip": sip})

    # --- in the running loop

    def attach(self, on_event: Callable[[SupervisionEvent], None]) -> None:
        """Call ``on_event`` for each fact from now on (and for those that came meanwhile), in the running loop."""
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        self._link.setblocking(False)
        self._loop.add_reader(self._link.fileno(), self._readable)
        early, self._early = self._early, []
        for event in early:
            self._loop.call_soon(on_event, event)

    async def spawn_async(self, kind: str, index: int, *, memfd: str = "frames", args: Sequence[str] = ()) -> socket.socket:
        """``spawn`` for a loop that is attached: in the place of a worker that died."""
        number = next(self._ids)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self._send({"id": number, "do": "spawn", "kind": kind, "index": index, "memfd": memfd, "args": list(args)})
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                answer, descriptors = await self._waiting[number]
        finally:
            del self._waiting[number]
        return _as_link(_checked(answer, descriptors))

    def close(self) -> None:
        """Let go of the link; the supervisor goes on until this process exits."""
        if self._loop is not None:
            self._loop.remove_reader(self._link.fileno())
            self._loop = None
        self._link.close()

    # --- inside

    def _listen(self, kind: str, host: str, port: int, setting: str) -> list[socket.socket]:
        try:
            descriptors = self._ask(do="listen", kind=kind, host=host, port=port)
        except BridgeError as error:
            raise ConfigError(f"{setting}: {error}" if setting else str(error)) from error
        return [socket.socket(fileno=descriptor) for descriptor in descriptors]

    def _ask(self, **request: Any) -> list[int]:
        if self._loop is not None:
            raise BridgeError("a blocking request in a running loop: use spawn_async")
        number = next(self._ids)
        self._send({"id": number, **request})
        while True:
            message, descriptors = self._await_message()
            if message.get("id") == number:
                return _checked(message, descriptors)
            self._early.append(_event(message))

    def _await_message(self) -> _Answer:
        try:
            message, descriptors = self._receive()
        except OSError as error:  # the time-out included
            raise BridgeError(f"no answer from the supervisor: {error}") from error
        if message.get("event") == "gone":
            raise BridgeError("the supervisor is gone")
        return message, descriptors

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._link.send(json.dumps(message).encode())
        except OSError as error:
            raise BridgeError(f"the supervisor does not listen: {error}") from error

    def _receive(self) -> _Answer:
        data, descriptors, _, _ = socket.recv_fds(self._link, _MAX_MESSAGE_BYTES, _MAX_DESCRIPTORS)
        for descriptor in descriptors:  # not by MSG_CMSG_CLOEXEC: Python 3.11's recv_fds does not pass its flags on
            os.set_inheritable(descriptor, False)
        return (json.loads(data) if data else {"event": "gone"}), list(descriptors)

    def _readable(self) -> None:
        try:
            message, descriptors = self._receive()
        except BlockingIOError:
            return
        except ConnectionError:
            message, descriptors = {"event": "gone"}, []
        if "id" in message:
            self._answered(message, descriptors)
            return
        event = _event(message)
        if isinstance(event, SupervisorGone) and self._loop is not None:
            self._loop.remove_reader(self._link.fileno())  # or the loop would spin on the end of file
        if self._on_event is not None:
            self._on_event(event)

    def _answered(self, message: dict[str, Any], descriptors: list[int]) -> None:
        future = self._waiting.get(message["id"])
        if future is None or future.done():  # whoever asked has gone; closing the link ends the worker
            for descriptor in descriptors:
                os.close(descriptor)
        else:
            future.set_result((message, descriptors))


def _checked(answer: dict[str, Any], descriptors: list[int]) -> list[int]:
    if "error" in answer:
        raise BridgeError(answer["error"])
    return descriptors


def _as_link(descriptors: list[int]) -> socket.socket:
    link = socket.socket(fileno=descriptors[0])
    link.setblocking(False)
    return link


def _event(message: dict[str, Any]) -> SupervisionEvent:
    match message.get("event"):
        case "drain":
            return Drain()
        case "end":
            return End()
        case "died":
            return WorkerDied(message["kind"], message["index"], message["why"])
        case "gone":
            return SupervisorGone()
    raise BridgeError(f"the supervisor said {message!r}")
