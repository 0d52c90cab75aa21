"""The table of ``make bench``."""

from __future__ import annotations

import json

import pytest
from bench.figures import Figure, figures_of, markdown, results_of, table
from bench.readme import BEGIN, END, README, with_figures

MISSED = Figure(name="a call", goal="≤ 1 ms", measured="2 ms", met=False, method="SIPp")


def test_a_missed_goal_stays_in_the_table() -> None:
    assert [line.split() for line in table([MISSED]).splitlines()] == [
        ["figure", "goal", "measured", "verdict", "method"],
        ["a", "call", "≤", "1", "ms", "2", "ms", "MISSED", "SIPp"],
    ]


def test_a_programs_figures_are_in_its_last_line_and_nothing_else_is() -> None:
    results = [{"bench": "calls", "rate": 50, "figures": [MISSED.to_plain()]}]
    assert figures_of(results_of("a table\n" + json.dumps(results) + "\n")) == [MISSED]
    assert results_of("a table\nno more than that\n") == []


def test_a_hold_figure_says_when_the_phones_were_short_of_cpu() -> None:
    heard = {"us_per_tick": 2.0, "dev_p50_ms": 0.1, "dev_p99_ms": 1.0, "dev_max_ms": 3.0, "delivered": 1.0}
    cost, beside, _ = figures_of(
        [{"bench": "hold", "legs": 2000, "ratio": 1.5, "worker": heard | {"talked": 0.4}, "floor": heard | {"talked": 1.0}}]
    )
    assert cost.method.endswith("SHORT OF CPU, only 40 % of the packets")
    assert "SHORT" not in beside.method
    assert beside.met


def test_the_readme_takes_new_figures_in_the_place_of_old_ones() -> None:
    first = with_figures(README.read_text(), markdown([MISSED, MISSED]))
    second = with_figures(first, markdown([MISSED]))
    assert second.count("| a call | ≤ 1 ms | 2 ms | MISSED |") == 1
    assert with_figures(second, "") == with_figures(README.read_text(), "")
    assert README.read_text().partition(BEGIN)[2].partition(END)[1], "there is a place for figures"


def test_a_readme_without_a_place_for_figures_is_left_alone() -> None:
    with pytest.raises(ValueError, match="figures"):
        with_figures("# Waitline\n", "| |")
