"""The clips of the platform, as control sees them: a file or a text in, a run of frames out, kept until the room is needed.

``from_audio`` and ``from_speech`` give a clip that is in the frame store, made by a ``ClipMaker`` if it is not there yet; two who ask for
the same at the same time share one job. What is always wanted (default music, ringing tones, silence) is there from the start.

Who plays a clip holds it: ``acquire`` … ``release``, counted. A clip that nobody holds stays as a cache and is evicted, least recently
used first, when the budget or the store is full; one in use never is. Between being given a clip and holding it a caller may wait for
something (the leg, the seam of the music), so a clip just given is leased: safe for ``LEASE_S`` seconds without any hold. Nothing has to
be given back for a lease, so an owner that is cancelled there leaks nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from waitline.clock import Clock
from waitline.errors import AudioError, BridgeError, MediaUnavailable
from waitline.media import g711, music, tones
from waitline.media.clip_maker import ClipMaker, Job, Made
from waitline.media.frame_store import FRAMES_PER_S, FrameStore, encode
from waitline.media.messages import Segment
from waitline.media.speech import Warned

LEASE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A run of frames in the store."""

    key: str
    start: int
    frames: int
    """Of 20 ms; at least 1"""
    warning: Warned | None = None
    """What its tenant should be told: a voice that fell back, a text that could not be said"""

    @property
    def seconds(self) -> float:
        return self.frames / FRAMES_PER_S

    def segment(self, loops: int = 1) -> Segment:
        """As part of a program; 0 loops for ever."""
        return (self.start, self.frames, loops)


def silence(seconds: float) -> Segment:
    """So much silence, at least a frame; ``math.inf`` for ever."""
    return (0, 1, 0 if math.isinf(seconds) else max(1, round(seconds * FRAMES_PER_S)))


@dataclass(slots=True)
class _Entry:
    clip: Clip
    leased_until: float
    holds: int = 0


class ClipLibrary:
    """All clips. ``budget_frames`` bounds what is cached and played (0: the store's whole room)."""

    def __init__(self, store: FrameStore, maker: ClipMaker, *, clock: Clock, budget_frames: int = 0) -> None:
        self._store = store
        self._maker = maker
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._jobs: dict[str, asyncio.Task[Clip]] = {}
        self._ringing: dict[str, Clip] = {}
        self.default_music = self._built_in("music", g711.decode(music.shipped(), "PCMU"))
        self.ringback = self.ringing()
        self._budget = min(budget_frames or store.free, store.free)
        self._used = 0

    @property
    def used_frames(self) -> int:
        """Frames of all clips but the built-in ones."""
        return self._used

    def ringing(self, country: str = "") -> Clip:
        """A country's ringing tone, one period, to be looped. Made on first use (a millisecond) and kept."""
        if country not in self._ringing:
            self._ringing[country] = self._built_in(f"ringing {country}", tones.ringing(country))
        return self._ringing[country]

    @staticmethod
    def silence(seconds: float) -> Segment:
        """So much silence, at least a frame; ``math.inf`` for ever."""
        return silence(seconds)

    def cached(self, key: str) -> Clip | None:
        """The audio clip of this key if it is here, leased: saves a caller who has the key from fetching the file."""
        return self._leased(f"audio {key}")

    async def from_audio(self, key: str, data: bytes, content_type: str) -> Clip:
        """The clip of a file. ``key`` names its content (URL and ETag, say). AudioError, MediaUnavailable."""
        return await self._clip(f"audio {key}", Job("audio", data, content_type=content_type))

    async def from_speech(self, text: str, *, voice: str, language: str) -> Clip:
        """The clip of a text. Never AudioError for want of a voice: see ``Clip.warning``. MediaUnavailable."""
        job = Job("speech", text.encode("utf-8", errors="replace"), voice=voice, language=language)
        return await self._clip(f"speech {language} {voice} {text}", job)

    def adopt(self, key: str, start: int, frames: int) -> Clip | None:
        """A clip of a control before this one, still in the store and perhaps playing; None where its frames are somebody else's now."""
        clip = Clip(key=key, start=start, frames=frames)
        if self._is_built_in(clip):
            return clip
        if (entry := self._entries.get(key)) is not None:
            return entry.clip if entry.clip.start == start else None
        if not self._store.reserve(start, frames):
            return None
        self._used += frames
        return self._enter(key, Made(start, frames, None))

    def acquire(self, clip: Clip) -> Clip:
        """Hold it: not evicted until released as often. BridgeError if it is gone, as it may be once its lease is over."""
        if (entry := self._entry(clip)) is not None:
            entry.holds += 1
        elif not self._is_built_in(clip):
            raise BridgeError(f"the clip {clip.key[:100]!r} is no longer in the store")
        return clip

    def release(self, clip: Clip) -> None:
        """Undo one ``acquire``."""
        entry = self._entry(clip)
        if entry is None and self._is_built_in(clip):
            return
        if entry is None or entry.holds < 1:
            raise BridgeError(f"the clip {clip.key[:100]!r} is released more often than acquired")
        entry.holds -= 1

    @contextlib.contextmanager
    def holding(self, clip: Clip) -> Iterator[Clip]:
        """Hold it for as long as the block takes."""
        self.acquire(clip)
        try:
            yield clip
        finally:
            self.release(clip)

    async def close(self) -> None:
        """End what is being made."""
        await self._maker.close()
        jobs = tuple(self._jobs.values())
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)

    # --- looking up and making

    async def _clip(self, key: str, job: Job) -> Clip:
        if (clip := self._leased(key)) is not None:
            return clip
        if key not in self._jobs:
            self._jobs[key] = asyncio.get_running_loop().create_task(self._make(key, job), name=f"clip {key[:60]}")
            self._jobs[key].add_done_callback(lambda task: self._made(key, task))
        try:
            # Shielded: whoever asked may hang up, and somebody else may be waiting for the same clip.
            return await asyncio.shield(self._jobs[key])
        except AudioError as error:
            raise AudioError(str(error), code=error.code) from error  # one task, several waiters: each raises its own
        except MediaUnavailable as error:
            raise MediaUnavailable(str(error)) from error

    async def _make(self, key: str, job: Job) -> Clip:
        placement = _Placement(self)
        try:
            made = await self._maker.make(job, placement.place)
        except BaseException:
            placement.undo()
            raise
        return self._enter(key, made)

    def _made(self, key: str, task: asyncio.Task[Clip]) -> None:
        del self._jobs[key]
        if not task.cancelled():
            task.exception()  # looked at, so that a failure nobody waited for is not reported as forgotten

    def _enter(self, key: str, made: Made) -> Clip:
        clip = Clip(key=key, start=made.start, frames=made.frames, warning=made.warning)
        self._entries[key] = _Entry(clip, self._clock.now() + LEASE_S)
        return clip

    def _leased(self, key: str) -> Clip | None:
        if (entry := self._entries.get(key)) is None:
            return None
        self._entries.move_to_end(key)
        entry.leased_until = self._clock.now() + LEASE_S
        return entry.clip

    def _entry(self, clip: Clip) -> _Entry | None:
        entry = self._entries.get(clip.key)
        return entry if entry is not None and entry.clip == clip else None

    # --- room

    def _room(self, frames: int) -> int:
        """First of so many frames, after evicting what must go for them."""
        if frames > self._budget:
            raise MediaUnavailable(f"a clip of {frames / FRAMES_PER_S:.1f} s is larger than all the room for clips")
        while self._used + frames > self._budget:
            self._evict(frames)
        while True:
            with contextlib.suppress(MediaUnavailable):
                start = self._store.allocate(frames)
                self._used += frames
                return start
            self._evict(frames)

    def _evict(self, frames: int) -> None:
        """Let the least recently used clip go that nobody holds or was just given. MediaUnavailable if there is none."""
        now = self._clock.now()
        idle = (key for key, entry in self._entries.items() if not entry.holds and entry.leased_until <= now)
        if (key := next(idle, None)) is None:
            raise MediaUnavailable(f"no room for a clip of {frames / FRAMES_PER_S:.1f} s: all others are being played")
        clip = self._entries.pop(key).clip
        self._give_back(clip.start, clip.frames)

    def _give_back(self, start: int, frames: int) -> None:
        self._store.release(start, frames)
        self._used -= frames

    # --- what is always there

    def _built_in(self, name: str, pcm: NDArray[np.int16]) -> Clip:
        encoded = encode(pcm)
        frames = encoded.shape[1]
        start = self._store.allocate(frames)
        self._store.write(start, encoded)
        return Clip(key=f"built-in {name}", start=start, frames=frames)

    def _is_built_in(self, clip: Clip) -> bool:
        return clip == self.default_music or clip in self._ringing.values()


class _Placement:
    """Where the frames of one job went, so that they can be taken back."""

    def __init__(self, library: ClipLibrary) -> None:
        self._library = library
        self._placed: tuple[int, int] | None = None

    def place(self, frames: int) -> int:
        """First of so many frames; a second call (another worker has the job now) takes back the first."""
        self.undo()
        start = self._library._room(frames)
        self._placed = (start, frames)
        return start

    def undo(self) -> None:
        if self._placed is not None:
            self._library._give_back(*self._placed)
            self._placed = None
