"""An event loop whose clock jumps: where every task waits, time moves to the next timer at once.

An hour of waiting costs milliseconds, and no test sleeps. Sockets work (the loop polls them before it jumps); a peer in another process
does not, because it lives in real time: those tests are in ``tests/real``. A job in the loop's executor is waited for in real time, so
it never causes a false timeout; work on threads of its own must be counted in ``threads`` by whoever starts it, or not be used here.

``run(coro)`` is the way in; ``asyncio.get_running_loop().time()`` starts at 0.0 for each run.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _JumpSelector(selectors.DefaultSelector):
    loop: VirtualTimeLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if self.loop.threads:  # real work in a thread: wait in real time
            return super().select(0.05)
        if timeout is None:  # nothing scheduled: real I/O or a deadlock
            if not (ready := super().select(1.0)):
                raise RuntimeError("deadlock: no timer is set and nothing is readable")
            return ready
        self.loop.now += timeout  # jump
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """``now`` is the loop's time in seconds; ``threads`` the number of jobs that run in real time."""

    def __init__(self) -> None:
        self.now, self.threads = 0.0, 0
        selector = _JumpSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        future = super().run_in_executor(executor, func, *args)
        self.threads += 1
        future.add_done_callback(self._thread_done)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        self.threads += 1  # from Python 3.12 on joining the threads has a deadline, which must not be jumped to
        try:
            await super().shutdown_default_executor()
        finally:
            self.threads -= 1

    def _thread_done(self, _: object) -> None:
        self.threads -= 1


def run(coro: Coroutine[Any, Any, T]) -> T:
    """Run ``coro`` to its end on a new loop of its own."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(coro)
