"""The same work asked for by many at one time is done once: five hundred callers whose music begins with one file ask for it once.

The first who asks does the work, in its own task; the others wait for what comes of it. If the first is cancelled, the next does it: no
task is left without an owner and nobody is failed by somebody else's hang-up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from waitline.errors import AudioError, WebhookError

T = TypeVar("T")


class SingleFlight(Generic[T]):
    def __init__(self) -> None:
        self._running: dict[Hashable, asyncio.Future[T | WebhookError | AudioError | None]] = {}

    async def run(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        """Do ``work``, or share that of who asked before. Their error is raised fresh for each."""
        while (running := self._running.get(key)) is not None:
            outcome = await asyncio.shield(running)  # bounded by the worker's own budget
            if isinstance(outcome, WebhookError | AudioError):
                raise _again(outcome) from outcome
            if outcome is not None:
                return outcome
        return await self._lead(key, work)

    async def _lead(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        future = self._running[key] = asyncio.get_running_loop().create_future()
        outcome: T | WebhookError | AudioError | None = None  # None: whoever led is gone, somebody else has to
        try:
            outcome = result = await work()
            return result
        except (WebhookError, AudioError) as error:
            outcome = error
            raise
        finally:
            del self._running[key]
            future.set_result(outcome)


def _again(error: WebhookError | AudioError) -> WebhookError | AudioError:
    if isinstance(error, AudioError):
        return AudioError(str(error), code=error.code)
    return WebhookError(str(error), code=error.code, url=error.url, status=error.status, body=error.body)
