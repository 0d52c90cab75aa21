"""What callers on hold hear when their media worker is killed, or replaced: the longest gap, and whether the stream goes on as one.

    python tests/bench/successor.py [--legs 200,4000] [--deaths 3]

The supervisor's part is its own code (``waitline.supervisor.crew``), driven by this process; the worker is killed with SIGKILL. The phones
are sockets that read the kernel's receive times of a sample of the flows; after each death sequence numbers must follow one another, the
SSRC must stay and timestamps must keep time. Beside it the time that an interpreter needs here to start and import numpy: it is most of
the gap. Prints a table and a line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import socket
import subprocess
import sys
import time
from itertools import pairwise

import numpy as np

from waitline.media.plane import MediaPlane
from waitline.media.rtp import RtpPacket, is_rtp, parse
from waitline.media.worker_link import MediaWorkers
from waitline.supervisor.crew import Crew

MUSIC_FRAMES = 1400
SAMPLED_FLOWS = 100
SETTLE_S = 1.5
OFF_MS = 100
"""How far a stream's timestamps may be off the clock at the end: what one packet may come late."""
SO_TIMESTAMPNS, SO_RCVBUFFORCE = 35, 33


class Flow:
    """A phone that listens."""

    def __init__(self, *, sampled: bool) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.sock.bind(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.heard: list[tuple[float, RtpPacket]] = []
        if sampled:
            self.sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        else:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)

    def listen(self) -> None:
        while True:
            try:
                data, ancillary, _, _ = self.sock.recvmsg(256, 64)
            except BlockingIOError:
                return
            packet = parse(data) if is_rtp(data, len(data)) else None
            if packet is not None:
                seconds, nanoseconds = np.frombuffer(ancillary[0][2], np.int64)
                self.heard.append((float(seconds) + float(nanoseconds) / 1e9, packet))

    def judge(self) -> tuple[float, int]:
        """Return the longest gap in ms, and how often the stream was not one, or did not keep time from end to end."""
        pairs = list(pairwise(self.heard))
        breaks = sum((after.sequence - before.sequence) & 0xFFFF != 1 or after.ssrc != before.ssrc for (_, before), (_, after) in pairs)
        (begun, first), (ended, last) = self.heard[0], self.heard[-1]
        breaks += abs((last.timestamp - first.timestamp) % (1 << 32) / 8 - (ended - begun) * 1000) > OFF_MS
        return max((late - soon) * 1000 for (soon, _), (late, _) in pairs), breaks


async def measure(count: int, deaths: int) -> dict[str, float]:
    """Return what so many callers hear over so many deaths."""
    frames = os.memfd_create("frames")
    os.write(frames, np.random.default_rng(1).integers(0, 256, 2 * (MUSIC_FRAMES + 1) * 160, np.uint8).tobytes())
    crew = Crew({"media": "waitline.media.worker"})

    async def spawn(index: int) -> socket.socket:
        return socket.socket(fileno=os.dup(crew.spawn("media", index, [], [frames], owner=0).link))

    plane = MediaPlane(MediaWorkers(spawn, 1, host="127.0.0.1", first_port=0, last_port=0).links, host="127.0.0.1", random=random.Random(1))
    flows = [Flow(sampled=number % max(1, count // SAMPLED_FLOWS) == 0) for number in range(count)]
    sampled = flows[:: max(1, count // SAMPLED_FLOWS)]
    for number, flow in enumerate(flows):
        leg = await plane.open_leg()
        leg.set_media(codec="PCMU", payload_type=0, dtmf_payload_type=101, host="127.0.0.1", port=flow.port)
        offset = number * 7 % MUSIC_FRAMES
        leg.play([(1 + offset, MUSIC_FRAMES - offset, 1), (1, MUSIC_FRAMES, 0)])
        leg.start()
        if number % 50 == 0:
            crew.listen()
    gaps = [await _death(crew, sampled) for _ in range(deaths)]
    handed = [await _death(crew, sampled, kill=False) for _ in range(deaths)]
    await plane.close()
    for child in crew.end():
        child.process.wait(5)
    os.close(frames)
    return {
        "legs": count,
        "gap_ms": round(max(gap for gap, _ in gaps)),
        "handed_over_gap_ms": round(max(gap for gap, _ in handed)),
        "breaks": sum(breaks for _, breaks in gaps + handed),
    }


async def _death(crew: Crew, sampled: list[Flow], *, kill: bool = True) -> tuple[float, int]:
    for flow in sampled:
        flow.listen()
        flow.heard.clear()
    await _serve(crew, SETTLE_S)
    for flow in sampled:  # before their buffers are full
        flow.listen()
    (worker,) = crew._media()
    worker.child.process.kill() if kill else crew.renew()
    await _serve(crew, SETTLE_S + 2)
    for flow in sampled:
        flow.listen()
    judged = [flow.judge() for flow in sampled]
    return max(gap for gap, _ in judged), sum(breaks for _, breaks in judged)


async def _serve(crew: Crew, seconds: float) -> None:
    """Do the supervisor's work."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        crew.reap()
        crew.listen()
        await asyncio.sleep(0.001)


def start_ms() -> float:
    """Return how long an interpreter takes here to start and to import what a worker imports."""
    begun = time.monotonic()
    subprocess.run([sys.executable, "-P", "-c", "import waitline.media.worker"], check=True)
    return (time.monotonic() - begun) * 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--legs", default="200,4000")
    parser.add_argument("--deaths", type=int, default=3)
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    results = []
    print(f"{'callers':>8} {'gap at death ms':>16} {'at hand-over ms':>16} {'breaks':>7} {'start of an interpreter ms':>28}")
    for count in map(int, options.legs.split(",")):
        result = {**asyncio.run(measure(count, options.deaths)), "start_ms": round(start_ms())}
        results.append(result)
        shown = [f"{result['legs']:>8}", f"{result['gap_ms']:>16}", f"{result['handed_over_gap_ms']:>16}"]
        print(*shown, f"{result['breaks']:>7}", f"{result['start_ms']:>28}", flush=True)
    print(json.dumps({"results": results}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
