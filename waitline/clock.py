"""The one clock, passed in.

Durations and deadlines use ``now()``: seconds, monotonic, of no meaning to people. What people read (a call's start, an event's date)
uses ``utc()``. Nothing else in the package asks the operating system for the time, so a test that passes another clock owns time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What every part that needs time is given."""

    def now(self) -> float:
        """Seconds, monotonic: for durations and deadlines."""
        ...

    def utc(self) -> datetime:
        """The date and time in UTC, with tzinfo: for people."""
        ...


class SystemClock:
    """The machine's clock: CLOCK_MONOTONIC (what asyncio's loop uses) and UTC."""

    def now(self) -> float:
        return time.monotonic()

    def utc(self) -> datetime:
        return datetime.now(UTC)


class VirtualClock:
    """A clock whose ``now`` is somebody else's, such as a virtual event loop's; UTC runs along from a fixed epoch."""

    def __init__(self, now: Callable[[], float], *, epoch: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = now
        self._epoch = epoch

    def now(self) -> float:
        return self._now()

    def utc(self) -> datetime:
        return self._epoch + timedelta(seconds=self._now())

    def jump(self, seconds: float) -> None:
        """Somebody sets the date and time."""
        self._epoch += timedelta(seconds=seconds)
