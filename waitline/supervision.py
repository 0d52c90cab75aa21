"""Control's side of the supervisor: how control is given sockets, shared memory and workers, and hears what it is to do.

A standby first waits in ``await_go``. Then control asks with blocking calls, in the order its parts are built, and calls ``attach`` in its
running loop: from then on facts from the supervisor arrive at ``on_event``, requests are awaited (``…_async``), and the supervisor is told
twice a second that the loop runs. A loop that is held up for three seconds after ``ready`` is the end of this process. The protocol is
described in ``waitline.supervisor``.

Everything received is close-on-exec and the caller's own: closing a socket here does not close the supervisor's, which keeps it for a
control that comes after this one. That holds for what ``keep`` was given too: a connection is at its end when it is closed here *and*
dropped there.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from waitline import __version__
from waitline.errors import BridgeError, ConfigError
from waitline.supervisor.door import door_name
from waitline.uplink import Answer, Uplink

BEAT_S = 0.5
MAX_KEPT_BYTES = 32_768


@dataclass(frozen=True, slots=True)
class Drain:
    """Take no new work; end (exit code 0) when the last call has ended or the time is over: ``deadline_s`` from now, else the setting's."""

    deadline_s: float | None = None


@dataclass(frozen=True, slots=True)
class End:
    """End now: hang up what is left and exit; the process is killed three seconds later."""


@dataclass(frozen=True, slots=True)
class HandOver:
    """Another control is ready to go on: write down what there is, touch no call, close everything, say ``handed_over``, and exit with
    EXIT_HANDED_OVER; within ten seconds.
    """


@dataclass(frozen=True, slots=True)
class Reload:
    """Read again what may change while the platform runs (certificates), and say ``reloaded``."""


@dataclass(frozen=True, slots=True)
class WorkerDied:
    """A worker's process is gone; ``why`` is a signal's name or an exit code, for people."""

    kind: str
    index: int
    why: str


@dataclass(frozen=True, slots=True)
class SupervisorGone:
    """The supervisor ended without a word: exit at once."""


EXIT_HANDED_OVER = 75
SupervisionEvent = Drain | End | HandOver | Reload | WorkerDied | SupervisorGone


class WorkerLink(NamedTuple):
    """Our end of a worker's link (SOCK_SEQPACKET, non-blocking).

    ``adopted``: the worker has lived before; what it said to the control before us, or to nobody, may still be in the socket.
    """

    socket: socket.socket
    adopted: bool


class Kept(NamedTuple):
    """What was kept under a name: descriptors, now ours to close, and bytes."""

    name: str
    descriptors: list[int]
    data: bytes


class Supervision:
    """The link to the supervisor."""

    def __init__(self, link: socket.socket) -> None:
        self._uplink = Uplink(link, self._on_fact)
        self._early: list[SupervisionEvent] = []
        self._on_event: Callable[[SupervisionEvent], None] | None = None
        self._status: Callable[[], dict[str, int]] = dict
        self._beat_timer: asyncio.TimerHandle | None = None

    @classmethod
    def from_environment(cls) -> Supervision:
        """Return the link that WAITLINE_SUPERVISOR_FD names; raises ConfigError outside a supervisor."""
        number = os.environ.pop("WAITLINE_SUPERVISOR_FD", "")
        if not number:
            raise ConfigError("this process is started by the supervisor: use `waitline serve`")
        link = socket.socket(fileno=int(number))
        link.set_inheritable(False)
        return cls(link)

    # --- as a standby

    def await_go(self, check: Callable[[], str]) -> bool:
        """Wait until it is our turn; False where it will never be, since the supervisor is gone.

        ``check`` is the self-check of a version that is to replace a running one: it returns why it cannot, or nothing.
        """
        with contextlib.suppress(BridgeError):  # the supervisor is gone
            self._uplink.say({"do": "standing-by"})
            while (event := self._uplink.await_message(for_ever=True).content.get("event")) != "go":
                if event == "check":
                    self._uplink.say({"do": "checked", "reason": _reason(check), "version": __version__})
            return True
        return False

    def refuse(self, reason: str) -> None:
        """Say, before ``await_go``, that this version cannot take over. To whom nobody asked to, it means nothing."""
        with contextlib.suppress(BridgeError):  # the supervisor is gone
            self._uplink.say({"do": "checked", "reason": reason})

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
        return self._uplink.ask(do="memfd", name=name, size=size).descriptors[0]

    def worker(self, kind: str, index: int, *, memfd: str = "frames", args: Sequence[str] = ()) -> WorkerLink:
        """Return the link to the ``media`` worker of that index, which may have lived before, or to a new ``media`` or ``clip`` worker."""
        return _as_link(self._uplink.ask(do="spawn", kind=kind, index=index, memfd=memfd, args=list(args)))

    def spawn(self, kind: str, index: int, *, memfd: str = "frames", args: Sequence[str] = ()) -> socket.socket:
        """``worker`` for whom it does not matter whether it has lived before."""
        return self.worker(kind, index, memfd=memfd, args=args).socket

    def living(self) -> list[int]:
        """Return the indexes of the media workers that live now."""
        return list(self._uplink.ask(do="workers").content["media"])

    def kept(self) -> list[Kept]:
        """Return all that was kept, by this control or one before it, in the order of its first ``keep``."""
        found: list[Kept] = []
        more = True
        while more:
            more = _add_page(found, self._uplink.ask(**{"do": "kept", "from": len(found)}))
        return found

    # --- at any time

    def keep(self, name: str, descriptors: Sequence[int] | None = None, data: bytes = b"") -> None:
        """Have duplicates of up to 16 descriptors and up to 32 kB kept under a name, in the place of what was there before.

        None leaves the descriptors that are there and replaces the data. In a running loop this does not block, and its order with other
        requests holds.
        """
        if len(data) > MAX_KEPT_BYTES:
            raise BridgeError(f"{len(data)} bytes are too many to be kept under {name!r}")
        message = {"do": "keep", "name": name, "data": base64.b64encode(data).decode()}
        self._uplink.say(message if descriptors is None else {**message, "fds": len(descriptors)}, descriptors or ())

    def drop(self, name: str) -> None:
        """Have what is kept under the name closed; a name that is not known is none's loss."""
        self._uplink.say({"do": "drop", "name": name})

    def ready(self, *, http: str, sip: str) -> None:
        """Say that this control serves. The first time the ready line is printed: both are HOST:PORT, the real ports."""
        self._uplink.say({"do": "ready", "http": http, "sip": sip})

    def handed_over(self) -> None:
        """Say, after HandOver, that nothing is open here any more, the data folder least of all.

        The next control starts at once, while this process is still on its way out.
        """
        self._uplink.say({"do": "handed-over"})

    def reloaded(self, *, ok: bool, text: str) -> None:
        """Say, after Reload, what came of it."""
        self._uplink.say({"do": "reloaded", "ok": ok, "text": text})

    def standby(self, *, on: bool) -> None:
        """Say whether a standby is to wait from now on."""
        self._uplink.say({"do": "standby", "on": on})

    def open_door(self, data: Path) -> None:
        """Have the commands of this machine taken for the platform on this data folder, which exists."""
        self._uplink.say({"do": "door", "name": door_name(data)})

    def status_from(self, status: Callable[[], dict[str, int]]) -> None:
        """Say where numbers for people come from while the platform drains: ``{"calls": 3}``. Called twice a second: be quick."""
        self._status = status

    # --- in the running loop

    def attach(self, on_event: Callable[[SupervisionEvent], None]) -> None:
        """Call ``on_event`` for each fact from now on (and for those that came meanwhile), in the running loop."""
        self._on_event = on_event
        self._uplink.run()
        loop = asyncio.get_running_loop()
        early, self._early = self._early, []
        for event in early:
            loop.call_soon(on_event, event)
        self._beat(loop)

    async def worker_async(self, kind: str, index: int, *, memfd: str = "frames", args: Sequence[str] = ()) -> WorkerLink:
        """``worker`` for a loop that is attached: also in the place of a worker that died."""
        return _as_link(await self._uplink.ask_async(do="spawn", kind=kind, index=index, memfd=memfd, args=list(args)))

    async def spawn_async(self, kind: str, index: int, *, memfd: str = "frames", args: Sequence[str] = ()) -> socket.socket:
        """``spawn`` for a loop that is attached."""
        return (await self.worker_async(kind, index, memfd=memfd, args=args)).socket

    async def living_async(self) -> list[int]:
        """``living`` for a loop that is attached."""
        return list((await self._uplink.ask_async(do="workers")).content["media"])

    async def kept_async(self) -> list[Kept]:
        """``kept`` for a loop that is attached."""
        found: list[Kept] = []
        more = True
        while more:
            more = _add_page(found, await self._uplink.ask_async(**{"do": "kept", "from": len(found)}))
        return found

    def close(self) -> None:
        """Let go of the link: this process is about to exit, and has ten seconds for it."""
        self._stop_beating()
        self._uplink.close()

    # --- inside

    def _listen(self, kind: str, host: str, port: int, setting: str) -> list[socket.socket]:
        try:
            descriptors = self._uplink.ask(do="listen", kind=kind, host=host, port=port).descriptors
        except BridgeError as error:
            raise ConfigError(f"{setting}: {error}" if setting else str(error)) from error
        return [socket.socket(fileno=descriptor) for descriptor in descriptors]

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        """Say that the loop runs, and again in a moment."""
        self._beat_timer = loop.call_later(BEAT_S, self._beat, loop)
        with contextlib.suppress(BridgeError):  # a supervisor that is gone is told as an event
            self._uplink.say({"do": "alive", "status": self._status()})

    def _stop_beating(self) -> None:
        if self._beat_timer is not None:
            self._beat_timer.cancel()
            self._beat_timer = None

    def _on_fact(self, fact: dict[str, Any]) -> None:
        event = _event(fact)
        if isinstance(event, SupervisorGone):
            self._stop_beating()
        if self._on_event is None:
            self._early.append(event)
        else:
            self._on_event(event)


def _reason(check: Callable[[], str]) -> str:
    """Run a self-check; one that fails is a reason too."""
    try:
        return check()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _as_link(answer: Answer) -> WorkerLink:
    link = socket.socket(fileno=answer.descriptors[0])
    link.setblocking(False)
    return WorkerLink(link, bool(answer.content.get("adopted")))


def _add_page(found: list[Kept], answer: Answer) -> bool:
    """Add the entries of a page to those before; tells whether there are more."""
    descriptors = iter(answer.descriptors)
    for name, count, data in answer.content["kept"]:
        found.append(Kept(name, [next(descriptors) for _ in range(count)], base64.b64decode(data)))
    return bool(answer.content["more"])


def _event(message: dict[str, Any]) -> SupervisionEvent:
    match message.get("event"):
        case "drain":
            return Drain(message.get("deadline_s"))
        case "end":
            return End()
        case "hand_over":
            return HandOver()
        case "reload":
            return Reload()
        case "died":
            return WorkerDied(message["kind"], message["index"], message["why"])
        case "gone":
            return SupervisorGone()
    raise BridgeError(f"the supervisor said {message!r}")
