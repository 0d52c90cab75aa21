"""How many requests of one account are under way at one time. The next one waits, within its own budget: a tenant whose servers answer
slowly to everything fills its own slots and nobody else's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Slots:
    """``limit``: for each account; 0: no limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._free: dict[str, tuple[asyncio.Semaphore, int]] = {}  # and how many hold or await one

    def __len__(self) -> int:
        return len(self._free)

    @asynccontextmanager
    async def one(self, account: str) -> AsyncIterator[None]:
        """Hold one of the account's slots; the caller sets the deadline."""
        if not self._limit or not account:
            yield
            return
        slots, users = self._free.get(account) or (asyncio.Semaphore(self._limit), 0)
        self._free[account] = slots, users + 1
        try:
            async with slots:
                yield
        finally:
            slots, users = self._free[account]
            if users == 1:
                del self._free[account]
            else:
                self._free[account] = slots, users - 1
