"""Control's end of a worker's link: batches, a full socket, descriptors, loss. The worker's end is the test's."""

import asyncio
import contextlib
import os
import socket

import pytest
from harness.virtual_time import run

from waitline.errors import MediaUnavailable
from waitline.media.messages import MAX_BATCH_BYTES, ClipEnded, CloseLeg, Configure, HandedOver, Play, StartAudio, TakeOver, decode, encode
from waitline.media.worker_link import MediaWorkers, SocketLink

CONFIGURE = Configure(1, "127.0.0.1", 0, 0, 30, "test")


class World:
    """A link that has started its "worker", and what it told."""

    def __init__(self):
        self.reports: list[object] = []
        self.descriptors: list[int] = []
        self.lost: list[str] = []
        self.spawned = 0
        self.worker: socket.socket | None = None
        self.link = SocketLink(0, self._spawn, CONFIGURE)
        self.link.attach(self._report, self.lost.append)

    async def _spawn(self, _index):
        self.spawned += 1
        if self.worker is not None:
            self.worker.close()
        ours, self.worker = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.worker.setblocking(False)
        return ours

    def _report(self, reports, descriptors):
        self.reports += reports
        self.descriptors += descriptors

    async def read(self):
        """Return the batches that came, after the loop has had its turn."""
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert self.worker is not None
        batches = []
        with contextlib.suppress(BlockingIOError):
            while data := self.worker.recv(1 << 18):
                batches.append(decode(data))
        return batches


def story(scene):
    async def play():
        world = World()
        try:
            return await scene(world)
        finally:
            await world.link.close()
            if world.worker is not None:
                world.worker.close()

    return run(play())


def test_a_worker_is_started_once_and_configured_first():
    async def scene(world):
        await asyncio.gather(world.link.ready(), world.link.ready())
        world.link.send([StartAudio(1, 5)])
        return world.spawned, [command for batch in await world.read() for command in batch]

    assert story(scene) == (1, [CONFIGURE, StartAudio(1, 5)])


def test_commands_of_one_turn_are_one_batch_and_fit_into_a_message():
    async def scene(world):
        await world.link.ready()
        await world.read()
        for leg in range(3000):
            world.link.send([Play(1, leg, leg, ((1, 2, 3),), 1)])
        return await world.read()

    batches = story(scene)
    assert [command.leg for batch in batches for command in batch] == list(range(3000))
    assert 1 < len(batches) < 10
    assert all(len(encode(batch)) <= MAX_BATCH_BYTES for batch in batches)


def test_a_full_socket_is_waited_for_and_order_is_kept():
    async def scene(world):
        await world.link.ready()
        read = await world.read()
        for number in range(3000):
            world.link.send([StartAudio(1, number)])
            await asyncio.sleep(0)
        legs: list[int] = []
        while len(legs) < 3000:
            legs += [command.leg for batch in await world.read() for command in batch]
        return read, legs

    _, legs = story(scene)
    assert legs == list(range(3000))


def test_a_takeover_travels_alone_with_its_descriptors():
    async def scene(world):
        await world.link.ready()
        await world.read()
        descriptor = os.open("/dev/null", os.O_RDONLY)
        world.link.send([StartAudio(1, 1)])
        world.link.send([TakeOver(1, 2, {})], [descriptor])
        world.link.send([StartAudio(1, 2)])
        os.close(descriptor)
        await asyncio.sleep(0)
        assert world.worker is not None
        arrived = [socket.recv_fds(world.worker, 1 << 16, 4)[:2] for _ in range(3)]
        for _, descriptors in arrived:
            for received in descriptors:
                os.close(received)
        return [(decode(data), len(descriptors)) for data, descriptors in arrived]

    assert story(scene) == [([StartAudio(1, 1)], 0), ([TakeOver(1, 2, {})], 1), ([StartAudio(1, 2)], 0)]


def test_reports_come_with_their_descriptors():
    async def scene(world):
        await world.link.ready()
        descriptor = os.open("/dev/null", os.O_RDONLY)
        socket.send_fds(world.worker, [encode([HandedOver(1, {})])], [descriptor])
        world.worker.send(encode([ClipEnded(1, 2), CloseLeg(1, 1)]))  # a command is no report
        os.close(descriptor)
        await asyncio.sleep(0.001)
        for received in world.descriptors:
            os.close(received)
        return world.reports, len(world.descriptors)

    assert story(scene) == ([HandedOver(1, {}), ClipEnded(1, 2)], 1)


def test_the_end_of_a_worker_is_told_once_and_the_next_leg_starts_another():
    async def scene(world):
        await world.link.ready()
        await world.read()
        world.worker.close()
        await asyncio.sleep(0.001)
        world.link.send([StartAudio(1, 1)])  # to nobody
        await world.link.ready()
        return world.lost, world.spawned, await world.read()

    assert story(scene) == (["media worker 0 ended"], 2, [[CONFIGURE]])


def test_a_send_to_a_worker_that_has_just_gone_is_its_loss():
    async def scene(world):
        await world.link.ready()
        await world.read()
        world.worker.close()
        descriptor = os.open("/dev/null", os.O_RDONLY)
        world.link.send([TakeOver(1, 2, {})], [descriptor])
        os.close(descriptor)
        world.link._flush()
        return len(world.lost)

    assert story(scene) == 1


def test_a_worker_that_does_not_start_is_media_unavailable():
    async def fail(_index):
        raise FileNotFoundError("no such program")

    async def scene():
        with pytest.raises(MediaUnavailable, match="no such program"):
            await SocketLink(0, fail, CONFIGURE).ready()

    run(scene())


def test_workers_have_their_own_part_of_the_ports():
    async def spawn(_index):
        raise AssertionError("started on first need only")

    made = MediaWorkers(spawn, 2, host="127.0.0.1", first_port=16384, last_port=16391)
    ranges = [(link._configure.first_port, link._configure.last_port) for link in made.links]
    assert ranges == [(16384, 16387), (16388, 16391)]
