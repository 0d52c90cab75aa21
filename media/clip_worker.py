"""A clip worker: the process that decodes, resamples and speaks, so that neither control nor a media worker ever waits for it.

Started by the supervisor as ``python -m waitline.media.clip_worker --index N --link FD --lifeline FD --frames FD``; the protocol is told
in ``clip_maker``. It ends when the link or the lifeline does. A job that takes longer than ``JOB_LIMIT_S`` is ended by the kernel together
with the worker (SIGALRM, not caught): a decoder in an endless loop in C hears nothing else. The supervisor then starts another.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import mmap
import os
import select
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Any, Final

from waitline.errors import AudioError
from waitline.media import speech
from waitline.media.clip_maker import MAX_MESSAGE_BYTES, Job
from waitline.media.frame_store import FrameArray, map_frames, write_frames
from waitline.media.rendering import render

JOB_LIMIT_S: Final = 30.0
NICENESS: Final = 5
"""Behind the media workers: a late prompt is heard by one caller, a late ticker by all."""

_NO_DATA: Final = b""


class Worker:
    """Serves one link until it ends."""

    def __init__(
        self, link: socket.socket, lifeline: int, frames: FrameArray, voice: speech.Speech, *, limit_s: float = JOB_LIMIT_S
    ) -> None:
        self._link = link
        self._lifeline = lifeline
        self._frames = frames
        self._voice = voice
        self._limit_s = limit_s

    def serve(self) -> None:
        """Job after job; returns at the end of the link or of the lifeline."""
        while (received := self._receive()) is not None:
            message, data = received
            if "kind" in message and not self._do(message, data):
                return

    def _do(self, message: dict[str, Any], data: bytes) -> bool:
        """One job; False at the end of the link."""
        number = message["id"]
        job = Job(message["kind"], data, message["content_type"], message["voice"], message["language"])
        signal.setitimer(signal.ITIMER_REAL, self._limit_s)
        try:
            rendered = render(job, self._voice)
        except AudioError as error:
            self._send({"id": number, "error": str(error), "code": error.code})
            return True
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        self._send({"id": number, "frames": rendered.frames.shape[1], "warning": rendered.warning})
        return self._write(number, rendered.frames)

    def _write(self, number: int, encoded: FrameArray) -> bool:
        """Wait to be told where, write there, say so."""
        if (received := self._receive()) is None:
            return False
        start = received[0]["write_at"]
        if start > 0:
            write_frames(self._frames, start, encoded)
        self._send({"id": number, "done": True})
        return True

    def _receive(self) -> tuple[dict[str, Any], bytes] | None:
        """The next message and what came with it; None at the end."""
        poll = select.poll()
        poll.register(self._link, select.POLLIN)
        poll.register(self._lifeline, select.POLLIN)
        if any(fd == self._lifeline for fd, _ in poll.poll()):
            return None
        try:
            data, fds, _, _ = socket.recv_fds(self._link, MAX_MESSAGE_BYTES, 1)
        except ConnectionError:
            return None
        with contextlib.ExitStack() as stack:
            for fd in fds:
                stack.callback(os.close, fd)
            return (json.loads(data), _contents(fds[0]) if fds else _NO_DATA) if data else None

    def _send(self, message: dict[str, Any]) -> None:
        """A control that is gone is noticed at the next read."""
        with contextlib.suppress(ConnectionError):
            self._link.send(json.dumps(message).encode())


def _contents(fd: int) -> bytes:
    """All of a file in memory, wherever its offset is."""
    if not (size := os.fstat(fd).st_size):
        return _NO_DATA
    with mmap.mmap(fd, size, prot=mmap.PROT_READ) as memory:
        return bytes(memory)


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="clip_worker")
    for name in ("index", "link", "lifeline", "frames"):
        parser.add_argument(f"--{name}", type=int, required=True)
    arguments = parser.parse_args(argv)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    os.nice(NICENESS)
    link = socket.socket(fileno=arguments.link)
    Worker(link, arguments.lifeline, map_frames(arguments.frames), speech.available()).serve()


if __name__ == "__main__":
    main(sys.argv[1:])
