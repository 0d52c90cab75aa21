"""The worker's end of its link to the supervisor, which keeps what must outlive the worker: its table, and a duplicate of every socket.

The worker tells what it opens and closes and never waits: where the link is full, what is to be said stays in order until the next tick.
A message costs both ends a turn of their loops, so legs are told of together, some time after: at the next tick when one of them has
begun to send audio, within 100 ms while none has, within 500 ms what is closed. A leg that is opened and closed within that time is never
told of; one whose worker dies within it is opened again, on another port.

A worker that takes another's place is given, in pages, the table first and then the sockets of all legs. JSON objects, a message each, with
descriptors (SCM_RIGHTS)::

    worker → supervisor    {"do": "ready", "layout": "…"}      to be sent what another leaves, in a table of this form
                           {"do": "table", "layout": "…"} + 1  my table from now on: in the place of the one I was given
                           {"do": "legs", "keep": [[7, 2]], "share": [8], "drop": [9]} + 2
                                                               the RTP and RTCP sockets of legs (7), and those of
                                                               which the second (8) or both (9) are closed
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
LEGS_A_MESSAGE = 120
"""Two sockets each."""
KEEP_TICKS, DROP_TICKS = 20, 100


class Estate(NamedTuple):
    """What a worker left: its table (-1: none), and the sockets of its legs."""

    table: int
    legs: dict[int, list[int]]


class Vault:
    """The link; without one (tests, measurements) nothing is kept."""

    def __init__(self, link: socket.socket | None = None) -> None:
        self._link = link
        self._out: deque[tuple[bytes, list[int]]] = deque()
        self._unkept: dict[int, Sequence[socket.socket]] = {}
        self._shared: list[int] = []
        self._dropped: list[int] = []
        self._wait = 0
        """Ticks until these are told; 0: there are none"""
        if link is not None:
            link.setblocking(False)

    def fileno(self) -> int:
        return -1 if self._link is None else self._link.fileno()

    def table(self, descriptor: int) -> None:
        """Have a table kept, and what was taken over with the one before forgotten."""
        self._say({"do": "table", "layout": LAYOUT}, [descriptor])

    def keep(self, leg: int, sockets: Sequence[socket.socket]) -> None:
        """Have the sockets of a leg kept, soon; they stay open until ``drop``, ``share`` or ``part``."""
        self._unkept[leg] = sockets
        self._tell_within(KEEP_TICKS)

    def share(self, leg: int) -> None:
        """Say that a leg needs its first socket only."""
        if leg in self._unkept:
            self._unkept[leg] = self._unkept[leg][:1]
        else:
            self._shared.append(leg)
            self._tell_within(DROP_TICKS)

    def drop(self, leg: int) -> None:
        """Have a leg's sockets closed."""
        if self._unkept.pop(leg, None) is None:
            self._dropped.append(leg)
            self._tell_within(DROP_TICKS)

    def part(self, leg: int) -> None:
        """Say that a leg is on its way to another worker."""
        self._tell()
        self._say({"do": "part", "leg": leg})

    def left(self) -> None:
        """Say that nothing is done here any more: the process is a while in ending."""
        self._tell()
        self._say({"do": "left"})

    def hurry(self) -> None:
        """Have what waits told at the next tick: a leg is in use."""
        if self._unkept:
            self._wait = 1

    def tick(self) -> None:
        """Say what is due, as far as there is room."""
        if self._wait:
            self._wait -= 1
            if not self._wait:
                self._tell()
        if self._out:
            self._flush()

    def _tell_within(self, ticks: int) -> None:
        self._wait = min(self._wait or ticks, ticks)

    def _tell(self) -> None:
        """Tell of all legs of which there is something to tell."""
        self._wait = 0
        unkept, shared, dropped = list(self._unkept.items()), self._shared, self._dropped
        self._unkept, self._shared, self._dropped = {}, [], []
        pages = max(len(unkept), len(shared), len(dropped))
        for first in range(0, pages, LEGS_A_MESSAGE):
            page = slice(first, first + LEGS_A_MESSAGE)
            keep = unkept[page]
            message = {
                "do": "legs",
                "keep": [(leg, len(sockets)) for leg, sockets in keep],
                "share": shared[page],
                "drop": dropped[page],
            }
            self._say(message, [sock.fileno() for _, sockets in keep for sock in sockets])

    def _flush(self) -> None:
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
