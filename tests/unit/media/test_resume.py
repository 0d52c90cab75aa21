"""A table that goes on with what another left in its ledger: heard from outside, nothing happened but a gap."""

import pytest
from harness.media_rig import FRAMES, OTHER, PEER, Rig, assert_continuous
from hypothesis import given, settings
from hypothesis import strategies as st

from waitline.media import messages
from waitline.media.dtmf import EVENT
from waitline.media.leg import NEVER
from waitline.media.messages import Bridged, ClipEnded, Digit, LegGone, Opened, Quiet
from waitline.media.rtp import RtpPacket

THIRD = ("192.0.2.11", 6000)

segments = st.lists(
    st.tuples(st.integers(0, FRAMES + 3), st.integers(0, 6), st.integers(0, 3)).filter(lambda s: s[2] or s[1] > 2), max_size=3
).map(tuple)
steps = st.one_of(
    st.tuples(st.just("play"), st.integers(1, 3), segments, st.integers(0, 3)),
    st.tuples(st.just("next"), st.integers(1, 3), segments, st.integers(0, 3)),
    st.tuples(st.just("digits"), st.integers(1, 3), st.sampled_from(["1", "5w#", "", "AB"])),
    st.tuples(st.just("media"), st.integers(1, 3), st.sampled_from(["PCMU", "PCMA"]), st.sampled_from(["sendrecv", "recvonly"])),
    st.tuples(st.just("bridge"), st.integers(1, 2), st.integers(2, 3)),
    st.tuples(st.just("unbridge"), st.integers(1, 3)),
    st.tuples(st.just("talk"), st.integers(1, 3), st.integers(1, 4)),
    st.tuples(st.just("close"), st.integers(3, 3)),
    st.tuples(st.just("time"), st.integers(1, 16)),
)


class Player:
    """Does the same steps to a rig, whether or not it dies in between."""

    def __init__(self):
        self.rig = Rig()
        self.sequence = 100
        for leg, peer in ((1, PEER), (2, OTHER), (3, THIRD)):
            self.rig.open(leg, peer=peer)

    def do(self, step):
        rig, (name, *values) = self.rig, step
        match name, *values:
            case "play" | "next", leg, program, report_after:
                rig.play(*program, leg=leg, report_after=report_after, after=name == "next")
            case "digits", leg, text:
                rig.token += 1
                rig.table.command(messages.SendDigits(1, leg, rig.token, text))
            case "media", leg, codec, direction:
                rig.set_media(leg, codec=codec, peer=(PEER, OTHER, THIRD)[leg - 1], direction=direction)
            case "bridge", leg, peer:
                rig.bridge(leg, peer)
            case "unbridge", leg:
                rig.table.command(messages.Unbridge(1, leg))
            case "talk", leg, count:
                self.talk(leg, count)
            case "close", leg:
                rig.table.command(messages.CloseLeg(1, leg))
            case "time", ticks:
                rig.run(ticks)

    def talk(self, leg, count):
        source = (PEER, OTHER, THIRD)[leg - 1]
        codec = self.rig.table.legs[leg].codec if leg in self.rig.table.legs else 0
        for _ in range(count):
            self.sequence += 1
            packet = RtpPacket((0, 8)[codec], self.sequence, 160 * self.sequence, 40 + leg, b"\x44" * 160)
            self.rig.receive(leg, packet, source=source)
            self.rig.run(4)


def outside(rig):
    """What peers got: all but the marker, and RTCP, whose moments are drawn by lot."""
    return [(sent.tick, sent.leg, sent.address, sent.rtp._replace(marker=False)) for sent in rig.wire.sent if not sent.is_rtcp]


@settings(deadline=None, max_examples=60)
@given(st.lists(steps, max_size=8), st.data())
def test_nobody_hears_that_another_table_goes_on(story, data):
    """Killed between any two steps and replaced within the tick, a table sends what it would have sent.

    All of it in less than the second after which silence stands in for a partner: that one is counted anew.
    """
    undisturbed, killed = Player(), Player()
    death = data.draw(st.integers(0, len(story)))
    for number, step in enumerate([*story, ("time", 20), ("talk", 1, 3), ("time", 20)]):
        if number == death:
            killed.rig.succeed()
        undisturbed.do(step)
        killed.do(step)
    assert outside(killed.rig) == outside(undisturbed.rig)
    assert newest_tokens(killed.rig) == newest_tokens(undisturbed.rig)


def newest_tokens(rig):
    return {report.leg: report.token for report in rig.reported(ClipEnded)}


def test_after_a_gap_the_numbers_go_on_and_timestamps_keep_time():
    rig = Rig()
    rig.open()
    rig.play((10, 50, 1))
    rig.frames(5)
    rig.succeed(after=4 * 25)
    rig.frames(5)
    before, after = rig.sent()[4].rtp, rig.sent()[5].rtp
    assert after.sequence == before.sequence + 1
    assert after.timestamp == before.timestamp + 160 * 26
    assert after.ssrc == before.ssrc
    assert after.marker
    assert rig.heard()[3:7] == [13, 14, 40, 41]
    assert_continuous([sent.rtp for sent in rig.sent()[5:]])


def test_the_end_of_a_clip_that_fell_into_the_gap_is_reported():
    rig = Rig()
    rig.open()
    token = rig.play((10, 5, 1), report_after=1)
    rig.frames(2)
    rig.succeed(after=400)
    rig.frames(1)
    assert rig.reported(ClipEnded) == [ClipEnded(1, token)]


def talking():
    rig = Rig()
    rig.open(1, latch=True)
    rig.open(2, peer=OTHER, latch=True)
    rig.bridge()
    for sequence in range(500, 510):
        rig.receive(1, RtpPacket(0, sequence, 160 * sequence, 9, b"\x77" * 160))
        rig.frames(1)
    return rig


def test_a_talk_stays_one_and_what_was_lost_meanwhile_is_seen_as_lost():
    rig = talking()
    rig.succeed(after=80)
    last = rig.sent(2)[-1].rtp
    rig.receive(1, RtpPacket(0, 530, 160 * 530, 9, b"\x77" * 160))
    new = rig.sent(2)[-1].rtp
    assert (new.sequence, new.timestamp) == (last.sequence + 21, last.timestamp + 160 * 21)
    assert new.ssrc == last.ssrc
    assert rig.reported(Bridged) == [Bridged(1, 2, "claim"), Bridged(1, 2, "claim"), Bridged(2, 1, "claim")]
    rig.bridge()
    rig.receive(1, RtpPacket(0, 531, 160 * 531, 9, b"\x77" * 160))
    assert rig.sent(2)[-1].rtp.sequence == new.sequence + 1


def test_a_partner_that_says_nothing_after_the_gap_is_stood_in_for_by_silence():
    rig = talking()
    rig.succeed(after=80)
    last = rig.sent(2)[-1].rtp
    rig.run(240)
    silence = rig.sent(2)[-1].rtp
    assert silence.payload == bytes(160)
    assert 0 < (silence.sequence - last.sequence) & 0xFFFF < 100
    assert (silence.timestamp - last.timestamp) & 0xFFFFFFFF >= 160 * (20 + 50)


def test_a_talk_that_only_one_side_was_told_of_is_none():
    rig = talking()
    record = rig.table.legs[2]
    record.peer = record.relay = None
    rig.table._keep(record)
    rig.succeed()
    assert [leg.peer for leg in rig.table.legs.values()] == [None, None]
    rig.bridge(claim="again")
    assert rig.table.legs[1].peer is rig.table.legs[2]


def test_keys_that_were_not_told_yet_are_told_with_their_numbers():
    rig = Rig()
    rig.open(latch=True)
    press(rig, "7", 1000)
    press(rig, "9", 3000)
    rig.reports.clear()
    rig.succeed()
    assert rig.reported(Digit) == [Digit(1, 1, "7", 0), Digit(1, 2, "9", 0)]
    press(rig, "9", 3000)
    assert len(rig.reported(Digit)) == 2, "an end that is repeated is no new key"
    press(rig, "5", 5000)
    assert rig.reported(Digit)[-1] == Digit(1, 3, "5", 100)


def press(rig, digit, timestamp):
    for end in (0, 0x80, 0x80):
        payload = EVENT.pack("0123456789".index(digit), end | 10, 800)
        rig.receive(1, RtpPacket(101, timestamp % 60_000, timestamp, 9, payload))


def test_a_key_that_is_held_during_the_gap_is_one_key():
    rig = Rig()
    rig.open(latch=True)
    rig.receive(1, RtpPacket(101, 1, 1000, 9, EVENT.pack(3, 10, 160)))
    rig.succeed(after=20)
    rig.receive(1, RtpPacket(101, 2, 1000, 9, EVENT.pack(3, 0x80 | 10, 3200)))
    rig.run(60)
    assert rig.reported(Digit) == [Digit(1, 1, "3", 400)]


def test_a_command_that_was_obeyed_is_not_obeyed_again():
    rig = Rig()
    rig.open()
    play = messages.Play(1, 1, 7, ((10, 50, 1),), 0)
    rig.table.command(play)
    rig.frames(5)
    rig.succeed()
    rig.table.command(messages.OpenLeg(1, 1, 99, 0, 0))
    rig.table.command(play)
    rig.frames(1)
    assert rig.heard()[-1] == 15
    assert rig.reported(Opened)[-1] == Opened(1, 10002, 10003)


def test_a_command_of_an_older_control_is_refused_by_the_successor_too():
    rig = Rig()
    rig.open()
    rig.table.command(messages.Dump(5))
    rig.succeed()
    rig.table.command(messages.CloseLeg(4, 1))
    assert 1 in rig.table.legs
    assert rig.table.counters["stale_epoch"] == 1


def test_a_leg_whose_sockets_did_not_come_is_reported_and_the_others_go_on():
    rig = Rig()
    rig.open(1)
    rig.open(2, peer=OTHER)
    rig.wire.closed.append(1)
    rig.succeed()
    (gone,) = rig.reported(LegGone)
    assert gone.leg == 1
    assert list(rig.table.legs) == [2]
    rig.frames(2)
    assert rig.sent(2)


def test_a_leg_that_was_not_answered_yet_is_reported_open_again():
    rig = Rig()
    rig.table.command(messages.OpenLeg(1, 4, 1, 1, 1))
    rig.reports.clear()
    rig.succeed()
    assert rig.reports == [Opened(4, 10008, 10009)]


def test_a_leg_that_was_closed_leaves_nothing():
    rig = Rig()
    rig.open(1)
    rig.frames(1)
    rig.table.command(messages.CloseLeg(1, 1))
    rig.succeed()
    assert not rig.table.legs
    assert not rig.reported(LegGone)


def test_a_quiet_peer_is_given_the_whole_time_again():
    rig = Rig(quiet_s=10)
    rig.open(latch=True)
    rig.run(1900)
    rig.succeed()
    rig.run(1900)
    assert not rig.reported(Quiet)
    rig.run(200)
    assert rig.reported(Quiet)
    assert rig.table.legs[1].due < NEVER


def test_a_leg_that_is_handed_over_is_ours_until_it_is_on_its_way():
    rig = Rig()
    rig.open()
    rig.play((10, 50, 1))
    rig.frames(3)
    rig.table.command(messages.HandOver(1, 1))
    rig.wire.closed.clear()
    parting = rig.table
    rig.succeed()
    rig.frames(1)
    assert rig.heard()[-1] == 13
    assert parting.ledger is not rig.table.ledger


def test_what_has_no_room_in_a_record_is_through_when_its_turn_comes():
    rig = Rig()
    rig.open()
    rig.play((10, 4, 1), report_after=1)
    large = tuple((20, 2, 1) for _ in range(4000))
    token = rig.play(*large, report_after=4000, after=True)
    rig.succeed()
    rig.frames(6)
    assert rig.reported(ClipEnded)[-1] == ClipEnded(1, token)


def test_a_table_with_legs_takes_no_others():
    rig = Rig()
    rig.open()
    with pytest.raises(ValueError, match="has legs"):
        rig.table.resume(Rig().table.ledger)
