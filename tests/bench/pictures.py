"""Pictures of growth: how a cost grows with callers, members or queues, as SVG, one file a curve.

A few lines, circles at what was measured, both axes from zero, so that a straight line through the corner is a cost that does not grow.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 40, 50
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#8c564b")
TICKS = 5


def curves_of(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the curves of a run; one that was measured again counts by its last."""
    found = [result["curve"] for results in report["programs"].values() for result in results if result.get("curve")]
    return list({curve["name"]: curve for curve in found}.values())


def write(folder: Path, report: dict[str, Any]) -> list[Path]:
    """Write one picture a curve; returns their files."""
    made = []
    for curve in curves_of(report):
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{curve['name']}.svg"
        path.write_text(svg(curve))
        made.append(path)
    return made


def svg(curve: dict[str, Any]) -> str:
    """Return the picture of a curve."""
    points = [point for line in curve["lines"].values() for point in line]
    right, top = nice(max((x for x, _ in points), default=1)), nice(max((y for _, y in points), default=1))
    style = 'font-family="sans-serif" font-size="12"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {style}>',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
            f'<text x="{WIDTH / 2}" y="20" text-anchor="middle" font-size="14">{escape(curve["title"])}</text>',
            *_axes(curve, right, top),
            *_lines(curve["lines"], right, top),
            "</svg>\n",
        ]
    )


def nice(value: float) -> float:
    """Return the next round number from ``value`` up: 1, 2, 2.5 or 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** (len(f"{int(value)}") - 1) if value >= 1 else 10.0 ** -next(n for n in range(1, 20) if value * 10**n >= 1)
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= value * 0.999)


def _x(value: float, right: float) -> float:
    return round(LEFT + value / right * (WIDTH - LEFT - RIGHT), 1)


def _y(value: float, top: float) -> float:
    return round(HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM), 1)


def _axes(curve: dict[str, Any], right: float, top: float) -> Iterator[str]:
    for step in range(TICKS + 1):
        x, y = right * step / TICKS, top * step / TICKS
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{_y(y, top)}" y2="{_y(y, top)}" stroke="#ddd"/>'
        yield f'<text x="{LEFT - 6}" y="{_y(y, top) + 4}" text-anchor="end">{y:,.4g}</text>'
        yield f'<text x="{_x(x, right)}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{x:,.6g}</text>'
    yield f'<text x="{WIDTH / 2}" y="{HEIGHT - 12}" text-anchor="middle">{escape(curve["x"])}</text>'
    middle = (TOP + HEIGHT - BOTTOM) / 2
    yield f'<text x="16" y="{middle}" text-anchor="middle" transform="rotate(-90 16 {middle})">{escape(curve["y"])}</text>'


def _lines(lines: dict[str, list[tuple[float, float]]], right: float, top: float) -> Iterator[str]:
    for number, (name, points) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        at = [(_x(x, right), _y(y, top)) for x, y in sorted(map(tuple, points))]
        path = " ".join(f"{x},{y}" for x, y in at)
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
        yield from (f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in at)
        yield f'<text x="{LEFT + 10}" y="{TOP + 14 + 16 * number}" fill="{colour}">{escape(name)}</text>'
