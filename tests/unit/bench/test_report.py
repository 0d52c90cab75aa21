"""``make bench`` when things go wrong, what is drawn and written from its results, and the model behind docs/capacity.md."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from bench import __main__ as harness
from bench import capacity, document, pictures, profile, quick
from bench.figures import Curve, Figure
from bench.programs import Missing

MACHINE = {"cores": 2, "kernel": "Linux 6", "python": "3.11.2", "load": 0.1, "pace_ms": 5.0, "date": "2026-01-02"}
CURVE = Curve(
    name="hold", title="CPU < floor & more", x="callers", y="ms", lines={"us": [(1000, 0.12), (4000, 0.11)], "floor": [(1000, 0.07)]}
)
HELD = {"bench": "held", "callers": 4000, "ms": 0.1, "kib_per_call": 20.0, "clean": True, "figures": [], "curve": CURVE.to_plain()}


def report(**programs: list[dict[str, object]]) -> dict[str, object]:
    missed = Figure(name="hold", goal="≤ 0.15 ms", measured="0.2 ms", met=False, method="tree", command="python -m bench.held")
    return {
        "machine": MACHINE, "command": "make bench", "took_s": 1800, "programs": programs, "figures": [missed.to_plain()],
        "faults": {"calls": "exit code 1"},
    }  # fmt: skip


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Programs of a bench: one that tells a figure, one that tells one and fails."""
    package = tmp_path / "bench"
    package.mkdir()
    line = json.dumps({"bench": "x", "figures": [Figure(name="one", measured="1", method="").to_plain()]})
    (package / "good.py").write_text(f'"""Good."""\nprint({line!r})\n')
    (package / "bad.py").write_text(f'"""Bad."""\nprint({line!r}, flush=True)\nraise SystemExit(3)\n')
    (package / "slow.py").write_text('"""Slow."""\nimport threading\nthreading.Event().wait()\n')
    monkeypatch.setattr(harness, "FOLDER", package)


def test_a_program_that_fails_or_hangs_costs_its_own_figures_only(programs: None, tmp_path: Path) -> None:
    found = harness.Report(MACHINE, "make bench")
    wanted = [harness.Program(name=name, limit_s=limit) for name, limit in (("bad", 60.0), ("slow", 0.3), ("good", 60.0))]
    harness.measure(wanted, found, tmp_path / "bench.json", long=False)
    written = json.loads((tmp_path / "bench.json").read_text())
    assert [line["name"] for line in written["figures"]] == ["one", "all else of bad", "all else of slow", "one"]
    assert written["faults"] == {"bad": "exit code 3", "slow": "not done within 0.3 s"}


def test_every_program_of_the_bench_is_there_and_says_what_it_measures() -> None:
    for program in harness.PROGRAMS:
        assert harness._summary(program.name).endswith((".", ":", "``."))
    assert sum(program.limit_s for program in harness.PROGRAMS) <= 45 * 60


def test_a_picture_is_well_formed_and_has_every_point() -> None:
    tree = ElementTree.fromstring(pictures.svg(CURVE.to_plain()))
    assert len(tree.findall("{*}circle")) == 3
    assert len(tree.findall("{*}polyline")) == 2


@pytest.mark.parametrize(("value", "round_up"), [(0, 1), (0.11, 0.2), (0.003, 0.005), (1, 1), (4000, 5000), (10_000, 10_000), (23.1, 25)])
def test_an_axis_ends_at_a_round_number(value: float, round_up: float) -> None:
    assert pictures.nice(value) == pytest.approx(round_up)


def test_the_document_keeps_what_was_missed_and_what_failed_and_says_that_nothing_was_profiled() -> None:
    text = document.performance(report(held=[HELD]), [])
    assert "| hold | ≤ 0.15 ms | 0.2 ms | MISSED | tree | `python -m bench.held` |" in text
    assert "- `calls`: exit code 1" in text
    assert "](performance/hold.svg)" in text
    assert "None were taken" in text


def test_a_profile_sums_functions_over_their_lines() -> None:
    stacks = "run (a/b/worker.py:10);send (b/bank.py:3) 30\nrun (a/b/worker.py:12);send (b/bank.py:4) 10\nrun (a/b/worker.py:12) 10\n"
    samples, functions = profile.summed(stacks)
    assert samples == 50
    assert functions[0] == {"function": "b/bank.py send", "own": 80.0, "total": 80.0}
    assert functions[1] == {"function": "b/worker.py run", "own": 20.0, "total": 100.0}


def test_the_model_reproduces_its_own_document_from_the_measured_cost() -> None:
    measured = capacity.Measured.of(report(held=[HELD]))
    assert measured is not None
    bound = capacity.carried(measured, cores=2, memory_gb=4)
    assert bound.what == "CPU of the media workers"
    assert bound.calls == pytest.approx(7000)
    assert capacity.nodes(measured, 1_000_000, cores=2, memory_gb=4) == 143
    text = capacity.document(report(held=[HELD]))
    assert "| 2 | 4 GB | 7,000 | CPU of the media workers |" in text
    assert "not measured" in text, "what a pair costs was not"


def test_without_a_clean_measure_the_model_says_nothing() -> None:
    text = capacity.document(report(held=[{**HELD, "clean": False}]))
    assert "nothing to say" in text


def test_more_cores_never_carry_fewer_calls() -> None:
    measured = capacity.Measured.of(report(held=[HELD]))
    assert measured is not None
    carried = [capacity.carried(measured, cores=cores, memory_gb=64).calls for cores in (1, 2, 4, 8, 16)]
    assert carried == sorted(carried)


def test_a_ratio_a_quarter_over_the_committed_one_is_a_warning_and_less_is_none() -> None:
    committed = {"hold": 1.4, "pairs": 2.0}
    assert not quick.compare({"hold": 1.74, "pairs": 1.0, "new": 9.0}, committed)
    assert quick.compare({"hold": 1.8}, committed) == ["hold: 1.80, committed 1.40 (+29%)"]


def test_a_machine_without_a_compiler_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    from bench.programs import compiled

    with pytest.raises(Missing, match="no C compiler"), compiled("floor"):
        pass
