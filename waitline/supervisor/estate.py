"""What a media worker leaves when it dies: its table and a duplicate of every socket of its legs, told to us as they come and go.

Whoever takes the worker's place is sent all of it, in as many messages as it takes; what the link has no room for waits here. The words
are those of ``waitline.media.vault``, which is the other end.

A leg on its way from one worker to another belongs to nobody for a moment: its sockets are in ``adrift``, which all estates share, and are
sent to every successor, in case it is the one that was about to take the leg.
"""

from __future__ import annotations

import json
import os
import socket
from collections import deque
from typing import Any

from waitline.supervisor.channel import MAX_DESCRIPTORS, Channel, Message, close_all

MESSAGES_A_TURN = 256
LEGS_A_PAGE = 120
"""Two sockets each, and the table: a message takes 253."""


class Vault(Channel):
    """Our end of the link to one worker; what there is no room for waits."""

    def __init__(self, link: socket.socket) -> None:
        super().__init__(link)
        self._out: deque[tuple[dict[str, Any], list[int]]] = deque()

    @property
    def waits(self) -> bool:
        """Something is left to be said."""
        return bool(self._out)

    def say(self, message: dict[str, Any], descriptors: list[int]) -> None:
        """Send a message with descriptors that are ours to keep, now or when there is room."""
        self._out.append((message, descriptors))

    def flush(self) -> None:
        """Send what there is room for; raises OSError where nobody is there."""
        while self._out and not self.closed:
            message, descriptors = self._out[0]
            try:
                socket.send_fds(self._link, [json.dumps(message).encode()], descriptors)
            except BlockingIOError:
                return
            self._out.popleft()


class Estate:
    """See the module."""

    def __init__(self, adrift: dict[int, list[int]]) -> None:
        self.table = -1
        self.layout = ""
        """Of the table; empty: there is none yet"""
        self.has_left = False
        """The worker has said its last word"""
        self.legs: dict[int, list[int]] = {}
        self._adrift = adrift

    def learn(self, vault: Vault, *, all_of_it: bool = False) -> None:
        """Take what the worker has said: a bounded part of it a turn, or the last words of one that is dead."""
        count = 0
        while (all_of_it or count < MESSAGES_A_TURN) and (message := vault.receive()) is not None:
            count += 1
            self._take(message)

    def _take(self, message: Message) -> None:
        content, descriptors = message
        leg = content.get("leg")
        match content.get("do"):
            case "table" if len(descriptors) == 1:
                close_all([self.table] if self.table >= 0 else [])
                self.table, self.layout = descriptors[0], str(content.get("layout", ""))
            case "legs":
                self._take_legs(content, descriptors)
            case "left":
                self.has_left = True
            case "part" if isinstance(leg, int) and leg in self.legs:
                self._adrift[leg] = self.legs.pop(leg)
            case _:
                close_all(descriptors)

    def _take_legs(self, content: dict[str, Any], descriptors: list[int]) -> None:
        """Note what was opened and closed since the worker told last: no leg is named twice."""
        left = deque(descriptors)
        for leg, count in content.get("keep", ()):
            close_all(self._pop(leg))
            self.legs[leg] = [left.popleft() for _ in range(min(count, len(left)))]
        close_all(list(left))
        for leg in content.get("share", ()):
            sockets = self.legs.get(leg, [])
            close_all(sockets[1:])
            del sockets[1:]
        for leg in content.get("drop", ()):
            close_all(self._pop(leg))

    def _pop(self, leg: int) -> list[int]:
        return self.legs.pop(leg, []) + self._adrift.pop(leg, [])

    def bequeath(self, vault: Vault) -> None:
        """Send all of it to whoever takes the worker's place."""
        everything = list((self._adrift | self.legs).items())
        table = [self.table] if self.table >= 0 else []
        for first in range(0, max(1, len(everything)), LEGS_A_PAGE):
            page = everything[first : first + LEGS_A_PAGE]
            descriptors = (table if not first else []) + [descriptor for _, sockets in page for descriptor in sockets]
            assert len(descriptors) <= MAX_DESCRIPTORS
            message = {
                "do": "go",
                "table": bool(table) and not first,
                "legs": [(leg, len(sockets)) for leg, sockets in page],
                "more": first + LEGS_A_PAGE < len(everything),
            }
            vault.say(message, descriptors)
        vault.flush()

    def close(self) -> None:
        """Let go of all of it."""
        if self.table >= 0:
            os.close(self.table)
        for sockets in self.legs.values():
            close_all(sockets)
        self.table, self.legs = -1, {}
