"""SRTP: published vectors, an independent peer for each suite, replays, roll-overs over hand-overs, and legs of a table."""

from __future__ import annotations

import base64
import itertools
import struct
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from harness.media_rig import PEER, Rig
from harness.srtp_peer import KEY_BYTES, SALT_BYTES, Direction, derive, keystream

from waitline.media import messages, rtcp
from waitline.media.rtp import RtpPacket, parse
from waitline.media.srtp import AHEAD, MAX_PACKET_BYTES, MAX_STREAMS, RTCP_STEPS, SUITES, TURN, Opener, Sealer, Srtp

OURS, THEIRS = 0x5001, 0xCAFEBABE
CM = "AES_CM_128_HMAC_SHA1_80"
GCM = "AEAD_AES_128_GCM"


def key_of(suite: str, first: int) -> bytes:
    return bytes(range(first, first + KEY_BYTES[suite] + SALT_BYTES[suite]))


def text(key: bytes) -> str:
    return base64.b64encode(key).decode()


def packet(sequence: int, *, ssrc: int = OURS, payload: bytes = b"\x55" * 160) -> bytes:
    return bytes(RtpPacket(0, sequence & 0xFFFF, (160 * sequence) & 0xFFFFFFFF, ssrc, payload))


# --- the peer itself, by the RFCs' own numbers


def test_the_peer_derives_the_keys_of_rfc_3711_b_3() -> None:
    key, salt = bytes.fromhex("E1F97A0D3E018BE0D64FA32C06DE4139"), bytes.fromhex("0EC675AD498AFEEBB6960B3AABE6")
    assert derive(key, salt, 0, 16) == bytes.fromhex("C61E7A93744F39EE10734AFE3FF7A087")
    assert derive(key, salt, 2, 14) == bytes.fromhex("30CBBC08863D8C85D49DB34A9AE1")
    assert derive(key, salt, 1, 20) == bytes.fromhex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4")


def test_the_peer_makes_the_keystream_of_rfc_3711_b_2() -> None:
    key, iv = bytes.fromhex("2B7E151628AED2A6ABF7158809CF4F3C"), int("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000", 16)
    assert keystream(key, iv, 32) == bytes.fromhex("E03EAD0935C95E80E166B16DD92B4EB4D23513162B02D0F72A43A2FE4A5F97AB")


def test_the_peer_makes_the_gcm_packet_of_rfc_7714_16_1_1() -> None:
    header = bytes.fromhex("8040f17b8041f8d35501a0b2")
    payload = b"Gallia est omnis divisa in partes tres"
    peer = Direction(GCM, key_of(GCM, 0))
    session_key, peer._salts["rtp"] = bytes(range(16)), bytes.fromhex("517569642070726f2071756f")
    sealed = AESGCM(session_key).encrypt(peer._gcm_iv("rtp", header[8:12], 0xF17B), payload, header)
    assert sealed.hex() == ("f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce")


# --- sealer and opener beside the peer


def test_a_packet_is_sealed_as_the_reference_implementation_publishes_it() -> None:
    key = bytes.fromhex("e1f97a0d3e018be0d64fa32c06de41390ec675ad498afeebb6960b3aabe6")
    plain = bytes.fromhex("800f1234decafbadcafebabe") + b"\xab" * 16
    assert Sealer(CM, key, THEIRS).seal(plain).hex() == "800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb"


@pytest.mark.parametrize("suite", SUITES)
def test_what_we_seal_an_independent_peer_opens_and_the_other_way_round(suite: str) -> None:
    key = key_of(suite, 1)
    sealer, opener, peer, other = Sealer(suite, key, OURS), Opener(suite, key), Direction(suite, key), Direction(suite, key)
    for sequence in range(65_500, 65_600):
        plain = packet(sequence)
        assert peer.open(sealer.seal(plain)) == plain
        assert opener.open(other.seal(plain, sequence >> 16)) == plain
    report = rtcp.build_report(OURS, None, (), "waitline")
    for _ in range(3):
        assert peer.open_report(sealer.seal_report(report)) == report
        assert opener.open_report(other.seal_report(report)) == report


@pytest.mark.parametrize("suite", SUITES)
def test_what_was_changed_on_its_way_or_comes_twice_is_not_opened(suite: str) -> None:
    opener, peer = Opener(suite, key_of(suite, 1)), Direction(suite, key_of(suite, 1))
    sealed = peer.seal(packet(7), 0)
    for at in (1, 3, 9, 20, len(sealed) - 1):
        assert opener.open(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]) is None
    assert opener.ssrc == -1
    assert opener.open(sealed) == packet(7)
    assert opener.open(sealed) is None
    report = peer.seal_report(rtcp.build_report(OURS, None, (), "peer"))
    assert opener.open_report(report) is not None
    assert opener.open_report(report) is None


def test_late_packets_within_the_window_are_taken_once() -> None:
    opener, peer = Opener(CM, key_of(CM, 1)), Direction(CM, key_of(CM, 1))
    assert [opener.open(peer.seal(packet(n), 0)) is not None for n in (10, 12, 11, 11, 12)] == [True, True, True, False, False]
    assert opener.index == 12


def test_a_peer_may_change_its_ssrc_but_not_for_ever() -> None:
    opener, peer = Opener(CM, key_of(CM, 1)), Direction(CM, key_of(CM, 1))
    taken = [opener.open(peer.seal(packet(9, ssrc=ssrc), 0)) is not None for ssrc in range(1, MAX_STREAMS + 20)]
    assert taken.count(True) == MAX_STREAMS
    assert opener.open(peer.seal(packet(10, ssrc=1), 0)) == packet(10, ssrc=1), "a stream that exists goes on"
    assert opener.open(peer.seal(packet(9, ssrc=1), 0)) is None


def test_what_is_too_long_is_not_sent_and_does_not_end_the_sender() -> None:
    sealer = Sealer(CM, key_of(CM, 1), OURS)
    with pytest.raises(OSError, match="too long"):
        sealer.seal(packet(1, payload=bytes(MAX_PACKET_BYTES)))
    assert sealer.seal(packet(2))
    assert Opener(CM, key_of(CM, 1)).open(bytes([0x80, 0]) + bytes(2000)) is None


# --- counters over a hand-over


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("sent", [100, 0x7FFF, 0x8001, 0xFFFF, 0x10000, 0x1_8005, 0x3_0002, 0x42_1234])
def test_counters_go_on_in_another_worker(suite: str, sent: int) -> None:
    """0x10000 packets are 22 minutes, 0x420000 a day."""
    send_key, receive_key = key_of(suite, 1), key_of(suite, 50)
    srtp = Srtp(suite, text(send_key), text(receive_key), OURS)
    srtp.sealer.lead_to(sent, 700)
    srtp.opener.lead_to(THEIRS, sent)
    peer, theirs = Direction(suite, send_key), Direction(suite, receive_key)
    peer.index = sent
    after = Srtp.restored(srtp.dump(), OURS, sent & 0xFFFF)
    for index in range(sent + 1, sent + 4):
        assert peer.open(after.sealer.seal(packet(index))) == packet(index)
        assert after.opener.open(theirs.seal(packet(index, ssrc=THEIRS), index >> 16)) == packet(index, ssrc=THEIRS)
    assert peer.index == after.sealer.index == sent + 3
    for index in range(max(0, sent - 3), sent + 1):
        assert after.opener.open(theirs.seal(packet(index, ssrc=THEIRS), index >> 16)) is None, "seen by the worker before"


def test_a_dump_that_is_a_little_old_leads_to_where_the_leg_is() -> None:
    srtp = Srtp(CM, text(key_of(CM, 1)), text(key_of(CM, 50)), OURS)
    for sequence in range(0xFF00, 0xFFFF):
        srtp.sealer.seal(packet(sequence))
    old, now = srtp.dump(), 0x1_2000
    after = Srtp.restored(old, OURS, now & 0xFFFF)
    peer = Direction(CM, key_of(CM, 1))
    peer.index = now
    assert peer.open(after.sealer.seal(packet(now + 1))) == packet(now + 1)


def test_who_keeps_a_dump_is_told_to_renew_it_in_time() -> None:
    srtp, turns, sent = Srtp(CM, text(key_of(CM, 1)), text(key_of(CM, 50)), OURS), [], itertools.count()
    srtp.on_turn = lambda: turns.append(srtp.sealer.index)
    send = srtp.sealing(lambda _packet, _address: next(sent))
    for sequence in range(0, 3 * TURN, 5):  # a relay leaves out what its sender's network lost
        send(packet(sequence), PEER)
    assert len(turns) == 2
    assert all(later - earlier < 2 * TURN for earlier, later in itertools.pairwise([0, *turns]))


def test_reports_of_an_old_call_are_left_out_until_their_counter_is_restored() -> None:
    srtp = Srtp(CM, text(key_of(CM, 1)), text(key_of(CM, 50)), OURS)
    srtp.sealer.lead_to(0x30000, 3 * RTCP_STEPS)
    report, peer = rtcp.build_report(OURS, None, (), "waitline"), Direction(CM, key_of(CM, 1))
    for _ in range(2):
        with pytest.raises(OSError, match="left out"):
            srtp.sealer.seal_report(report)
    assert peer.open_report(srtp.sealer.seal_report(report)) == report
    assert peer.reports == 3 * RTCP_STEPS + 1


def test_a_direction_whose_key_stays_goes_on_and_the_other_begins_anew() -> None:
    srtp = Srtp(CM, text(key_of(CM, 1)), text(key_of(CM, 50)), OURS)
    srtp.sealer.seal(packet(9))
    after = srtp.replaced(CM, text(key_of(CM, 1)), text(key_of(CM, 90)), OURS)
    assert after.sealer is srtp.sealer
    assert after.opener is not srtp.opener


def test_keys_are_not_in_what_is_logged() -> None:
    command = messages.SetKeys(1, 2, CM, text(key_of(CM, 1)), text(key_of(CM, 50)))
    assert "suite" in repr(command)
    assert command.send_key not in repr(command) + str(command)


# --- legs of a table


class Phone:
    """The other end of leg 1, with keys of its own."""

    def __init__(self, rig: Rig, suite: str = CM, leg: int = 1, source: Any = PEER, ssrc: int = THEIRS) -> None:
        self.rig, self.leg, self.source, self.ssrc = rig, leg, source, ssrc
        self.hears, self.says = Direction(suite, key_of(suite, 1)), Direction(suite, key_of(suite, 50))
        rig.table.command(messages.SetKeys(1, leg, suite, text(key_of(suite, 1)), text(key_of(suite, 50))))

    def say(self, sequence: int, payload: bytes = b"\x01" * 160) -> None:
        self.raw(self.says.seal(packet(sequence, ssrc=self.ssrc, payload=payload), sequence >> 16))

    def raw(self, data: bytes) -> None:
        self.rig.receive(self.leg, data, source=self.source)

    def heard(self) -> list[RtpPacket]:
        packets = [parse(self.hears.open(sent.data)) for sent in self.rig.sent(self.leg)]
        return [one for one in packets if one is not None]


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    rig.open(1, start=False)
    return rig


def test_an_encrypted_leg_plays_one_stream_that_its_peer_opens(rig: Rig) -> None:
    phone = Phone(rig)
    rig.table.command(messages.StartAudio(1, 1))
    rig.play((10, 2, 2), (20, 3, 1))
    rig.frames(6)
    heard = phone.heard()
    assert [one.payload[0] for one in heard] == [10, 11, 10, 11, 20, 21]
    assert (heard[0].sequence, heard[0].marker, heard[0].ssrc) == (100, True, OURS)
    assert {sent.address for sent in rig.sent()} == {PEER}
    assert all(len(sent.data) == 12 + 160 + 10 for sent in rig.sent())


def test_only_what_is_authentic_latches_and_the_kernel_filter_is_what_it_is_in_the_clear(rig: Rig) -> None:
    phone = Phone(rig)
    rig.receive(1, packet(64, ssrc=THEIRS))
    phone.raw(bytes(Direction(CM, key_of(CM, 99)).seal(packet(64, ssrc=THEIRS), 0)))
    assert rig.reported(messages.Latched) == []
    assert rig.table.counters["srtp_refused"] == 2
    phone.source = ("192.0.2.7", 4444)
    phone.say(64)
    assert rig.reported(messages.Latched) == [messages.Latched(1, "192.0.2.7", 4444)]
    assert rig.wire.listening[1] == (0, False)
    rig.receive(1, packet(65), source=("198.51.100.1", 4000))
    assert rig.table.counters["foreign_source"] == 1


@pytest.mark.parametrize(
    "data", [b"", b"\r\n\r\n", b"\x80", bytes(11), bytes(20), b"\x80\xc9" + bytes(10), b"\x80\x00" + bytes(2040), b"\xb0\x00" * 40]
)
def test_whatever_comes_to_an_encrypted_leg_is_counted_and_nothing_more(rig: Rig, data: bytes) -> None:
    phone = Phone(rig)
    phone.raw(data)
    assert rig.table.counters["srtp_refused"] == 1
    phone.say(1)
    assert rig.table.legs[1].received == 1


def test_keys_pressed_on_an_encrypted_phone_are_heard(rig: Rig) -> None:
    phone = Phone(rig)
    phone.say(1)
    for sequence, end in ((2, 0), (3, 0x80), (4, 0x80)):
        event = struct.pack("!BBH", 5, end | 10, 800)
        phone.raw(phone.says.seal(bytes(RtpPacket(101, sequence, 320, THEIRS, event)), 0))
    assert [report.digit for report in rig.reported(messages.Digit)] == ["5"]


def test_keys_that_we_send_are_sealed(rig: Rig) -> None:
    phone = Phone(rig)
    rig.table.command(messages.StartAudio(1, 1))
    rig.table.command(messages.SendDigits(1, 1, 5, "7"))
    rig.frames(4)
    assert {one.payload[0] for one in phone.heard() if one.payload_type == 101} == {7}


@pytest.mark.parametrize(("one", "two"), [(CM, ""), ("", CM), (CM, GCM), ("AEAD_AES_256_GCM", "AES_CM_128_HMAC_SHA1_32")])
def test_a_bridge_joins_encrypted_legs_and_legs_in_the_clear(one: str, two: str) -> None:
    rig = Rig()
    legs = {1: rig.open(1), 2: rig.open(2, codec="PCMA", peer=("192.0.2.9", 6000))}
    phones = {leg: Phone(rig, suite, leg, ("192.0.2.9", 6000) if leg == 2 else PEER) for leg, suite in ((1, one), (2, two)) if suite}
    rig.bridge()
    for sequence in range(1, 6):
        if 1 in phones:
            phones[1].say(sequence, b"\xff" * 160)
        else:
            rig.receive(1, packet(sequence, ssrc=THEIRS, payload=b"\xff" * 160))
    heard = phones[2].heard() if 2 in phones else [sent.rtp for sent in rig.sent(2)]
    assert [(found.payload_type, found.payload[0]) for found in heard] == [(8, 0xD5)] * 5, "silence, translated"
    assert [found.sequence - heard[0].sequence for found in heard] == [0, 1, 2, 3, 4]
    assert legs[2].packets == 5


def test_reports_are_sealed_and_opened_on_a_shared_port_and_on_their_own() -> None:
    for rtcp_port in (0, 4001):
        rig = Rig()
        rig.open(1, start=False, rtcp_port=rtcp_port)
        phone = Phone(rig)
        rig.table.command(messages.StartAudio(1, 1))
        rig.run(1600)
        report = rig.rtcp(1)[0]
        found = rtcp.parse(phone.hears.open_report(report.data))
        assert isinstance(found[0], rtcp.RtcpReport)
        assert found[0].ssrc == OURS
        theirs = rtcp.build_report(THEIRS, rtcp.SenderInfo(1 << 32, 0, 1, 160), (), "phone")
        before = rig.table.legs[1].peer_report
        for data in (theirs, phone.says.seal_report(theirs)):
            assert rig.table.legs[1].peer_report is before is None
            if rtcp_port:
                rig.table.control_datagram(1, memoryview(bytearray(data)), len(data), ("192.0.2.7", 4001))
            else:
                phone.raw(data)
        assert rig.table.legs[1].peer_report is not None


def test_the_same_keys_again_change_nothing_and_none_end_it(rig: Rig) -> None:
    phone = Phone(rig)
    rig.table.command(messages.StartAudio(1, 1))
    rig.frames(2)
    before = rig.table.legs[1].srtp
    rig.table.command(messages.SetKeys(1, 1, CM, text(key_of(CM, 1)), text(key_of(CM, 50))))
    assert rig.table.legs[1].srtp is before
    rig.frames(2)
    assert len(phone.heard()) == 4
    rig.table.command(messages.SetKeys(1, 1, "", "", ""))
    rig.frames(1)
    assert len(rig.sent()[-1].data) == 172
    rig.receive(1)
    assert rig.table.legs[1].received == 1


def test_keys_for_a_leg_that_is_gone_are_nobodys(rig: Rig) -> None:
    rig.table.command(messages.SetKeys(1, 77, CM, text(key_of(CM, 1)), text(key_of(CM, 50))))


@pytest.mark.parametrize("rollovers", [0, 1, 3])
def test_a_call_older_than_22_minutes_is_handed_to_another_worker(rig: Rig, rollovers: int) -> None:
    phone = Phone(rig)
    index = rollovers << 16 | 0xFFFE
    leg = rig.table.legs[1]
    assert leg.srtp is not None
    leg.srtp.sealer.lead_to(index, 10)
    leg.sequence = index & 0xFFFF
    phone.hears.index = index
    leg.srtp.opener.lead_to(THEIRS, index)
    rig.table.command(messages.StartAudio(1, 1))
    rig.play((10, 80, 0))
    rig.frames(4)  # over the next roll-over
    phone.say(index + 1)
    rig.table.command(messages.HandOver(1, 1))
    [handed] = messages.decode(messages.encode(list(rig.reported(messages.HandedOver))))
    assert isinstance(handed, messages.HandedOver)
    heard = phone.heard()

    other = Rig()
    other.table.command(messages.TakeOver(1, 1, handed.row))
    other.frames(4)
    phone.rig = other
    heard += phone.heard()
    assert phone.hears.index == index + 8
    assert [one.payload[0] for one in heard] == list(range(10, 18))
    phone.say(index + 1)
    assert other.table.counters["srtp_refused"] == 1, "it was played to the worker before"
    phone.say(index + 2)
    assert other.table.legs[1].received == 2


@pytest.mark.parametrize("suite", [CM, GCM])
def test_a_worker_that_dies_has_a_successor_who_seals_on_and_uses_no_counter_twice(rig: Rig, suite: str) -> None:
    phone = Phone(rig, suite)
    leg = rig.table.legs[1]
    assert leg.srtp is not None
    leg.srtp.sealer.lead_to(0x1_FFF0, 0)
    leg.sequence, phone.hears.index = 0xFFF0, 0x1_FFF0
    rig.table.command(messages.StartAudio(1, 1))
    rig.play((10, 80, 0))
    rig.frames(20)  # over a roll-over that no record has seen
    rig.succeed(after=8)
    rig.frames(20)
    sequences = [one.sequence for one in phone.heard()]
    assert len(sequences) == len(set(sequences)) == 40
    assert 0x1_FFF0 + 40 < phone.hears.index <= 0x1_FFF0 + 40 + AHEAD
    assert rig.sent()[20].rtp.marker
    phone.say(7)
    assert rig.table.legs[1].received == 1


def test_an_encrypted_talk_goes_on_when_its_worker_dies() -> None:
    rig = Rig()
    other = ("192.0.2.9", 6000)
    rig.open(1)
    rig.open(2, peer=other)
    one, two = Phone(rig, CM, 1), Phone(rig, GCM, 2, other)
    rig.bridge()
    for sequence in range(1, 5):
        one.say(sequence)
        rig.frames(1)
    rig.succeed()
    for sequence in range(5, 9):
        one.say(sequence)
        rig.frames(1)
    heard = [found for found in two.heard() if found.payload[0] == 1]
    assert [found.sequence - heard[0].sequence for found in heard[:4]] == list(range(4))
    assert [found.sequence - heard[4].sequence for found in heard[4:]] == list(range(4))
    assert 1 < heard[4].sequence - heard[3].sequence <= AHEAD + 1
    assert heard[4].marker
