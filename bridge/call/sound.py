"""The sound of one leg: programs, their ends, and the waits for them.

A program is a tuple of segments over the frame store. ``start`` begins one at once, ``follow`` when the one before has ended, with no frame
between; both give a token, and ``through(token)`` waits for its end. Clips stay held while a program that names them may still be heard.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from waitline.media.clips import Clip, ClipLibrary
from waitline.media.dtmf import seconds_of
from waitline.media.messages import ClipEnded, Segment
from waitline.media.plane import MediaLeg

FRAME_S = 0.020


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Segments to play; the first ``report_after`` of them are the program proper, what follows is heard only until the next command."""

    segments: tuple[Segment, ...]
    report_after: int
    clips: tuple[Clip, ...] = ()
    digits: str = ""
    """Keys to send before the segments (Play's ``digits``)"""

    @property
    def seconds(self) -> float | None:
        """Length of the program proper; None where it never ends."""
        proper = self.segments[: self.report_after]
        if any(loops == 0 for _, _, loops in proper):
            return None
        return sum(n * loops for _, n, loops in proper) * FRAME_S + seconds_of(self.digits)

    def with_tail(self, tail: tuple[Segment, ...]) -> Program:
        """The same with something to be heard after its end."""
        return replace(self, segments=self.segments[: self.report_after] + tail)


class Sound:
    """What one media leg plays."""

    def __init__(self, media: MediaLeg, clips: ClipLibrary) -> None:
        self._media = media
        self._clips = clips
        self._held: dict[int, tuple[Clip, ...]] = {}

    def start(self, program: Program) -> int:
        """Play at once, whatever plays now; returns the token."""
        if program.digits:
            return self._start_with_digits(program)
        return self._keep(self._media.play(program.segments, report_after=program.report_after), program)

    def follow(self, program: Program) -> int:
        """Play when what plays now has reached its end, with no frame between; returns the token. Not for digits: they wait for nothing."""
        return self._keep(self._media.play_next(program.segments, report_after=program.report_after), program)

    def _start_with_digits(self, program: Program) -> int:
        self._media.stop()  # else what plays now would only wait, and go on behind the keys
        digits = self._media.send_digits(program.digits)
        if not program.segments:
            return digits
        sound = self.follow(program)
        return sound if program.report_after else digits

    def stop(self) -> None:
        """Silence from the next frame on."""
        self._media.stop()

    async def through(self, token: int) -> None:
        """Wait for the end of a program; at once where it has ended. MediaUnavailable where the leg is lost first."""
        await self._media.ended(token)

    def is_through(self, token: int) -> bool:
        return self._media.through >= token

    def on_ended(self, report: ClipEnded) -> None:
        """Give back the clips of older programs; the newest may still be heard as its own tail."""
        self._let_go(before=report.token)

    def to_plain(self) -> list[list[Any]]:
        """Which clips the leg may be playing: [token, key, first frame, frames] each."""
        return [[token, clip.key, clip.start, clip.frames] for token, clips in self._held.items() for clip in clips]

    def adopt(self, plain: list[list[Any]]) -> None:
        """Hold what the control process before this one held for the leg."""
        for token, key, start, frames in plain:
            clip = self._clips.adopt(key, start, frames)
            if clip is not None:
                self._held[token] = (*self._held.get(token, ()), self._clips.acquire(clip))

    def close(self) -> None:
        """Give all clips back."""
        self._let_go(before=1 << 62)

    def _keep(self, token: int, program: Program) -> int:
        for clip in program.clips:
            self._clips.acquire(clip)
        self._held[token] = program.clips
        return token

    def _let_go(self, *, before: int) -> None:
        for token in [t for t in self._held if t < before]:
            for clip in self._held.pop(token):
                self._clips.release(clip)
