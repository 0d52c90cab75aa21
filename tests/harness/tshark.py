"""tshark as an independent judge of our RTP: capture on loopback, then ask it about the streams."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from harness.processes import end, read_line

START_WITHIN_S = 15.0
BLOCK_S = 0.4


def available() -> bool:
    return shutil.which("tshark") is not None


@dataclass(frozen=True)
class Stream:
    """One RTP stream as tshark's table has it, with the steps of its packets added."""

    ssrc: str
    source_port: int
    packets: int
    lost: int
    seconds: float
    sequence_steps: frozenset[int]
    timestamp_steps: frozenset[int]
    longest_gap_s: float

    @property
    def per_second(self) -> float:
        return (self.packets - 1) / self.seconds if self.seconds else 0.0


class Capture:
    """Captures from ``with`` to the end of the block; judge afterwards."""

    def __init__(self, file: Path, *, port: int) -> None:
        self.file, self.port = file, port
        command = ["tshark", "-i", "lo", "-f", f"udp port {port}", "-w", str(file), "-q"]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, bufsize=0)
        self._wait_until_it_captures()

    def _wait_until_it_captures(self) -> None:
        said, deadline = "", time.monotonic() + START_WITHIN_S
        while "File: " not in said:  # "Capturing on" comes a tenth of a second too early
            line = read_line(self._process.stderr, min(0.1, max(0.0, deadline - time.monotonic())))
            said += line
            if time.monotonic() > deadline or (not line and self._process.poll() is not None):
                end(self._process)
                raise AssertionError(f"tshark does not capture: {said}")

    def stop(self) -> None:
        time.sleep(BLOCK_S)  # the kernel hands packets over in blocks, and what is in an unfinished one is lost
        end(self._process, first=signal.SIGINT, within_s=5)

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _ask(self, *arguments: str) -> str:
        command = ["tshark", "-r", str(self.file), "-d", f"udp.port=={self.port},rtp", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout

    def streams(self) -> list[Stream]:
        """Return the streams that tshark sees, each way one."""
        lost = {}
        for line in self._ask("-q", "-z", "rtp,streams").splitlines():
            words = line.split()
            ssrc = next((word for word in words if word.startswith("0x")), "")
            share = next((place for place, word in enumerate(words) if word.endswith("%)")), 0)
            if ssrc and share:
                lost[ssrc.lower()] = int(words[share - 1])
        fields = ["-e", "frame.time_epoch", "-e", "rtp.ssrc", "-e", "udp.srcport", "-e", "rtp.seq", "-e", "rtp.timestamp"]
        rows: dict[tuple[str, int], list[tuple[float, int, int]]] = {}
        for line in self._ask("-Y", "rtp && !rtpevent", "-T", "fields", *fields).splitlines():
            at, ssrc, port, sequence, timestamp = line.split("\t")
            rows.setdefault((ssrc, int(port)), []).append((float(at), int(sequence), int(timestamp)))
        return [self._stream(ssrc, port, packets, lost) for (ssrc, port), packets in rows.items()]

    @staticmethod
    def _stream(ssrc: str, port: int, packets: list[tuple[float, int, int]], lost: dict[str, int]) -> Stream:
        pairs = list(pairwise(packets))
        return Stream(
            ssrc=ssrc,
            source_port=port,
            packets=len(packets),
            lost=lost.get(ssrc.lower(), -1),
            seconds=packets[-1][0] - packets[0][0],
            sequence_steps=frozenset((b[1] - a[1]) & 0xFFFF for a, b in pairs),
            timestamp_steps=frozenset((b[2] - a[2]) & 0xFFFFFFFF for a, b in pairs),
            longest_gap_s=max((b[0] - a[0] for a, b in pairs), default=0.0),
        )

    def digits(self) -> str:
        """Return the RFC 4733 digits seen, one per event."""
        events: dict[tuple[str, str], str] = {}
        rows = self._ask("-Y", "rtpevent", "-T", "fields", "-e", "rtp.ssrc", "-e", "rtp.timestamp", "-e", "rtpevent.event_id")
        for line in rows.splitlines():
            ssrc, timestamp, event = line.split("\t")
            events.setdefault((ssrc, timestamp), "0123456789*#ABCD"[int(event)])
        return "".join(events.values())
