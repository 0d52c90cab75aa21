"""One leg, as simply as it can be written: an oracle for the table.

Frame by frame, no arrays, no spans, no arithmetic over time: a program is expanded into a generator of frame numbers with the tokens that
fall due between them. What the table sends must be what this sends.
"""

from __future__ import annotations

from collections import deque
from itertools import count
from typing import Any

FRAMES_OF_STORE = 90


def expand(token, segments, report_after):
    """Yield ("frame", number) and, where the reported part is through, ("through", token)."""
    due = min(report_after, len(segments))
    if report_after and not segments:
        yield "through", token
    for index, (start, frames, loops) in enumerate(segments, 1):
        is_inside = start >= 0 and start + frames <= FRAMES_OF_STORE
        for _ in range(loops) if loops > 0 else count() if loops == 0 and frames > 0 else ():
            for frame in range(max(0, frames)):
                yield "frame", start + frame if is_inside else 0
        if index == due:
            yield "through", token


class ReferenceLeg:
    """Sends one (sequence, timestamp, frame, marker) per ``frame()``, or None while muted."""

    def __init__(self, sequence, timestamp):
        self.sequence, self.timestamp = sequence, timestamp
        self.through = 0
        self.muted = False
        self._marker = True
        self._program = iter(())
        self._due = False
        self._waiting: deque[tuple[Any, ...]] = deque()
        self._ahead: deque[int] = deque()

    def play(self, token, segments, report_after):
        self._waiting.clear()
        self._begin(token, segments, report_after)
        self._look_ahead()  # empty segments are through at once

    def play_next(self, token, segments, report_after):
        self._waiting.append((token, segments, report_after))
        if not self._due:
            self._begin(*self._waiting.popleft())
            self._look_ahead()

    def mute(self, muted):
        self._marker = self._marker or (self.muted and not muted)
        self.muted = muted

    def frame(self):
        frame = self._next_frame()
        sent = None if self.muted else (self.sequence, self.timestamp, frame, self._marker)
        self.timestamp = (self.timestamp + 160) % 2**32
        if not self.muted:
            self.sequence = (self.sequence + 1) % 2**16
        self._marker = False
        self._look_ahead()  # a token is through with the last frame of its part, not with the first of the next
        return sent

    def _begin(self, token, segments, report_after):
        self._ahead.clear()
        self._program = expand(token, segments, report_after)
        self._due = bool(min(report_after, len(segments)))
        self._marker = True
        if report_after and not segments:
            self.through = max(self.through, token)
            self._program = iter(())
        if not self._due and self._waiting:
            self._begin(*self._waiting.popleft())

    def _next_frame(self):
        self._look_ahead()
        return self._ahead.popleft() if self._ahead else 0

    def _look_ahead(self):
        while not self._ahead:
            kind, value = next(self._program, ("end", 0))
            if kind == "frame":
                self._ahead.append(value)
            elif kind == "through":
                self._pass(value)
            else:
                return

    def _pass(self, token):
        self.through = max(self.through, token)
        self._due = False
        if self._waiting:
            marker = self._marker
            self._begin(*self._waiting.popleft())
            self._marker = marker  # seamless: no switch that a receiver should hear of
