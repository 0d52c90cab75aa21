"""Feeds the admission policy: how late this loop is, and how late the media workers are.

Watches only while calls come: the first new call starts it, and a while without any ends it, so that an idle platform is not woken. The
loop's lag is taken from a timer of its own; the workers are asked once a second, and one that does not answer in time says nothing.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence

import structlog

from waitline.bridge.call.services import Background
from waitline.bridge.router.admission import BEAT_S, BUSY_LEGS, STALE_S, Admission
from waitline.clock import Clock
from waitline.errors import MediaUnavailable

MEDIA_EACH_S = 1.0
REST_AFTER_S = 2.0
OVER_AFTER_S = 2.0
"""Without a refusal: an overload opens and closes the door all the time, and is one line of the log"""

AskWorkers = Callable[[], Awaitable[Sequence[dict[str, float]]]]

log = structlog.get_logger(__name__)


class LoadWatch:
    """See the module. ``ask_workers`` returns what each media worker counts."""

    def __init__(self, admission: Admission, clock: Clock, owner: Background, ask_workers: AskWorkers) -> None:
        self._admission = admission
        self._clock = clock
        self._owner = owner
        self._ask_workers = ask_workers
        self._timer: asyncio.TimerHandle | None = None
        self._due = self._called_at = self._media_asked_at = -math.inf
        self._seen: list[tuple[float, float]] = []
        """Of each worker: ticks, and those that began late"""
        self._said = False
        self._closed_at = -math.inf
        self._refused = 0
        """When that was said last"""

    def admits(self) -> bool:
        """Decide on a new call, and watch while they come."""
        now = self._called_at = self._clock.now()
        if self._timer is None:
            self._arm(now)
        return self._admission.admits(now)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def _arm(self, now: float) -> None:
        self._due = now + BEAT_S
        self._timer = asyncio.get_running_loop().call_later(BEAT_S, self._beat)

    def _beat(self) -> None:
        now = self._clock.now()
        self._timer = None
        self._admission.beat(now - self._due)
        self._say(now)
        if now - self._media_asked_at >= MEDIA_EACH_S:
            self._media_asked_at = now
            self._owner.spawn(self._look_at_media(), name="load of the media workers")
        if now - self._called_at < REST_AFTER_S or self._said:
            self._arm(now)

    def _say(self, now: float) -> None:
        closed = self._admission.closed
        if closed:
            self._closed_at = now
        if closed and not self._said:
            self._said = True
            log.warning("overloaded: new calls are refused with 503", why=closed, lag_ms=round(1000 * self._admission.lag_s),
                        late_ticks=round(self._admission.late_share, 2))  # fmt: skip
        elif self._said and now - self._closed_at >= OVER_AFTER_S:
            self._said = False
            log.warning("no longer overloaded: new calls are taken", refused=self._admission.refused - self._refused)
            self._refused = self._admission.refused

    async def _look_at_media(self) -> None:
        try:
            async with asyncio.timeout(STALE_S):
                workers = await self._ask_workers()
        except (TimeoutError, MediaUnavailable):
            return
        before, self._seen = self._seen, [(one.get("ticks", 0.0), one.get("late_ticks", 0.0)) for one in workers]
        if len(before) != len(self._seen):  # one began to work, or has nothing more to do
            return
        shares = [
            (late - late_before) / (ticks - ticks_before)
            for one, (ticks_before, late_before), (ticks, late) in zip(workers, before, self._seen, strict=True)
            if one.get("legs", 0.0) >= BUSY_LEGS and ticks > ticks_before
        ]
        self._admission.media(max(shares, default=0.0), self._clock.now())
