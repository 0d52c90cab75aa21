"""What a queue operation costs with 100,000 members seated (goal: 50 µs each).

python tests/bench/queue_scale.py [members]
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterable
from itertools import count

from waitline.bridge.events import LeaveReason, ReleaseReason
from waitline.bridge.queues.authority import QueueAuthority
from waitline.bridge.sids import AccountSid, CallSid, QueueSid
from waitline.clock import SystemClock

QUEUE = QueueSid("QU" + "0" * 32)
ACCOUNT = AccountSid("AC" + "0" * 32)


def measure(name: str, operation: Callable[[CallSid], object], calls: Iterable[CallSid]) -> None:
    calls = list(calls)
    start = time.perf_counter()
    for call in calls:
        operation(call)
    print(f"{name:<22} {(time.perf_counter() - start) / len(calls) * 1e6:7.2f} µs  ({len(calls):,} times)")


async def main(members: int) -> None:
    sequence, claims = count(1), count(1)
    authority = QueueAuthority(
        clock=SystemClock(), next_sequence=lambda _: next(sequence), new_claim=lambda: f"c{next(claims)}",
        log=lambda _: None, notify=lambda _: None,
    )  # fmt: skip
    calls = [CallSid(f"CA{number:032x}") for number in range(members)]
    sample = calls[:: max(1, members // 10_000)]
    measure("join", lambda call: authority.join(QUEUE, call, account=ACCOUNT, max_size=members), calls)
    measure("position", authority.position, sample)
    measure("average and size", lambda _: authority.snapshot(QUEUE), sample)
    measure("page of 50", lambda _: authority.snapshot(QUEUE, limit=50), sample)
    start, turns = time.perf_counter(), len(sample)
    for _ in range(turns):
        claim = await authority.claim(QUEUE, by=CallSid("CAagent"))
        authority.release(claim.id, ReleaseReason.AGENT_GONE)
    print(f"{'claim and release':<22} {(time.perf_counter() - start) / turns * 1e6:7.2f} µs  ({turns:,} times)")
    start = time.perf_counter()
    for _ in range(turns):
        authority.confirm((await authority.claim(QUEUE, by=CallSid("CAagent"))).id)
    print(f"{'claim and confirm':<22} {(time.perf_counter() - start) / turns * 1e6:7.2f} µs  ({turns:,} times)")
    measure("leave", lambda call: authority.leave(call, LeaveReason.HANGUP), calls)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
