"""The media plane in virtual time: the same table, phones that listen, hours that cost nothing."""

import asyncio
import random
import time

from harness.media_rig import assert_continuous, numbered_frames
from harness.virtual_time import run

from waitline.media import rtp
from waitline.media.memory import MemoryMedia
from waitline.media.messages import Bridged, Digit, Latched, Quiet
from waitline.media.plane import MediaPlane

PHONE = ("198.51.100.7", 4000)
AGENT = ("198.51.100.8", 4000)


def world(**options):
    media = MemoryMedia(numbered_frames(), random=random.Random(1), **options)
    return media, MediaPlane([media], host="192.0.2.1", random=random.Random(2))


async def open_leg(plane, address, **media):
    leg = await plane.open_leg()
    leg.reports = []
    leg.listener = leg.reports.append
    leg.set_media(codec="PCMU", payload_type=0, dtmf_payload_type=101, host=address[0], port=address[1], **media)
    leg.start()
    return leg


class Ear:
    """A phone that only listens, and writes down when it heard what."""

    def __init__(self, media, address):
        self.packets = []
        self.times = []
        media.listen(address, self.hear)

    def hear(self, packet, _source):
        if not rtp.is_rtcp(packet, len(packet)):
            self.packets.append(rtp.parse(packet))
            self.times.append(asyncio.get_running_loop().time())


def talk(media, leg, source, sequence, byte=0x55):
    media.inject(bytes(rtp.RtpPacket(0, sequence, 160 * sequence, 9, bytes([byte]) * 160)), source, leg.port)


def test_a_phone_hears_a_packet_every_20_ms():
    async def story():
        media, plane = world()
        leg = await open_leg(plane, PHONE)
        ear = Ear(media, PHONE)
        leg.play([(10, 50, 1)])
        await asyncio.sleep(1)
        await plane.close()
        return ear

    ear = run(story())
    assert 49 <= len(ear.packets) <= 51
    assert_continuous(ear.packets)
    gaps = [b - a for a, b in zip(ear.times, ear.times[1:], strict=False)]
    assert max(abs(gap - 0.02) for gap in gaps) < 1e-6


def test_the_end_of_a_clip_comes_at_its_time_though_nobody_listens():
    async def story():
        _, plane = world()
        leg = await open_leg(plane, PHONE)
        begin = asyncio.get_running_loop().time()
        await leg.ended(leg.play([(10, 50, 3)], report_after=1))
        ended = asyncio.get_running_loop().time() - begin
        await plane.close()
        return ended

    assert abs(run(story()) - 3.0) < 0.025


def test_an_hour_of_hold_costs_milliseconds_and_ends_where_it_should():
    async def story():
        media, plane = world()
        leg = await open_leg(plane, PHONE, direction="sendonly")
        leg.play([(10, 40, 0)])
        await asyncio.sleep(1)
        before = time.process_time()
        await asyncio.sleep(3600)
        cost = time.process_time() - before
        ear = Ear(media, PHONE)
        await asyncio.sleep(0.1)
        stats = await plane.leg_stats(leg)
        await plane.close()
        return cost, ear.packets, stats

    cost, packets, stats = run(story())
    assert cost < 5.0  # a generous bound for a loaded machine; a fraction of a second is usual
    assert abs(stats["sent_packets"] - 3601.1 * 50) <= 2
    assert_continuous(packets)


def test_two_phones_talk_over_a_bridge():
    async def story():
        media, plane = world()
        caller, agent = await open_leg(plane, PHONE), await open_leg(plane, AGENT)
        ears = Ear(media, PHONE), Ear(media, AGENT)
        caller.play([(10, 20, 0)])
        for sequence in range(5):
            talk(media, caller, PHONE, sequence)
            talk(media, agent, AGENT, sequence)
            await asyncio.sleep(0.02)
        await plane.bridge(caller, agent, "claim")
        bridged_at = asyncio.get_running_loop().time()
        for sequence in range(5, 25):
            talk(media, caller, PHONE, sequence, 0x55)
            talk(media, agent, AGENT, sequence, 0x66)
            await asyncio.sleep(0.02)
        plane.unbridge(caller)
        await asyncio.sleep(0.1)
        await plane.close()
        return ears, caller.reports, bridged_at

    (phone, desk), reports, _ = run(story())
    assert [p.payload[0] for p in phone.packets].count(0x66) == 20
    assert [p.payload[0] for p in desk.packets].count(0x55) == 20
    assert_continuous(phone.packets)
    assert {type(report) for report in reports} == {Bridged, Latched} | {type(reports[0])}


def test_a_digit_reaches_its_leg():
    async def story():
        media, plane = world()
        leg = await open_leg(plane, PHONE)
        talk(media, leg, PHONE, 1)
        media.inject(bytes(rtp.RtpPacket(101, 2, 320, 9, bytes.fromhex("058a0320"))), PHONE, leg.port)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await plane.close()
        return leg.reports

    assert Digit(1, 1, "5", 100) in run(story())


def test_a_quiet_peer_is_reported_at_its_time():
    async def story():
        _, plane = world(quiet_s=7)
        leg = await open_leg(plane, PHONE)
        await asyncio.sleep(15)
        await plane.close()
        return leg.reports

    assert [report for report in run(story()) if isinstance(report, Quiet)][-1] == Quiet(1, 14)


def test_a_packet_to_a_port_that_is_closed_goes_nowhere():
    async def story():
        media, plane = world()
        leg = await open_leg(plane, PHONE)
        leg.close()
        taken = media.inject(b"\x80" + bytes(20), PHONE, leg.port)
        await plane.close()
        return taken

    assert run(story()) is False


def test_a_phone_that_answers_in_its_callback_does_not_disturb_the_tick():
    async def story():
        media, plane = world()
        a, b = await open_leg(plane, PHONE), await open_leg(plane, AGENT)
        heard = []

        def echo(packet, _source):
            heard.append(packet)
            if not rtp.is_rtcp(packet, len(packet)):
                media.inject(packet, PHONE, a.port)

        media.listen(PHONE, echo)
        ear = Ear(media, AGENT)
        await plane.bridge(a, b, "x")
        await asyncio.sleep(1)
        media.deafen(PHONE)
        await plane.close()
        return heard, ear

    heard, ear = run(story())
    assert len(heard) >= 49
    assert [p.sequence - ear.packets[0].sequence for p in ear.packets] == list(range(len(ear.packets)))
