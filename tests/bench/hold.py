"""What a caller on hold costs: CPU per call and 20 ms, both directions, and how well the 20 ms are kept.

    python tests/bench/hold.py [--legs 500,2000] [--seconds 6]

For each number of callers a media worker plays music to them, each at a place of its own in it, while phones in another process send 50
packets a second to each leg. The worker's CPU time is what the scheduler charged it (/proc/PID/schedstat). The phones read the kernel's
receive times of a sample of the flows, so that their own scheduling is not in the figures. Beside it, in the same run, the floor: the same
work by a C program (floor.c) that does nothing else; left out with a note where there is no compiler.

Loopback: a send also pays for the receiver's side. Compare the ratio, and runs on one machine. Prints a table and a line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from waitline.media.filter import drops
from waitline.media.plane import MediaPlane
from waitline.media.rtp import PACKET, PACKET_BYTES, is_rtp
from waitline.media.worker_link import MediaWorkers, start_process

MUSIC_FRAMES = 1400
WARM_S = 1.5
PHONE_SLOTS = 10
"""The phones send in groups 2 ms apart: real ones are not in step."""
SAMPLED_FLOWS = 100
SO_TIMESTAMPNS, SO_RCVBUFFORCE = 35, 33
GOAL_US, GOAL_RATIO = 2.5, 1.6


# --- the phones: a process of their own


def phones_main(count: int) -> None:
    """Bind ``count`` ports, print them; read the legs' ports and the seconds to run; talk and listen; print what was heard."""
    _raise_file_limit()
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) for _ in range(count)]
    for sock in sockets:
        sock.bind(("127.0.0.1", 0))
    sampled = sockets[:: max(1, count // SAMPLED_FLOWS)]
    for sock in sampled:
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        with contextlib.suppress(PermissionError):
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 23)
    print(json.dumps([sock.getsockname()[1] for sock in sockets]), flush=True)
    order = json.loads(sys.stdin.readline())
    arrivals: list[list[float]] = [[] for _ in sampled]
    matrix = np.zeros(count, PACKET)
    matrix["first"] = 0x80
    matrix["ssrc"] = np.arange(count)
    matrix["sequence"] = np.random.default_rng(1).integers(0, 1 << 16, count)  # as real phones begin (RFC 3550 section 5.1)
    flat = memoryview(matrix.view(np.uint8).data)
    rows = [flat[at : at + PACKET_BYTES] for at in range(0, count * PACKET_BYTES, PACKET_BYTES)]
    for sock, port in zip(sockets, order["ports"], strict=True):
        sock.connect(("127.0.0.1", port))  # the phones' cost is nobody's figure: cheaper, so that they keep up
    lines = list(zip([sock.send for sock in sockets], rows, strict=True))
    start = time.monotonic()
    ticks = int(order["seconds"] * 50 * PHONE_SLOTS)
    tick = 0
    while time.monotonic() < start + order["seconds"]:
        time.sleep(max(0.0, start + tick * 0.02 / PHONE_SLOTS - time.monotonic()))
        slot = tick % PHONE_SLOTS
        matrix["sequence"][slot::PHONE_SLOTS] += 1
        matrix["timestamp"][slot::PHONE_SLOTS] += 160
        for send, row in lines[slot::PHONE_SLOTS]:
            with contextlib.suppress(OSError):
                send(row)
        if slot == 0:
            _listen(sampled[(tick // PHONE_SLOTS) % 5 :: 5], arrivals[(tick // PHONE_SLOTS) % 5 :: 5])
        tick += 1
    _listen(sampled, arrivals)
    print(json.dumps({**_summary(sockets, arrivals), "talked": round(tick / ticks, 3)}), flush=True)


def _listen(sockets: list[socket.socket], arrivals: list[list[float]]) -> None:
    for sock, times in zip(sockets, arrivals, strict=True):
        with contextlib.suppress(BlockingIOError, ConnectionRefusedError):  # nothing more, or the device has ended
            while True:
                data, ancillary, _, _ = sock.recvmsg(256, 64)
                if not is_rtp(data, len(data)):
                    continue  # RTCP comes to the same port, and has no schedule
                seconds, nanoseconds = np.frombuffer(ancillary[0][2], np.int64)
                times.append(float(seconds) + float(nanoseconds) / 1e9)


def _summary(sockets: list[socket.socket], arrivals: list[list[float]]) -> dict[str, float]:
    """Return deviations from the 20 ms schedule (ms), and the share of packets that came, of the sampled flows after the warm-up.

    ``talked`` beside it is how much of their own schedule the phones kept: under 1 they were short of CPU, and the load was lighter.
    """
    gaps = [np.diff(np.array(times)[int(WARM_S * 50) : -10]) for times in arrivals]
    deviation = np.abs(np.concatenate(gaps) - 0.02) * 1000
    received = sum(len(flow) for flow in gaps)
    expected = sum(round(float(flow.sum()) * 50) for flow in gaps)
    return {
        "dev_p50_ms": round(float(np.percentile(deviation, 50)), 3),
        "dev_p99_ms": round(float(np.percentile(deviation, 99)), 3),
        "dev_max_ms": round(float(deviation.max()), 3),
        "delivered": round(received / max(1, expected), 4),
        "sample_overflows": sum(drops(sock) for sock in sockets[:: max(1, len(sockets) // SAMPLED_FLOWS)]),
    }


class Phones:
    """The phones' process, as the bench sees it."""

    def __init__(self, count: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--phones", str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.ports: list[int] = json.loads(self._line())

    def talk(self, ports: list[int], seconds: float) -> None:
        """Begin to send to these ports."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"ports": ports, "seconds": seconds}) + "\n")
        self.process.stdin.flush()

    def heard(self) -> dict[str, float]:
        """Wait until they are done; return the summary."""
        heard: dict[str, float] = json.loads(self._line())
        self.process.communicate()
        return heard

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()


# --- the two devices


async def measure_worker(count: int, seconds: float) -> dict[str, float]:
    """Return what a media worker costs with so many callers on hold."""
    frames = os.memfd_create("frames")
    os.write(frames, np.random.default_rng(1).integers(0, 256, 2 * (MUSIC_FRAMES + 1) * 160, np.uint8).tobytes())
    worker = start_process(0, frames)

    async def spawn(_index: int) -> socket.socket:
        return worker.link

    links = MediaWorkers(spawn, 1, host="127.0.0.1", first_port=0, last_port=0).links
    plane = MediaPlane(links, host="127.0.0.1", random=random.Random(1))
    phones = Phones(count)
    ports = []
    for index, port in enumerate(phones.ports):
        leg = await plane.open_leg()
        leg.set_media(codec="PCMU", payload_type=0, dtmf_payload_type=101, host="127.0.0.1", port=port)
        offset = index * 7 % MUSIC_FRAMES
        leg.play([(1 + offset, MUSIC_FRAMES - offset, 1), (1, MUSIC_FRAMES, 0)])
        leg.start()
        ports.append(leg.port)
    phones.talk(ports, seconds + WARM_S + 0.5)
    found = await measure(worker.process.pid, count, seconds)
    heard = await asyncio.to_thread(phones.heard)
    [stats] = await plane.worker_stats()
    rss_kib = _rss_kib(worker.process.pid)
    await plane.close()
    worker.end()
    os.close(frames)
    kept = {name: stats.get(name, 0) for name in ("late_ticks", "skipped_packets", "send_errors")}
    return {**found, **heard, **kept, "rss_mib": round(rss_kib / 1024, 1)}


async def measure_floor(program: str, count: int, seconds: float) -> dict[str, float]:
    """Return what the C program costs with so many callers on hold."""
    phones = Phones(count)
    process = _start_floor(program, seconds + WARM_S + 1.5)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(" ".join(map(str, [count, *phones.ports])) + "\n")
    process.stdin.flush()
    ports = [int(port) for port in process.stdout.readline().split()]
    phones.talk(ports, seconds + WARM_S + 0.5)
    found = await measure(process.pid, count, seconds)
    heard = await asyncio.to_thread(phones.heard)
    process.communicate()
    return {**found, **heard}


def _start_floor(program: str, seconds: float) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen([program, str(seconds)], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)


async def measure(pid: int, count: int, seconds: float) -> dict[str, float]:
    """Return CPU microseconds per call and 20 ms, over so many seconds after the warm-up."""
    await asyncio.sleep(WARM_S)
    begin, cpu = time.monotonic(), _cpu_s(pid)
    await asyncio.sleep(seconds)
    elapsed, cpu = time.monotonic() - begin, _cpu_s(pid) - cpu
    return {"us_per_tick": round(cpu * 1e6 / (count * elapsed * 50), 3), "core": round(cpu / elapsed, 4)}


def _cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process: the scheduler's nanoseconds where the kernel keeps them, else its clock ticks."""
    with contextlib.suppress(FileNotFoundError):
        return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_kib(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def _raise_file_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextlib.contextmanager
def compiled_floor() -> Iterator[str | None]:
    """Compile floor.c for this run; None where there is no compiler."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/floor"
        source = str(Path(__file__).with_name("floor.c"))
        if compiler is None or subprocess.run([compiler, "-O2", "-o", program, source], check=False).returncode:
            yield None
        else:
            yield program


# --- the report


def _row(name: str, count: int, found: dict[str, float], ratio: str = "") -> str:
    return (
        f"{name:<8}{count:>6}{found['us_per_tick']:>10.2f}{found['core']:>8.3f}{ratio:>8}"
        f"{found['dev_p50_ms']:>9.3f}{found['dev_p99_ms']:>9.3f}{found['dev_max_ms']:>9.2f}{100 * found['delivered']:>10.2f} %"
    )


def run(counts: list[int], seconds: float) -> list[dict[str, Any]]:
    """Measure, print the table, return the figures."""
    results: list[dict[str, Any]] = []
    print(f"{'':<8}{'calls':>6}{'µs/tick':>10}{'cores':>8}{'ratio':>8}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}{'delivered':>12}")
    with compiled_floor() as program:
        for count in counts:
            worker = asyncio.run(measure_worker(count, seconds))
            floor = asyncio.run(measure_floor(program, count, seconds)) if program else None
            ratio = worker["us_per_tick"] / floor["us_per_tick"] if floor else 0.0
            print(_row("worker", count, worker, f"{ratio:.2f}" if floor else "-"))
            if floor:
                print(_row("floor", count, floor), flush=True)
            results.append({"bench": "hold", "legs": count, "worker": worker, "floor": floor, "ratio": round(ratio, 3)})
        if program is None:
            print("no C compiler: the floor was left out")
    print(f"goal: ≤ {GOAL_US} µs, ≤ {GOAL_RATIO} × the floor at 2000 calls, p99 ≤ 2 ms")
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--legs", default="500,2000", help="numbers of callers, with commas")
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--phones", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.phones:
        phones_main(options.phones)
    else:
        _raise_file_limit()
        print(json.dumps(run([int(count) for count in options.legs.split(",")], options.seconds)))


if __name__ == "__main__":
    main()
