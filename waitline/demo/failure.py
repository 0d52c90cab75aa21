"""What ends the demo early: a text for people, and the deadline that every wait of the demo has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from waitline.errors import WaitlineError


class DemoFailure(WaitlineError):
    """The demo cannot go on; the text says what it waited for or what was wrong."""


@asynccontextmanager
async def within(seconds: float, what: str) -> AsyncIterator[None]:
    """Give the block so much time; raises DemoFailure with ``what`` was waited for."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise DemoFailure(f"waited {seconds:g} s in vain: {what}") from error
