"""The kernel filter of held legs: packets that nobody needs never wake the process.

A caller on hold sends fifty packets a second of which we need none but digits, RTCP and a sign of life. A classic BPF program on the leg's
socket drops what is RTP version 2, of the negotiated audio payload type, and not one of two consecutive packets in 64; everything else
passes: digits, comfort noise, RTCP on a shared port, STUN, a payload type nobody agreed. What is dropped stays countable through the
socket's drop counter (``sk_drops``), exactly for a clean peer, as an upper bound otherwise.

Attach only after latching: the filter does not look at addresses. It is detached for a relay, at once.

Not every kernel or sandbox allows this, so a worker runs ``works()`` at its start, on a loopback pair, and reads all packets where the
answer is no.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import socket
import struct

_SO_ATTACH_FILTER = 26
_SO_DETACH_FILTER = 27
_SO_MEMINFO = 55
_MEMINFO = struct.Struct("9I")
_DROPS = 8
"""SK_MEMINFO_DROPS, in the kernel's uapi since 4.6."""

_INSTRUCTION = struct.Struct("HBBI")
_PROGRAM = struct.Struct("@HP")
_LOAD_BYTE, _LOAD_HALF = 0x30, 0x28
_AND, _JUMP_IF_EQUAL, _RETURN = 0x54, 0x15, 0x06
_PASS, _DROP = 0xFFFF, 0
_UDP_HEADER_BYTES = 8
"""A UDP socket's filter sees the UDP header first."""


def program(payload_type: int) -> list[tuple[int, int, int, int]]:
    """Return the filter as (code, jump if true, jump if false, operand)."""
    rtp = _UDP_HEADER_BYTES
    return [
        (_LOAD_BYTE, 0, 0, rtp),
        (_AND, 0, 0, 0xC0),
        (_JUMP_IF_EQUAL, 0, 6, 0x80),  # not version 2: pass
        (_LOAD_BYTE, 0, 0, rtp + 1),
        (_AND, 0, 0, 0x7F),
        (_JUMP_IF_EQUAL, 0, 3, payload_type),  # not the audio: pass
        (_LOAD_HALF, 0, 0, rtp + 2),
        (_AND, 0, 0, 0x3E),
        (_JUMP_IF_EQUAL, 0, 1, 0),  # a sample: pass
        (_RETURN, 0, 0, _PASS),
        (_RETURN, 0, 0, _DROP),
    ]


def attach(sock: socket.socket, payload_type: int) -> None:
    """Let the kernel drop audio of this type but the samples; OSError where it cannot. Replaces a filter that is there."""
    code = b"".join(_INSTRUCTION.pack(*instruction) for instruction in program(payload_type))
    memory = ctypes.create_string_buffer(code, len(code))  # must live until the call has copied it
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, _PROGRAM.pack(len(code) // _INSTRUCTION.size, ctypes.addressof(memory)))


def detach(sock: socket.socket) -> None:
    """Let all packets through again; no error if there was no filter."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise


def drops(sock: socket.socket) -> int:
    """Return how many packets the socket has dropped, by its filter or for want of room; 0 where the kernel does not tell."""
    with contextlib.suppress(OSError, struct.error):
        return int(_MEMINFO.unpack(sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))[_DROPS])
    return 0


def works(host: str = "127.0.0.1") -> bool:
    """Try the filter on a pair of loopback sockets: it must drop, pass and count as it should."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            receiver.bind((host, 0))
            receiver.setblocking(False)
            return _passes(sender, receiver) == _EXPECTED
    except OSError:
        return False


_AUDIO, _SAMPLE, _EVENT, _RTCP = b"\x80\x00\x00\x02", b"\x80\x00\x00\x41", b"\x80\x65\x00\x02", b"\x80\xc8\x00\x06"
_EXPECTED = ([_SAMPLE, _EVENT, _RTCP], 2, [_AUDIO])


def _passes(sender: socket.socket, receiver: socket.socket) -> tuple[list[bytes], int, list[bytes]]:
    """Return what a filtered socket lets through, how many it counts as dropped, and what comes after the filter is gone."""
    attach(receiver, 0)
    for packet in (_AUDIO, _SAMPLE, _EVENT, _AUDIO, _RTCP):
        sender.sendto(packet, receiver.getsockname())
    passed = _drain(receiver)
    dropped = drops(receiver)
    detach(receiver)
    sender.sendto(_AUDIO, receiver.getsockname())
    return passed, dropped, _drain(receiver)


def _drain(receiver: socket.socket) -> list[bytes]:
    """Return all that waits: a datagram over loopback is there when ``sendto`` returns."""
    found: list[bytes] = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(receiver.recv(64))
    return found
