"""RTP headers by byte vectors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitline.media import rtp
from waitline.media.rtp import RtpPacket

VECTOR = bytes.fromhex("80 80 04 d2 00 00 00 a0 de ad be ef") + b"\xff" * 160


def test_a_packet_is_parsed_and_built_to_the_same_bytes():
    packet = rtp.parse(VECTOR)
    assert packet == RtpPacket(0, 1234, 160, 0xDEADBEEF, b"\xff" * 160, marker=True)
    assert bytes(packet) == VECTOR


def test_a_record_of_the_matrix_has_the_size_of_a_packet():
    assert rtp.PACKET.itemsize == rtp.PACKET_BYTES == 172


@pytest.mark.parametrize(
    ("data", "payload"),
    [
        ("81000001 00000000 00000001 cccccccc 0102", "0102"),  # one CSRC
        ("90000001 00000000 00000001 bede0001 aaaaaaaa 0102", "0102"),  # an extension of one word
        ("a0000001 00000000 00000001 0102 000003", "0102"),  # three bytes of padding
        ("b1000001 00000000 00000001 cccccccc bede0000 0102 01", "0102"),  # all three
        ("90000001 00000000 00000001 be", ""),  # an extension that is cut off
        ("90000001 00000000 00000001 bedeffff 0102", ""),  # longer than the packet
        ("a0000001 00000000 00000001 01ff", ""),  # more padding than packet
        ("8f000001 00000000 00000001 0102", ""),  # more CSRCs than packet
    ],
)
def test_the_payload_is_what_is_left_of_csrcs_extension_and_padding(data, payload):
    packet = rtp.parse(bytes.fromhex(data))
    assert packet is not None
    assert packet.payload == bytes.fromhex(payload)


@pytest.mark.parametrize("data", ["", "80", "00" * 12, "80c8" + "00" * 10, "40000001" + "00" * 8])
def test_what_is_no_rtp_is_none(data):
    assert rtp.parse(bytes.fromhex(data)) is None


@given(st.binary(max_size=64))
def test_any_bytes_parse_or_are_none(data):
    packet = rtp.parse(data)
    assert packet is None or len(packet.payload) <= len(data) - 12


@pytest.mark.parametrize(
    ("later", "earlier", "expected"), [(1, 0, True), (0, 65535, True), (65535, 0, False), (5, 5, False), (0x8000, 0, False)]
)
def test_serial_numbers_wrap(later, earlier, expected):
    assert rtp.is_after(later, earlier, 16) is expected
