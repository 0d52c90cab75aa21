import asyncio
import errno
import json
import os
import socket
from typing import Any

import pytest
from harness.virtual_time import run

from waitline.errors import AudioError, MediaUnavailable
from waitline.media.clip_maker import Job, Made, WorkerMaker
from waitline.media.speech import Warned

SPEECH = Job("speech", "héllo".encode(), voice="man", language="en-GB")
AUDIO = Job("audio", b"RIFF" * 100_000, content_type="audio/wav")


class Peer:
    """The worker's end of a link, played by the test."""

    def __init__(self, maker: WorkerMaker, index: int = 0) -> None:
        ours, self.link = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.link.setblocking(False)
        maker.attach(index, ours)

    def read(self) -> tuple[dict[str, Any], bytes]:
        data, fds, _, _ = socket.recv_fds(self.link, 65536, 1)
        content = b""
        for fd in fds:
            content = os.pread(fd, os.fstat(fd).st_size, 0)
            os.close(fd)
        return json.loads(data), content

    async def say(self, **message: Any) -> None:
        self.link.send(json.dumps(message).encode())
        await asyncio.sleep(0.001)
        await asyncio.sleep(0.001)


class Room:
    """What ``place`` was asked, and its answers."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked: list[int] = []
        self._error = error

    def place(self, frames: int) -> int:
        self.asked.append(frames)
        if self._error is not None:
            raise self._error
        return 1000 * len(self.asked)


async def ask(maker: WorkerMaker, job: Job = SPEECH, room: Room | None = None) -> asyncio.Task[Made]:
    task = asyncio.create_task(maker.make(job, (room or Room()).place))
    await asyncio.sleep(0.001)
    return task


def test_a_job_goes_to_a_worker_which_writes_where_control_says() -> None:
    async def story() -> None:
        maker, room = WorkerMaker(), Room()
        peer = Peer(maker)
        making = await ask(maker, room=room)
        message, content = peer.read()
        assert (message["kind"], message["voice"], message["language"], content) == ("speech", "man", "en-GB", "héllo".encode())
        await peer.say(id=message["id"], frames=12, warning=[13511, "no voice"])
        assert peer.read()[0] == {"id": message["id"], "write_at": 1000}
        assert not making.done()
        await peer.say(id=message["id"], done=True)
        assert await making == Made(1000, 12, Warned(13511, "no voice"))
        assert room.asked == [12]
        await maker.close()
        peer.link.close()

    run(story())


def test_a_large_file_travels_beside_the_message() -> None:
    async def story() -> None:
        maker = WorkerMaker()
        peer = Peer(maker)
        making = await ask(maker, AUDIO)
        assert peer.read()[1] == AUDIO.data
        await maker.close()
        with pytest.raises(MediaUnavailable):
            await making
        peer.link.close()

    run(story())


def test_what_a_worker_cannot_decode_is_the_tenants_error() -> None:
    async def story() -> None:
        maker = WorkerMaker()
        peer = Peer(maker)
        making = await ask(maker, AUDIO)
        await peer.say(id=peer.read()[0]["id"], error="not audio", code=13420)
        with pytest.raises(AudioError, match="not audio"):
            await making
        await maker.close()
        peer.link.close()

    run(story())


def test_jobs_wait_for_an_idle_worker_in_order() -> None:
    async def story() -> None:
        maker = WorkerMaker()
        first, second = await ask(maker), await ask(maker, AUDIO)
        peer = Peer(maker)
        for expected in ("speech", "audio"):
            message, _ = peer.read()
            assert message["kind"] == expected
            with pytest.raises(BlockingIOError):
                peer.read()
            await peer.say(id=message["id"], frames=1, warning=None)
            peer.read()
            await peer.say(id=message["id"], done=True)
        assert first.done()
        assert second.done()
        await maker.close()
        peer.link.close()

    run(story())


def test_a_job_outlives_one_death_of_its_worker_and_takes_back_its_frames() -> None:
    async def story() -> None:
        maker, room = WorkerMaker(), Room()
        peer = Peer(maker)
        making = await ask(maker, room=room)
        await peer.say(id=peer.read()[0]["id"], frames=5, warning=None)
        peer.link.close()
        await asyncio.sleep(0.01)
        assert maker.workers == 0
        peer = Peer(maker)
        number = peer.read()[0]["id"]
        await peer.say(id=number, frames=5, warning=None)
        assert peer.read()[0]["write_at"] == 2000
        await peer.say(id=number, done=True)
        assert (await making).start == 2000
        assert room.asked == [5, 5]
        await maker.close()
        peer.link.close()

    run(story())


def test_a_job_that_was_there_at_two_deaths_is_blamed() -> None:
    async def story() -> None:
        maker = WorkerMaker()
        making = await ask(maker, AUDIO)
        for index in range(2):
            Peer(maker, index).link.close()
            await asyncio.sleep(0.01)
        with pytest.raises(AudioError, match="twice"):
            await making

    run(story())


def test_where_no_worker_comes_the_wait_has_an_end() -> None:
    async def story() -> None:
        maker = WorkerMaker(deadline_s=20)
        with pytest.raises(MediaUnavailable, match="within 20 s"):
            await maker.make(SPEECH, Room().place)
        assert asyncio.get_running_loop().time() == pytest.approx(20)

    run(story())


def test_a_worker_that_is_late_is_told_that_nobody_wants_the_clip() -> None:
    async def story() -> None:
        maker, room = WorkerMaker(deadline_s=20), Room()
        peer = Peer(maker)
        making = await ask(maker, room=room)
        message, _ = peer.read()
        with pytest.raises(MediaUnavailable):
            await making
        await peer.say(id=message["id"], frames=5, warning=None)
        assert peer.read()[0]["write_at"] == -1
        assert room.asked == []
        await peer.say(id=message["id"], done=True)
        after = await ask(maker)
        assert peer.read()[0]["id"] == message["id"] + 1
        await maker.close()
        with pytest.raises(MediaUnavailable, match="ending"):
            await after
        peer.link.close()

    run(story())


def test_without_room_the_worker_is_let_go_and_the_asker_told() -> None:
    async def story() -> None:
        maker = WorkerMaker()
        peer = Peer(maker)
        making = await ask(maker, room=Room(MediaUnavailable("full")))
        message, _ = peer.read()
        await peer.say(id=message["id"], frames=5, warning=None)
        assert peer.read()[0]["write_at"] == -1
        with pytest.raises(MediaUnavailable, match="full"):
            await making
        await maker.close()
        peer.link.close()

    run(story())


def test_a_successor_under_the_same_index_takes_the_place_of_one_whose_end_was_not_seen_yet() -> None:
    async def story() -> None:
        maker = WorkerMaker()
        first = Peer(maker)
        making = await ask(maker)
        second = Peer(maker)
        message, _ = second.read()
        await second.say(id=message["id"], frames=1, warning=None)
        second.read()
        await second.say(id=message["id"], done=True)
        assert (await making).frames == 1
        await maker.close()
        first.link.close()
        second.link.close()

    run(story())


def test_without_descriptors_the_asker_is_told_and_the_worker_makes_the_next_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(_name: str) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    async def story() -> None:
        maker = WorkerMaker()
        peer = Peer(maker)
        with monkeypatch.context() as exhausted:
            exhausted.setattr(os, "memfd_create", none_left)
            with pytest.raises(MediaUnavailable, match="Too many open files"):
                await (await ask(maker))
        task = await ask(maker)
        message, _ = peer.read()
        assert message["kind"] == "speech"
        task.cancel()
        await maker.close()
        peer.link.close()

    run(story())
