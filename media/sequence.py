"""What a receiver knows of a stream: extended sequence, loss, jitter (RFC 3550 §6.4.1, appendix A.1, A.3, A.8).

A held leg sees two consecutive packets of each 64 (the kernel filter drops the rest and counts them), and a relayed leg looks closely at
the same two, so the tracker is made for samples: ``note`` takes a packet that was looked at together with how many have been received
in all by then, be they seen or only counted. Loss is exact at each sample; jitter is measured between consecutive packets, which is
what RFC 3550 defines it on, and uses a pair in 64 of them.

A new SSRC or a jump by more than ``MAX_DROPOUT`` starts the count again: that peer has begun another stream, it
has not lost 40,000 packets.
"""

from __future__ import annotations

from waitline.media.rtp import is_after

MAX_DROPOUT = 3000
"""Packets: one minute. A longer jump is a new stream (RFC 3550 A.1)."""
MAX_MISORDER = 100
"""Packets that may come late without meaning a restart."""


def is_sampled(sequence: int) -> bool:
    """Tell whether a packet is one of the two in 64 that are looked at: the kernel filter's rule."""
    return not sequence & 0x3E


class Reception:
    """One incoming stream."""

    __slots__ = (
        "_base",
        "_cycles",
        "_highest",
        "_prior_expected",
        "_prior_received",
        "_received_base",
        "_transit",
        "jitter",
        "received",
        "ssrc",
    )

    def __init__(self) -> None:
        self.ssrc = -1
        """-1: nothing was received yet"""
        self.jitter = 0.0
        """Timestamp units."""
        self.received = 0
        """Packets, as of the newest sample."""
        self._base = self._highest = self._cycles = 0
        self._received_base = self._prior_expected = self._prior_received = 0
        self._transit: float | None = None

    def note(self, ssrc: int, sequence: int, timestamp: int, *, at_s: float, received: int) -> None:
        """Take a sample: its header, when it came (seconds, any epoch), and the total received so far, this packet included."""
        if ssrc != self.ssrc or self._is_restart(sequence):
            self.ssrc = ssrc
            self._start(sequence, received - 1)
        step = (sequence - self._highest) & 0xFFFF
        transit = at_s * 8000 - timestamp
        if step == 1 and self._transit is not None:
            self._note_jitter(transit - self._transit)
        if is_after(sequence, self._highest, 16):
            self._cycles += sequence < self._highest
            self._highest = sequence
        self._transit = transit
        self.received = received - self._received_base

    @property
    def highest(self) -> int:
        """Extended highest sequence number, 32 bits."""
        return (self._cycles << 16 | self._highest) & 0xFFFFFFFF

    @property
    def expected(self) -> int:
        """Packets from the first to the highest sequence number seen; 0 before the first."""
        return 0 if self.ssrc < 0 else (self._cycles << 16) + self._highest - self._base + 1

    @property
    def lost(self) -> int:
        """Packets lost so far; duplicates make it negative (RFC 3550 §6.4.1)."""
        return self.expected - self.received

    def fraction_lost(self) -> int:
        """Return the loss since the last call, in 256ths, and begin the next interval."""
        expected, received = self.expected - self._prior_expected, self.received - self._prior_received
        self._prior_expected, self._prior_received = self.expected, self.received
        lost = expected - received
        return min(255, (lost << 8) // expected) if expected > 0 and lost > 0 else 0

    def _start(self, sequence: int, received_base: int) -> None:
        self._base = self._highest = sequence
        self._cycles = 0
        self._received_base = received_base
        self._prior_expected = self._prior_received = 0
        self._transit = None

    def _is_restart(self, sequence: int) -> bool:
        step = (sequence - self._highest) & 0xFFFF
        return MAX_DROPOUT < step < 0x10000 - MAX_MISORDER

    def _note_jitter(self, difference: float) -> None:
        difference = abs((difference + 2**31) % 2**32 - 2**31)  # timestamps wrap
        self.jitter += (difference - self.jitter) / 16
