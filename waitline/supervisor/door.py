"""Where commands of this machine reach the running platform: ``waitline upgrade``, ``waitline reload``, ``waitline drain``.

An abstract socket (no path that could be too long, nothing to clean up) whose name follows from the data folder, so that whoever has the
same settings finds it. Anybody may connect to an abstract socket: who is not the same user, or root, is sent away, and a caller in turn
believes nobody but the folder's owner or itself. One JSON object a message: a visitor says ``{"do": "upgrade"}``, ``{"do": "reload"}``
or ``{"do": "drain", "deadline_s": 60}`` and listens.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import struct
from pathlib import Path
from typing import Any

MAX_VISITORS = 8
MAX_ORDER_BYTES = 4096
_CREDENTIALS = struct.Struct("3i")


def door_name(folder: Path) -> str:
    """Return the socket's name for the platform on this data folder; raises OSError where there is no such folder.

    The inode tells folders apart that have the same path in different containers.
    """
    real = folder.resolve(strict=True)
    status = real.stat()
    return "waitline-" + hashlib.sha256(f"{real}:{status.st_dev}:{status.st_ino}".encode()).hexdigest()[:32]


def peer_user(peer: socket.socket) -> int:
    """Return the user id of the process at the other end when it connected, or listened."""
    _, user, _ = _CREDENTIALS.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return int(user)


class Visitor:
    """A command that is connected."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link
        self.follows_drain = False
        self.gone = False

    def order(self) -> dict[str, Any] | None:
        """Return what it says, empty where that is not understood; None where it says nothing, or is ``gone``."""
        try:
            data = self.link.recv(MAX_ORDER_BYTES)
        except BlockingIOError:
            return None
        except ConnectionError:
            data = b""
        if not data:
            self.gone = True
            return None
        try:
            order = json.loads(data)
        except ValueError:
            order = None
        return order if isinstance(order, dict) else {}

    def say(self, message: dict[str, Any]) -> None:
        """Tell it; one that does not read or is gone has itself to blame."""
        with contextlib.suppress(OSError):
            self.link.send(json.dumps(message).encode())

    def refuse(self, text: str) -> None:
        """Send it away with the reason."""
        self.say({"done": True, "ok": False, "text": text})
        self.close()

    def close(self) -> None:
        """Let go of it."""
        self.gone = True
        self.link.close()


class Door:
    """The listening socket and who came in."""

    def __init__(self, name: str) -> None:
        """Open it; raises OSError where another has the name."""
        self.name = name
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self.socket.bind(f"\0{name}")
            self.socket.listen(MAX_VISITORS)
            self.socket.setblocking(False)
        except OSError:
            self.socket.close()
            raise
        self.visitors: list[Visitor] = []

    def admit(self) -> Visitor | None:
        """Let the next visitor in; None for one that is sent away or has gone."""
        try:
            link, _ = self.socket.accept()
        except OSError:
            return None
        link.setblocking(False)
        visitor = Visitor(link)
        self.visitors = [known for known in self.visitors if not known.gone]
        if peer_user(link) not in (os.geteuid(), 0):
            visitor.refuse("only the user that runs the platform may command it")
        elif len(self.visitors) >= MAX_VISITORS:
            visitor.refuse(f"{MAX_VISITORS} commands are connected already")
        else:
            self.visitors.append(visitor)
        return None if visitor.gone else visitor

    def publish(self, message: dict[str, Any]) -> None:
        """Tell those that follow the drain."""
        for visitor in self.visitors:
            if visitor.follows_drain:
                visitor.say(message)
