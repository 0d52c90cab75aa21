"""``waitline upgrade``, ``reload`` and ``drain``: the caller's side of the running platform's door (``waitline.supervisor.door``).

They find the platform by its data folder, say one thing and listen until it is done. Going away early changes nothing on the other side.
"""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from waitline.clock import Clock, SystemClock
from waitline.errors import ConfigError
from waitline.supervisor.door import door_name, peer_user

UPGRADE_WITHIN_S = 110.0
"""The supervisor's own limits (check, hand over, take over) are reached first."""
RELOAD_WITHIN_S = 10.0
REFRESH_S = 1.0
STATUS_WITHIN_S = 5.0
EXIT_DRAINING = 3
EXIT_INTERRUPTED = 130
_UNITS_S = {"s": 1, "m": 60, "h": 3600}
_MAX_MESSAGE_BYTES = 4096


class NotRunning(Exception):
    """No platform, or none of ours, runs on the data folder; the text says so."""


def upgrade(folder: Path, say: Callable[[str], None], *, media: bool = False) -> int:
    """Have the running platform's control, and its media workers too, replaced by the code now on disk; returns the exit code."""
    return _ask(folder, {"do": "upgrade", **({"media": True} if media else {})}, UPGRADE_WITHIN_S, say)


def reload(folder: Path, say: Callable[[str], None]) -> int:
    """Have the running platform read its certificates again; returns the exit code."""
    return _ask(folder, {"do": "reload"}, RELOAD_WITHIN_S, say)


def _ask(folder: Path, order: dict[str, Any], within_s: float, say: Callable[[str], None]) -> int:
    try:
        with _connected(folder) as door:
            door.settimeout(within_s)
            door.send(json.dumps(order).encode())
            answer = json.loads(door.recv(_MAX_MESSAGE_BYTES) or b'{"text": "the platform ended meanwhile"}')
    except (NotRunning, OSError) as error:
        answer = {"text": str(error)}
    say(answer["text"])
    return 0 if answer.get("ok") else 1


def status(folder: Path, out: TextIO) -> int:
    """Say how the platform stands, once; returns the exit code: 0 while it takes new work, 3 while it drains, 1 where none runs."""
    try:
        with _connected(folder) as door:
            door.settimeout(STATUS_WITHIN_S)
            door.send(json.dumps({"do": "status"}).encode())
            said: dict[str, Any] = json.loads(door.recv(_MAX_MESSAGE_BYTES) or b"{}")
    except (NotRunning, OSError) as error:
        out.write(f"{error}\n")
        return 1
    countdown = Countdown(out, SystemClock())
    countdown.update(said)
    countdown.end(countdown.text("draining" if said.get("draining") else "takes calls"))
    return EXIT_DRAINING if said.get("draining") else 0


def drain(folder: Path, deadline_s: float, out: TextIO) -> int:
    """Have the platform take no new work, and show how far it is until it has ended; returns the exit code."""
    try:
        with _connected(folder) as door:
            door.send(json.dumps({"do": "drain", "deadline_s": deadline_s}).encode())
            return _follow(door, Countdown(out, SystemClock()))
    except (NotRunning, OSError) as error:
        out.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        out.write("\nstill draining; `waitline drain` shows it again, a SIGTERM to the platform ends it\n")
        return EXIT_INTERRUPTED


def seconds(text: str) -> float:
    """Read a time such as ``90``, ``90s``, ``30m`` or ``1.5h``; raises ConfigError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if match is None:
        raise ConfigError(f"--deadline {text!r}: write a time such as 90s, 30m or 2h")
    return float(match[1]) * _UNITS_S[match[2] or "s"]


class Countdown:
    """The state of a drain for people: one line that changes on a terminal, else a line whenever the number of calls has changed."""

    def __init__(self, out: TextIO, clock: Clock) -> None:
        self._out = out
        self._now = clock.now
        self._calls: int | None = None
        self._ends_at: float | None = None
        self._shown: int | None = -1

    def update(self, message: dict[str, Any]) -> None:
        """Take a status of the platform."""
        self._calls = message.get("status", {}).get("calls", self._calls)
        left_s = message.get("left_s")
        self._ends_at = None if left_s is None else self._now() + left_s

    def show(self) -> None:
        """Say how it stands."""
        if self._out.isatty():
            self._out.write(f"\r\x1b[K{self.text()}")
            self._out.flush()
        elif self._calls != self._shown:
            self._shown = self._calls
            self._out.write(f"{self.text()}\n")
            self._out.flush()

    def end(self, text: str) -> None:
        """Say the last word."""
        self._out.write(f"\r\x1b[K{text}\n" if self._out.isatty() else f"{text}\n")

    def text(self, what: str = "draining") -> str:
        """Return the line."""
        calls = "" if self._calls is None else f": {self._calls} {'call' if self._calls == 1 else 'calls'}"
        if self._ends_at is None:
            return f"{what}{calls}"
        minutes, left = divmod(max(0, round(self._ends_at - self._now())), 60)
        return f"{what}{calls}, {minutes}:{left:02} left"


def _follow(door: socket.socket, countdown: Countdown) -> int:
    """Show what the platform says until it has ended. The supervisor's end closes the connection if nothing else does."""
    door.settimeout(REFRESH_S)
    while True:
        try:
            data = door.recv(_MAX_MESSAGE_BYTES)
        except TimeoutError:
            countdown.show()
            continue
        message: dict[str, Any] = json.loads(data) if data else {"done": True, "ok": False, "text": "the platform is gone"}
        if message.get("done"):
            countdown.end(message["text"])
            return 0 if message["ok"] else 1
        countdown.update(message)
        countdown.show()


@contextmanager
def _connected(folder: Path) -> Iterator[socket.socket]:
    """Connect to the platform on this folder; raises NotRunning."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        try:
            owner = folder.stat().st_uid
            door.connect(f"\0{door_name(folder)}")
        except OSError as error:
            raise NotRunning(f"no platform runs on {folder}") from error
        if peer_user(door) not in (os.geteuid(), owner):
            raise NotRunning(f"what answers for {folder} belongs to another user: it is not trusted")
        yield door
