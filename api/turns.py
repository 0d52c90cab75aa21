"""One at a time, by name: who changes a record, or takes a name that must be unique, looks and writes without another in between.

A write waits for the disk, so two requests may meet at one record; the second then starts from what the first left. Different names do
not wait for each other. The wait is bounded by the store's: nothing else is awaited inside.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class Turns:
    """Locks by name, kept only as long as somebody holds or awaits them."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def alone(self, name: str) -> AsyncIterator[None]:
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = asyncio.Lock()
        async with lock:
            yield
