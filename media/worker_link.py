"""Control's end of the links to media worker processes.

A ``SocketLink`` starts its worker when the first leg wants it, and again after the worker died. Commands of one turn of the loop go out as
one batch; where the socket is full they wait in order, and the loop is not held up. Reports are read as they come.

That a worker died is not seen here: the supervisor holds the other end of the link too, and a successor reads what waits in it. When the
link ends nobody could take its place; whoever attached is told, once, and every leg of that worker is lost.

How a worker process comes to be is not this module's business: ``spawn`` returns our end of its link. In service the supervisor starts it;
``start_process`` does so for tests and measurements.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from waitline.errors import MediaUnavailable
from waitline.media.messages import MAX_BATCH_BYTES, Command, Configure, Report, decode, encode

Spawn = Callable[[int], Awaitable[socket.socket]]
OnReports = Callable[[list[Report], list[int]], None]

_MAX_DESCRIPTORS = 4
_RECEIVE_BYTES = 1 << 18


class SocketLink:
    """One worker process (see plane.WorkerLink)."""

    def __init__(self, index: int, spawn: Spawn, configure: Configure) -> None:
        self._index = index
        self._spawn = spawn
        self._configure = configure
        self._socket: socket.socket | None = None
        self._starting: asyncio.Lock = asyncio.Lock()
        self._out: deque[tuple[list[Command], list[int]]] = deque()
        self._is_flushing = False
        self._is_full = False
        self._on_reports: OnReports = lambda _reports, _descriptors: None
        self._on_lost: Callable[[str], None] = lambda _why: None

    def attach(self, on_reports: OnReports, on_lost: Callable[[str], None]) -> None:
        """Say where reports and the worker's end go."""
        self._on_reports = on_reports
        self._on_lost = on_lost

    async def ready(self) -> None:
        """Start the worker if it does not run; MediaUnavailable where that fails."""
        if self._socket is not None:
            return
        async with self._starting:
            if self._socket is not None:
                return
            try:
                self._socket = await self._spawn(self._index)
            except OSError as error:
                raise MediaUnavailable(f"media worker {self._index} does not start: {error}") from error
            self._socket.setblocking(False)
            asyncio.get_running_loop().add_reader(self._socket.fileno(), self._readable)
            self.send([self._configure])

    def send(self, commands: Sequence[Command], descriptors: Sequence[int] = ()) -> None:
        """Queue commands for the end of this turn of the loop. To a worker that is gone, nothing is sent: its legs are gone too."""
        if self._socket is None:
            return
        if descriptors or not self._out or self._out[-1][1]:
            self._out.append((list(commands), [os.dup(descriptor) for descriptor in descriptors]))
        else:
            self._out[-1][0].extend(commands)
        if descriptors:
            self._out.append(([], []))  # what comes next travels apart
        if not self._is_flushing and not self._is_full:
            self._is_flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    async def close(self) -> None:
        """Send what waits, as far as there is room, and close the link. The process ends with its lifeline."""
        if self._socket is not None:
            self._flush()
            self._drop()

    def _flush(self) -> None:
        self._is_flushing = False
        while self._out and self._socket is not None:
            commands, descriptors = self._out[0]
            if commands and not self._send_some(self._socket, commands, descriptors):
                return
            if not commands:
                self._out.popleft()
        self._set_full(is_full=False)

    def _send_some(self, link: socket.socket, commands: list[Command], descriptors: list[int]) -> bool:
        """Send the first commands that fit into a message, and take them off the list; False when there is no room."""
        batch, count = _first_message(commands)
        try:
            if descriptors:
                socket.send_fds(link, [batch], descriptors)
            else:
                link.send(batch)
        except BlockingIOError:
            self._set_full(is_full=True)
            return False
        except OSError as error:
            self._lose(f"media worker {self._index}: {error}")
            return False
        del commands[:count]
        while descriptors:
            os.close(descriptors.pop())
        return True

    def _set_full(self, *, is_full: bool) -> None:
        if is_full == self._is_full or self._socket is None:
            return
        self._is_full = is_full
        loop = asyncio.get_running_loop()
        if is_full:
            loop.add_writer(self._socket.fileno(), self._flush)
        else:
            loop.remove_writer(self._socket.fileno())

    def _readable(self) -> None:
        while self._socket is not None:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._socket, _RECEIVE_BYTES, _MAX_DESCRIPTORS)
            except BlockingIOError:
                return
            except OSError as error:
                self._lose(f"media worker {self._index}: {error}")
                return
            if not data:
                self._lose(f"media worker {self._index} ended")
                return
            self._on_reports([message for message in decode(data) if isinstance(message, Report)], descriptors)

    def _lose(self, why: str) -> None:
        self._drop()
        self._on_lost(why)

    def _drop(self) -> None:
        if self._socket is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket.fileno())
        loop.remove_writer(self._socket.fileno())
        self._socket.close()
        self._socket = None
        self._is_full = False
        for _, descriptors in self._out:
            for descriptor in descriptors:
                os.close(descriptor)
        self._out.clear()


class MediaWorkers:
    """The links to W workers, each with its own part of the port range."""

    def __init__(
        self,
        spawn: Spawn,
        count: int,
        *,
        host: str,
        first_port: int,
        last_port: int,
        quiet_s: int = 30,
        cname: str = "waitline",
        epoch: int = 1,
    ) -> None:
        self.links = [
            SocketLink(index, spawn, Configure(epoch, host, first, last, quiet_s, cname))
            for index, (first, last) in enumerate(split_ports(first_port, last_port, count))
        ]


def split_ports(first: int, last: int, parts: int) -> list[tuple[int, int]]:
    """Return so many disjoint ranges that begin at an even port and end at an odd one; 0-0 (any port) stays that for all."""
    if not first and not last:
        return [(0, 0)] * parts
    first += first % 2
    pairs = (last + 1 - first) // 2
    edges = [first + 2 * (pairs * index // parts) for index in range(parts + 1)]
    return [(low, high - 1) for low, high in itertools.pairwise(edges)]


def _first_message(commands: list[Command]) -> tuple[bytes, int]:
    """Return the first commands that fit into one message, encoded, and how many they are; at least one."""
    batch = encode(list(commands))
    if len(batch) <= MAX_BATCH_BYTES or len(commands) == 1:
        return batch, len(commands)
    count, size = 0, 2
    for command in commands:
        size += len(encode([command])) - 1
        if size > MAX_BATCH_BYTES:
            break
        count += 1
    count = max(1, count)
    return encode(list(commands[:count])), count


class WorkerProcess(NamedTuple):
    """A worker that this process started itself."""

    process: subprocess.Popen[bytes]
    link: socket.socket
    lifeline: int

    def end(self) -> None:
        """Cut the lifeline and wait for the end. The link is its user's to close."""
        os.close(self.lifeline)
        self.process.wait(timeout=5)


def start_process(index: int, frames: int) -> WorkerProcess:
    """Start a worker over the frame store in descriptor ``frames``, without a supervisor."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    read_end, write_end = os.pipe()
    try:
        options = ["--index", str(index), "--link", str(theirs.fileno()), "--frames", str(frames), "--lifeline", str(read_end)]
        process = subprocess.Popen(
            [sys.executable, "-m", "waitline.media.worker", *options],
            pass_fds=(theirs.fileno(), read_end, frames),
            start_new_session=True,
            stdin=subprocess.DEVNULL,
        )
    finally:
        theirs.close()
        os.close(read_end)
    ours.setblocking(False)
    return WorkerProcess(process, ours, write_end)
