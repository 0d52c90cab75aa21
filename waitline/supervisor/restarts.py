"""How soon a control that died is replaced, and when to stop trying.

The first death is nobody's pattern: the next control is there at once. One that dies soon after its start is tried again after a pause
that grows, since what killed it is probably still there; ten deaths in five minutes are for people to look at.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Times in seconds. ``pauses_s[n]`` precedes the start after the n-th short life in a row, the last one all further."""

    short_life_s: float = 30.0
    pauses_s: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0)
    deaths: int = 10
    within_s: float = 300.0


ENDLESS = Patience(pauses_s=(0.0,), deaths=1_000_000)
"""For drills, in which control is killed again and again on purpose."""


class Restarts:
    """Counts deaths."""

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        self._deaths: list[float] = []
        self._in_a_row = -1

    def pause_after(self, *, lived_s: float, now: float) -> float | None:
        """Note a death; return how many seconds to wait before the next start, None to give up."""
        self._in_a_row = self._in_a_row + 1 if lived_s < self.patience.short_life_s else 0
        self._deaths = [*(at for at in self._deaths if at > now - self.patience.within_s), now]
        if len(self._deaths) >= self.patience.deaths:
            return None
        return self.patience.pauses_s[min(self._in_a_row, len(self.patience.pauses_s) - 1)]
