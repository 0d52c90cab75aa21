"""Every clip, encoded once per codec, in fixed frames of 20 ms that all processes see.

One array ``uint8[codec][frame][160]`` in a memfd (or plain memory under virtual time): codec 0 is PCMU, codec 1 PCMA, and a clip has the
same frame numbers in both, so that a leg's program means the same whatever was negotiated. A media worker only reads; a clip worker writes
the frames it was told to; control alone allocates, because two allocators would need a lock that a dead process could hold.

Frame 0 is silence and never allocated. The memfd is sparse: capacity is address space, memory is what clips really use.

``Extents`` is the allocator: sorted free runs, best fit, neighbours joined again on release. Music is long and prompts are short; best fit
keeps the short ones from cutting up the room of the long.
"""

from __future__ import annotations

import mmap
import os
from bisect import bisect_left
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from waitline.errors import MediaUnavailable
from waitline.media import g711

FRAME_BYTES: Final = 160
"""20 ms at 8 kHz, one byte a sample"""
FRAMES_PER_S: Final = 50
CODECS: Final = ("PCMU", "PCMA")
SILENCE_BYTES: Final = (0xFF, 0xD5)
"""A sample of silence in each codec"""
DEFAULT_FRAMES: Final = 1 << 18
"""87 minutes; 84 MB if it were ever full"""

FrameArray = NDArray[np.uint8]
"""uint8[codec][frame][160]"""


def store_bytes(frames: int) -> int:
    """Size of the memfd for so many frames."""
    return len(CODECS) * frames * FRAME_BYTES


def map_frames(fd: int) -> FrameArray:
    """The frames of a memfd that somebody sized; the descriptor may be closed afterwards. For workers: no allocator."""
    size = os.fstat(fd).st_size
    frames = size // store_bytes(1)
    memory = mmap.mmap(fd, store_bytes(frames))
    return np.frombuffer(memory, dtype=np.uint8).reshape(len(CODECS), frames, FRAME_BYTES)


class Extents:
    """Which of the numbers first..end-1 are free, as runs."""

    def __init__(self, first: int, end: int) -> None:
        self._runs: list[tuple[int, int]] = [(first, end - first)] if end > first else []
        self._bounds = (first, end)

    @property
    def free(self) -> int:
        return sum(length for _, length in self._runs)

    @property
    def runs(self) -> tuple[tuple[int, int], ...]:
        """(start, length) of each free run, in order; no two touch."""
        return tuple(self._runs)

    def allocate(self, length: int) -> int | None:
        """Start of ``length`` numbers in a row out of the smallest run that has them, or None."""
        if length < 1:
            raise ValueError(f"cannot allocate {length} frames")
        fitting = [(have, at) for at, (_, have) in enumerate(self._runs) if have >= length]
        if not fitting:
            return None
        have, at = min(fitting)
        start = self._runs[at][0]
        self._runs[at : at + 1] = [(start + length, have - length)] if have > length else []
        return start

    def reserve(self, start: int, length: int) -> bool:
        """Take exactly this run; False if any of it is in use."""
        for at, (first, have) in enumerate(self._runs):
            if first <= start and start + length <= first + have:
                rest = [(first, start - first), (start + length, first + have - start - length)]
                self._runs[at : at + 1] = [run for run in rest if run[1]]
                return True
        return False

    def release(self, start: int, length: int) -> None:
        """Give a run back. ValueError if any of it is free already or was never ours: a double release must not pass unseen."""
        at = bisect_left(self._runs, (start, 0))
        self._check_used(at, start, length)
        if at < len(self._runs) and self._runs[at][0] == start + length:
            length += self._runs.pop(at)[1]
        if at > 0 and sum(self._runs[at - 1]) == start:
            at -= 1
            start, length = self._runs[at][0], self._runs.pop(at)[1] + length
        self._runs.insert(at, (start, length))

    def _check_used(self, at: int, start: int, length: int) -> None:
        first, end = self._bounds
        free_before = at > 0 and sum(self._runs[at - 1]) > start
        free_after = at < len(self._runs) and self._runs[at][0] < start + length
        if length < 1 or start < first or start + length > end or free_before or free_after:
            raise ValueError(f"{length} frames at {start} were not allocated")


class FrameStore:
    """Control's side: the frames and who has which."""

    def __init__(self, frames: FrameArray) -> None:
        self.frames = frames
        self._extents = Extents(1, frames.shape[1])
        for codec, sample in enumerate(SILENCE_BYTES):
            frames[codec, 0] = sample

    @classmethod
    def in_memory(cls, frames: int = DEFAULT_FRAMES) -> Self:
        """For one process: tests and virtual time."""
        return cls(np.zeros((len(CODECS), frames, FRAME_BYTES), dtype=np.uint8))

    @classmethod
    def on_fd(cls, fd: int) -> Self:
        """Over a memfd of ``store_bytes(frames)`` bytes, which workers map too."""
        return cls(map_frames(fd))

    @property
    def capacity(self) -> int:
        """Frames in all, the one of silence included."""
        return int(self.frames.shape[1])

    @property
    def free(self) -> int:
        """Frames not allocated, in however many runs."""
        return self._extents.free

    def allocate(self, frames: int) -> int:
        """First of so many frames in a row. MediaUnavailable if there is no such run."""
        start = self._extents.allocate(frames)
        if start is None:
            raise MediaUnavailable(f"no room for {frames} frames in the frame store: {self.free} are free, in pieces")
        return start

    def reserve(self, start: int, frames: int) -> bool:
        """Take these very frames: a control before this one had them, and a leg may be playing them. False if they are in use here."""
        return self._extents.reserve(start, frames)

    def release(self, start: int, frames: int) -> None:
        """Give frames back. ValueError if they were not allocated."""
        self._extents.release(start, frames)

    def write(self, start: int, encoded: FrameArray) -> None:
        """Put ``uint8[codec][n][160]`` at a frame."""
        write_frames(self.frames, start, encoded)


def write_frames(frames: FrameArray, start: int, encoded: FrameArray) -> None:
    """Put ``uint8[codec][n][160]`` at a frame of a mapped store."""
    frames[:, start : start + encoded.shape[1]] = encoded


def encode(pcm: NDArray[np.int16]) -> FrameArray:
    """Whole frames in each codec: ``uint8[codec][n][160]``, n ≥ 1.

    The last frame is filled with silence, or left out if it is less than half full: a loop's seam then is at most 10 ms off.
    """
    frames = max(1, (len(pcm) + FRAME_BYTES // 2) // FRAME_BYTES)
    whole = np.zeros(frames * FRAME_BYTES, dtype=np.int16)
    count = min(len(pcm), len(whole))
    whole[:count] = pcm[:count]
    return np.stack([g711.encode(whole, codec) for codec in CODECS]).reshape(len(CODECS), frames, FRAME_BYTES)
