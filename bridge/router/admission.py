"""Whether the platform can carry one more new call: it says 503 to those it cannot before the calls that it has suffer.

Two things give out: control's loop, through which every document, digit and hand-off of the held calls goes, and the media workers, which
owe each caller a packet in time. So two measures are fed in: ``beat``, how late the loop ran what was due, and ``media``, which share of
its ticks a worker began late.

What counts of the loop is its least lag of the last few beats, for a single stall is over before a refusal could help. From half the bound
on a share of the new calls is refused, at twice the bound all of them: so under a steady overload as many go in as can be served, and the
lag stays about where it is. Late media workers refuse everybody until they are in time: a caller on hold costs them for minutes.

Slowness that new calls did not cause is not cured by refusing them: while no more than ``CALM_RATE`` a second come, control's lag keeps
nobody out, and late ticks keep nobody out of a worker with few legs (another program had the processor).

No I/O and no clock: times are arguments, monotonic seconds.
"""

from __future__ import annotations

from collections import deque

CALM_RATE = 10
"""New calls a second that are always let in, as far as control's lag goes."""
BEAT_S = 0.05
LEAST_OF = 3
"""Beats"""
BUSY_LEGS = 100
"""Legs of a worker under which late ticks are not the calls' doing."""
LATE_SHARE = 0.25
"""Of a worker's ticks, 5 ms each, that begin a tick late or more."""
STALE_S = 3.0
"""What was said of media is of no use after that."""


class Admission:
    """The policy; ``lag_bound_s``: how late control's loop may be; 0: nobody is ever refused."""

    def __init__(self, lag_bound_s: float) -> None:
        self.lag_s = 0.0
        """The least of the last beats"""
        self.late_share = 0.0
        """Of the worst worker that has many legs"""
        self.refused = 0
        """Calls, ever"""
        self._bound_s = lag_bound_s
        self._lags: deque[float] = deque([0.0] * LEAST_OF, maxlen=LEAST_OF)
        self._share = 1.0
        """Of the new calls that go in, as far as control's lag goes"""
        self._credit = 0.0
        self._calm: deque[float] = deque()
        self._media_late = False
        self._media_at = 0.0

    @property
    def closed(self) -> str:
        """Why new calls, or some of them, are refused: "control", "media", or empty."""
        return "media" if self._media_late else "control" if self._share < 1.0 else ""

    def beat(self, lag_s: float) -> None:
        """Something that was due ran so late."""
        self._lags.append(max(0.0, lag_s))
        self.lag_s = min(self._lags)
        if self._bound_s:
            self._share = min(1.0, max(0.0, (2 - self.lag_s / self._bound_s) / 1.5))

    def media(self, late_share: float, now: float) -> None:
        """The worst worker with ``BUSY_LEGS`` or more began this share of its ticks late."""
        self.late_share, self._media_at = late_share, now
        self._media_late = bool(self._bound_s) and late_share > (LATE_SHARE / 2 if self._media_late else LATE_SHARE)

    def admits(self, now: float) -> bool:
        """Decide on one new call."""
        if self._media_late and now - self._media_at > STALE_S:
            self._media_late = False
        taken = not self._media_late and (self._is_calm(now) or self._draw())
        self.refused += not taken
        return taken

    def _is_calm(self, now: float) -> bool:
        """Whether this call is one of the few that a second may always have."""
        calm = self._calm
        while calm and calm[0] <= now - 1.0:
            calm.popleft()
        if len(calm) >= CALM_RATE:
            return False
        calm.append(now)
        return True

    def _draw(self) -> bool:
        """Take the share that may go in, evenly."""
        self._credit += self._share
        if self._credit < 1.0:
            return False
        self._credit -= 1.0
        return True
