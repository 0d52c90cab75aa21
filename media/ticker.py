"""The 5 ms timer of a media worker: absolute deadlines, never a sum of sleeps.

Tick n is due at ``start + n * 0.005``; being late once does not make the next one late. A timerfd wakes the worker's epoll (Python's own
``epoll.poll`` rounds its timeout up to a millisecond, and the standard library has timerfd only from 3.13 on, hence ctypes).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable

from waitline.media.player import TICK_S

_CLOCK_MONOTONIC = 1
_TFD_NONBLOCK, _TFD_CLOEXEC = 0o4000, 0o2000000
_TFD_TIMER_ABSTIME = 1
_NS_PER_S = 1_000_000_000


class _TimeSpec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


class _TimerSpec(ctypes.Structure):
    _fields_ = [("interval", _TimeSpec), ("value", _TimeSpec)]


class Ticker:
    """A timerfd in ``fd``, readable at each tick from ``start`` on; ``now`` must read CLOCK_MONOTONIC.

    ``start``: when tick 0 was, of a ticker in another process; None: now.
    """

    def __init__(self, now: Callable[[], float], start: float | None = None) -> None:
        self.start = now() if start is None else start
        self._now = now
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self._checked(self._libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK | _TFD_CLOEXEC))
        self.resting = False
        self._set(self.start + (self.newest() + 1) * TICK_S)

    def due(self) -> int:
        """Acknowledge the timer; return the number of the newest tick that is due (0 at the start)."""
        try:
            os.read(self.fd, 8)
        except BlockingIOError:
            return -1
        return self.newest()

    def at(self, tick: int) -> float:
        """Return the moment a tick is due, monotonic seconds."""
        return self.start + tick * TICK_S

    def rest(self) -> None:
        """Wake nobody until ``resume``: ticks go on being counted."""
        self.resting = True
        self._set(0.0)

    def resume(self) -> int:
        """Ring again from the next tick on; return the number of the newest."""
        self.resting = False
        newest = self.newest()
        self._set(self.at(newest + 1))
        return newest

    def newest(self) -> int:
        """Return the number of the newest tick."""
        return int((self._now() - self.start) / TICK_S + 1e-6)

    def _set(self, first_s: float) -> None:
        """Ring at ``first_s`` and each tick after it; 0: never."""
        spec = _TimerSpec(_time_spec(TICK_S), _time_spec(first_s))
        self._checked(self._libc.timerfd_settime(self.fd, _TFD_TIMER_ABSTIME, ctypes.byref(spec), None))

    def close(self) -> None:
        os.close(self.fd)

    def _checked(self, result: int) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result


def _time_spec(seconds: float) -> _TimeSpec:
    nanoseconds = int(seconds * _NS_PER_S)
    return _TimeSpec(nanoseconds // _NS_PER_S, nanoseconds % _NS_PER_S)
