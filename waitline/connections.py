"""SIP connections over TCP that outlive control: the supervisor keeps a duplicate of each, and what was read of an unfinished message.

The next control takes them under their old numbers, by which dialogs and registrations name them. A beginning that is too long to be kept
costs its connection: the rest of that message could not be told from the next one.
"""

from __future__ import annotations

import base64
import json
import os
import socket

from waitline.bridge.net.sip_tcp import KeptConnection
from waitline.supervision import MAX_KEPT_BYTES, Kept, Supervision

_PREFIX = "sip-tcp-"
_MAX_BEGINNING_BYTES = MAX_KEPT_BYTES // 2  # base64 and the rest of the record


class SupervisedConnections:
    """See ``net.sip_tcp.ConnectionKeeper``."""

    def __init__(self, supervision: Supervision) -> None:
        self._supervision = supervision

    def keep(self, number: int, sock: socket.socket, remote: tuple[str, int]) -> None:
        self._supervision.keep(f"{_PREFIX}{number}", [sock.fileno()], _data(remote, b""))

    def note(self, number: int, remote: tuple[str, int], received: bytes) -> None:
        self._supervision.keep(f"{_PREFIX}{number}", None, _data(remote, received))

    def drop(self, number: int) -> None:
        self._supervision.drop(f"{_PREFIX}{number}")

    async def kept(self) -> list[KeptConnection]:
        """The connections of the control before this one."""
        found = []
        for kept in await self._supervision.kept_async():
            if connection := self._connection(kept):
                found.append(connection)
            elif kept.name.startswith(_PREFIX):
                self._supervision.drop(kept.name)
        return found

    def _connection(self, kept: Kept) -> KeptConnection | None:
        """None, and nothing of it is left open, for what is kept for somebody else or cannot go on."""
        plain = json.loads(kept.data) if kept.name.startswith(_PREFIX) else None
        if plain is None or plain["received"] is None or len(kept.descriptors) != 1:
            for descriptor in kept.descriptors:
                os.close(descriptor)
            return None
        host, port = plain["remote"]
        number = int(kept.name.removeprefix(_PREFIX))
        return KeptConnection(number, socket.socket(fileno=kept.descriptors[0]), (host, port), base64.b64decode(plain["received"]))


def _data(remote: tuple[str, int], received: bytes) -> bytes:
    beginning = base64.b64encode(received).decode() if len(received) <= _MAX_BEGINNING_BYTES else None
    return json.dumps({"remote": list(remote), "received": beginning}).encode()
