"""How often somebody may: one bucket of tokens a name, for what an account may cost in a second.

A bucket holds ``burst_s`` seconds of its rate and at least one token. Buckets that are full say nothing, so they are dropped when there are
many: memory is bounded by who has been busy lately. ``now`` is monotonic, in seconds.
"""

from __future__ import annotations

_SWEEP = 4096


class Rates:
    """``rate``: a second; 0: as often as one likes."""

    def __init__(self, rate: float, *, burst_s: float = 1.0) -> None:
        self._rate = rate
        self._burst = max(1.0, rate * burst_s)
        self._buckets: dict[str, tuple[float, float]] = {}  # name → tokens, at

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, name: str, now: float) -> float:
        """Take one; returns 0.0, or how many seconds to wait where there is none."""
        if not self._rate:
            return 0.0
        tokens = self._tokens(name, now)
        if tokens < 1.0:
            return (1.0 - tokens) / self._rate
        if len(self._buckets) >= _SWEEP and name not in self._buckets:
            self._buckets = {known: kept for known, kept in self._buckets.items() if self._tokens(known, now) < self._burst}
        self._buckets[name] = (tokens - 1.0, now)
        return 0.0

    def _tokens(self, name: str, now: float) -> float:
        tokens, at = self._buckets.get(name, (self._burst, now))
        return min(self._burst, tokens + (now - at) * self._rate)
