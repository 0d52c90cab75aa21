"""What comes in: latching, digits, RTCP, quiet peers, the filter."""

import itertools
import json

import pytest
from harness.media_rig import OTHER, PEER, PEER_RTCP, Rig
from hypothesis import given
from hypothesis import strategies as st

from waitline.media import messages, rtcp
from waitline.media.messages import Digit, Latched, Quiet, Stats
from waitline.media.rtp import RtpPacket


def event(digit, timestamp, duration=800, *, end=True, sequence=1, payload_type=101):
    return RtpPacket(payload_type, sequence, timestamp, 9, bytes([digit, 0x8A if end else 0x0A]) + duration.to_bytes(2, "big"))


def test_the_first_packet_from_behind_nat_moves_the_leg_there():
    rig = Rig()
    rig.open()
    rig.receive(source=OTHER)
    rig.frames(1)
    assert rig.reported(Latched) == [Latched(1, *OTHER)]
    assert rig.sent()[0].address == OTHER


def test_a_stranger_is_dropped_after_the_lock_and_counted():
    rig = Rig()
    rig.open()
    rig.receive(source=PEER)
    rig.receive(packet=event(5, 1000), source=OTHER)
    rig.frames(1)
    assert not rig.reported(Digit)
    assert rig.sent()[0].address == PEER
    assert rig.table.stats()["foreign_source"] == 1


def test_only_named_hosts_may_latch():
    rig = Rig()
    rig.open(latch_hosts=["198.51.100.1"])
    rig.receive(source=OTHER)
    assert not rig.reported(Latched)
    rig.receive(source=("198.51.100.1", 7))
    assert rig.reported(Latched)


def test_the_window_closes():
    rig = Rig()
    rig.open()
    rig.run(30 * 200 + 1)
    rig.receive(source=OTHER)
    assert not rig.reported(Latched)
    rig.receive(source=PEER)
    assert rig.reported(Latched)


def test_a_payload_type_that_was_not_agreed_does_not_latch():
    rig = Rig()
    rig.open()
    rig.receive(packet=RtpPacket(96, 1, 1, 1, b"x"))
    assert not rig.reported(Latched)
    assert rig.table.stats()["unagreed_type"] == 1


def test_a_leg_latches_again_after_a_new_address_was_signalled():
    rig = Rig()
    rig.open(latch=True)
    rig.set_media(peer=("192.0.2.8", 4000))
    rig.receive(source=OTHER)
    rig.set_media(peer=("192.0.2.8", 4000))  # the same again: still locked
    rig.frames(1)
    assert [report.host for report in rig.reported(Latched)] == [PEER[0], OTHER[0]]
    assert rig.sent()[-1].address == OTHER


def test_digits_are_numbered_and_reported_once():
    rig = Rig()
    rig.open(latch=True)
    for timestamp, digit in ((1000, 5), (3000, 10)):
        rig.receive(packet=event(digit, timestamp, 160, end=False))
        for _ in range(3):
            rig.receive(packet=event(digit, timestamp))
    assert rig.reported(Digit) == [Digit(1, 1, "5", 100), Digit(1, 2, "*", 100)]


def test_a_digit_whose_end_is_lost_is_reported_after_a_moment():
    rig = Rig()
    rig.open(latch=True)
    rig.receive(packet=event(5, 1000, 480, end=False))
    rig.run(39)
    assert not rig.reported(Digit)
    rig.run(2)
    assert rig.reported(Digit) == [Digit(1, 1, "5", 60)]


def test_a_long_digit_is_waited_for():
    rig = Rig()
    rig.open(latch=True)
    for step in range(1, 100):
        rig.receive(packet=event(5, 1000, 160 * step, end=False, sequence=step))
        rig.run(4)
    assert not rig.reported(Digit)
    rig.receive(packet=event(5, 1000, 16000))
    assert rig.reported(Digit) == [Digit(1, 1, "5", 2000)]


def test_digits_have_the_payload_type_that_was_agreed():
    rig = Rig()
    rig.open(latch=True, dtmf=96)
    rig.receive(packet=event(5, 1000))
    rig.receive(packet=event(6, 3000, payload_type=96))
    assert [report.digit for report in rig.reported(Digit)] == ["6"]


def test_the_filter_is_attached_after_latching_and_follows_the_payload_type():
    rig = Rig()
    rig.open()
    rig.frames(5)
    assert rig.wire.listening == {}
    rig.receive()
    assert rig.wire.listening == {1: (0, False)}
    rig.set_media(codec="PCMA")
    assert rig.wire.listening == {1: (8, False)}
    rig.set_media(codec="PCMA", peer=OTHER)
    assert rig.wire.listening == {1: (-1, False)}


def test_the_filter_is_gone_for_a_relay_and_back_after_it():
    rig = Rig()
    rig.open(1, latch=True)
    rig.open(2, latch=True)
    rig.bridge()
    assert rig.wire.listening == {1: (-1, True), 2: (-1, True)}
    rig.table.command(messages.Unbridge(1, 2))
    assert rig.wire.listening == {1: (0, False), 2: (0, False)}


def test_a_quiet_peer_is_reported_at_each_multiple_of_the_limit():
    rig = Rig(quiet_s=2)
    rig.open(latch=True)
    rig.run(401)
    assert rig.reported(Quiet) == [Quiet(1, 2)]
    rig.run(800)
    assert [report.seconds for report in rig.reported(Quiet)] == [2, 4, 6]


def test_a_peer_that_sends_is_not_quiet_and_the_count_begins_anew():
    rig = Rig(quiet_s=2)
    rig.open(latch=True)
    rig.run(401)
    rig.receive()
    rig.run(399)
    assert len(rig.reported(Quiet)) == 1
    rig.run(2)
    assert [report.seconds for report in rig.reported(Quiet)] == [2, 2]


def test_rtcp_is_life():
    rig = Rig(quiet_s=2)
    rig.open(latch=True, rtcp_port=PEER_RTCP[1])
    report = rtcp.build_report(9, None, (), "phone")
    for _ in range(10):
        rig.run(300)
        rig.table.control_datagram(1, memoryview(bytearray(report)), len(report), PEER_RTCP)
    assert not rig.reported(Quiet)


@pytest.mark.parametrize("direction", ["sendonly", "recvonly", "inactive"])
def test_a_peer_that_need_not_send_is_not_quiet(direction):
    rig = Rig(quiet_s=2)
    rig.open(direction=direction)
    rig.run(2000)
    assert not rig.reported(Quiet)


def test_a_peer_that_resumes_has_the_whole_limit():
    rig = Rig(quiet_s=2)
    rig.open(direction="recvonly")
    rig.run(2000)
    rig.set_media()
    rig.run(399)
    assert not rig.reported(Quiet)
    rig.run(2)
    assert rig.reported(Quiet) == [Quiet(1, 2)]


def test_sender_reports_go_to_the_rtcp_port_about_every_five_seconds():
    rig = Rig()
    rig.open(rtcp_port=PEER_RTCP[1])
    rig.run(200 * 60)
    reports = rig.rtcp()
    assert 8 <= len(reports) <= 24
    assert {sent.address for sent in reports} == {PEER_RTCP}
    gaps = [(b.tick - a.tick) / 200 for a, b in itertools.pairwise(reports)]
    assert all(2.5 <= gap <= 7.5 for gap in gaps)
    assert len(set(gaps)) > 1
    [first, *_] = rtcp.parse(reports[0].data)
    assert isinstance(first, rtcp.RtcpReport)
    before = [sent for sent in rig.sent() if sent.tick <= reports[0].tick]
    assert first.sender is not None
    assert (first.ssrc, first.sender.packets, first.sender.octets) == (0x5001, len(before), 160 * len(before))
    assert first.sender.timestamp == before[-1].rtp.timestamp
    assert rig.wire.shared == set()


def test_with_a_shared_port_rtcp_goes_where_the_audio_goes():
    rig = Rig()
    rig.open(latch=True)
    rig.run(200 * 8)
    assert {sent.address for sent in rig.rtcp()} == {PEER}
    assert rig.wire.shared == {1}


def test_rtcp_goes_on_while_the_peer_holds_us_as_a_receiver_report():
    rig = Rig()
    rig.open(latch=True)
    rig.set_media(direction="inactive")
    rig.run(200 * 16)
    last = rtcp.parse(rig.rtcp()[-1].data)[0]
    assert isinstance(last, rtcp.RtcpReport)
    assert last.sender is None
    assert last.blocks[0].ssrc == 9


def test_a_leg_says_goodbye():
    rig = Rig()
    rig.open(latch=True)
    rig.frames(1)
    rig.table.command(messages.CloseLeg(1, 1))
    assert rtcp.parse(rig.rtcp()[-1].data)[-1] == rtcp.Goodbye(0x5001)
    assert rig.wire.closed == [1]
    rig.frames(5)
    assert len(rig.sent()) == 1


def test_loss_and_round_trip_reach_the_statistics():
    rig = Rig()
    rig.open(latch=True)
    block = rtcp.ReportBlock(0x5001, 128, 5, 0, 0, rtcp.middle_32(rtcp.ntp_time(999.5)), 65536 // 4)
    report = rtcp.build_report(9, rtcp.SenderInfo(rtcp.ntp_time(1.0), 0, 1, 1), (block,), "phone")
    rig.table.datagram(1, memoryview(bytearray(report)), len(report), PEER, 0.0)
    rig.wire.drops[1] = 62
    for sequence in (0x140, 0x141, 0x180, 0x181):
        rig.receive(packet=RtpPacket(0, sequence, sequence * 160, 10, bytes(160)), at_s=sequence * 0.02)
    rig.table.command(messages.AskStats(1, 1))
    [stats] = rig.reported(Stats)
    assert stats.values["peer_loss"] == 0.5
    assert 240 <= stats.values["round_trip_ms"] <= 260
    assert stats.values["expected_packets"] == 66
    assert stats.values["received_packets"] == 67


def test_rtcp_of_a_stranger_is_refused():
    rig = Rig(quiet_s=2)
    rig.open(latch=True, rtcp_port=PEER_RTCP[1])
    report = rtcp.build_report(9, None, (), "x")
    rig.table.control_datagram(1, memoryview(bytearray(report)), len(report), OTHER)
    rig.run(200 * 8)
    assert rig.table.stats()["rtcp_refused"] == 1
    assert {sent.address for sent in rig.rtcp()} == {PEER_RTCP}


def test_datagrams_for_a_leg_that_is_gone_are_nothing():
    rig = Rig()
    rig.receive(9)
    rig.table.control_datagram(9, memoryview(bytearray(20)), 20, PEER)
    assert not rig.reports


headers = st.builds(
    lambda first, kind, rest: bytes([first, kind]) + rest,
    st.sampled_from([0x80, 0x90, 0xA0, 0xB0, 0x8F, 0xBF]),
    st.sampled_from([0, 0x80, 101, 0xE5, 200, 201, 203, 13]),
    st.binary(max_size=60),
)


@given(st.lists(st.tuples(st.integers(1, 2), st.binary(max_size=40) | headers, st.booleans()), max_size=20), st.booleans())
def test_any_datagrams_are_taken_without_an_error(datagrams, bridged):
    rig = Rig()
    rig.open(1, latch=True)
    rig.open(2, latch=True, codec="PCMA")
    if bridged:
        rig.bridge()
    for leg, data, is_rtcp in datagrams:
        if is_rtcp:
            rig.table.control_datagram(leg, memoryview(bytearray(data)), len(data), PEER)
        else:
            rig.receive(leg, data)
        rig.run(1)
    rig.table.command(messages.AskStats(1, 1))
    json.dumps(rig.reported(Stats))
