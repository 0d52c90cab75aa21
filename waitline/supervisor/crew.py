"""The workers: started on control's request, and whose they are.

A media worker belongs to the platform. Of its link we keep both ends, so that neither side ever reads the end of it: what is said to a
worker that has died waits in the socket for its successor, what it reported waits for the next control. When it dies another process is
started in its place at once, with the same link, and is given what it left (``estate``): its calls go on. Only where that cannot be, or was
tried too often, the link is closed, and control hears that the calls of this worker are lost.

A version that replaces another replaces the media workers too: each when it has no leg, or all at once (``renew``). The new process is
started and ready before the old one is told to leave, so that the gap is that of the hand-over alone.

A clip worker has nothing that would be worth keeping: it belongs to the control that asked for it and ends with it.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from waitline.clock import Clock, SystemClock
from waitline.supervisor.children import Child, start_worker, why
from waitline.supervisor.estate import Estate, Vault
from waitline.supervisor.listeners import RequestFailed
from waitline.supervisor.restarts import Patience, Restarts

LASTING = "media"
"""The kind of worker that outlives a control."""
EXIT_CANNOT = 65
"""Of a successor that cannot read what was left."""
PATIENCE = Patience(pauses_s=(0.0,), deaths=8, within_s=60.0)
"""A pause would be one in all its calls: so it is started again at once, or not at all."""
HEIR_S = 20.0
"""How long a process that is to replace a worker may take to be ready."""
LEAVE_S = 1.0
"""How long a worker that was told to leave may take before it is killed; its calls hear nothing meanwhile."""


@dataclass(slots=True, eq=False, kw_only=True)
class Heir:
    """A process, of the code now on disk, that waits to take a worker's place."""

    child: Child
    vault: Vault
    since: float
    told_at: float | None = None
    """When the worker was told to leave"""

    def dismiss(self) -> None:
        """End it, unused."""
        self.child.cut_lifeline()
        self.vault.close()
        self.child.process.kill()
        self.child.process.wait()


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
    heir: Heir | None = None
    is_old: bool = False
    """Another version has come into control since it was started"""

    def forget(self) -> None:
        """Close what we hold."""
        if self.heir is not None:
            self.heir.dismiss()
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
    """A worker whose process has ended; ``goes_on``: another is in its place, ``left``: because it was told to."""

    child: Child
    owner: int
    goes_on: bool
    left: bool = False


class Crew:
    """All workers."""

    def __init__(self, modules: dict[str, str], *, clock: Clock | None = None, patience: Patience = PATIENCE) -> None:
        self._modules = modules
        self._clock = clock or SystemClock()
        self._patience = patience
        self._workers: list[Worker] = []
        self._adrift: dict[int, list[int]] = {}
        self._retired: list[Child] = []
        """Processes that have left and not ended yet"""
        self.failures: list[str] = []
        """Why workers were not replaced, of the last ``renew``"""

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
        heirs = [worker.heir.vault for worker in self._media() if worker.heir is not None]
        return [worker.vault for worker in self._media() if worker.vault is not None] + heirs

    def listen(self) -> None:
        """Take what the media workers have said, and say what waits."""
        for worker in self._media():
            assert worker.vault is not None
            assert worker.estate is not None
            worker.estate.learn(worker.vault)
            self._hear_heir(worker)
            try:
                worker.vault.flush()
            except OSError:  # it died: seen by reaping
                continue

    @property
    def is_settled(self) -> bool:
        """No worker leaves, ends or is replaced, as far as we have heard; nothing waits to be said to one."""
        return not any(
            worker.is_old or worker.heir or worker.vault is None or worker.vault.ended or worker.vault.waits for worker in self._media()
        )

    # --- replacement

    def age(self) -> None:
        """Another version is in control: from now on each media worker that has no leg is replaced by one of that version."""
        for worker in self._media():
            worker.is_old = True

    def renew(self) -> None:
        """Replace every media worker now, legs and all; raises OSError."""
        self.failures = []
        for worker in self._media():
            self._prepare(worker)

    @property
    def renewing(self) -> int:
        """How many replacements are under way."""
        return sum(worker.heir is not None for worker in self._media())

    def due(self) -> list[float]:
        """Return when something about a replacement is to be decided."""
        heirs = [worker.heir for worker in self._media() if worker.heir is not None]
        return [heir.since + HEIR_S if heir.told_at is None else heir.told_at + LEAVE_S for heir in heirs]

    def _prepare(self, worker: Worker) -> None:
        if worker.heir is None:
            child, vault = self._start(worker.child.index, worker.options, worker.inherited, worker.far, "--succeed")
            worker.heir = Heir(child=child, vault=vault, since=self._clock.now())
            worker.is_old = False

    def _hear_heir(self, worker: Worker) -> None:
        """Tell a worker to leave when its heir is ready, and has the same form of table."""
        heir = worker.heir
        if heir is None or (message := heir.vault.receive()) is None or message.content.get("do") != "ready":
            return
        assert worker.estate is not None
        assert worker.vault is not None
        layout = message.content.get("layout")
        if worker.estate.layout not in ("", layout):
            self._dismiss(worker, f"the new version has another form of table ({layout}): it is replaced when its last call has ended")
            worker.is_old = True
            return
        heir.told_at = self._clock.now()
        worker.vault.say({"do": "leave"}, [])

    def _dismiss(self, worker: Worker, why_not: str) -> None:
        heir, worker.heir = worker.heir, None
        if heir is not None:
            heir.dismiss()
            self.failures.append(f"media worker {worker.child.index}: {why_not}")

    def _look_after(self, worker: Worker) -> None:
        """Begin, hasten or give up a replacement."""
        heir, now = worker.heir, self._clock.now()
        if heir is None:
            if worker.is_old and worker.estate is not None and not worker.estate.legs:
                self._prepare(worker)
        elif heir.child.process.poll() is not None:
            self._dismiss(worker, f"the new process ended: {why(heir.child.process.returncode)}")
        elif heir.told_at is None and now >= heir.since + HEIR_S:
            self._dismiss(worker, f"the new process was not ready within {HEIR_S:g} s")
        elif heir.told_at is not None and now >= heir.told_at + LEAVE_S:
            worker.child.process.kill()

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
        found = [self._bury(worker) for worker in list(self._workers) if worker.child.process.poll() is not None]
        for worker in self._media():
            if worker.heir is not None and worker.estate is not None and worker.estate.has_left:
                self._retired.append(worker.child)
                found.append(self._hand_on(worker, worker.heir))
            self._look_after(worker)
        self._retired = [child for child in self._retired if child.process.poll() is None]
        return found

    def _bury(self, worker: Worker) -> Died:
        dead = worker.child
        if worker.heir is not None:
            return self._hand_on(worker, worker.heir)
        goes_on = worker.child.kind == LASTING and self._is_worth_it(worker) and self._succeed(worker)
        if not goes_on:
            self._workers.remove(worker)
            worker.forget()
        return Died(dead, worker.owner, goes_on)

    def _hand_on(self, worker: Worker, heir: Heir) -> Died:
        """Give everything to the heir. A worker that died before it was told to leave is as well followed by one that is nearly ready."""
        assert worker.vault is not None
        assert worker.estate is not None
        dead, worker.heir, worker.estate.has_left = worker.child, None, False
        worker.estate.learn(worker.vault, all_of_it=True)
        worker.vault.close()
        dead.cut_lifeline()
        worker.child, worker.vault, worker.started_at = heir.child, heir.vault, self._clock.now()
        with contextlib.suppress(OSError):  # it has died meanwhile: seen by reaping
            worker.estate.bequeath(worker.vault)
        return Died(dead, worker.owner, goes_on=True, left=heir.told_at is not None)

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
        return [worker.child for worker in self._workers] + self._retired
