"""The keys a peer pressed, in order, until somebody wants them.

Keys pressed while a verb runs that takes none are dropped (``clear``); keys pressed between a Gather and the Gather of its reply are kept,
so that a caller who types ahead loses nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque

_MAX_KEPT = 64  # a key that is stuck must not fill memory


class DigitBuffer:
    """A bounded queue of keys with one reader."""

    def __init__(self) -> None:
        self._digits: deque[str] = deque(maxlen=_MAX_KEPT)
        self._arrived = asyncio.Event()

    def __str__(self) -> str:
        """The keys that nobody has taken yet."""
        return "".join(self._digits)

    def put(self, digit: str) -> None:
        self._digits.append(digit)
        self._arrived.set()

    def clear(self) -> None:
        self._digits.clear()
        self._arrived.clear()

    async def arrived(self) -> None:
        """Wait until there is a key; the caller sets the deadline."""
        while not self._digits:
            self._arrived.clear()
            await self._arrived.wait()

    def take(self) -> str:
        """Take the oldest key; there must be one."""
        return self._digits.popleft()

    async def get(self) -> str:
        """Wait for the next key and take it; the caller sets the deadline."""
        await self.arrived()
        return self.take()
