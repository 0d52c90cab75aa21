"""Who makes clips: clip workers in processes of their own, or, under virtual time, whoever asks.

A maker is given a job and ``place``, and answers with where the clip is. It calls ``place`` once it knows the number of frames: control
allocates at that moment, not earlier (nobody knows how long a text is) and not in the worker (one allocator).

``WorkerMaker`` speaks with its workers over SOCK_SEQPACKET, one JSON object a message, one job at a time each::

    control → worker   {"id": 7, "kind": "speech", "voice": "man", "language": "en-GB", "content_type": ""}
                       with a memfd: the text, or the file
    worker → control   {"id": 7, "frames": 117, "warning": null}       or   {"id": 7, "error": "…", "code": 13420}
    control → worker   {"id": 7, "write_at": 5210}                     or   -1: nobody wants it any more
    worker → control   {"id": 7, "done": true}

A worker that dies takes its job with it. The job is tried once more, since workers are also killed for no fault of the job's; a job that
was there at two deaths is blamed. Once a worker was told where to write, these frames are nobody else's until it said "done" or died.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from waitline.errors import AudioError, MediaUnavailable, WaitlineError
from waitline.media.frame_store import FrameArray, FrameStore
from waitline.media.speech import Speech, Warned

MAX_MESSAGE_BYTES = 65_536
DEADLINE_S = 60.0
"""From asking to frames; beyond it a caller is better served without the clip."""

_TRIES = 2
_NOBODY = -1


class Job(NamedTuple):
    """What to make a clip of."""

    kind: str
    """audio or speech"""
    data: bytes
    """The file; or the text in UTF-8"""
    content_type: str = ""
    voice: str = ""
    language: str = ""


class Rendered(NamedTuple):
    """A clip's frames, ``uint8[codec][n][160]``."""

    frames: FrameArray
    warning: Warned | None


class Made(NamedTuple):
    """A clip that is in the store."""

    start: int
    frames: int
    warning: Warned | None


Place = Callable[[int], int]
"""Number of frames → first frame; MediaUnavailable if there is no room. A second call takes back the first."""


class ClipMaker(Protocol):
    """Makes clips."""

    async def make(self, job: Job, place: Place) -> Made:
        """AudioError if it cannot be made, MediaUnavailable if it cannot be made now."""
        ...

    async def close(self) -> None: ...


class InlineMaker:
    """Makes clips at once, in the caller's thread: for virtual time, where a process would be a peer in real time."""

    def __init__(self, store: FrameStore, speech: Speech) -> None:
        from waitline.media.rendering import render  # not above: control has no use for decoders

        self._render = render
        self._store = store
        self._speech = speech

    async def make(self, job: Job, place: Place) -> Made:
        rendered = self._render(job, self._speech)
        frames = rendered.frames.shape[1]
        start = place(frames)
        self._store.write(start, rendered.frames)
        return Made(start, frames, rendered.warning)

    async def close(self) -> None:
        """Nothing to end."""


@dataclass(slots=True, eq=False)
class _Ticket:
    """A job on its way."""

    job: Job
    place: Place
    made: asyncio.Future[Made]
    deaths: int = 0
    placed: Made | None = None


@dataclass(slots=True, eq=False)
class _Worker:
    index: int
    link: socket.socket
    number: int = 0
    """Of the job it has; 0: none yet"""
    ticket: _Ticket | None = field(default=None)


class WorkerMaker:
    """Hands jobs to clip workers, in order of arrival. A worker is attached when it was started, and gone when its link ends."""

    def __init__(self, *, deadline_s: float = DEADLINE_S) -> None:
        self._deadline_s = deadline_s
        self._workers: dict[int, _Worker] = {}
        self._waiting: deque[_Ticket] = deque()

    def attach(self, index: int, link: socket.socket) -> None:
        """Take a worker into service over its end of the link, which is closed here when the worker is gone."""
        if index in self._workers:
            self._lose(self._workers[index])
        link.setblocking(False)
        worker = self._workers[index] = _Worker(index, link)
        asyncio.get_running_loop().add_reader(link.fileno(), self._read, worker)
        self._hand_out()

    @property
    def workers(self) -> int:
        """How many are in service."""
        return len(self._workers)

    async def make(self, job: Job, place: Place) -> Made:
        loop = asyncio.get_running_loop()
        ticket = _Ticket(job, place, loop.create_future())
        timer = loop.call_later(self._deadline_s, self._too_late, ticket)
        self._waiting.append(ticket)
        self._hand_out()
        try:
            return await ticket.made
        finally:
            timer.cancel()
            if ticket in self._waiting:
                self._waiting.remove(ticket)

    async def close(self) -> None:
        """Let the workers go; each ends when it reads the end of its link. What was asked for fails."""
        for worker in tuple(self._workers.values()):
            self._disconnect(worker)
            if worker.ticket:
                _fail(worker.ticket, MediaUnavailable("the platform is ending"))
        for ticket in self._waiting:
            _fail(ticket, MediaUnavailable("the platform is ending"))
        self._waiting.clear()

    def _too_late(self, ticket: _Ticket) -> None:
        if ticket.placed is None:  # else it is being written, which takes milliseconds, and the frames are not ours to take back
            _fail(ticket, MediaUnavailable(f"no clip worker made the clip within {self._deadline_s:g} s"))

    def _hand_out(self) -> None:
        for worker in tuple(self._workers.values()):
            while self._waiting and worker.ticket is None and self._workers.get(worker.index) is worker:
                self._start(worker, self._waiting.popleft())

    def _start(self, worker: _Worker, ticket: _Ticket) -> None:
        if ticket.made.done():
            return
        job = ticket.job
        try:
            payload = _memfd(job.data)
        except OSError as error:  # out of descriptors or memory: this clip cannot be made, the worker is as good as before
            _fail(ticket, MediaUnavailable(f"nothing can be handed to a clip worker: {error}"))
            return
        worker.ticket = ticket
        worker.number += 1
        message = {"id": worker.number, "kind": job.kind, "content_type": job.content_type, "voice": job.voice, "language": job.language}
        try:
            self._send(worker, message, payload)
        finally:
            os.close(payload)

    def _send(self, worker: _Worker, message: dict[str, Any], *fds: int) -> None:
        try:
            socket.send_fds(worker.link, [json.dumps(message).encode()], fds)
        except OSError:  # gone, or so stuck that a buffer for a hundred messages is full
            self._lose(worker)

    def _read(self, worker: _Worker) -> None:
        try:
            data = worker.link.recv(MAX_MESSAGE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose(worker)
        else:
            self._heard(worker, json.loads(data))
        self._hand_out()

    def _heard(self, worker: _Worker, message: dict[str, Any]) -> None:
        ticket = worker.ticket
        if ticket is None or message["id"] != worker.number:
            return
        if "frames" in message:
            self._place(worker, ticket, message)
            return
        worker.ticket = None
        if "error" in message:
            _fail(ticket, AudioError(message["error"], code=message["code"]))
        elif ticket.placed is not None and not ticket.made.done():
            ticket.made.set_result(ticket.placed)

    def _place(self, worker: _Worker, ticket: _Ticket, message: dict[str, Any]) -> None:
        frames, warning = message["frames"], message["warning"]
        start = _NOBODY
        if not ticket.made.done():
            try:
                start = ticket.place(frames)
                ticket.placed = Made(start, frames, Warned(*warning) if warning else None)
            except MediaUnavailable as error:
                _fail(ticket, error)
        self._send(worker, {"id": worker.number, "write_at": start})

    def _lose(self, worker: _Worker) -> None:
        """A worker is gone: its job goes to the front of the line, or is blamed for its second death."""
        self._disconnect(worker)
        ticket, worker.ticket = worker.ticket, None
        if ticket is None or ticket.made.done():
            return
        ticket.deaths += 1
        ticket.placed = None
        if ticket.deaths < _TRIES:
            self._waiting.appendleft(ticket)
        else:
            _fail(ticket, AudioError("what should be heard ended the process that decodes it, twice"))

    def _disconnect(self, worker: _Worker) -> None:
        if self._workers.get(worker.index) is worker:
            del self._workers[worker.index]
            asyncio.get_running_loop().remove_reader(worker.link.fileno())
            worker.link.close()


def _fail(ticket: _Ticket, error: WaitlineError) -> None:
    if not ticket.made.done():
        ticket.made.set_exception(error)


def _memfd(data: bytes) -> int:
    """A file in memory that holds the data; the caller closes it."""
    fd = os.memfd_create("waitline-clip-job")
    with open(fd, "wb", closefd=False) as file:
        file.write(data)
    return fd
