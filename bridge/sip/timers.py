"""SIP's timer values (RFC 3261 §17.1.1.1, appendix A) and the one heap that holds every running timer of the core.

Nothing is scanned: arming and firing cost O(log n). A cancelled timer stays in the heap as a husk until its time comes or until husks are
the majority; then the heap is rebuilt, so that memory follows the number of live timers.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Timers:
    """The base values, in seconds."""

    t1: float = 0.5
    """Estimate of the round trip: the first interval of every retransmission."""
    t2: float = 4.0
    """The longest interval between two retransmissions of anything but an INVITE."""
    t4: float = 5.0
    """How long a message may live in the network."""
    d: float = 32.0
    """Timer D: how long an INVITE client answers repeated final responses over UDP; at least 32 s, whatever T1 is."""

    session: int = 1800
    """The session interval that is proposed to a peer that can keep one (RFC 4028); 0: none."""

    @property
    def transaction(self) -> float:
        """64*T1: timers B, F, H, J, L and M, and the wait for the ACK to a 2xx."""
        return 64 * self.t1


class Timer:
    """One armed timer; ``cancel`` may be called at any time, also after it fired."""

    __slots__ = ("_queue", "at", "callback")

    def __init__(self, at: float, callback: Callable[[float], object], queue: TimerQueue) -> None:
        self.at = at
        self.callback: Callable[[float], object] | None = callback
        self._queue = queue

    def cancel(self) -> None:
        """Never fire."""
        if self.callback is not None:
            self.callback = None
            self._queue.note_husk()


class TimerQueue:
    """All timers, earliest first; those of one instant fire in the order in which they were armed."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._armed = 0
        self._husks = 0

    def __len__(self) -> int:
        """How many timers are live."""
        return len(self._heap) - self._husks

    def arm(self, at: float, callback: Callable[[float], object]) -> Timer:
        """Call ``callback(now)`` at the first ``expire`` with ``now >= at``."""
        timer = Timer(at, callback, self)
        self._armed += 1
        heapq.heappush(self._heap, (at, self._armed, timer))
        return timer

    def next_at(self) -> float | None:
        """When the earliest live timer is due, None if there is none."""
        heap = self._heap
        while heap and heap[0][2].callback is None:
            heapq.heappop(heap)
            self._husks -= 1
        return heap[0][0] if heap else None

    def expire(self, now: float) -> None:
        """Fire what is due. A callback may arm and cancel timers; one armed for now or earlier fires too."""
        while (at := self.next_at()) is not None and at <= now:
            timer = heapq.heappop(self._heap)[2]
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback(now)

    def note_husk(self) -> None:
        """A timer in the heap was cancelled."""
        self._husks += 1
        if self._husks > 256 and self._husks * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].callback is not None]
            heapq.heapify(self._heap)
            self._husks = 0
