"""The common table of ``make bench``: one line a figure, with its goal, what was measured, whether that is met, and the method.

A goal that is missed stays in the table. A program of this folder prints what it likes; if its last line is JSON, a list of objects, those
are its results, and the ``figures`` of each are lines of the table.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line; ``met`` is None where no goal is set."""

    name: str
    goal: str = ""
    measured: str
    met: bool | None = None
    method: str

    def to_plain(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def verdict(self) -> str:
        return {True: "met", False: "MISSED", None: ""}[self.met]


def results_of(output: str) -> list[dict[str, Any]]:
    """Return a program's results; none where its last line is no JSON."""
    try:
        results = json.loads(output.rstrip().rpartition("\n")[2])
    except ValueError:
        return []
    return [result for result in results if isinstance(result, dict)] if isinstance(results, list) else []


def figures_of(results: Iterable[dict[str, Any]]) -> list[Figure]:
    """Return the lines of these results."""
    return [line for result in results for line in (hold(result) if result.get("bench") == "hold" else _given(result))]


def _given(result: dict[str, Any]) -> list[Figure]:
    return [Figure(**plain) for plain in result.get("figures", [])]


def hold(result: dict[str, Any]) -> list[Figure]:
    """Return the lines of one number of callers on hold."""
    worker, legs = result["worker"], result["legs"]
    method = "a media worker's CPU time; phones in another process send 50 packets/s to each leg" + _short_of(worker)
    cost = Figure(
        name=f"a caller on hold, each 20 ms, {legs} callers",
        goal="≤ 2.5 µs",
        measured=f"{worker['us_per_tick']:.2f} µs",
        met=worker["us_per_tick"] <= 2.5,
        method=method,
    )
    beside = Figure(
        name=f"the same beside the C floor, {legs} callers",
        goal="≤ 1.6 ×" if legs >= 2000 else "",
        measured=f"{result['ratio']:.2f} ×" if result["floor"] else "left out: no C compiler",
        met=result["ratio"] <= 1.6 if legs >= 2000 and result["floor"] else None,
        method="floor.c does the same and nothing else, in the same run" + _short_of(result["floor"] or {}),
    )
    deviation = Figure(
        name=f"deviation from the 20 ms schedule, {legs} callers",
        goal="p99 ≤ 2 ms",
        measured=f"p50 {worker['dev_p50_ms']:.2f}, p99 {worker['dev_p99_ms']:.2f}, max {worker['dev_max_ms']:.1f} ms",
        met=worker["dev_p99_ms"] <= 2,
        method="at the receiver, kernel time stamps, a sample of 100 flows",
    )
    return [cost, beside, deviation]


def _short_of(found: dict[str, float]) -> str:
    """Say that the load was lighter than meant: the figure is worth little then."""
    share = min(found.get("talked", 1.0), found.get("delivered", 1.0))
    return f"; SHORT OF CPU, only {100 * share:.0f} % of the packets" if share < 0.95 else ""


def table(figures: list[Figure]) -> str:
    """Return the table as text."""
    rows = [("figure", "goal", "measured", "verdict", "method"), *((f.name, f.goal, f.measured, f.verdict, f.method) for f in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]) for row in rows)


def markdown(figures: list[Figure]) -> str:
    """Return the table as Markdown, for a reader: without the methods."""
    rows = [("figure", "goal", "measured", ""), ("---",) * 4, *((f.name, f.goal, f.measured, f.verdict) for f in figures)]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows)
