"""What a leg sends while it plays: the numbers on the wire, seams, holds, digits, lateness."""

import pytest
from harness.media_rig import OTHER, PEER, Rig, assert_continuous

from waitline.media import messages
from waitline.media.messages import ClipEnded, Opened, OpenFailed, Play, SetMedia
from waitline.media.rtp import RtpPacket


def packets(rig, leg=1):
    return [sent.rtp for sent in rig.sent(leg)]


def test_a_leg_is_opened_with_its_ports_once():
    rig = Rig()
    rig.open(1, start=False)
    rig.table.command(messages.OpenLeg(1, 1, 0, 0, 0))
    assert rig.reports == [Opened(1, 10002, 10003)] * 2


def test_no_port_is_a_report_and_no_leg():
    rig = Rig()
    rig.wire.refuse = True
    rig.table.command(messages.OpenLeg(1, 1, 0, 0, 0))
    assert rig.reports == [OpenFailed(1, "no RTP port is free")]
    assert not rig.table.legs


def test_the_first_packet_has_the_numbers_of_the_command_and_the_marker():
    rig = Rig()
    rig.open()
    rig.play((7, 3, 1))
    rig.frames(1)
    [sent] = rig.sent()
    assert sent.rtp == RtpPacket(0, 100, 8000, 0x5001, bytes([7]) * 160, marker=True)
    assert sent.address == PEER


def test_a_golden_trace_of_a_prompt_its_tail_and_silence():
    rig = Rig()
    rig.open()
    rig.play((10, 2, 2), (20, 3, 1), report_after=1)
    rig.frames(9)
    trace = [(p.sequence - 100, (p.timestamp - 8000) // 160, p.payload[0], p.marker) for p in packets(rig)]
    assert trace == [
        (0, 0, 10, True), (1, 1, 11, False), (2, 2, 10, False), (3, 3, 11, False), (4, 4, 20, False), (5, 5, 21, False), (6, 6, 22, False),
        (7, 7, 0, False), (8, 8, 0, False),
    ]  # fmt: skip


def test_a_leg_sends_once_every_four_ticks_and_legs_spread_over_the_slots():
    rig = Rig()
    for leg in range(1, 9):
        rig.open(leg)
    rig.run(40)
    for leg in range(1, 9):
        ticks = [sent.tick for sent in rig.sent(leg)]
        assert len(ticks) == 10
        assert {tick % 4 for tick in ticks} == {(leg - 1) % 4}


def test_nothing_is_sent_before_audio_starts_and_the_clip_waits():
    rig = Rig()
    rig.open(start=False)
    rig.play((10, 5, 1))
    rig.frames(20)
    assert not rig.sent()
    rig.table.command(messages.StartAudio(1, 1))
    rig.frames(2)
    assert rig.heard() == [10, 11]
    assert packets(rig)[0].timestamp == 8000


def test_the_peers_first_packet_starts_audio():
    rig = Rig()
    rig.open(start=False)
    rig.play((10, 5, 1))
    rig.receive()
    rig.frames(1)
    assert rig.heard() == [10]


def test_the_token_is_reported_when_the_last_frame_has_gone_out():
    rig = Rig()
    rig.open()
    token = rig.play((10, 3, 1), report_after=1)
    rig.frames(2)
    assert not rig.reported(ClipEnded)
    rig.frames(1)
    assert rig.reported(ClipEnded) == [ClipEnded(1, token)]


def test_a_token_is_reported_once():
    rig = Rig()
    rig.open()
    rig.play((10, 3, 1), (20, 4, 0), report_after=1)
    rig.frames(50)
    assert len(rig.reported(ClipEnded)) == 1


def test_an_empty_program_is_through_at_once():
    rig = Rig()
    rig.open()
    token = rig.play(report_after=1)
    assert rig.reported(ClipEnded) == [ClipEnded(1, token)]


def test_play_switches_at_the_next_frame_with_the_marker_and_no_seam():
    rig = Rig()
    rig.open()
    rig.play((10, 5, 0))
    rig.frames(3)
    rig.play((40, 5, 0))
    rig.frames(2)
    assert rig.heard() == [10, 11, 12, 40, 41]
    assert [p.marker for p in packets(rig)] == [True, False, False, True, False]
    assert_continuous(packets(rig))


def test_play_next_begins_in_the_frame_after_the_reported_segment():
    rig = Rig()
    rig.open()
    rig.play((10, 3, 1), (50, 4, 0), report_after=1)
    rig.play((30, 3, 1), report_after=1, after=True)
    rig.frames(7)
    assert rig.heard() == [10, 11, 12, 30, 31, 32, 0]
    assert [report.token for report in rig.reported(ClipEnded)] == [1, 2]


def test_sequence_and_timestamp_wrap():
    rig = Rig()
    rig.table.command(messages.OpenLeg(1, 1, 1, 65534, 2**32 - 320))
    rig.set_media()
    rig.table.command(messages.StartAudio(1, 1))
    rig.frames(5)
    assert [p.sequence for p in packets(rig)] == [65534, 65535, 0, 1, 2]
    assert_continuous(packets(rig))


def test_pcma_has_its_own_frames_and_payload_type():
    rig = Rig()
    rig.open(codec="PCMA")
    rig.play((5, 2, 0))
    rig.frames(1)
    assert packets(rig)[0].payload_type == 8
    assert rig.heard() == [105]


def test_a_new_codec_goes_on_in_the_middle_of_the_clip():
    rig = Rig()
    rig.open()
    rig.play((5, 9, 0))
    rig.frames(2)
    rig.set_media(codec="PCMA", payload_type=96)
    rig.frames(2)
    assert rig.heard() == [5, 6, 107, 108]
    assert [p.payload_type for p in packets(rig)] == [0, 0, 96, 96]
    assert_continuous(packets(rig))


def test_a_new_remote_address_is_sent_to_from_the_next_frame_on():
    rig = Rig()
    rig.open()
    rig.frames(1)
    rig.set_media(peer=OTHER)
    rig.frames(1)
    assert [sent.address for sent in rig.sent()] == [PEER, OTHER]


@pytest.mark.parametrize("direction", ["recvonly", "inactive"])
def test_held_by_its_peer_a_leg_is_silent_but_its_clip_runs_on(direction):
    rig = Rig()
    rig.open()
    token = rig.play((10, 6, 1), report_after=1)
    rig.frames(2)
    rig.set_media(direction=direction)
    rig.frames(2)
    rig.set_media()
    rig.frames(3)
    assert rig.heard() == [10, 11, 14, 15, 0]
    assert [p.sequence for p in packets(rig)] == [100, 101, 102, 103, 104]  # what was not sent was not lost
    assert packets(rig)[2].timestamp == 8000 + 4 * 160
    assert packets(rig)[2].marker
    assert rig.reported(ClipEnded) == [ClipEnded(1, token)]


def test_sendonly_sends():
    rig = Rig()
    rig.open(direction="sendonly")
    rig.frames(1)
    assert rig.sent()


@pytest.mark.parametrize("peer", [("0.0.0.0", 4000), ("phone.example.com", 4000), ("192.0.2.7", 0)])
def test_without_a_usable_address_nothing_is_sent_until_the_peer_is_latched(peer):
    rig = Rig()
    rig.open(peer=peer)
    rig.frames(2)
    assert not rig.sent()
    rig.receive(source=OTHER)
    rig.frames(1)
    assert rig.sent()[0].address == OTHER


def test_digits_interrupt_the_clip_which_goes_on_where_it_was():
    rig = Rig()
    rig.open()
    rig.play((10, 60, 1))
    rig.frames(2)
    rig.table.command(messages.SendDigits(1, 1, 77, "5"))
    rig.frames(14)
    assert ClipEnded(1, 77) in rig.reports
    events = [p for p in packets(rig) if p.payload_type == 101]
    assert [p.payload.hex() for p in events] == [
        "050a00a0", "050a0140", "050a01e0", "050a0280", "050a0320", "050a03c0", "058a03c0", "058a03c0", "058a03c0",
    ]  # fmt: skip
    assert len({p.timestamp for p in events}) == 1
    assert [p.marker for p in events] == [True] + [False] * 8
    assert [p.sequence for p in packets(rig)] == list(range(100, 116))
    audio = [p for p in packets(rig) if p.payload_type == 0]
    assert [p.payload[0] for p in audio] == [10, 11, 0, 0, 0, 0, 12]
    assert [(p.timestamp - 8000) // 160 for p in audio] == [0, 1, 11, 12, 13, 14, 15]
    assert events[0].timestamp == 8000 + 2 * 160


def test_digits_that_the_peer_does_not_take_are_through_at_once():
    rig = Rig()
    rig.open(dtmf=-1)
    rig.table.command(messages.SendDigits(1, 1, 77, "5"))
    assert rig.reported(ClipEnded) == [ClipEnded(1, 77)]


def test_digits_before_the_audio_has_started_wait_for_it():
    rig = Rig()
    rig.open(start=False)
    rig.table.command(messages.SendDigits(1, 1, 77, "5"))
    rig.table.command(messages.PlayNext(1, 1, 78, ((30, 2, 1),), 1))
    rig.frames(5)
    assert not rig.sent()
    assert not rig.reported(ClipEnded)
    rig.table.command(messages.StartAudio(1, 1))
    rig.frames(20)
    assert [p.payload[0] for p in packets(rig) if p.payload_type == 101] == [5] * 9
    assert rig.reported(ClipEnded) == [ClipEnded(1, 77), ClipEnded(1, 78)]
    assert {30, 31} <= set(rig.heard())


def test_digits_that_waited_for_a_peer_that_takes_none_are_through_when_the_audio_starts():
    rig = Rig()
    rig.open(dtmf=-1, start=False)
    rig.table.command(messages.SendDigits(1, 1, 77, "5"))
    assert not rig.reported(ClipEnded)
    rig.table.command(messages.StartAudio(1, 1))
    assert rig.reported(ClipEnded) == [ClipEnded(1, 77)]
    rig.frames(1)
    assert len(rig.sent()) == 1


def test_a_program_cuts_digits_short_after_the_one_under_way():
    rig = Rig()
    rig.open()
    rig.table.command(messages.SendDigits(1, 1, 1, "123"))
    rig.token = 1
    rig.frames(2)
    rig.play((30, 5, 0))
    rig.frames(20)
    assert {p.payload[0] for p in packets(rig) if p.payload_type == 101} == {1}
    assert 30 in rig.heard()


def test_late_packets_are_left_out_with_their_time_and_the_next_is_marked():
    rig = Rig()
    rig.open()
    rig.play((10, 30, 1))
    rig.frames(2)
    rig.table.skip(rig.table.now + 20)
    rig.frames(2)
    assert [p.sequence for p in packets(rig)] == [100, 101, 102, 103]
    assert [(p.timestamp - 8000) // 160 for p in packets(rig)] == [0, 1, 7, 8]
    assert [p.marker for p in packets(rig)] == [True, False, True, False]
    assert rig.heard() == [10, 11, 17, 18]
    assert rig.table.stats()["skipped_packets"] == 5


def test_one_leg_that_cannot_send_does_not_stop_the_others():
    rig = Rig()
    for leg in range(1, 13):
        rig.open(leg)
    rig.wire.fail = {1, 5}  # two of the same slot
    rig.frames(2)
    assert len(rig.sent(9)) == 2
    assert rig.table.stats()["send_errors"] == 4


def test_rows_move_when_legs_close_and_each_keeps_its_own_stream():
    rig = Rig()
    for leg in range(1, 17):
        rig.open(leg)
        rig.play((leg, 1, 0), leg=leg)
    rig.frames(2)
    for leg in (1, 5, 16):
        rig.table.command(messages.CloseLeg(1, leg))
    rig.frames(2)
    for leg in range(1, 17):
        assert set(rig.heard(leg)) == {leg}
        assert len(rig.sent(leg)) == (2 if leg in (1, 5, 16) else 4)
        assert_continuous(packets(rig, leg))


def test_a_bank_grows_beyond_its_first_rows():
    rig = Rig()
    for leg in range(1, 300):
        rig.open(leg)
        rig.play((leg % 80, 1, 0), leg=leg)
    rig.frames(2)
    assert all(rig.heard(leg) == [leg % 80] * 2 for leg in range(1, 300))


def test_an_older_epoch_is_refused():
    rig = Rig()
    rig.open()
    rig.table.command(Play(2, 1, 5, ((10, 5, 0),), 0))
    rig.table.command(Play(1, 1, 6, ((40, 5, 0),), 0))
    rig.frames(1)
    assert rig.heard() == [10]
    assert rig.table.stats()["stale_epoch"] == 1


def test_commands_for_a_leg_that_is_gone_are_nothing():
    rig = Rig()
    for kind in (messages.StartAudio, messages.Unbridge, messages.CloseLeg, messages.AskStats, messages.HandOver):
        rig.table.command(kind(1, 9))
    rig.table.command(SetMedia(1, 9, "PCMU", 0, 101, "192.0.2.1", 4000, 0, "sendrecv", ()))
    rig.play((1, 1, 1), leg=9)
    rig.play((1, 1, 1), leg=9, after=True)
    rig.table.command(messages.SendDigits(1, 9, 1, "1"))
    rig.bridge(9, 8)
    assert not rig.reports


def test_a_dump_has_every_leg_and_then_its_end():
    rig = Rig()
    rig.open(1)
    rig.open(2)
    rig.bridge(1, 2, "claim-7")
    rig.reports.clear()
    rig.table.command(messages.Dump(1))
    assert rig.reports == [
        messages.LegState(1, 10002, 10003, "relay", 2, "claim-7", 0),
        messages.LegState(2, 10004, 10005, "relay", 1, "claim-7", 0),
        messages.Dumped(2),
    ]
