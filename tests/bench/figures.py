"""The common table of ``make bench``: one line a figure, with its goal, what was measured, its floor, whether the goal is met, the method.

A goal that is missed stays in the table, and so does a figure that was not measured, with the reason. A program of this folder prints what
it likes; a line that is a JSON object with ``bench``, or a list of such objects, is results (``tell`` prints one), the ``figures`` of each
are lines of the table and its ``curve`` is a picture.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
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
    floor: str = ""
    """What the same machine needs at least, by a small C program of the same run"""
    spread: str = ""
    """From the least to the most of the repeats"""
    command: str = ""
    """What makes this figure; filled in by ``make bench``"""

    def to_plain(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def verdict(self) -> str:
        return {True: "met", False: "MISSED", None: ""}[self.met]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A picture: how a cost grows. ``lines``: name → points (x, y)."""

    name: str
    title: str
    x: str
    y: str
    lines: Mapping[str, Sequence[tuple[float, float]]]

    def to_plain(self) -> dict[str, Any]:
        return asdict(self)


def tell(bench: str, figures: Iterable[Figure], *, curve: Curve | None = None, **facts: Any) -> None:
    """Print a result now, so that it stays if the program fails later."""
    drawn = {"curve": curve.to_plain()} if curve else {}
    print(json.dumps({"bench": bench, **facts, "figures": [one.to_plain() for one in figures], **drawn}), flush=True)


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def spread(values: Sequence[float], unit: str, digits: int = 2) -> str:
    """The least and the most of the repeats; nothing where there was one."""
    return f"{min(values):.{digits}f}–{max(values):.{digits}f} {unit}" if len(values) > 1 else ""


def missing(name: str, goal: str, why: str) -> Figure:
    """The line of a figure that was not measured."""
    return Figure(name=name, goal=goal, measured="not measured", method=why)


def results_of(line: str) -> list[dict[str, Any]]:
    """Return the results that a line of a program's output holds; none where it is a line for people."""
    if not line.startswith(("{", "[")):
        return []
    try:
        results = json.loads(line)
    except ValueError:
        return []
    return [result for result in (results if isinstance(results, list) else [results]) if isinstance(result, dict) and "bench" in result]


def figures_of(results: Iterable[dict[str, Any]]) -> list[Figure]:
    """Return the lines of these results."""
    return [Figure(**plain) for result in results for plain in result.get("figures", [])]


_HEAD = ("figure", "goal", "measured", "spread", "floor", "verdict", "method", "command")
_OPTIONAL = {"spread", "floor", "command"}
"""Columns that are left out where no line has anything in them"""


def _rows(figures: Iterable[Figure], without: Iterable[str]) -> list[list[str]]:
    """The head and the lines, by cells."""
    rows = [[f.name, f.goal, f.measured, f.spread, f.floor, f.verdict, f.method, f.command] for f in figures]
    kept = [at for at, name in enumerate(_HEAD) if name not in without and (name not in _OPTIONAL or any(row[at] for row in rows))]
    return [[row[at] for at in kept] for row in [list(_HEAD), *rows]]


def table(figures: Iterable[Figure]) -> str:
    """Return the table as text."""
    rows = _rows(figures, {"command"})
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return "\n".join("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows)


def markdown(figures: Iterable[Figure], *, methods: bool = False) -> str:
    """Return the table as Markdown, for a reader; ``methods``: with how each was measured, and by which command."""
    head, *rows = _rows(figures, () if methods else {"method", "command"})
    head = ["" if name == "verdict" else name for name in head]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in lines)
