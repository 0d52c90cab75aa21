"""What a queue operation costs with 100,000 members seated (goal: 50 µs each).

PYTHONPATH=tests python -m bench.queue_scale [members,members…]
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Callable, Iterable
from itertools import count

from bench.figures import Curve, Figure, tell

from waitline.bridge.events import LeaveReason, ReleaseReason
from waitline.bridge.queues.authority import QueueAuthority
from waitline.bridge.sids import AccountSid, CallSid, QueueSid
from waitline.clock import SystemClock

QUEUE = QueueSid("QU" + "0" * 32)
ACCOUNT = AccountSid("AC" + "0" * 32)


GOAL_US = 50.0
SINGLE = ("join", "position", "claim and release", "claim and confirm", "leave")
"""What has the goal: a page is many members at once."""


def measure(name: str, operation: Callable[[CallSid], object], calls: Iterable[CallSid]) -> tuple[str, float]:
    """Print and return what one operation takes, µs."""
    calls = list(calls)
    start = time.perf_counter()
    for call in calls:
        operation(call)
    return told(name, start, len(calls))


def told(name: str, start: float, turns: int) -> tuple[str, float]:
    taken_us = (time.perf_counter() - start) / turns * 1e6
    print(f"{name:<22} {taken_us:7.2f} µs  ({turns:,} times)")
    return name, round(taken_us, 2)


async def run(members: int) -> dict[str, float]:
    """Measure all; returns µs by operation."""
    sequence, claims = count(1), count(1)
    authority = QueueAuthority(
        clock=SystemClock(), next_sequence=lambda _: next(sequence), new_claim=lambda: f"c{next(claims)}",
        log=lambda _: None, notify=lambda _: None,
    )  # fmt: skip
    calls = [CallSid(f"CA{number:032x}") for number in range(members)]
    sample = calls[:: max(1, members // 10_000)]
    found = [
        measure("join", lambda call: authority.join(QUEUE, call, account=ACCOUNT, max_size=members), calls),
        measure("position", authority.position, sample),
        measure("average and size", lambda _: authority.snapshot(QUEUE), sample),
        measure("page of 50", lambda _: authority.snapshot(QUEUE, limit=50), sample),
    ]
    start, turns = time.perf_counter(), len(sample)
    for _ in range(turns):
        claim = await authority.claim(QUEUE, by=CallSid("CAagent"))
        authority.release(claim.id, ReleaseReason.AGENT_GONE)
    found.append(told("claim and release", start, turns))
    start = time.perf_counter()
    for _ in range(turns):
        authority.confirm((await authority.claim(QUEUE, by=CallSid("CAagent"))).id)
    found.append(told("claim and confirm", start, turns))
    found.append(measure("leave", lambda call: authority.leave(call, LeaveReason.HANGUP), calls))
    return dict(found)


def main(sizes: list[int]) -> None:
    lines: dict[str, list[tuple[float, float]]] = {name: [] for name in SINGLE}
    found: dict[str, float] = {}
    for members in sizes:
        print(f"{members:,} members")
        found = asyncio.run(run(members))
        for name in SINGLE:
            lines[name].append((members, found[name]))
        tell("queue_scale", [], members=members, us=found)
    name, slowest_us = max(((name, found[name]) for name in SINGLE), key=lambda item: item[1])
    grown = max(lines[name][-1][1] / lines[name][0][1] for name in SINGLE)
    figure = Figure(
        name=f"the slowest operation of a queue of {sizes[-1]:,}",
        goal=f"≤ {GOAL_US:g} µs",
        measured=f"{slowest_us:.1f} µs ({name})",
        met=slowest_us <= GOAL_US,
        method=f"in one process, mean; at most {grown:.1f} × what it is with {sizes[0]:,} members (log n: "
        f"{math.log(sizes[-1]) / math.log(sizes[0]):.1f} ×)",
    )
    curve = Curve(name="queue", title="One operation of a queue", x="members", y="µs", lines=lines)
    tell("queue_scale", [figure], curve=curve)


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1].split(",")] if len(sys.argv) > 1 else [1_000, 10_000, 30_000, 100_000])
