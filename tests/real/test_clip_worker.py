"""The clip worker as it runs: a process of its own, started as the supervisor starts it."""

import asyncio
import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from waitline.clock import SystemClock
from waitline.errors import AudioError
from waitline.media import g711, tones
from waitline.media.clip_maker import WorkerMaker
from waitline.media.clips import ClipLibrary
from waitline.media.frame_store import FrameStore, store_bytes

pytestmark = pytest.mark.real


class Stage:
    """A store, a library over a worker maker, and the means to start workers."""

    def __init__(self) -> None:
        self._frames = os.memfd_create("frames")
        os.ftruncate(self._frames, store_bytes(20_000))
        self._lifeline_read, self.lifeline = os.pipe()
        self.store = FrameStore.on_fd(self._frames)
        self.maker = WorkerMaker()
        self.clips = ClipLibrary(self.store, self.maker, clock=SystemClock())
        self.processes: list[subprocess.Popen[bytes]] = []

    def start_worker(self, index: int = 0) -> subprocess.Popen[bytes]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            fds = {"link": theirs.fileno(), "lifeline": self._lifeline_read, "frames": self._frames}
            arguments = [text for name, fd in fds.items() for text in (f"--{name}", str(fd))]
            command = [sys.executable, "-m", "waitline.media.clip_worker", "--index", str(index), *arguments]
            process = subprocess.Popen(command, pass_fds=tuple(fds.values()))
        self.processes.append(process)
        self.maker.attach(index, ours)
        return process

    def heard(self, start: int, frames: int) -> NDArray[np.int16]:
        return g711.decode(self.store.frames[0, start : start + frames].reshape(-1), "PCMU")

    async def close(self) -> None:
        await self.clips.close()
        os.close(self.lifeline)
        for process in self.processes:
            process.wait(5)
        os.close(self._lifeline_read)
        os.close(self._frames)


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    made = Stage()
    try:
        yield made
    finally:
        await made.close()


def run(story: Callable[[Stage], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(30), stage() as made:
            await story(made)

    asyncio.run(main())


def file(pcm: NDArray[np.int16]) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, pcm, 8000, format="WAV")
    return buffer.getvalue()


def test_a_worker_makes_files_and_speech_and_its_frames_are_seen_here() -> None:
    async def story(on: Stage) -> None:
        worker = on.start_worker()
        tone = tones.tone((440,), 1.0)
        clip = await on.clips.from_audio("tone", file(tone), "audio/wav")
        assert np.corrcoef(on.heard(clip.start, clip.frames), tone)[0, 1] > 0.999
        spoken = await on.clips.from_speech("You are number 3.", voice="woman", language="en-GB")
        assert spoken.seconds > 0.8
        assert np.abs(on.heard(spoken.start, spoken.frames).astype(int)).max() > 3000
        fallen_back = await on.clips.from_speech("Olá", voice="woman", language="pt-BR")
        assert fallen_back.warning is not None
        with pytest.raises(AudioError, match="not audio"):
            await on.clips.from_audio("page", b"<html>404</html>", "audio/mpeg")
        assert worker.poll() is None

    run(story)


def test_two_workers_share_the_jobs() -> None:
    async def story(on: Stage) -> None:
        on.start_worker(0)
        on.start_worker(1)
        texts = [f"Your number is {number}" for number in range(20)]
        made = await asyncio.gather(*(on.clips.from_speech(text, voice="man", language="en-US") for text in texts))
        spans = sorted((clip.start, clip.start + clip.frames) for clip in made)
        assert all(end <= start for (_, end), (start, _) in pairwise(spans))

    run(story)


def test_a_worker_killed_at_its_job_costs_the_caller_nothing_but_time() -> None:
    async def story(on: Stage) -> None:
        worker = on.start_worker()
        long = "".join(chr(ord("a") + at % 26) for at in range(4000))
        asked = asyncio.create_task(on.clips.from_speech(long, voice="man", language="en-US"))
        await asyncio.sleep(0.01)
        os.kill(worker.pid, signal.SIGKILL)
        on.start_worker()
        assert (await asked).seconds > 5

    run(story)


def test_a_job_that_never_ends_is_ended_with_its_worker() -> None:
    code = (
        "import signal, socket\n"
        "from waitline.media import clip_worker, frame_store\n"
        "class Endless:\n"
        "    def synthesise(self, text, voice, language):\n"
        "        while True: pass\n"
        "store = frame_store.FrameStore.in_memory(4)\n"
        "link, peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
        "other, lifeline = socket.socketpair()\n"
        'peer.send(b\'{"id": 1, "kind": "speech", "content_type": "", "voice": "", "language": ""}\')\n'
        "clip_worker.Worker(link, lifeline.fileno(), store.frames, Endless(), limit_s=0.2).serve()\n"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=20).returncode == -signal.SIGALRM


@pytest.mark.parametrize("what", ["link", "lifeline"])
def test_a_worker_ends_with_its_link_and_with_its_lifeline(what: str) -> None:
    async def story(on: Stage) -> None:
        worker = on.start_worker()
        await on.clips.from_speech("ready", voice="man", language="en-US")
        began = time.monotonic()
        if what == "link":
            await on.maker.close()
        else:
            os.close(on.lifeline)
            on.lifeline = os.open(os.devnull, os.O_RDONLY)
        assert await asyncio.to_thread(worker.wait, 5) == 0
        assert time.monotonic() - began < 2

    run(story)
