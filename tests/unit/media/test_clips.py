import asyncio
import io
import math
from collections.abc import Callable

import numpy as np
import pytest
import soundfile
from harness.virtual_time import run

from waitline.clock import VirtualClock
from waitline.errors import AudioError, BridgeError, MediaUnavailable
from waitline.media import g711, music, speech, tones
from waitline.media.clip_maker import InlineMaker, Job, Made, Place
from waitline.media.clips import LEASE_S, ClipLibrary
from waitline.media.frame_store import FrameStore

BUILT_IN = 1400 + 300


class Maker:
    """Makes a clip of as many frames as the job has bytes, when let."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def make(self, job: Job, place: Place) -> Made:
        self.jobs.append(job)
        await self.gate.wait()
        start = place(len(job.data))
        if self.error is not None:
            raise self.error
        return Made(start, len(job.data), None)

    async def close(self) -> None:
        """Nothing to end."""


def library(maker: Maker, *, room: int = 100, budget: int = 0) -> tuple[ClipLibrary, FrameStore]:
    store = FrameStore.in_memory(1 + BUILT_IN + room)
    clock = VirtualClock(asyncio.get_running_loop().time)
    return ClipLibrary(store, maker, clock=clock, budget_frames=budget), store


def test_music_ringing_and_silence_are_there_from_the_start() -> None:
    async def story() -> None:
        clips, store = library(Maker())
        heard = store.frames[0, clips.default_music.start : clips.default_music.start + clips.default_music.frames].reshape(-1)
        assert heard.tolist() == music.shipped().tolist()
        ringing = g711.decode(store.frames[1, clips.ringback.start : clips.ringback.start + 300].reshape(-1), "PCMA")
        assert np.corrcoef(ringing, tones.ringing("us"))[0, 1] > 0.99
        assert clips.default_music.segment(0) == (clips.default_music.start, 1400, 0)
        assert clips.default_music.seconds == 28.0
        assert (clips.silence(1.0), clips.silence(0), clips.silence(math.inf)) == ((0, 1, 50), (0, 1, 1), (0, 1, 0))
        clips.release(clips.acquire(clips.default_music))

    run(story())


def test_a_country_has_its_own_ringing_made_once() -> None:
    async def story() -> None:
        clips, store = library(Maker(), room=500)
        free = store.free
        assert clips.ringing("uk") is clips.ringing("uk")
        assert store.free == free - 150

    run(story())


def test_two_who_ask_for_the_same_share_one_job() -> None:
    async def story() -> None:
        maker = Maker()
        clips, _ = library(maker)
        maker.gate.clear()
        first = asyncio.create_task(clips.from_audio("k", b"1234", "audio/wav"))
        second = asyncio.create_task(clips.from_audio("k", b"1234", "audio/wav"))
        await asyncio.sleep(1)
        maker.gate.set()
        assert await first is await second
        assert await clips.from_audio("k", b"1234", "audio/wav") is await first
        assert clips.cached("k") is await first
        assert len(maker.jobs) == 1

    run(story())


def test_one_who_hangs_up_while_a_clip_is_made_costs_nobody_else_the_clip() -> None:
    async def story() -> None:
        maker = Maker()
        clips, _ = library(maker)
        maker.gate.clear()
        first = asyncio.create_task(clips.from_audio("k", b"1234", "audio/wav"))
        second = asyncio.create_task(clips.from_audio("k", b"1234", "audio/wav"))
        await asyncio.sleep(1)
        first.cancel()
        maker.gate.set()
        assert (await second).frames == 4

    run(story())


def test_a_text_is_made_once_per_voice_and_language() -> None:
    async def story() -> None:
        maker = Maker()
        clips, _ = library(maker)
        for voice, language in (("man", "en-US"), ("woman", "en-US"), ("man", "en-GB"), ("man", "en-US")):
            await clips.from_speech("héllo", voice=voice, language=language)
        assert [(job.kind, job.data.decode(), job.voice, job.language) for job in maker.jobs] == [
            ("speech", "héllo", "man", "en-US"),
            ("speech", "héllo", "woman", "en-US"),
            ("speech", "héllo", "man", "en-GB"),
        ]

    run(story())


def test_the_least_recently_used_clip_goes_when_room_is_needed() -> None:
    async def story() -> None:
        clips, _ = library(Maker(), room=100)
        a, b = await clips.from_audio("a", bytes(40), ""), await clips.from_audio("b", bytes(40), "")
        await asyncio.sleep(LEASE_S + 1)
        assert clips.cached("a") is a
        await clips.from_audio("c", bytes(40), "")
        assert clips.cached("b") is None
        assert clips.cached("a") is a
        with pytest.raises(BridgeError, match="no longer"):
            clips.acquire(b)

    run(story())


def test_a_clip_in_use_is_never_evicted() -> None:
    async def story() -> None:
        clips, _ = library(Maker(), room=100)
        playing = clips.acquire(await clips.from_audio("a", bytes(60), ""))
        await asyncio.sleep(LEASE_S + 1)
        with pytest.raises(MediaUnavailable):
            await clips.from_audio("b", bytes(60), "")
        clips.release(playing)
        assert (await clips.from_audio("b", bytes(60), "")).frames == 60

    run(story())


def test_a_clip_just_given_is_safe_until_its_lease_is_over() -> None:
    async def story() -> None:
        clips, _ = library(Maker(), room=100)
        await clips.from_audio("a", bytes(60), "")
        with pytest.raises(MediaUnavailable):
            await clips.from_audio("b", bytes(60), "")
        await asyncio.sleep(LEASE_S)
        await clips.from_audio("b", bytes(60), "")

    run(story())


def test_pieces_are_put_together_by_evicting_until_a_run_is_long_enough() -> None:
    async def story() -> None:
        clips, store = library(Maker(), room=100)
        for key in "abcd":
            await clips.from_audio(key, bytes(25), "")
        clips.acquire(clips.cached("a"))  # type: ignore[arg-type]
        await asyncio.sleep(LEASE_S)
        assert (await clips.from_audio("long", bytes(70), "")).frames == 70
        assert store.free == 5
        assert clips.used_frames == 95

    run(story())


def test_the_budget_bounds_clips_below_the_stores_room() -> None:
    async def story() -> None:
        clips, store = library(Maker(), room=100, budget=50)
        await clips.from_audio("a", bytes(30), "")
        await asyncio.sleep(LEASE_S)
        await clips.from_audio("b", bytes(30), "")
        assert clips.used_frames == 30
        assert store.free == 70
        with pytest.raises(MediaUnavailable, match="larger than all the room"):
            await clips.from_audio("c", bytes(51), "")
        assert clips.cached("b") is not None

    run(story())


def test_a_failed_job_gives_its_frames_back_and_each_who_waits_an_error_of_its_own() -> None:
    async def story() -> None:
        maker = Maker()
        clips, store = library(maker)
        maker.error = AudioError("broken", code=13420)
        free = store.free
        errors = await asyncio.gather(*(clips.from_audio("k", b"12", "") for _ in range(2)), return_exceptions=True)
        assert [str(error) for error in errors] == ["broken", "broken"]
        assert errors[0] is not errors[1]
        assert store.free == free
        maker.error = None
        assert (await clips.from_audio("k", b"12", "")).frames == 2

    run(story())


def test_a_clip_released_too_often_is_a_bug_that_shows() -> None:
    async def story() -> None:
        clips, _ = library(Maker())
        clip = await clips.from_audio("k", b"12", "")
        with clips.holding(clip):
            pass
        with pytest.raises(BridgeError, match="more often"):
            clips.release(clip)

    run(story())


def test_closing_ends_what_is_being_made() -> None:
    async def story() -> None:
        maker = Maker()
        clips, _ = library(maker)
        maker.gate.clear()
        asked = asyncio.create_task(clips.from_audio("k", b"12", ""))
        await asyncio.sleep(1)
        await clips.close()
        with pytest.raises(asyncio.CancelledError):
            await asked

    run(story())


def _inline(story: Callable[[ClipLibrary, FrameStore], object]) -> None:
    async def main() -> None:
        store = FrameStore.in_memory(4000)
        maker = InlineMaker(store, speech.NoSpeech())
        clips = ClipLibrary(store, maker, clock=VirtualClock(asyncio.get_running_loop().time))
        await story(clips, store)  # type: ignore[misc]
        await clips.close()

    run(main())


def test_inline_a_file_is_in_the_store_when_it_is_given() -> None:
    async def story(clips: ClipLibrary, store: FrameStore) -> None:
        tone = tones.tone((440,), 1.0)
        buffer = io.BytesIO()
        soundfile.write(buffer, tone, 8000, format="WAV")
        clip = await clips.from_audio("k", buffer.getvalue(), "audio/wav")
        heard = g711.decode(store.frames[0, clip.start : clip.start + clip.frames].reshape(-1), "PCMU")
        assert clip.seconds == 1.0
        assert np.corrcoef(heard, tone)[0, 1] > 0.999
        with pytest.raises(AudioError):
            await clips.from_audio("x", b"<html>", "audio/mpeg")

    _inline(story)


def test_inline_a_text_that_cannot_be_said_carries_its_warning() -> None:
    async def story(clips: ClipLibrary, store: FrameStore) -> None:
        clip = await clips.from_speech("Hello \ud800", voice="man", language="en-US")
        assert clip.warning is not None
        assert clip.warning.code == 13520
        assert clip.frames == len(tones.instead_of_speech()) // 160

    _inline(story)
