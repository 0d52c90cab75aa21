"""RTCP (RFC 3550 §6): what we send every five seconds, and what we read of what peers send.

Out go compound packets: a sender report (a receiver report where we sent nothing since the last), SDES with our CNAME, and a BYE when a leg
closes. In, ``parse`` reads sender and receiver reports and BYEs out of whatever a peer wraps them in; it takes at most ``MAX_PACKETS``
parts of a datagram, stops at the first that does not add up, and never raises: RTCP is advice, not a protocol to fail by.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from waitline.media.rtp import Buffer

SENDER_REPORT, RECEIVER_REPORT, SOURCE_DESCRIPTION, GOODBYE = 200, 201, 202, 203
MAX_PACKETS = 16
MAX_BLOCKS = 31
_COMMON = struct.Struct("!BBH")
_SENDER = struct.Struct("!IIIIII")
_BLOCK = struct.Struct("!IIIIII")
_NTP_OF_UNIX_S = 2_208_988_800
"""Seconds from 1900 to 1970."""


class SenderInfo(NamedTuple):
    """When (NTP), at which timestamp, and how much a sender has sent."""

    ntp: int
    """64 bits: seconds since 1900, and their fraction"""
    timestamp: int
    packets: int
    octets: int


class ReportBlock(NamedTuple):
    """What a receiver says of one stream (RFC 3550 §6.4.1)."""

    ssrc: int
    fraction_lost: int
    """256ths, since the last report"""
    lost: int
    highest: int
    jitter: int
    last_report: int
    """Middle 32 bits of the NTP time in the last sender report; 0: none"""
    delay: int
    """Since then, in 1/65536 s"""


class RtcpReport(NamedTuple):
    """A sender report (with ``sender``) or a receiver report."""

    ssrc: int
    sender: SenderInfo | None
    blocks: tuple[ReportBlock, ...]


class Goodbye(NamedTuple):
    ssrc: int


def ntp_time(unix_s: float) -> int:
    """Return the 64-bit NTP time of Unix seconds."""
    return int((unix_s + _NTP_OF_UNIX_S) * 2**32) & 0xFFFFFFFFFFFFFFFF


def middle_32(ntp: int) -> int:
    """Return the 32 bits that report blocks quote an NTP time by: units of 1/65536 s."""
    return ntp >> 16 & 0xFFFFFFFF


def build_report(ssrc: int, sender: SenderInfo | None, blocks: tuple[ReportBlock, ...], cname: str, *, bye: bool = False) -> bytes:
    """Return a compound packet: report, SDES CNAME, and a BYE if asked for."""
    body = struct.pack("!I", ssrc)
    if sender is not None:
        body += struct.pack("!QIII", sender.ntp, sender.timestamp & 0xFFFFFFFF, sender.packets & 0xFFFFFFFF, sender.octets & 0xFFFFFFFF)
    body += b"".join(map(_build_block, blocks))
    kind = SENDER_REPORT if sender is not None else RECEIVER_REPORT
    compound = _packet(kind, len(blocks), body) + _packet(SOURCE_DESCRIPTION, 1, _chunk(ssrc, cname))
    return compound + _packet(GOODBYE, 1, struct.pack("!I", ssrc)) if bye else compound


def parse(data: Buffer) -> list[RtcpReport | Goodbye]:
    """Return the reports and goodbyes of a datagram; what cannot be read is left out. Never raises."""
    found: list[RtcpReport | Goodbye] = []
    offset = 0
    for _ in range(MAX_PACKETS):
        if len(data) - offset < _COMMON.size:
            break
        first, kind, words = _COMMON.unpack_from(data, offset)
        end = offset + 4 * (words + 1)
        if first & 0xC0 != 0x80 or end > len(data):
            break
        found += _parse_packet(kind, first & 0x1F, bytes(data[offset + 4 : end]))
        offset = end
    return found


def _parse_packet(kind: int, count: int, body: bytes) -> list[RtcpReport | Goodbye]:
    if kind == GOODBYE:
        count = min(count, len(body) // 4)
        return [Goodbye(*struct.unpack_from("!I", body, 4 * index)) for index in range(count)]
    if kind == SENDER_REPORT and len(body) >= 24:
        ssrc, high, low, timestamp, packets, octets = _SENDER.unpack_from(body)
        return [RtcpReport(ssrc, SenderInfo(high << 32 | low, timestamp, packets, octets), _parse_blocks(body, 24, count))]
    if kind == RECEIVER_REPORT and len(body) >= 4:
        return [RtcpReport(struct.unpack_from("!I", body)[0], None, _parse_blocks(body, 4, count))]
    return []


def _parse_blocks(body: bytes, offset: int, count: int) -> tuple[ReportBlock, ...]:
    count = min(count, (len(body) - offset) // _BLOCK.size)
    return tuple(_parse_block(body, offset + index * _BLOCK.size) for index in range(count))


def _parse_block(body: bytes, offset: int) -> ReportBlock:
    ssrc, loss, highest, jitter, last_report, delay = _BLOCK.unpack_from(body, offset)
    lost = loss & 0xFFFFFF
    return ReportBlock(ssrc, loss >> 24, lost - 0x1000000 if lost & 0x800000 else lost, highest, jitter, last_report, delay)


def _build_block(block: ReportBlock) -> bytes:
    lost = min(max(block.lost, -0x800000), 0x7FFFFF) & 0xFFFFFF
    return _BLOCK.pack(
        block.ssrc, block.fraction_lost << 24 | lost, block.highest, block.jitter, block.last_report, block.delay & 0xFFFFFFFF
    )


def _chunk(ssrc: int, cname: str) -> bytes:
    name = cname.encode()[:255]
    item = struct.pack("!IBB", ssrc, 1, len(name)) + name
    return item + bytes(4 - len(item) % 4)  # at least one zero octet ends the list (RFC 3550 §6.5)


def _packet(kind: int, count: int, body: bytes) -> bytes:
    return _COMMON.pack(0x80 | count, kind, len(body) // 4) + body
