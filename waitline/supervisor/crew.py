"""The workers: started on control's request, and whose they are.

A media worker belongs to the platform. Of its link we keep both ends, so that neither side ever reads the end of it: what is said to a
worker that has died waits in the socket for its successor, what it reported waits for the next control. When it dies another process is
started in its place at once, with the same link, and is given what it left (``estate``): its calls go on. Only where that cannot be, or was
tried too often, the link is closed, and control hears that the calls of this worker are lost.

A clip worker has nothing that would be worth keeping: it belongs to the control that asked for it and ends with it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from waitline.clock import Clock, SystemClock
from waitline.supervisor.children import Child, start_worker
from waitline.supervisor.estate import Estate, Vault
from waitline.supervisor.listeners import RequestFailed
from waitline.supervisor.restarts import Patience, Restarts

LASTING = "media"
"""The kind of worker that outlives a control."""
EXIT_CANNOT = 65
"""Of a successor that cannot read what was left."""
PATIENCE = Patience(pauses_s=(0.0,), deaths=8, within_s=60.0)
"""A pause would be one in all its calls: so it is started again at once, or not at all."""


@dataclass(slots=True, eq=False, kw_only=True)
class Worker:
    """One process and what is its own. ``link`` is control's end as we keep it, -1 where we do not; ``owner`` a process, 0 for nobody."""

    child: Child
    link: int
    owner: int
    options: list[str] = field(default_factory=list)
    inherited: list[int] = field(default_factory=list)
    """Descriptors it was started with that are not its own: the frames'"""
    far: int = -1
    """The worker's end of its link"""
    vault: Vault | None = None
    estate: Estate | None = None
    started_at: float = 0.0
    restarts: Restarts | None = None

    def forget(self) -> None:
        """Close what we hold."""
        self.child.cut_lifeline()
        for descriptor in (self.link, self.far):
            if descriptor >= 0:
                os.close(descriptor)
        self.link = self.far = -1
        if self.vault is not None:
            self.vault.close()
        if self.estate is not None:
            self.estate.close()


class Spawned(NamedTuple):
    """Control's end of a worker's link; ours to close once it is sent, unless we keep it."""

    link: int
    adopted: bool
    close: bool


class Died(NamedTuple):
    """A worker whose process has ended; ``goes_on``: another is in its place."""

    child: Child
    owner: int
    goes_on: bool


class Crew:
    """All workers."""

    def __init__(self, modules: dict[str, str], *, clock: Clock | None = None, patience: Patience = PATIENCE) -> None:
        self._modules = modules
        self._clock = clock or SystemClock()
        self._patience = patience
        self._workers: list[Worker] = []
        self._adrift: dict[int, list[int]] = {}

    def spawn(self, kind: str, index: int, args: Sequence[str], frames: Sequence[int], *, owner: int) -> Spawned:
        """Return the link to the media worker of that index, or start a worker; raises RequestFailed, OSError."""
        if kind == "control" or kind not in self._modules:
            raise RequestFailed(f"there is no worker of kind {kind!r}")
        if kind == LASTING and (worker := self._lasting(index)) is not None:
            return Spawned(worker.link, adopted=True, close=False)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            options = ["--index", str(index), *(f"--frames={descriptor}" for descriptor in frames), *args]
            if kind == LASTING:
                worker = self._hire(index, options, list(frames), os.dup(ours.fileno()), os.dup(theirs.fileno()))
                return Spawned(worker.link, adopted=False, close=False)
            options[2:2] = ["--link", str(theirs.fileno())]
            child = start_worker(kind, index, self._modules[kind], options, [theirs.fileno(), *frames])
            self._workers.append(Worker(child=child, link=-1, owner=owner))
            return Spawned(ours.detach(), adopted=False, close=True)

    def _hire(self, index: int, options: list[str], frames: list[int], link: int, far: int) -> Worker:
        restarts, estate = Restarts(self._patience), Estate(self._adrift)
        try:
            child, vault = self._start(index, options, frames, far)
        except BaseException:
            os.close(link)
            os.close(far)
            raise
        worker = Worker(
            child=child,
            link=link,
            owner=0,
            options=options,
            inherited=frames,
            far=far,
            vault=vault,
            estate=estate,
            started_at=self._clock.now(),
            restarts=restarts,
        )
        self._workers.append(worker)
        return worker

    def _start(self, index: int, options: list[str], frames: list[int], far: int, *more: str) -> tuple[Child, Vault]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            vault = Vault(ours)
            try:
                links = ["--link", str(far), "--vault", str(theirs.fileno())]
                child = start_worker(
                    LASTING,
                    index,
                    self._modules[LASTING],
                    [*options[:2], *links, *options[2:], *more],
                    [far, theirs.fileno(), *frames],
                )
            except BaseException:
                vault.close()
                raise
        return child, vault

    def _lasting(self, index: int) -> Worker | None:
        """Return the media worker of that index: one that has just died is as good, its successor will have the same link."""
        return next((worker for worker in self._media() if worker.child.index == index), None)

    def _media(self) -> list[Worker]:
        return [worker for worker in self._workers if worker.child.kind == LASTING]

    def vaults(self) -> list[Vault]:
        """Return the links by which media workers tell us what to keep."""
        return [worker.vault for worker in self._media() if worker.vault is not None]

    def listen(self) -> None:
        """Take what the media workers have said, and say what waits."""
        for worker in self._media():
            assert worker.vault is not None
            assert worker.estate is not None
            worker.estate.learn(worker.vault)
            try:
                worker.vault.flush()
            except OSError:  # it died: seen by reaping
                continue

    def living(self) -> list[int]:
        """Return the indexes of the media workers, in order."""
        return sorted(worker.child.index for worker in self._media())

    def bereave(self, owner: int) -> None:
        """End the workers of a control that is no more."""
        for worker in self._workers:
            if worker.owner == owner:
                worker.child.process.kill()

    def reap(self) -> list[Died]:
        """Put another process in the place of each media worker that has ended, forget the other workers that have; return all of them."""
        return [self._bury(worker) for worker in list(self._workers) if worker.child.process.poll() is not None]

    def _bury(self, worker: Worker) -> Died:
        dead = worker.child
        goes_on = worker.child.kind == LASTING and self._is_worth_it(worker) and self._succeed(worker)
        if not goes_on:
            self._workers.remove(worker)
            worker.forget()
        return Died(dead, worker.owner, goes_on)

    def _is_worth_it(self, worker: Worker) -> bool:
        assert worker.restarts is not None
        now = self._clock.now()
        pause_s = worker.restarts.pause_after(lived_s=now - worker.started_at, now=now)
        return pause_s is not None and worker.child.process.returncode != EXIT_CANNOT

    def _succeed(self, worker: Worker) -> bool:
        """Start another process with the same link and give it what was left; False where none can be started."""
        assert worker.vault is not None
        assert worker.estate is not None
        worker.estate.learn(worker.vault, all_of_it=True)
        worker.vault.close()
        worker.child.cut_lifeline()
        try:
            worker.child, worker.vault = self._start(worker.child.index, worker.options, worker.inherited, worker.far, "--succeed")
            worker.estate.bequeath(worker.vault)
        except OSError:
            return False
        worker.started_at = self._clock.now()
        return True

    def end(self) -> list[Child]:
        """Cut all lifelines; returns the processes, for whoever waits for their end."""
        for worker in self._workers:
            worker.forget()
        return [worker.child for worker in self._workers]
