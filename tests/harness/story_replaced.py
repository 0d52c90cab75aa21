"""Interrupt a call's documents at each of their awaits, as if the process were replaced there, and let them go on from what is stored.

``Replacements`` stands in for the main loop of each call. While it is *armed* with a number n, the n-th time that anything the call runs
comes to rest (suspends, or ends), all of it is cancelled without an interruption, the call's state goes through JSON, and the main loop
is started again from that.
Children are counted too (a Gather's sounds, a look ahead, a document asked for ahead): a task made by a counted task is counted.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Generator
from contextvars import ContextVar, copy_context
from typing import Any

from waitline.bridge.call.call import Call
from waitline.bridge.call.state import CallState
from waitline.bridge.instructions import main_loop


class Counter:
    """How often what belongs to it has come to rest; calls ``reached`` when that is ``at`` times."""

    def __init__(self, at: int, reached: Callable[[], object]) -> None:
        self.at = at
        self.count = 0
        self._reached = reached

    def rested(self) -> None:
        self.count += 1
        if self.count == self.at:
            asyncio.get_running_loop().call_soon(self._reached)


_counter: ContextVar[Counter | None] = ContextVar("counter", default=None)


class Counted(Coroutine[Any, Any, Any]):
    """A coroutine that tells a counter each time it suspends, and when it ends."""

    def __init__(self, inner: Coroutine[Any, Any, Any], counter: Counter) -> None:
        self._inner = inner
        self._counter = counter

    def send(self, value: Any) -> Any:
        try:
            return self._inner.send(value)
        finally:
            self._counter.rested()

    def throw(self, *arguments: Any) -> Any:
        try:
            return self._inner.throw(*arguments)
        finally:
            self._counter.rested()

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        raise NotImplementedError("a task drives it")


def _make_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **given: Any) -> asyncio.Task[Any]:
    counter = _counter.get()
    return asyncio.Task(Counted(coroutine, counter) if counter is not None else coroutine, loop=loop, **given)


class Replacements:
    """Put ``run`` in the place of ``main_loop.run``; ``happened`` tells whether the armed number was reached."""

    def __init__(self) -> None:
        self._run = main_loop.run
        self.at = 0
        self.happened = False
        asyncio.get_running_loop().set_task_factory(_make_task)

    def arm(self, at: int) -> None:
        """Replace the process the ``at``-th time that something of the next call comes to rest; 0: never."""
        self.at, self.happened = at, False

    async def run(self, call: Call, start: Any, interpreter: Any) -> Any:
        at, self.at = self.at, 0
        work: list[asyncio.Task[Any]] = []
        counter = Counter(at, lambda: [task.cancel() for task in work])
        context = copy_context()
        context.run(_counter.set, counter)
        work.append(context.run(asyncio.create_task, self._run(call, start, interpreter), name=f"documents of {call.sid}"))
        try:
            await asyncio.wait(work)
        finally:
            work[0].cancel()
            await asyncio.wait(work)
        if not work[0].cancelled():  # or it was at its end
            return work[0].result()
        self.happened = True
        self._replace(call)
        return await self._run(call, call.state.script or call.state.here or start, interpreter)

    def _replace(self, call: Call) -> None:
        """What is not in the state is gone."""
        state = CallState.from_plain(json.loads(json.dumps(call.state.to_plain())))
        call.state.script, call.state.here = state.script, state.here
