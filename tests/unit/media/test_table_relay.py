"""Two legs bridged: the switch, the numbers, translation, pauses, programs over a relay, hand-over."""

import json

import pytest
from harness.media_rig import FRAMES, OTHER, PEER, Rig, assert_continuous

from waitline.media import g711, messages
from waitline.media.messages import Bridged, Digit, HandedOver, Opened, OpenFailed
from waitline.media.rtp import RtpPacket

A, B = ("192.0.2.7", 4000), ("192.0.2.9", 6000)


def bridged(**b_media):
    rig = Rig()
    rig.open(1, peer=A, latch=True)
    rig.open(2, peer=B, **b_media)
    rig.receive(2, RtpPacket(rig.table.legs[2].payload_type, 2, 0, 77, bytes(160)), source=B)
    rig.play((10, 20, 0), leg=2)
    rig.frames(2)
    rig.bridge()
    return rig


def speak(rig, sequence, *, leg=1, source=A, ssrc=9, payload=b"\x55", payload_type=0, timestamp=None, marker=False):
    timestamp = sequence * 160 & 0xFFFFFFFF if timestamp is None else timestamp
    rig.receive(leg, RtpPacket(payload_type, sequence & 0xFFFF, timestamp, ssrc, payload * 160, marker), source=source)


def packets(rig, leg=2):
    return [sent.rtp for sent in rig.sent(leg)]


def test_the_bridge_is_reported_with_its_claim():
    assert bridged().reported(Bridged) == [Bridged(1, 2, "claim")]


def test_music_stops_with_the_first_relayed_packet_which_is_sent_at_once():
    rig = bridged()
    rig.frames(1)
    speak(rig, 5000)
    speak(rig, 5001)
    rig.frames(3)
    assert rig.heard(2) == [10, 11, 12, 0x55, 0x55]
    assert [p.marker for p in packets(rig)] == [True, False, False, True, False]
    assert rig.sent(2)[3].address == B
    assert_continuous(packets(rig))


def test_without_a_packet_music_stops_after_60_ms_and_silence_goes_on():
    rig = bridged()
    rig.frames(6)
    assert rig.heard(2) == [10, 11, 12, 13, 14, 0, 0, 0]
    speak(rig, 5000)
    rig.frames(1)
    assert rig.heard(2)[-1] == 0x55
    assert_continuous(packets(rig))


def test_a_clip_shorter_than_60_ms_is_not_repeated():
    rig = Rig()
    rig.open(1, latch=True)
    rig.open(2, latch=True)
    rig.play((10, 1, 1), leg=2)
    rig.bridge()
    rig.frames(4)
    assert rig.heard(2) == [10, 0, 0, 0]


def test_both_directions_are_relayed():
    rig = bridged()
    speak(rig, 5000)
    speak(rig, 900, leg=2, source=B, ssrc=77, payload=b"\x66")
    assert rig.heard(2)[-1] == 0x55
    assert rig.heard(1)[-1] == 0x66


def test_loss_stays_visible_in_the_numbers():
    rig = bridged()
    for sequence in (5000, 5001, 5004):
        speak(rig, sequence)
    sent = packets(rig)[-3:]
    assert [p.sequence - sent[0].sequence for p in sent] == [0, 1, 4]
    assert [(p.timestamp - sent[0].timestamp) // 160 for p in sent] == [0, 1, 4]


def test_late_and_double_packets_are_dropped():
    rig = bridged()
    for sequence in (5000, 5002, 5001, 5002, 5003):
        speak(rig, sequence)
    assert [p.sequence - packets(rig)[2].sequence for p in packets(rig)[2:]] == [0, 2, 3]
    assert rig.table.stats()["not_relayed"] == 2


def test_a_new_ssrc_is_one_stream_to_the_other_side():
    rig = bridged()
    speak(rig, 65535)
    speak(rig, 65536)
    speak(rig, 20000, ssrc=10, timestamp=3)
    speak(rig, 20001, ssrc=10, timestamp=163)
    sent = packets(rig)[-4:]
    assert_continuous(sent)
    assert [p.marker for p in sent] == [True, False, True, False]


def test_a_sender_that_jumps_ahead_is_followed_at_once():
    rig = bridged()
    for sequence in (10, 40000, 40001):
        speak(rig, sequence)
    assert_continuous(packets(rig)[-3:])


def test_a_sender_that_restarts_its_numbers_is_followed_at_the_second_packet():
    rig = bridged()
    speak(rig, 20000)
    for sequence in (10, 11, 12):
        speak(rig, sequence)
    assert_continuous(packets(rig)[-3:])
    assert len(packets(rig)) == 2 + 3


def test_audio_is_translated_between_the_codecs_and_events_are_not():
    rig = bridged(codec="PCMA", dtmf=96)
    speak(rig, 5000)
    rig.receive(1, RtpPacket(101, 5001, 800160, 9, bytes.fromhex("058a0320"), marker=True), source=A)
    audio, event = packets(rig)[-2:]
    table = g711.translation("PCMU", "PCMA")
    assert table is not None
    assert (audio.payload_type, audio.payload) == (8, (b"\x55" * 160).translate(table))
    assert (event.payload_type, event.payload.hex(), event.marker) == (96, "058a0320", True)
    assert event.ssrc == 0x5002


def test_padding_and_extension_are_not_translated():
    rig = bridged(codec="PCMA")
    data = bytes.fromhex("b0000001 00000000 00000009 bede0001 55555555 5555 000003")
    rig.receive(1, data, source=A)
    [*_, last] = rig.sent(2)
    table = g711.translation("PCMU", "PCMA")
    assert table is not None
    assert last.data[12:].hex() == "bede000155555555" + (b"\x55\x55".translate(table)).hex() + "000003"


def test_digits_are_reported_while_they_are_relayed():
    rig = bridged()
    for _ in range(3):
        rig.receive(1, RtpPacket(101, 5001 + _, 800, 9, bytes.fromhex("0a8a0320")), source=A)
    assert rig.reported(Digit) == [Digit(1, 1, "*", 100)]
    assert len(packets(rig)) == 2 + 3


def test_events_that_the_partner_does_not_take_are_reported_only():
    rig = bridged(dtmf=-1)
    speak(rig, 5000)
    rig.receive(1, RtpPacket(101, 5001, 800, 9, bytes.fromhex("0a8a0320")), source=A)
    assert rig.reported(Digit)
    assert [p.payload_type for p in packets(rig)[2:]] == [0]


def test_a_payload_type_nobody_agreed_does_not_end_the_music():
    rig = bridged()
    speak(rig, 5000, payload_type=13)
    rig.frames(1)
    assert rig.heard(2) == [10, 11, 12] or rig.heard(2)[-1] != 0x55


def test_a_partner_that_pauses_is_stood_in_for_by_silence():
    rig = bridged()
    speak(rig, 5000)
    rig.run(260)
    assert rig.heard(2)[2] == 0x55
    assert set(rig.heard(2)[3:]) == {0}
    assert len(rig.heard(2)) > 10
    speak(rig, 5001)
    rig.frames(2)
    assert rig.heard(2)[-1] == 0x55


def test_the_timestamp_keeps_time_over_a_pause():
    rig = bridged()
    speak(rig, 5000)
    spoke = packets(rig)[-1]
    rig.run(400)
    last = packets(rig)[-1]
    elapsed = rig.sent(2)[-1].tick - rig.sent(2)[2].tick
    assert abs((last.timestamp - spoke.timestamp) / 160 - elapsed / 4) <= 1.5


def test_nothing_is_relayed_to_a_party_that_holds_us():
    rig = bridged()
    speak(rig, 5000)
    rig.set_media(2, peer=B, direction="inactive")
    count = len(packets(rig))
    for sequence in range(5001, 5050):
        speak(rig, sequence)
        rig.frames(1)
    assert len(packets(rig)) == count
    rig.set_media(2, peer=B)
    speak(rig, 5050)
    assert packets(rig)[-1].sequence == (packets(rig)[-2].sequence + 1) & 0xFFFF
    assert packets(rig)[-1].marker


def test_after_the_bridge_both_play_silence_in_the_same_stream():
    rig = bridged()
    for sequence in range(5000, 5005):
        speak(rig, sequence)
        speak(rig, sequence, leg=2, source=B, ssrc=77)
        rig.frames(1)
    rig.table.command(messages.Unbridge(1, 1))
    rig.frames(3)
    for leg in (1, 2):
        assert rig.heard(leg)[-3:] == [0, 0, 0]
        numbers = [p.sequence for p in packets(rig, leg)]
        assert numbers == list(range(100, 100 + len(numbers)))
    speak(rig, 5010)
    assert rig.heard(2)[-1] == 0


def test_a_program_plays_over_the_relay_which_resumes_when_it_is_out():
    rig = bridged()
    speak(rig, 5000)
    rig.play((30, 3, 1), leg=2, report_after=1)
    for sequence in range(5001, 5006):
        speak(rig, sequence)
        rig.frames(1)
    speak(rig, 5006)
    assert rig.heard(2)[2:6] == [0x55, 30, 31, 32]
    assert rig.heard(2)[-1] == 0x55
    numbers = [p.sequence for p in packets(rig)]
    assert numbers == list(range(100, 100 + len(numbers)))


def test_digits_may_be_sent_into_a_relay():
    rig = bridged()
    speak(rig, 5000)
    rig.table.command(messages.SendDigits(1, 2, 50, "5"))
    for sequence in range(5001, 5020):
        speak(rig, sequence)
        rig.frames(1)
    types = [p.payload_type for p in packets(rig)[2:]]
    assert types.count(101) == 9
    assert rig.heard(2)[-1] == 0x55
    numbers = [p.sequence for p in packets(rig)]
    assert numbers == list(range(100, 100 + len(numbers)))


def test_a_leg_that_is_bridged_again_leaves_its_partner_in_silence():
    rig = bridged()
    rig.open(3, peer=OTHER, latch=False)
    rig.bridge(1, 3, "second")
    speak(rig, 5000)
    rig.frames(2)
    assert rig.heard(3)[-1] == 0x55
    assert rig.heard(2)[-1] == 0
    assert rig.table.legs[2].peer is None


def test_the_same_bridge_again_changes_the_claim_only():
    rig = bridged()
    speak(rig, 5000)
    rig.bridge(1, 2, "again")
    speak(rig, 5001)
    assert_continuous(packets(rig))
    assert rig.reported(Bridged)[-1].claim == "again"


def test_closing_one_leg_frees_the_other():
    rig = bridged()
    rig.table.command(messages.CloseLeg(1, 1))
    assert rig.table.legs[2].peer is None
    rig.frames(1)
    assert rig.heard(2)[-1] == 0


def test_a_leg_is_not_bridged_with_itself_or_with_nobody():
    rig = Rig()
    rig.open(1)
    rig.bridge(1, 1)
    rig.bridge(1, 5)
    assert not rig.reported(Bridged)
    assert rig.table.stats()["unbridgeable"] == 2


def test_a_send_that_fails_is_counted_and_the_relay_goes_on():
    rig = bridged()
    rig.wire.fail = {2}
    speak(rig, 5000)
    rig.wire.fail = set()
    speak(rig, 5001)
    assert rig.heard(2)[-1] == 0x55
    assert rig.table.stats()["send_errors"] == 1


def hand_over(rig, other, leg=1):
    rig.table.command(messages.HandOver(1, leg))
    [report] = rig.reported(HandedOver)
    row = json.loads(json.dumps(report.row))
    other.table.command(messages.TakeOver(1, leg, row))


@pytest.mark.parametrize("rtcp_port", [0, 4001])
def test_a_leg_goes_on_in_another_worker_where_it_was(rtcp_port):
    here, there = Rig(), Rig()
    here.open(1, latch=True, rtcp_port=rtcp_port)
    there.run(777)  # another worker's time is its own
    here.play((10, 6, 1), (40, 5, 0), report_after=1)
    here.frames(4)
    hand_over(here, there)
    there.frames(4)
    assert here.heard() + there.heard() == [10, 11, 12, 13, 14, 15, 40, 41]
    assert_continuous([p for rig in (here, there) for p in packets(rig, 1)])
    assert there.reports == [Opened(1, 10002, 10003), messages.ClipEnded(1, 1)]
    assert here.table.legs == {}
    there.receive(1, source=OTHER)
    assert there.table.stats()["foreign_source"] == 1


def test_a_leg_whose_audio_has_not_started_is_handed_over_too():
    here, there = Rig(), Rig()
    here.open(1, start=False)
    here.play((10, 5, 1))
    hand_over(here, there)
    there.frames(2)
    assert not there.sent()
    there.table.command(messages.StartAudio(1, 1))
    there.frames(2)
    assert there.heard() == [10, 11]


def test_sockets_that_do_not_arrive_are_a_failure():
    here, there = Rig(), Rig()
    here.open(1)
    there.wire.refuse = True
    hand_over(here, there)
    assert there.reports == [OpenFailed(1, "the sockets of the leg did not arrive")]


def test_the_frames_of_the_rig_can_be_told_apart():
    assert FRAMES < 100
    assert PEER != OTHER
