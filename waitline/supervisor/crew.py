"""The workers: started on control's request, and whose they are.

A media worker belongs to the platform. Of its link we keep a duplicate of control's end, so that it never reads the end of the link when a
control dies, and what it reports meanwhile waits in the socket; the control that comes next is given the same end. A clip worker has
nothing that would be worth keeping: it belongs to the control that asked for it and ends with it.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from waitline.supervisor.children import Child, start_worker
from waitline.supervisor.listeners import RequestFailed

LASTING = "media"
"""The kind of worker that outlives a control."""


@dataclass(slots=True, eq=False)
class Worker:
    """One process. ``link`` is control's end as we keep it, -1 where we do not; ``owner`` the process it belongs to, 0 for nobody."""

    child: Child
    link: int
    owner: int

    def forget(self) -> None:
        """Close what we hold."""
        self.child.cut_lifeline()
        if self.link >= 0:
            os.close(self.link)
            self.link = -1


class Spawned(NamedTuple):
    """Control's end of a worker's link; ours to close once it is sent, unless we keep it."""

    link: int
    adopted: bool
    close: bool


class Crew:
    """All workers."""

    def __init__(self, modules: dict[str, str]) -> None:
        self._modules = modules
        self._workers: list[Worker] = []

    def spawn(self, kind: str, index: int, args: Sequence[str], frames: Sequence[int], *, owner: int) -> Spawned:
        """Return the link to the living media worker of that index, or start a worker; raises RequestFailed, OSError."""
        if kind == "control" or kind not in self._modules:
            raise RequestFailed(f"there is no worker of kind {kind!r}")
        if kind == LASTING and (worker := self._lasting(index)) is not None:
            return Spawned(worker.link, adopted=True, close=False)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            options = ["--index", str(index), "--link", str(theirs.fileno()), *(f"--frames={descriptor}" for descriptor in frames), *args]
            child = start_worker(kind, index, self._modules[kind], options, [theirs.fileno(), *frames])
            link = ours.detach()
        lasts = kind == LASTING
        self._workers.append(Worker(child, link if lasts else -1, 0 if lasts else owner))
        return Spawned(link, adopted=False, close=not lasts)

    def _lasting(self, index: int) -> Worker | None:
        """Return the media worker of that index if it lives. One that has closed its link is on its way out, and its ports with it."""
        for worker in self._workers:
            if worker.child.kind == LASTING and worker.child.index == index and worker.child.process.poll() is None:
                if not _hung_up(worker.link):
                    return worker
                worker.child.process.kill()
                worker.child.process.wait()
        return None

    def living(self) -> list[int]:
        """Return the indexes of the media workers that live, in order."""
        return sorted(worker.child.index for worker in self._workers if worker.child.kind == LASTING and not _hung_up(worker.link))

    def bereave(self, owner: int) -> None:
        """End the workers of a control that is no more."""
        for worker in self._workers:
            if worker.owner == owner:
                worker.child.process.kill()

    def reap(self) -> list[Worker]:
        """Forget the workers that have ended, and return them."""
        gone = [worker for worker in self._workers if worker.child.process.poll() is not None]
        for worker in gone:
            self._workers.remove(worker)
            worker.forget()
        return gone

    def end(self) -> list[Child]:
        """Cut all lifelines; returns the processes, for whoever waits for their end."""
        for worker in self._workers:
            worker.forget()
        return [worker.child for worker in self._workers]


def _hung_up(link: int) -> bool:
    """Tell whether the worker's end is closed: it is before its process can be waited for."""
    poll = select.poll()
    poll.register(link, 0)
    return bool(poll.poll(0))
