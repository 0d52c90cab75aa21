"""What a caller on hold costs a media worker: CPU per call and 20 ms, both directions, and how well the 20 ms are kept.

    PYTHONPATH=tests python -m bench.hold [--legs 500,2000] [--seconds 6] [--repeats 3]

For each number of callers a media worker plays music to them, each at a place of its own in it, while phones in another process send 50
packets a second to each leg (``phones.c``) and judge what they hear by the kernel's receive times, so that their own scheduling is not in
the figures. The worker's CPU time is what the scheduler charged it (/proc/PID/schedstat). Beside it, in the same run, the floor: the same
work by a C program (``floor.c``) that does nothing else. Then the same with SRTP, beside the plain cost of the same run.

Loopback: a send also pays for the receiver's side. Compare the ratio, and runs on one machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench.figures import Curve, Figure, median, missing, spread, tell
from bench.programs import Missing, Phones, compiled

from waitline.media import srtp
from waitline.media.plane import MediaPlane
from waitline.media.worker_link import MediaWorkers, start_process

MUSIC_FRAMES = 1400
WARM_S = 1.5
TICKS_PER_S = 50
GOAL_US, GOAL_RATIO, GOAL_SRTP = 2.5, 1.6, 3.0
SRTP_LEGS = 500
SUITE, KEY_BYTES = "AES_CM_128_HMAC_SHA1_80", 30
DEVIATION = "at the receiver, kernel time stamps, every flow"
Found = dict[str, Any]


async def measure_worker(program: str, count: int, seconds: float, repeats: int, *, encrypted: bool = False) -> list[Found]:
    """Return what a media worker costs with so many callers on hold, for each repeat."""
    frames = os.memfd_create("frames")
    os.write(frames, np.random.default_rng(1).integers(0, 256, 2 * (MUSIC_FRAMES + 1) * 160, np.uint8).tobytes())
    worker = start_process(0, frames)

    async def spawn(_index: int) -> socket.socket:
        return worker.link

    links = MediaWorkers(spawn, 1, host="127.0.0.1", first_port=0, last_port=0).links
    plane = MediaPlane(links, host="127.0.0.1", random=random.Random(1))
    ears = Phones(program, count)
    try:
        for index, port in enumerate(ears.ports):
            leg = await plane.open_leg()
            if encrypted:
                leg.set_keys(SUITE, index.to_bytes(KEY_BYTES, "big"), bytes(KEY_BYTES))
            leg.set_media(codec="PCMU", payload_type=0, dtmf_payload_type=101, host="127.0.0.1", port=port)
            offset = index * 7 % MUSIC_FRAMES
            leg.play([(1 + offset, MUSIC_FRAMES - offset, 1), (1, MUSIC_FRAMES, 0)])
            leg.start()
            ears.talk([(index, leg.port)])
        found = await _measure(worker.process.pid, ears, count, seconds, repeats)
        [stats] = await plane.worker_stats()
        rss_mib = round(_rss_kib(worker.process.pid) / 1024, 1)
    finally:
        ears.close()
        await plane.close()
        worker.end()
        os.close(frames)
    kept = {name: stats.get(name, 0) for name in ("late_ticks", "skipped_packets", "send_errors")}
    return [{**one, **kept, "rss_mib": rss_mib} for one in found]


async def measure_floor(program: str, floor: str, count: int, seconds: float, repeats: int) -> list[Found]:
    """Return what the C program costs with so many callers on hold, for each repeat."""
    ears = Phones(program, count)
    device = started(floor, (seconds + 0.7) * repeats + WARM_S + 1.5, [count, *ears.ports])
    try:
        ears.talk(list(enumerate(device.ports)))
        return await _measure(device.process.pid, ears, count, seconds, repeats)
    finally:
        device.close()
        ears.close()


@dataclass
class Device:
    """A floor that runs."""

    process: subprocess.Popen[str]
    ports: list[int]

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def started(program: str, seconds: float, numbers: Sequence[int]) -> Device:
    """Start a floor that takes these numbers and answers with its ports."""
    pipe = subprocess.PIPE
    process = subprocess.Popen([program, str(seconds)], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(" ".join(map(str, numbers)) + "\n")
    process.stdin.flush()
    return Device(process, [int(port) for port in process.stdout.readline().split()])


async def _measure(pid: int, ears: Phones, count: int, seconds: float, repeats: int) -> list[Found]:
    """Return CPU microseconds per call and 20 ms, and what was heard, for each repeat."""
    await asyncio.sleep(WARM_S)
    found = []
    for _ in range(repeats):
        ears.begin(seconds)
        begin, cpu = time.monotonic(), cpu_s(pid)
        await asyncio.sleep(seconds)
        elapsed, cpu = time.monotonic() - begin, cpu_s(pid) - cpu
        heard = await asyncio.to_thread(ears.heard)
        cost = {"us_per_tick": round(cpu * 1e6 / (count * elapsed * TICKS_PER_S), 3), "core": round(cpu / elapsed, 4)}
        found.append({**cost, **heard, "delivered": round(heard["packets"] / (count * seconds * TICKS_PER_S), 4)})
    return found


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process: the scheduler's nanoseconds where the kernel keeps them, else its clock ticks."""
    with contextlib.suppress(FileNotFoundError):
        if tasks := list(Path(f"/proc/{pid}/task").glob("*/schedstat")):
            return sum(int(path.read_text().split()[0]) for path in tasks) / 1e9
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_kib(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def raise_file_limit() -> None:
    """Let this process and its children have as many files open as the machine allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextlib.contextmanager
def compiled_floor() -> Iterator[str | None]:
    """Compile floor.c for this run; None where there is no compiler."""
    try:
        with compiled("floor") as program:
            yield program
    except Missing:
        yield None


# --- the report


def middle(found: Sequence[Found], name: str) -> float:
    """The median of the repeats."""
    return median([one[name] for one in found])


def short_of(found: Sequence[Found]) -> str:
    """Say that the load was lighter than meant: the figure is worth little then."""
    share = min(min(one["talked"], one.get("delivered", 1.0)) for one in found)
    return f"; SHORT OF CPU, only {100 * share:.0f} % of the packets" if share < 0.95 else ""


def figures_of(count: int, worker: Sequence[Found], floor: Sequence[Found]) -> list[Figure]:
    """Return the lines of one number of callers."""
    cost, least = middle(worker, "us_per_tick"), middle(floor, "us_per_tick")
    ratio = cost / least
    goal = count >= 2000
    return [
        Figure(
            name=f"media worker: a caller on hold, each 20 ms, {count:,} callers",
            goal=f"≤ {GOAL_US} µs" + (f", ≤ {GOAL_RATIO} × the floor" if goal else ""),
            measured=f"{cost:.2f} µs, {ratio:.2f} ×",
            spread=spread([one["us_per_tick"] for one in worker], "µs"),
            floor=f"{least:.2f} µs",
            met=cost <= GOAL_US and (not goal or ratio <= GOAL_RATIO),
            method="a worker's CPU time; phones send 50 packets/s to each leg; floor.c does the same and nothing else"
            + (short_of(worker) or short_of(floor)),
        ),
        Figure(
            name=f"media worker: deviation from the 20 ms schedule, {count:,} callers",
            goal="p99 ≤ 2 ms",
            measured=f"p50 {middle(worker, 'dev_p50_ms'):.2f}, p99 {middle(worker, 'dev_p99_ms'):.2f} ms",
            spread=spread([one["dev_p99_ms"] for one in worker], "ms (p99)"),
            floor=f"p99 {middle(floor, 'dev_p99_ms'):.2f} ms",
            met=middle(worker, "dev_p99_ms") <= 2,
            method=DEVIATION,
        ),
    ]


def run(counts: Sequence[int], seconds: float, repeats: int) -> dict[int, float]:
    """Measure, print the table, tell the figures; returns the ratios to the floor."""
    print(f"{'':<8}{'calls':>6}{'µs/tick':>10}{'cores':>8}{'p50 ms':>9}{'p99 ms':>9}{'delivered':>12}", flush=True)
    lines: dict[str, list[tuple[float, float]]] = {"media worker": [], "floor.c": []}
    ratios = {}
    with compiled("phones") as program, compiled("floor") as floor_program:
        for count in counts:
            worker = asyncio.run(measure_worker(program, count, seconds, repeats))
            print(_row("worker", count, worker), flush=True)
            floor = asyncio.run(measure_floor(program, floor_program, count, seconds, repeats))
            print(_row("floor", count, floor), flush=True)
            lines["media worker"].append((count, middle(worker, "us_per_tick")))
            lines["floor.c"].append((count, middle(floor, "us_per_tick")))
            ratios[count] = middle(worker, "us_per_tick") / middle(floor, "us_per_tick")
            tell("hold", figures_of(count, worker, floor), legs=count, worker=worker, floor=floor, ratio=round(ratios[count], 3))
    curve = Curve(name="hold-worker", title="A caller on hold, each 20 ms, in a media worker", x="callers", y="µs", lines=lines)
    tell("hold", [], curve=curve)
    return ratios


def run_encrypted(count: int, seconds: float, repeats: int) -> None:
    """SRTP beside plain RTP, one after the other."""
    name, goal = "an SRTP caller on hold beside a plain one, media worker", f"≤ {GOAL_SRTP:g} ×"
    if not srtp.available():
        return tell("srtp", [missing(name, goal, "the extra srtp is not installed")])
    with compiled("phones") as program:
        plain = asyncio.run(measure_worker(program, count, seconds, repeats))
        sealed = asyncio.run(measure_worker(program, count, seconds, repeats, encrypted=True))
    print(_row("plain", count, plain) + "\n" + _row("SRTP", count, sealed), flush=True)
    ratio = middle(sealed, "us_per_tick") / middle(plain, "us_per_tick")
    figure = Figure(
        name=name,
        goal=goal,
        measured=f"{ratio:.2f} × ({middle(sealed, 'us_per_tick'):.2f} µs)",
        spread=spread([one["us_per_tick"] for one in sealed], "µs"),
        met=ratio <= GOAL_SRTP,
        method=f"{count} callers, {SUITE}; what these phones send is not encrypted, and refused" + short_of(sealed),
    )
    return tell("srtp", [figure], legs=count, plain=plain, sealed=sealed, ratio=round(ratio, 3))


def _row(name: str, count: int, found: Sequence[Found]) -> str:
    return (
        f"{name:<8}{count:>6}{middle(found, 'us_per_tick'):>10.2f}{middle(found, 'core'):>8.3f}"
        f"{middle(found, 'dev_p50_ms'):>9.3f}{middle(found, 'dev_p99_ms'):>9.3f}{100 * middle(found, 'delivered'):>10.2f} %"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--legs", default="500,2000", help="numbers of callers, with commas")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    raise_file_limit()
    try:
        run([int(count) for count in options.legs.split(",")], options.seconds, options.repeats)
        run_encrypted(SRTP_LEGS, options.seconds, options.repeats)
    except Missing as why:
        tell("hold", [missing("media worker: a caller on hold, each 20 ms", f"≤ {GOAL_US} µs", str(why))])
    return 0


if __name__ == "__main__":
    sys.exit(main())
