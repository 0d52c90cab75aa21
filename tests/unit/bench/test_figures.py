"""The table of ``make bench``."""

from __future__ import annotations

import json

import pytest
from bench import hold
from bench.figures import Figure, figures_of, markdown, results_of, table
from bench.readme import BEGIN, END, README, with_figures

MISSED = Figure(name="a call", goal="≤ 1 ms", measured="2 ms", met=False, method="SIPp")


def test_a_missed_goal_stays_in_the_table() -> None:
    assert [line.split() for line in table([MISSED]).splitlines()] == [
        ["figure", "goal", "measured", "verdict", "method"],
        ["a", "call", "≤", "1", "ms", "2", "ms", "MISSED", "SIPp"],
    ]


def test_a_line_of_json_holds_figures_and_a_line_for_people_does_not() -> None:
    result = {"bench": "calls", "rate": 50, "figures": [MISSED.to_plain()]}
    assert figures_of(results_of(json.dumps(result) + "\n")) == [MISSED]
    assert figures_of(results_of(json.dumps([result, result]) + "\n")) == [MISSED, MISSED]
    assert not any(results_of(line) for line in ("a table\n", "\n", '{"event": "a log line"}\n', "[half of\n"))


def test_a_hold_figure_says_when_the_phones_were_short_of_cpu() -> None:
    heard = {"us_per_tick": 2.0, "dev_p50_ms": 0.1, "dev_p99_ms": 1.0, "dev_max_ms": 3.0, "delivered": 1.0}
    cost, _ = hold.figures_of(2000, [heard | {"talked": 0.4}], [heard | {"talked": 1.0, "us_per_tick": 1.5}])
    assert cost.method.endswith("SHORT OF CPU, only 40 % of the packets")
    assert cost.measured == "2.00 µs, 1.33 ×"
    assert cost.met


def test_the_readme_takes_new_figures_in_the_place_of_old_ones() -> None:
    first = with_figures(README.read_text(), markdown([MISSED, MISSED]))
    second = with_figures(first, markdown([MISSED]))
    assert second.count("| a call | ≤ 1 ms | 2 ms | MISSED |") == 1
    assert with_figures(second, "") == with_figures(README.read_text(), "")
    assert README.read_text().partition(BEGIN)[2].partition(END)[1], "there is a place for figures"


def test_a_readme_without_a_place_for_figures_is_left_alone() -> None:
    with pytest.raises(ValueError, match="figures"):
        with_figures("# Waitline\n", "| |")
