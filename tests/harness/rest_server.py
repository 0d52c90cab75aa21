"""The REST interface of ``harness.rest`` on a thread of its own, in real time: for client libraries that block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from harness.rest import Rest, rest
from waitline.clock import SystemClock

T = TypeVar("T")
DEADLINE_S = 20.0


@dataclass(frozen=True, slots=True)
class ServedRest:
    """A running interface; what is done to the platform behind it is done on its own loop by ``do``."""

    rest: Rest
    loop: asyncio.AbstractEventLoop

    @property
    def base_url(self) -> str:
        return str(self.rest.client.make_url("/")).rstrip("/")

    def do(self, what: Callable[[Rest], Any]) -> Any:
        """Run ``what(rest)`` (or await what it returns) on the server's loop, and wait for it."""

        async def doing() -> Any:
            result = what(self.rest)
            return await result if isinstance(result, Awaitable) else result

        return asyncio.run_coroutine_threadsafe(doing(), self.loop).result(DEADLINE_S)


@contextmanager
def served_rest() -> Iterator[ServedRest]:
    """Serve until the end of the block."""
    started: list[ServedRest] = []
    ready = threading.Event()

    async def serve() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        async with rest(clock=SystemClock()) as api:
            started.append(ServedRest(api, loop))
            stops.append(lambda: loop.call_soon_threadsafe(stop.set))
            ready.set()
            await stop.wait()

    stops: list[Callable[[], Any]] = []
    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="rest-server")
    thread.start()
    try:
        assert ready.wait(DEADLINE_S), "the server did not start"
        yield started[0]
    finally:
        for stop in stops:
            stop()
        thread.join(DEADLINE_S)
