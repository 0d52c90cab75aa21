"""The worker's end of its link to the supervisor, which keeps what must outlive the worker: its table, and a duplicate of every socket.

The worker tells what it opens and closes and never waits: where the link is full, what is to be said stays in order until the next tick.
A worker that takes another's place is given, in pages, the table first and then the sockets of all legs. JSON objects, a message each, with
descriptors (SCM_RIGHTS)::

    worker → supervisor    {"do": "ready", "layout": "…"}      to be sent what another leaves, in a table of this form
                           {"do": "table", "layout": "…"} + 1  my table from now on: in the place of the one I was given
                           {"do": "keep", "leg": 7} + 2        its RTP and RTCP socket
                           {"do": "share", "leg": 7}           the second is closed
                           {"do": "drop", "leg": 7}            all are closed
                           {"do": "left"}                      as told: another may go on
                           {"do": "part", "leg": 7}            it is on its way to another worker, which will keep it
    supervisor → worker    {"do": "go", "table": true, "legs": [[7, 2], [9, 1]], "more": false} + 4
                           {"do": "leave"}                     another worker takes over: end between two ticks

``table`` is true in the first page where there is one to go on with; the descriptors are then the table's and those of the legs in order.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from waitline.media.ledger import LAYOUT

MAX_MESSAGE_BYTES = 65_536
MAX_DESCRIPTORS = 253


class Estate(NamedTuple):
    """What a worker left: its table (-1: none), and the sockets of its legs."""

    table: int
    legs: dict[int, list[int]]


class Vault:
    """The link; without one (tests, measurements) nothing is kept."""

    def __init__(self, link: socket.socket | None = None) -> None:
        self._link = link
        self._out: deque[tuple[bytes, list[int]]] = deque()
        if link is not None:
            link.setblocking(False)

    def fileno(self) -> int:
        return -1 if self._link is None else self._link.fileno()

    def table(self, descriptor: int) -> None:
        """Have a table kept, and what was taken over with the one before forgotten."""
        self._say({"do": "table", "layout": LAYOUT}, [descriptor])

    def keep(self, leg: int, sockets: Sequence[socket.socket]) -> None:
        """Have the sockets of a leg kept."""
        self._say({"do": "keep", "leg": leg}, [sock.fileno() for sock in sockets])

    def share(self, leg: int) -> None:
        """Say that a leg needs its first socket only."""
        self._say({"do": "share", "leg": leg})

    def drop(self, leg: int) -> None:
        """Have a leg's sockets closed."""
        self._say({"do": "drop", "leg": leg})

    def part(self, leg: int) -> None:
        """Say that a leg is on its way to another worker."""
        self._say({"do": "part", "leg": leg})

    def left(self) -> None:
        """Say that nothing is done here any more: the process is a while in ending."""
        self._say({"do": "left"})

    def flush(self) -> None:
        """Say what waits, as far as there is room."""
        while self._out and self._link is not None:
            data, descriptors = self._out[0]
            try:
                socket.send_fds(self._link, [data], descriptors)
            except BlockingIOError:
                return
            except OSError:  # the supervisor is gone: so are we, by our lifeline
                self._link = None
                return
            self._out.popleft()
            _close(descriptors)

    def is_told_to_leave(self) -> bool:
        """Read one message; True where it says that another takes over."""
        assert self._link is not None
        with contextlib.suppress(BlockingIOError, ValueError):
            content, descriptors = _receive(self._link)
            _close(descriptors)
            return content.get("do") == "leave"
        return False

    def inherit(self) -> Estate:
        """Wait for all pages of what a worker left; EOFError where the supervisor goes before."""
        assert self._link is not None
        self._say({"do": "ready", "layout": LAYOUT})
        self._link.setblocking(True)
        estate = Estate(-1, {})
        more = True
        while more:
            content, descriptors = _receive(self._link)
            if not content:
                raise EOFError("the supervisor is gone")
            if content.get("table"):
                estate = estate._replace(table=descriptors.pop(0))
            for leg, count in content.get("legs", ()):
                estate.legs[leg], descriptors = descriptors[:count], descriptors[count:]
            more = bool(content.get("more"))
        self._link.setblocking(False)
        return estate

    def _say(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        if self._link is None:
            return
        data = json.dumps(message).encode()
        if not self._out:
            try:
                socket.send_fds(self._link, [data], list(descriptors))
            except BlockingIOError:
                pass
            except OSError:
                self._link = None
                return
            else:
                return
        self._out.append((data, [os.dup(descriptor) for descriptor in descriptors]))


def _receive(link: socket.socket) -> tuple[dict[str, Any], list[int]]:
    data, descriptors, _, _ = socket.recv_fds(link, MAX_MESSAGE_BYTES, MAX_DESCRIPTORS)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return (json.loads(data) if data else {}), list(descriptors)


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
