"""Waiting for whichever comes first, with nothing left running behind."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def first_of(*works: Coroutine[Any, Any, Any]) -> tuple[int, Any]:
    """Run coroutines side by side; return the index and result of the first that ends (the lowest index where several do).

    The others are cancelled and awaited before this returns, also when it is cancelled itself; an error of the first is raised.
    """
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        winner = next(index for index, task in enumerate(tasks) if task.done())
        return winner, tasks[winner].result()
    finally:
        await stop(*tasks)


async def stop(*tasks: asyncio.Task[Any] | asyncio.Future[Any]) -> None:
    """Cancel what still runs and wait for its end."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
