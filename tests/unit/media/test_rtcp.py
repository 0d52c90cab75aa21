"""RTCP by byte vectors, and nothing that a peer sends raises."""

from hypothesis import given
from hypothesis import strategies as st

from waitline.media import rtcp
from waitline.media.rtcp import Goodbye, ReportBlock, RtcpReport, SenderInfo

BLOCK = ReportBlock(0x11223344, 64, 17, 0x0001FFFF, 30, 0x12345678, 0x00010000)
SENDER = SenderInfo(0xE0000000_80000000, 16000, 100, 16000)
COMPOUND = bytes.fromhex(
    "81c8000c 0000abcd e0000000 80000000 00003e80 00000064 00003e80"
    "11223344 40000011 0001ffff 0000001e 12345678 00010000"
    "81ca0003 0000abcd 0104 77616974 0000"
    "81cb0001 0000abcd"
)


def test_a_compound_packet_is_built_byte_for_byte():
    assert rtcp.build_report(0xABCD, SENDER, (BLOCK,), "wait", bye=True) == COMPOUND


def test_a_compound_packet_is_read_back():
    assert rtcp.parse(COMPOUND) == [RtcpReport(0xABCD, SENDER, (BLOCK,)), Goodbye(0xABCD)]


def test_a_receiver_report_has_no_sender():
    assert rtcp.parse(rtcp.build_report(7, None, (BLOCK,), "w"))[0] == RtcpReport(7, None, (BLOCK,))


def test_negative_loss_survives():
    block = BLOCK._replace(lost=-3)
    [report] = rtcp.parse(rtcp.build_report(7, None, (block,), "w"))
    assert isinstance(report, RtcpReport)
    assert report.blocks[0].lost == -3


def test_a_chunk_always_ends_with_a_zero_octet():
    for length in range(8):
        assert len(rtcp.build_report(7, None, (), "x" * length)) % 4 == 0
        assert rtcp.build_report(7, None, (), "x" * length)[-1] == 0


def test_what_is_cut_off_is_left_out():
    for end in range(len(COMPOUND)):
        assert len(rtcp.parse(COMPOUND[:end])) <= 2


def test_more_blocks_than_bytes_are_not_invented():
    assert rtcp.parse(bytes.fromhex("9fc90001 00000007")) == [RtcpReport(7, None, ())]


def test_an_endless_row_of_small_packets_is_bounded():
    assert len(rtcp.parse(bytes.fromhex("81cb0001 00000007") * 100)) == rtcp.MAX_PACKETS


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_an_error(data):
    rtcp.parse(data)


def test_ntp_time_counts_from_1900():
    assert rtcp.ntp_time(0.5) == (2_208_988_800 << 32) + (1 << 31)
    assert rtcp.middle_32(0x1122334455667788) == 0x33445566
