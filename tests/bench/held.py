"""What a caller on hold costs the whole platform, and how many can be held: CPU and memory of the process tree, audio as it is received.

    PYTHONPATH=tests python -m bench.held [--counts 1000,2000,4000] [--seconds 8] [--repeats 3] [--last-s 0]

``waitline serve`` as in life; callers call a number whose document is ``<Enqueue>``, hear the platform's music, and send 50 packets a
second themselves (``phones.c``), more and more of them. At each number the cost is the CPU time of all processes of the tree, divided by
callers and seconds; every flow is judged at its receiver by the kernel's receive times. Beside it the floor: ``floor.c`` with as many
callers in the same run. ``--last-s``: how long the largest number is held and judged, seconds, in one window.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench import rig
from bench.crowd import Crowd
from bench.figures import Curve, Figure, median, missing, spread, tell
from bench.hold import TICKS_PER_S, measure_floor, middle, raise_file_limit
from bench.programs import Missing, Phones, compiled

NUMBER = "+15550100"
DOCUMENTS = {"/voice": '<Response><Enqueue maxQueueSize="5000">hold</Enqueue></Response>'}
SETTLE_S = 3.0
DIAL_RATE = 100.0
GOAL_MS, GOAL_RATIO, GOAL_KB, GOAL_CALLERS, GOAL_DEV_MS = 0.15, 1.6, 30.0, 4000, 5.0
Found = dict[str, Any]


@dataclass
class Point:
    """What was found at one number of callers."""

    callers: int
    windows: list[Found]
    kib_per_call: float
    dropped: int
    floor_ms: float = 0.0

    @property
    def ms(self) -> float:
        """CPU milliseconds a call-second."""
        return middle(self.windows, "ms")

    @property
    def clean(self) -> bool:
        """Whether every caller was up and heard 50.0 ± 0.5 packets a second, in time."""
        return not self.dropped and all(is_clean(window) for window in self.windows)


def is_clean(window: Found) -> bool:
    """Whether all that talk also heard, at the right rate and in time, in this window."""
    return (
        not window["off_rate"]
        and not window["silent"]
        and window["heard"] == window["talking"]
        and window["dev_p99_ms"] <= GOAL_DEV_MS
        and window["talked"] > 0.95
    )


def window(platform: rig.Platform, crowd: Crowd, ears: Phones, seconds: float) -> Found:
    """Judge what is heard for so long; with the tree's CPU meanwhile, by call-second, ms."""
    callers = max(1, len(crowd.held))
    ears.begin(seconds)
    before, begun = platform.cpu_s(), time.monotonic()
    crowd.serve(seconds)
    took = time.monotonic() - begun
    used = rig.difference(before, platform.cpu_s())
    crowd.serve(0.3)
    per = 1000 / (callers * took)
    return {**ears.heard(), "ms": sum(used.values()) * per, "parts_ms": {part: round(s * per, 4) for part, s in used.items()}}


def measure(counts: Sequence[int], seconds: float, repeats: int, last_s: float) -> list[Point]:
    """Let more and more callers call; returns what was found at each number."""
    points: list[Point] = []
    with compiled("phones") as program, rig.platform(DOCUMENTS) as (platform, tenant):
        platform.number(NUMBER, f"{tenant}/voice")
        ears = Phones(program, max(counts))
        crowd = Crowd(platform.serve.sip, ears)
        try:
            crowd.call(NUMBER, range(20), 20)  # what is loaded once is no caller's memory
            crowd.hang_up()
            before_kib = platform.pss_kib()
            for count in counts:
                crowd.call(NUMBER, range(len(crowd.held), count), DIAL_RATE)
                crowd.serve(SETTLE_S)
                windows = [window(platform, crowd, ears, seconds) for _ in range(repeats)]
                if last_s and count == max(counts):
                    windows = [window(platform, crowd, ears, last_s)]
                kib = (platform.pss_kib() - before_kib) / count
                points.append(Point(count, windows, kib, count - len(crowd.held)))
                print(_row(points[-1]), flush=True)
            crowd.hang_up()
        finally:
            crowd.close()
            ears.close()
    return points


def add_floors(points: Sequence[Point], seconds: float) -> None:
    """Measure what the C program costs at the same numbers."""
    with compiled("phones") as program, compiled("floor") as floor:
        for point in points:
            found = asyncio.run(measure_floor(program, floor, point.callers, seconds, 2))
            point.floor_ms = middle(found, "us_per_tick") * TICKS_PER_S / 1000


def report(points: Sequence[Point], last_s: float) -> None:
    """Tell the figures."""
    for point in points:
        tell("held", [_cost(point)], callers=point.callers, windows=point.windows, ms=point.ms, floor_ms=point.floor_ms, clean=point.clean,
             kib_per_call=point.kib_per_call, dropped=point.dropped)  # fmt: skip
    lines = {"waitline": [(p.callers, p.ms) for p in points], "floor.c": [(p.callers, p.floor_ms) for p in points]}
    curve = Curve(name="hold", title="CPU of the whole tree a call-second, callers on hold", x="callers", y="ms", lines=lines)
    tell("held", [_most(points, last_s), _memory(points)], curve=curve)
    lines = {"p99": [(p.callers, middle(p.windows, "dev_p99_ms")) for p in points]}
    tell("held", [], curve=Curve(name="hold-deviation", title="Deviation from 20 ms, callers on hold", x="callers", y="ms", lines=lines))


def _cost(point: Point) -> Figure:
    ratio = point.ms / point.floor_ms if point.floor_ms else 0.0
    return Figure(
        name=f"hold, {point.callers:,} callers, CPU a call-second",
        goal=f"≤ {GOAL_MS} ms, ≤ {GOAL_RATIO} × the floor" if point.callers <= 2000 else "",
        measured=f"{point.ms:.3f} ms, {ratio:.2f} ×",
        spread=spread([one["ms"] for one in point.windows], "ms", 3),
        floor=f"{point.floor_ms:.3f} ms",
        met=point.ms <= GOAL_MS and ratio <= GOAL_RATIO if point.callers <= 2000 else None,
        method=f"whole process tree; callers send 50 packets/s; {_heard(point)}",
    )


def _heard(point: Point) -> str:
    worst = max(point.windows, key=lambda one: one["dev_p99_ms"])
    rates = f"{min(one['rate_min'] for one in point.windows):.2f}–{max(one['rate_max'] for one in point.windows):.2f} packets/s"
    short = f", phones SHORT OF CPU ({min(one['talked'] for one in point.windows):.0%})" if worst["talked"] < 0.95 else ""
    return f"heard {rates}, deviation p99 {worst['dev_p99_ms']:.2f} ms, {point.dropped} dropped{short}"


def _most(points: Sequence[Point], last_s: float) -> Figure:
    clean = [point for point in points if point.clean]
    most = max(clean, key=lambda point: point.callers) if clean else None
    length = f"{last_s:g} s" if last_s else f"{len(points[-1].windows)} windows; the ten minutes only with --long"
    first_bad = next((point for point in points if not point.clean), None)
    return Figure(
        name="callers held at once, all at 50.0 ± 0.5 packets/s, p99 deviation ≤ 5 ms, none dropped",
        goal=f"≥ {GOAL_CALLERS:,}",
        measured=f"{most.callers:,}" if most else "0",
        met=most is not None and most.callers >= GOAL_CALLERS,
        method=f"{length}" + (f"; at {first_bad.callers:,}: {_heard(first_bad)}" if first_bad else "; more were not tried"),
    )


def _memory(points: Sequence[Point]) -> Figure:
    values = [point.kib_per_call * 1.024 for point in points]
    return Figure(
        name="memory a held call, whole tree",
        goal=f"≤ {GOAL_KB:g} kB",
        measured=f"{median(values):.1f} kB",
        spread=spread(values, "kB", 1),
        met=median(values) <= GOAL_KB,
        method=f"Pss of all processes less that before the calls, at {', '.join(f'{point.callers:,}' for point in points)} callers",
    )


def _row(point: Point) -> str:
    return f"{point.callers:>7,} callers {point.ms:8.3f} ms/call-second {point.kib_per_call:7.1f} KiB  {_heard(point)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", default="500,1000,2000,4000", help="numbers of callers, with commas")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--last-s", type=float, default=0.0, help="hold the largest number for so long")
    options = parser.parse_args()
    raise_file_limit()
    try:
        points = measure([int(count) for count in options.counts.split(",")], options.seconds, options.repeats, options.last_s)
        add_floors(points, min(options.seconds, 5.0))
        report(points, options.last_s)
    except Missing as why:
        tell("held", [missing("hold, CPU a call-second", f"≤ {GOAL_MS} ms", str(why))])
    return 0


if __name__ == "__main__":
    sys.exit(main())
