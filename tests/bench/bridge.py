"""What a bridged pair costs the whole platform, beside a relay in C that does nothing else.

    PYTHONPATH=tests python -m bench.bridge [--pairs 100,400] [--seconds 6] [--repeats 3]

Callers wait in a queue, as many agents call a number whose document is ``<Dial><Queue>`` and get one each; all of them send 50 packets a
second (``phones.c``). The cost is the CPU time of the whole process tree, divided by pairs and seconds: four streams of 50 packets. The
floor is ``relay.c`` with as many pairs in the same run.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any

from bench import rig
from bench.crowd import Crowd
from bench.figures import Curve, Figure, missing, spread, tell
from bench.held import window
from bench.hold import cpu_s, middle, raise_file_limit, started
from bench.programs import Missing, Phones, compiled

CALLERS, AGENTS = "+15550100", "+15550199"
DOCUMENTS = {
    "/caller": '<Response><Enqueue maxQueueSize="5000">support</Enqueue></Response>',
    "/agent": "<Response><Dial><Queue>support</Queue></Dial></Response>",
}
SETTLE_S, WARM_S = 3.0, 1.0
DIAL_RATE = 50.0
GOAL_MS = 0.40
Found = dict[str, Any]


def measure(program: str, platform: rig.Platform, pairs: int, seconds: float, repeats: int) -> list[Found]:
    """Return what so many pairs cost, for each repeat."""
    ears = Phones(program, 2 * pairs)
    crowd = Crowd(platform.serve.sip, ears, tag=f"pair{pairs}")
    try:
        crowd.call(CALLERS, range(pairs), DIAL_RATE)
        crowd.call(AGENTS, range(pairs, 2 * pairs), DIAL_RATE)
        crowd.serve(SETTLE_S)
        found = [window(platform, crowd, ears, seconds) for _ in range(repeats)]
        up = len(crowd.held)
        crowd.hang_up()
    finally:
        crowd.close()
        ears.close()
    return [{**one, "ms": one["ms"] * up / max(1, pairs), "up": up, "pairs": pairs} for one in found]


def measure_floor(program: str, relay: str, pairs: int, seconds: float, repeats: int) -> list[Found]:
    """Return what the C program costs for so many pairs, for each repeat."""
    ears = Phones(program, 2 * pairs)
    device = started(relay, (seconds + 0.7) * repeats + WARM_S + 5, [pairs, *ears.ports])
    found = []
    try:
        ears.talk(list(enumerate(device.ports)))
        time.sleep(WARM_S)
        for _ in range(repeats):
            ears.begin(seconds)
            begun, before = time.monotonic(), cpu_s(device.process.pid)
            time.sleep(seconds)
            used, took = cpu_s(device.process.pid) - before, time.monotonic() - begun
            found.append({**ears.heard(), "ms": 1000 * used / (took * pairs)})
    finally:
        device.close()
        ears.close()
    return found


def figure(pairs: int, found: Sequence[Found], floor: Sequence[Found]) -> Figure:
    """The line of one number of pairs."""
    cost, least = middle(found, "ms"), middle(floor, "ms")
    one = found[-1]
    missing_flows = 2 * pairs - min(window["heard"] for window in found)
    return Figure(
        name=f"bridge, {pairs:,} pairs, CPU a pair-second",
        goal=f"≤ {GOAL_MS} ms",
        measured=f"{cost:.3f} ms, {cost / least:.2f} ×",
        spread=spread([window["ms"] for window in found], "ms", 3),
        floor=f"{least:.3f} ms (relay.c)",
        met=cost <= GOAL_MS and not missing_flows,
        method=f"whole process tree, both sides talk; {one['off_rate']} of {2 * pairs} flows off 50.0 ± 0.5/s, {missing_flows} silent, "
        f"deviation p99 {middle(found, 'dev_p99_ms'):.2f} ms",
    )


def run(pairs: Sequence[int], seconds: float, repeats: int) -> None:
    """Measure and tell."""
    lines: dict[str, list[tuple[float, float]]] = {"waitline": [], "relay.c": []}
    with compiled("phones") as program, compiled("relay") as relay, rig.platform(DOCUMENTS) as (platform, tenant):
        platform.number(CALLERS, f"{tenant}/caller")
        platform.number(AGENTS, f"{tenant}/agent")
        for count in pairs:
            found = measure(program, platform, count, seconds, repeats)
            floor = measure_floor(program, relay, count, min(seconds, 4.0), 2)
            tell("bridge", [figure(count, found, floor)], pairs=count, windows=found, floor=floor, ms=middle(found, "ms"))
            lines["waitline"].append((count, middle(found, "ms")))
            lines["relay.c"].append((count, middle(floor, "ms")))
    curve = Curve(name="bridge", title="CPU of the whole tree a pair-second, bridged pairs", x="pairs", y="ms", lines=lines)
    tell("bridge", [], curve=curve)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", default="50,100,200,400", help="numbers of pairs, with commas")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    raise_file_limit()
    try:
        run([int(count) for count in options.pairs.split(",")], options.seconds, options.repeats)
    except Missing as why:
        tell("bridge", [missing("bridge, CPU a pair-second", f"≤ {GOAL_MS} ms", str(why))])
    return 0


if __name__ == "__main__":
    sys.exit(main())
