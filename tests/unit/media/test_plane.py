"""What control sees: opening, bridging, losing and moving legs, over links that a test holds."""

import asyncio
import os
import random
from collections.abc import Callable

import pytest
from harness.media_rig import numbered_frames
from harness.virtual_time import run

from waitline.errors import BridgeError, MediaUnavailable
from waitline.media import messages
from waitline.media.memory import MemoryMedia
from waitline.media.messages import ClipEnded, CloseLeg, HandedOver, Opened, OpenFailed, OpenLeg, Play, TakeOver
from waitline.media.plane import LegLost, LegMoved, MediaPlane


class Link:
    """A link whose other end is the test: it answers OpenLeg by itself unless told otherwise."""

    def __init__(self, *, answers=True):
        self.sent = []
        self.descriptors = []
        self.closed = False
        self.answers = answers
        self.reports: Callable[..., None] = print
        self.lost: Callable[[str], None] = print

    def attach(self, on_reports, on_lost):
        self.reports, self.lost = on_reports, on_lost

    async def ready(self):
        pass

    def send(self, commands, descriptors=()):
        self.sent += commands
        self.descriptors += [os.dup(descriptor) for descriptor in descriptors]
        for command in commands:
            if self.answers:
                self._answer(command)

    def _answer(self, command):
        loop = asyncio.get_running_loop()
        match command:
            case OpenLeg(_, leg) | TakeOver(_, leg):
                loop.call_soon(self.reports, [Opened(leg, 10000, 10001)], [])
            case messages.Bridge(_, leg, peer, claim):
                loop.call_soon(self.reports, [messages.Bridged(leg, peer, claim)], [])
            case messages.HandOver(_, leg):
                loop.call_soon(self.reports, [HandedOver(leg, {"ssrc": 1})], [os.open("/dev/null", os.O_RDONLY)])

    async def close(self):
        self.closed = True


def plane_over(*links, **options):
    return MediaPlane(links, host="192.0.2.1", random=random.Random(1), **options)


def test_a_leg_has_the_workers_ports():
    async def story():
        plane = plane_over(Link())
        return await plane.open_leg()

    leg = run(story())
    assert (leg.host, leg.port, leg.rtcp_port) == ("192.0.2.1", 10000, 10001)


def test_legs_spread_over_the_workers_and_partners_stay_together():
    async def story():
        plane = plane_over(Link(), Link())
        legs = [await plane.open_leg() for _ in range(3)]
        near = await plane.open_leg(near=legs[1])
        return [leg.worker for leg in legs], near.worker, plane.stats

    assert run(story()) == ([0, 1, 0], 1, {"legs": 4, "legs_worker_0": 2, "legs_worker_1": 2})


def test_no_port_is_media_unavailable_and_nothing_stays():
    async def story():
        link = Link(answers=False)
        plane = plane_over(link)
        task = asyncio.ensure_future(plane.open_leg())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        link.reports([OpenFailed(1, "no RTP port is free")], [])
        with pytest.raises(MediaUnavailable, match="no RTP port is free"):
            await task
        return plane.stats["legs"], link.sent[-1]

    assert run(story()) == (0, CloseLeg(1, 1))


def test_a_worker_that_does_not_answer_is_not_waited_for_for_ever():
    async def story():
        plane = plane_over(Link(answers=False))
        with pytest.raises(MediaUnavailable, match="no Opened"):
            await plane.open_leg()
        return asyncio.get_running_loop().time()

    assert run(story()) == 5.0


def test_a_cancelled_open_leaves_no_leg_behind():
    async def story():
        link = Link(answers=False)
        plane = plane_over(link)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await plane.open_leg()
        link.reports([Opened(1, 1, 2)], [])
        return plane.stats["legs"], type(link.sent[-1])

    assert run(story()) == (0, CloseLeg)


def test_ended_is_level_triggered():
    async def story():
        link = Link()
        plane = plane_over(link)
        leg = await plane.open_leg()
        first, second = leg.play([(1, 2, 1)], report_after=1), leg.play_next([(1, 2, 1)], report_after=1)
        waiting = asyncio.ensure_future(leg.ended(second))
        await asyncio.sleep(0)
        link.reports([ClipEnded(leg.id, first)], [])
        await asyncio.sleep(0)
        assert not waiting.done()
        link.reports([ClipEnded(leg.id, second)], [])
        await waiting
        await leg.ended(first)
        return leg.through == second

    assert run(story())


def test_reports_reach_the_listener_of_their_leg_only():
    async def story():
        link = Link()
        plane = plane_over(link)
        a, b = await plane.open_leg(), await plane.open_leg()
        heard: list[object] = []
        a.listener = heard.append
        b.listener = lambda report: heard.append("wrong")
        link.reports([ClipEnded(a.id, 1)], [])
        a.close()
        link.reports([ClipEnded(a.id, 2)], [])
        return heard

    assert run(story()) == [ClipEnded(1, 1)]


def test_a_lost_worker_loses_its_legs_and_whoever_waits():
    async def story():
        links = Link(), Link()
        plane = plane_over(*links)
        lost, kept = await plane.open_leg(), await plane.open_leg()
        heard: list[object] = []
        lost.listener = kept.listener = heard.append
        waiting = asyncio.ensure_future(lost.ended(lost.play([(1, 2, 1)], report_after=1)))
        await asyncio.sleep(0)
        links[0].lost("media worker 0 ended")
        with pytest.raises(MediaUnavailable, match="worker 0 ended"):
            await waiting
        with pytest.raises(MediaUnavailable):
            await lost.ended(99)
        lost.play([(1, 1, 1)])  # nothing happens
        again = await plane.open_leg()
        return heard, again.worker, plane.stats["legs"]

    assert run(story()) == ([LegLost(1, "media worker 0 ended")], 0, 2)


async def gone(*answers, agreed=True):
    """A leg that plays in a talk and that the worker's successor cannot go on with; what the worker was told then, and the listener."""
    link = Link()
    plane = plane_over(link, deadline_s=3.0)
    leg, partner = await plane.open_leg(), await plane.open_leg()
    if agreed:
        leg.set_media(codec="PCMU", payload_type=0, dtmf_payload_type=101, host="192.0.2.7", port=4000)
        leg.play([(1, 2, 1)])
    await plane.bridge(leg, partner, "claim")
    heard: list[object] = []
    leg.listener = heard.append
    link.sent, link.answers = [], False
    link.reports([messages.LegGone(1, "no sockets")], [])
    for answer in answers:
        link.reports([answer], [])
    return plane, leg, link.sent, heard


def test_a_leg_that_is_gone_is_opened_again_and_told_all_that_counts():
    async def story():
        _, leg, sent, heard = await gone(Opened(1, 10008, 10009))
        return [type(command).__name__ for command in sent], heard, leg.port, leg.closed

    assert run(story()) == (["OpenLeg", "SetMedia", "Play", "Bridge"], [LegMoved(1)], 10008, False)


def test_a_leg_that_cannot_be_opened_again_or_was_never_agreed_on_is_lost():
    async def story(*answers, agreed):
        _, leg, _, heard = await gone(*answers, agreed=agreed)
        return heard, leg.closed

    assert run(story(messages.OpenFailed(1, "no port is free"), agreed=True)) == ([LegLost(1, "no port is free")], True)
    assert run(story(agreed=False)) == ([LegLost(1, "no sockets")], True)


def test_a_leg_that_nobody_opens_again_in_time_is_lost_and_one_that_is_closed_meanwhile_is_not():
    async def story(*, closes):
        plane, leg, _, heard = await gone()
        if closes:
            leg.close()
        await asyncio.sleep(4)
        return heard, plane.stats["legs"]

    assert run(story(closes=False)) == ([LegLost(1, "no sockets")], 1)
    assert run(story(closes=True)) == ([], 1)


def test_bridging_a_closed_leg_or_one_with_itself_is_refused():
    async def story():
        plane = plane_over(Link())
        a, b = await plane.open_leg(), await plane.open_leg()
        with pytest.raises(BridgeError):
            await plane.bridge(a, a, "x")
        b.close()
        with pytest.raises(MediaUnavailable):
            await plane.bridge(a, b, "x")

    run(story())


def test_a_leg_of_another_worker_is_moved_before_the_bridge_and_misses_no_command():
    async def story():
        here, there = Link(), Link()
        plane = plane_over(here, there)
        a, b = await plane.open_leg(), await plane.open_leg()
        bridging = asyncio.ensure_future(plane.bridge(a, b, "claim"))
        await asyncio.sleep(0)
        b.play([(7, 7, 7)])
        await bridging
        os.close(here.descriptors.pop())
        b.stop()
        return b.worker, [type(c) for c in there.sent], [type(c) for c in here.sent], plane.stats

    worker, sent_there, sent_here, stats = run(story())
    assert worker == 0
    assert sent_there == [OpenLeg, messages.HandOver]
    assert sent_here == [OpenLeg, TakeOver, Play, messages.Bridge, Play]
    assert stats == {"legs": 2, "legs_worker_0": 2, "legs_worker_1": 0}


def test_a_move_that_fails_closes_the_leg_and_its_descriptors():
    async def story():
        here, there = Link(), Link(answers=False)
        plane = plane_over(here, there)
        a = await plane.open_leg()
        opening = asyncio.ensure_future(plane.open_leg())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        there.reports([Opened(2, 1, 2)], [])
        b = await opening
        with pytest.raises(MediaUnavailable, match="no HandedOver"):
            await plane.bridge(a, b, "claim")
        descriptor = os.open("/dev/null", os.O_RDONLY)
        there.reports([HandedOver(2, {})], [descriptor])
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(descriptor)
        return b.closed, a.closed

    assert run(story()) == (True, False)


def test_closing_the_plane_closes_legs_and_links():
    async def story():
        link = Link()
        plane = plane_over(link)
        await plane.open_leg()
        await plane.close()
        return link.closed, type(link.sent[-1])

    assert run(story()) == (True, CloseLeg)


def test_statistics_of_legs_and_workers_come_from_the_table():
    async def story():
        plane = plane_over(MemoryMedia(numbered_frames(), random=random.Random(1)))
        leg = await plane.open_leg()
        leg.set_media(codec="PCMU", payload_type=0, dtmf_payload_type=-1, host="198.51.100.1", port=4000)
        leg.start()
        await asyncio.sleep(1.01)
        found = await plane.leg_stats(leg), await plane.worker_stats()
        await plane.close()
        return found

    leg, [worker] = run(story())
    assert 49 <= leg["sent_packets"] <= 51
    assert worker["playing"] == 1


def test_a_later_control_finds_the_legs_of_the_one_before_and_goes_on_with_them():
    async def story():
        worker = MemoryMedia(numbered_frames(), random=random.Random(1))
        before = MediaPlane([worker], host="192.0.2.1", random=random.Random(1), epoch=1)
        leg = await before.open_leg()
        leg.set_media(codec="PCMU", payload_type=0, dtmf_payload_type=-1, host="192.0.2.9", port=4000)
        leg.start()
        token = leg.play([(1, 5, 1)], report_after=1)
        await leg.ended(token)
        after = MediaPlane([worker], host="192.0.2.1", random=random.Random(2), epoch=2)
        ((index, state),) = await after.survey()
        adopted = after.adopt(index, state)
        assert (adopted.id, adopted.port, adopted.through) == (leg.id, leg.port, token)
        later = adopted.play([(1, 5, 1)], report_after=1)
        assert later > token
        await adopted.ended(later)
        assert (await after.open_leg()).id > leg.id

    run(story())


def test_who_adopts_a_leg_is_told_the_keys_after_those_that_were_kept_each_once_and_in_order():
    async def story():
        link = Link()
        heard: list[object] = []
        plane = plane_over(link)
        state = messages.LegState(7, 10000, 10001, "play", 0, "", 3, digit_number=4, recent_digits="1234")
        waiting = [messages.Digit(7, 4, "4", 100), messages.Digit(7, 5, "5", 100)]
        asyncio.get_running_loop().call_soon(link.reports, [waiting[0], state, messages.Dumped(1), waiting[1]], [])
        ((index, found),) = await plane.survey()
        leg = plane.adopt(index, found, digits_kept=2)
        leg.listener = heard.append
        link.reports([ClipEnded(7, 4)], [])
        await leg.ended(4)
        await asyncio.sleep(0)
        assert [report.digit for report in heard if isinstance(report, messages.Digit)] == ["3", "4", "5"]

    run(story())


def test_what_a_leg_reported_while_nobody_was_in_control_is_told_to_who_adopts_it():
    async def story():
        link = Link()
        heard: list[object] = []
        plane = plane_over(link)
        state = messages.LegState(leg=7, port=10000, rtcp_port=10001, mode="play", peer=0, claim="", token=3)
        key = messages.Digit(7, 1, "5", 100)
        loop = asyncio.get_running_loop()
        loop.call_soon(link.reports, [key, messages.Digit(8, 1, "9", 100), state, messages.Dumped(1)], [])
        ((index, found),) = await plane.survey()
        link.reports([ClipEnded(7, 4), messages.Digit(8, 2, "9", 100)], [])
        leg = plane.adopt(index, found)
        leg.listener = heard.append
        await leg.ended(4)
        assert heard == [key, ClipEnded(7, 4)]

    run(story())
