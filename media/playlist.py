"""What a leg plays next: programs of segments, taken apart into spans.

A *span* is a run of frames that the player follows without being asked again: ``length`` frames from ``start``, the index growing by
``step`` (0 for a single frame that repeats, such as silence). The player asks ``next_span`` when one is through, which is once per loop
of a clip, not once per frame; a clip of hold music costs a call every half minute.

A program reports its token when its first ``report_after`` segments are through; only then may a program that waits (PlayNext) take over.
What lies behind those segments is the tail that plays until somebody says otherwise: hold music behind a prompt, for example. When all is
out, silence plays for ever.

A segment that reaches outside the frame store is control's mistake; it is played as silence of its length and counted in ``faults``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from waitline.media.messages import Segment

FOREVER = 1 << 40
"""Frames: 700 years."""
MAX_WAITING = 64
"""Programs that may wait behind the one that plays; more than a sane control sends, few enough to keep a mad one small."""
SILENT_FRAME = 0


class Span(NamedTuple):
    start: int
    step: int
    length: int


SILENCE = Span(SILENT_FRAME, 0, FOREVER)


class Program(NamedTuple):
    token: int
    segments: tuple[Segment, ...]
    report_after: int


_NOTHING = Program(0, (), 0)


class Playlist:
    """The program of one leg, and those that wait."""

    __slots__ = ("_at", "_due", "_frame_count", "_loops", "_program", "_waiting", "faults", "through")

    def __init__(self, frame_count: int) -> None:
        self.through = 0
        """The newest token that is through."""
        self.faults = 0
        self._frame_count = frame_count
        self._waiting: deque[Program] = deque(maxlen=MAX_WAITING)
        self._program = _NOTHING
        self._at = self._loops = self._due = 0

    @property
    def is_out(self) -> bool:
        """Nothing but silence is left."""
        return self._at >= len(self._program.segments)

    def play(self, program: Program) -> None:
        """Play this and nothing else; its first span is the next."""
        self._waiting.clear()
        self._start(program)

    def play_next(self, program: Program) -> bool:
        """Play this after what is still to be reported. Return True when that is at once, and the next span is the program's first."""
        self._waiting.append(program)
        if self._due:
            return False
        self._start(self._waiting.popleft())
        return True

    def stop(self) -> None:
        """Forget everything: silence is next, and nothing is reported."""
        self.play(_NOTHING)

    def next_span(self) -> Span:
        """Return what plays now that the last span is through (or nothing has played yet)."""
        while not self.is_out:
            span = self._span_of(self._program.segments[self._at])
            if span is not None:
                return span
            self._at += 1
            self._loops = 0
            self._report()
        return SILENCE

    def dump(self) -> list[Program]:
        """Return what is left behind the span under way: for another worker, see ``restored``."""
        left = self._program.segments[self._at :]
        if left:
            left = (self._left_of(left[0]), *left[1:])
        return [Program(self._program.token, left, max(0, self._due - self._at)), *self._waiting]

    def _left_of(self, segment: Segment) -> Segment:
        start, frames, loops = segment
        left = loops - self._loops
        return segment if not loops else (start, frames if left > 0 else 0, max(1, left))

    @classmethod
    def restored(cls, frame_count: int, through: int, programs: Iterable[Sequence[Any]]) -> Playlist:
        """Return a playlist from ``dump`` (or what JSON made of it); the span that was under way is the player's to resume."""
        playlist = cls(frame_count)
        playlist.through = through
        first, *waiting = [Program(token, tuple((s, f, n) for s, f, n in segments), due) for token, segments, due in programs]
        playlist._start(first)
        playlist._waiting.extend(waiting)
        return playlist

    @property
    def place(self) -> tuple[int, int, int]:
        """Segment, loops of it that have begun, and segments to be through before the token is reported (0: it was, or there is none)."""
        return self._at, self._loops, self._due

    def programs(self) -> list[Program]:
        """Return the program that plays, whole, and those that wait: for a successor, see ``resumed``."""
        return [self._program, *self._waiting]

    @classmethod
    def resumed(cls, frame_count: int, through: int, programs: Iterable[Sequence[Any]], place: tuple[int, int, int]) -> Playlist:
        """Return a playlist from ``programs`` and ``place``."""
        playlist = cls(frame_count)
        playlist.through = through
        first, *waiting = [Program(token, tuple((s, f, n) for s, f, n in segments), due) for token, segments, due in programs]
        playlist._program = first
        playlist._at, playlist._loops, playlist._due = place
        if not first.segments and first.report_after:  # there was no room to keep it
            playlist.through, playlist._due = max(through, first.token), 0
        playlist._waiting.extend(waiting)
        return playlist

    def _start(self, program: Program) -> None:
        self._program = program
        self._at = self._loops = 0
        self._due = min(program.report_after, len(program.segments))
        if program.report_after > 0 and not program.segments:
            self.through = max(self.through, program.token)
        if not self._due and self._waiting:
            self._start(self._waiting.popleft())

    def _report(self) -> None:
        if self._due and self._at >= self._due:
            self.through = max(self.through, self._program.token)
            self._due = 0
            if self._waiting:
                self._start(self._waiting.popleft())

    def _span_of(self, segment: Segment) -> Span | None:
        """Return the segment's next span; None when it is through."""
        start, frames, loops = segment
        if frames <= 0 or loops < 0 or (loops and self._loops >= loops):
            return None
        if start < 0 or start + frames > self._frame_count:
            self.faults += 1
            self._loops = loops or 1
            return Span(SILENT_FRAME, 0, frames * loops or FOREVER)
        if frames == 1:
            self._loops = loops
            return Span(start, 0, loops or FOREVER)
        self._loops += 1 if loops else 0
        return Span(start, 1, frames)
