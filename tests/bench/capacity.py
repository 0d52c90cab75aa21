"""A small model: how many calls how much machine carries, and what gives out first, from what ``make bench`` measured.

    PYTHONPATH=tests python -m bench.capacity [--json build/bench.json] [--cores 8] [--calls 100000]

A held call costs CPU in a media worker all the time (``ms`` a call-second) and memory; a new call costs control CPU once, and control is
one process on one core. So a machine of ``cores`` cores has one for control and the kernel's interrupts at the least, and the others for
media. Each is planned to ``FULL``: a core that is busier is late. Beside it the bounds that are not CPU: a call needs a socket, two where
RTCP has a port of its own, of one address; files that a process may have open; packets and bits of the network card. What needs least
machine is what gives out first. Nodes do not share anything here, so ``n`` of them carry ``n`` times as much.

What was not measured has no number here, and the document says so.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FULL = 0.7
"""Of a core, at the busiest."""
MEAN_CALL_S = 180.0
"""How long a call is held, for the new calls a second that go with so many held ones."""
PACKETS_PER_S = 100
"""Of a held call, both directions."""
ETHERNET_BYTES = 172 + 8 + 20 + 14 + 4 + 20
"""RTP, UDP, IPv4, Ethernet with its check sum, preamble and gap"""
PORTS = 16384
"""Of WAITLINE_RTP_PORTS as it is shipped; an address has some 64,000"""
PORTS_A_CALL = 2
FILES = 1 << 20
"""Open files of a process, as Linux commonly bounds them"""
NIC_PACKETS_PER_S = 1_000_000
"""Each way, of a common card and one queue a core; an assumption, not measured here"""
NIC_BITS_PER_S = 1e9
MACHINES = ((2, 4), (4, 8), (8, 16), (16, 32), (32, 64))
"""(cores, GB)"""
CALLS = (1_000, 10_000, 100_000, 1_000_000)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What the model takes from a run."""

    hold_ms: float
    """CPU a call-second"""
    bridge_ms: float | None
    """CPU a pair-second"""
    setup_ms: float | None
    """CPU a short call"""
    setup_rate: float | None
    """Clean calls a second"""
    call_kb: float
    source: str

    @classmethod
    def of(cls, report: dict[str, Any]) -> Measured | None:
        """Take it from a report; None where holding was not measured."""
        held = [one for one in _results(report, "held") if "kib_per_call" in one and one["clean"]]
        if not held:
            return None
        most = max(held, key=lambda one: one["callers"])
        bridge = [one for one in _results(report, "bridge") if "ms" in one]
        calls = _results(report, "calls")
        rates = [one["clean_rate"] for one in calls if one.get("clean_rate")]
        costs = [one["ms"] for one in calls if "ms" in one]
        return cls(
            hold_ms=most["ms"],
            bridge_ms=max(bridge, key=lambda one: one["pairs"])["ms"] if bridge else None,
            setup_ms=costs[0] if costs else None,
            setup_rate=max(rates) if rates else None,
            call_kb=most["kib_per_call"] * 1.024,
            source=f"{most['callers']:,} callers held",
        )


def _results(report: dict[str, Any], program: str) -> list[dict[str, Any]]:
    return list(report["programs"].get(program, []))


@dataclass(frozen=True, kw_only=True)
class Bound:
    """One thing that gives out, and at how many held calls."""

    what: str
    calls: float


def bounds(measured: Measured, *, cores: int, memory_gb: float, addresses: int = 1) -> list[Bound]:
    """Return what bounds a machine, the first that gives out first."""
    media_cores = max(1, cores - 1) if cores > 1 else 0.5
    found = [
        Bound(what="CPU of the media workers", calls=media_cores * FULL * 1000 / measured.hold_ms),
        Bound(what="RTP ports as shipped", calls=addresses * PORTS / PORTS_A_CALL),
        Bound(what="RTP ports of an address, all set free", calls=addresses * 64_000 / PORTS_A_CALL),
        Bound(what="open files of a media worker", calls=max(1.0, media_cores) * FILES / PORTS_A_CALL),
        Bound(what="memory, half of it for calls", calls=memory_gb * 1e6 / 2 / measured.call_kb),
        Bound(what="packets of the network card", calls=NIC_PACKETS_PER_S / (PACKETS_PER_S / 2)),
        Bound(what="1 Gbit/s each way", calls=NIC_BITS_PER_S / (8 * ETHERNET_BYTES * PACKETS_PER_S / 2)),
    ]
    if measured.setup_rate:
        rate = Bound(what=f"new calls through control, {MEAN_CALL_S:g} s each", calls=FULL * measured.setup_rate * MEAN_CALL_S)
        found.append(rate)
    return sorted(found, key=lambda bound: bound.calls)


def carried(measured: Measured, *, cores: int, memory_gb: float) -> Bound:
    """Return what a machine carries with all its ports set free, and what bounds it."""
    return next(bound for bound in bounds(measured, cores=cores, memory_gb=memory_gb) if "as shipped" not in bound.what)


def nodes(measured: Measured, calls: int, *, cores: int, memory_gb: float) -> int:
    """How many such machines carry so many held calls."""
    return math.ceil(calls / carried(measured, cores=cores, memory_gb=memory_gb).calls)


HEAD = """# Capacity

Written by `make bench-docs` from the results of `{command}`, {date}, by the model in `tests/bench/capacity.py`, which says what it assumes.
Do not edit: run it again. `PYTHONPATH=tests python -m bench.capacity --cores 8 --memory 16 --calls 100000` answers for another machine.
"""
NOT_MEASURED = """
That run did not measure what a held call costs (or none was clean), so there is nothing to say here.
"""


def document(report: dict[str, Any]) -> str:
    """Return docs/capacity.md."""
    head = HEAD.format(command=report["command"], date=report["machine"].get("date", "without a date"))
    measured = Measured.of(report)
    return head + (NOT_MEASURED if measured is None else "".join(f"\n{part}\n" for part in _parts(measured)))


def _parts(measured: Measured) -> Iterable[str]:
    yield "## What was measured"
    yield _table(("what", "measured"), _taken(measured))
    yield (
        f"Planned to {FULL:.0%} of a core. The CPU of a held call includes that of its receiver's side, since callers and platform were "
        "one machine: with callers elsewhere it is less."
    )
    yield "## What a machine carries"
    machines = [(cores, memory, carried(measured, cores=cores, memory_gb=memory)) for cores, memory in MACHINES]
    yield _table(
        ("cores", "memory", "held calls", "what gives out first"),
        [(f"{cores}", f"{memory} GB", f"{_round(bound.calls):,}", bound.what) for cores, memory, bound in machines],
    )
    yield "Held calls grow with the media workers, one a core beside control's; pairs cost " + (
        f"{measured.bridge_ms / measured.hold_ms:.1f} times a held call." if measured.bridge_ms else "what was not measured."
    )
    yield "## What gives out, in order (8 cores, 16 GB)"
    yield _table(("what", "at held calls"), [(bound.what, f"{_round(bound.calls):,}") for bound in bounds(measured, cores=8, memory_gb=16)])
    yield "## How many machines"
    yield _table(
        ("held calls", *(f"{cores} cores, {memory} GB" for cores, memory in MACHINES)),
        [(f"{calls:,}", *(f"{nodes(measured, calls, cores=c, memory_gb=m):,}" for c, m in MACHINES)) for calls in CALLS],
    )
    yield (
        "Nodes share nothing: each has its queues, its database and its numbers; a trunk spreads calls over them. One queue over nodes is "
        "not built."
    )


def _taken(measured: Measured) -> list[tuple[str, str]]:
    def told(value: float | None, unit: str) -> str:
        return "not measured" if value is None else f"{value:.3g} {unit}"

    return [
        (f"a held call ({measured.source})", f"{told(measured.hold_ms, 'ms CPU a second')}, {measured.call_kb:.1f} kB"),
        ("a bridged pair", told(measured.bridge_ms, "ms CPU a second")),
        ("a short call with the webhook", told(measured.setup_ms, "ms CPU")),
        ("clean set-up rate of one control", told(measured.setup_rate, "calls/s")),
    ]


def _round(calls: float) -> int:
    """Two digits: the model is no better."""
    return int(float(f"{calls:.2g}"))


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [tuple(head), *(tuple(row) for row in rows)]
    lines.insert(1, ("---",) * len(lines[0]))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path("build") / "bench.json")
    parser.add_argument("--cores", type=int, default=8)
    parser.add_argument("--memory", type=float, default=16.0, help="GB")
    parser.add_argument("--calls", type=int, default=100_000)
    options = parser.parse_args()
    measured = Measured.of(json.loads(options.json.read_text())) if options.json.exists() else None
    if measured is None:
        sys.stderr.write(f"{options.json} does not say what a held call costs: run make bench first\n")
        return 1
    for bound in bounds(measured, cores=options.cores, memory_gb=options.memory):
        print(f"{_round(bound.calls):>12,}  {bound.what}")
    count = nodes(measured, options.calls, cores=options.cores, memory_gb=options.memory)
    print(f"{options.calls:,} held calls: {count:,} machines of {options.cores} cores and {options.memory:g} GB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
