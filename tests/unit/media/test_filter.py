"""The kernel filter's program, run by a small interpreter, and on this kernel if it lets us."""

import socket

import pytest

from waitline.media import filter as kernel_filter
from waitline.media.rtp import RtpPacket


def run(program, datagram):
    """Return True if the classic BPF program lets a UDP datagram pass."""
    data = bytes(8) + datagram  # the UDP header
    accumulator = at = 0
    while True:
        code, if_true, if_false, operand = program[at]
        at += 1
        match code:
            case 0x30 if operand < len(data):
                accumulator = data[operand]
            case 0x28 if operand + 1 < len(data):
                accumulator = int.from_bytes(data[operand : operand + 2], "big")
            case 0x30 | 0x28:
                return False  # a load outside the packet ends the program with a drop
            case 0x54:
                accumulator &= operand
            case 0x15:
                at += if_true if accumulator == operand else if_false
            case 0x06:
                return bool(operand)


def audio(sequence, payload_type=0, *, marker=False):
    return bytes(RtpPacket(payload_type, sequence, 0, 0, bytes(160), marker))


@pytest.mark.parametrize("payload_type", [0, 8, 96])
def test_of_the_audio_two_consecutive_packets_in_64_pass(payload_type):
    program = kernel_filter.program(payload_type)
    passed = [sequence for sequence in range(200) if run(program, audio(sequence, payload_type))][:6]
    assert passed == [0, 1, 64, 65, 128, 129]
    assert not run(program, audio(2, payload_type, marker=True))


@pytest.mark.parametrize(
    "datagram",
    [
        audio(2, 101),
        audio(2, 101, marker=True),
        audio(2, 13),
        audio(2, 8),
        bytes.fromhex("80c80006") + bytes(24),  # RTCP on the shared port
        bytes.fromhex("000100002112a442") + bytes(12),  # STUN
        b"\r\n\r\n",
    ],
)
def test_everything_else_passes(datagram):
    assert run(kernel_filter.program(0), datagram)


def test_an_empty_datagram_is_dropped():
    assert not run(kernel_filter.program(0), b"")


def pair():
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))
    receiver.setblocking(False)
    return receiver, socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


@pytest.mark.skipif(not kernel_filter.works(), reason="this kernel or sandbox does not let us attach a socket filter")
def test_this_kernel_agrees_and_counts_every_drop():
    receiver, sender = pair()
    with receiver, sender:
        kernel_filter.attach(receiver, 0)
        passed = []
        for sequence in range(640):
            sender.sendto(audio(sequence), receiver.getsockname())
            try:
                passed.append(int.from_bytes(receiver.recv(200)[2:4], "big"))
            except BlockingIOError:
                continue
        assert passed == [sequence for sequence in range(640) if not sequence & 0x3E]
        assert kernel_filter.drops(receiver) == 640 - len(passed)
        kernel_filter.attach(receiver, 8)  # replaces
        kernel_filter.detach(receiver)
        kernel_filter.detach(receiver)  # and is nothing the second time
        sender.sendto(audio(2), receiver.getsockname())
        assert receiver.recv(200)


def test_a_kernel_that_refuses_is_no_error(monkeypatch):
    def refuse(_sock, _payload_type):
        raise PermissionError("no filter here")

    monkeypatch.setattr(kernel_filter, "attach", refuse)
    assert not kernel_filter.works()


def test_a_counter_that_is_not_there_is_zero():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert kernel_filter.drops(ours) == 0
