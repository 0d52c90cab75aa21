"""``make bench``: run each program of this folder, one after the other, each in a process of its own and bounded in time; then one table of
every figure that has a goal.

A figure is shown as soon as it is there, and what is there is written after each program: one that fails, hangs or is interrupted costs
its own figures and no others. What was not measured has a line that says why. ``--long`` adds the runs of ten minutes and of an hour.

To add figures, add a program to ``PROGRAMS`` and let it ``tell`` (see ``figures``).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import figures, pictures, speed
from bench.figures import Figure

FOLDER = Path(__file__).parent
DEFAULT_FILE = Path("build") / "bench.json"
NEVER = Figure(name="a G.722 caller on hold beside a plain one", goal="≤ 1.2 ×", measured="not measured", method="G.722 is not built yet")


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program of this folder; ``long``: its arguments in a long run, ``long_s`` their time limit."""

    name: str
    limit_s: float
    arguments: tuple[str, ...] = ()
    long: tuple[str, ...] = ()
    long_s: float = 0.0

    def command(self, *, long: bool) -> tuple[list[str], float]:
        """The arguments, and how long it may take."""
        return [self.name, *(self.long if long and self.long else self.arguments)], (self.long_s if long and self.long_s else self.limit_s)


CALLERS = ("--legs", "500,1000,2000,4000")
PROGRAMS = (
    Program(name="held", limit_s=420, long=("--counts", "1000,2000,4000", "--last-s", "600"), long_s=1500),
    Program(name="hold", limit_s=300, arguments=CALLERS, long=(*CALLERS, "--seconds", "20"), long_s=900),
    Program(name="waiting", limit_s=240),
    Program(name="bridge", limit_s=240),
    Program(name="calls", limit_s=300),
    Program(name="turns", limit_s=90),
    Program(name="rest", limit_s=180),
    Program(name="queue_scale", limit_s=120),
    Program(name="handoff", limit_s=180, arguments=("--callers", "100", "--held", "1900")),
    Program(name="churn", limit_s=180, long=("--seconds", "3600"), long_s=3900),
    Program(name="start", limit_s=90),
    Program(name="overload", limit_s=240),
    Program(name="sip_parse", limit_s=60),
)


@dataclass
class Report:
    """What has been measured so far."""

    machine: dict[str, Any]
    command: str
    results: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    lines: list[Figure] = field(default_factory=list)
    took_s: float = 0.0

    def to_plain(self) -> dict[str, Any]:
        return {
            "machine": self.machine, "command": self.command, "took_s": round(self.took_s), "programs": self.results,
            "figures": [line.to_plain() for line in self.lines], "faults": self.faults,
        }  # fmt: skip

    def write(self, path: Path) -> None:
        """Write it, and its pictures beside it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(self.to_plain(), indent=1, ensure_ascii=False) + "\n")
        part.replace(path)
        pictures.write(path.parent / "curves", self.to_plain())


class Run:
    """One program: its lines are shown, its results kept."""

    def __init__(self, arguments: Sequence[str], limit_s: float) -> None:
        self.name = arguments[0]
        self.command = "python -m bench." + " ".join(arguments)
        self.results: list[dict[str, Any]] = []
        self.lines: list[Figure] = []
        self.fault = ""
        self._limit_s = limit_s
        self._over = False
        self._arguments = list(arguments[1:])

    def go(self) -> None:
        """Run it to its end, or to the end of its time."""
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(FOLDER.parent), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        }
        process = subprocess.Popen(
            [sys.executable, "-m", f"bench.{self.name}", *self._arguments],
            stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True,
        )  # fmt: skip
        limit = threading.Timer(self._limit_s, self._stop, (process,))
        limit.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                self._take(line)
            code = process.wait()
        except BaseException:
            _kill(process)
            raise
        finally:
            limit.cancel()
            if process.stdout is not None:
                process.stdout.close()
        if self._over:
            self.fault = f"not done within {self._limit_s:g} s"
        elif code:
            self.fault = f"exit code {code}"

    def _stop(self, process: subprocess.Popen[str]) -> None:
        self._over = True
        _kill(process)

    def _take(self, line: str) -> None:
        results = figures.results_of(line)
        if not results:
            print(line, end="", flush=True)
        self.results += results
        for figure in figures.figures_of(results):
            self.lines.append(replace(figure, command=figure.command or self.command))
            print(f"   {figure.name}: {figure.measured}  {figure.verdict}", flush=True)


def _kill(process: subprocess.Popen[str]) -> None:
    """End the program and everything that it started: it leads a session of its own."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def measure(programs: Sequence[Program], report: Report, path: Path, *, long: bool) -> None:
    """Run them all, whatever becomes of one."""
    begun = time.monotonic()
    for program in programs:
        print(f"\n== {program.name}: {_summary(program.name)}", flush=True)
        run = Run(*program.command(long=long))
        try:
            run.go()
        except KeyboardInterrupt:
            run.fault = "interrupted"
        except OSError as error:
            run.fault = str(error)
        report.results[run.name] = run.results
        report.lines += run.lines
        if run.fault:
            report.faults[run.name] = run.fault
            report.lines.append(Figure(name=f"all else of {run.name}", measured="not measured", method=run.fault, command=run.command))
            print(f"== {run.name} failed: {run.fault}", flush=True)
        report.took_s = time.monotonic() - begun
        report.write(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [program.name for program in PROGRAMS]
    parser.add_argument(
        "programs", nargs="*", default=names, choices=[*names, []], metavar="PROGRAM", help=f"which; all: {', '.join(names)}"
    )
    parser.add_argument("--json", type=Path, default=DEFAULT_FILE, help=f"where the results go (default: {DEFAULT_FILE})")
    parser.add_argument("--long", action="store_true", help="with the runs of ten minutes and of an hour")
    options = parser.parse_args()
    wanted = [program for program in PROGRAMS if program.name in options.programs]
    command = "make bench" + (" BENCH_ARGS=--long" if options.long else "")
    if len(wanted) < len(PROGRAMS):
        command = " ".join(["python -m bench", *options.programs])
    report = Report(speed.machine(), command)
    report.machine["date"] = f"{datetime.now(UTC):%Y-%m-%d}"
    if not speed.is_quiet(report.machine):
        print(f"this machine is busy (load {report.machine['load']:.1f}): what is measured now is worth little", flush=True)
    measure(wanted, report, options.json, long=options.long)
    report.lines.append(NEVER)
    report.write(options.json)
    print(f"\n{figures.table(report.lines)}\n\n{speed.told(report.machine)}\n{report.took_s:.0f} s; all results: {options.json}")
    return 1 if report.faults else 0


def _summary(program: str) -> str:
    return (FOLDER / f"{program}.py").read_text().partition('"""')[2].partition("\n")[0]


if __name__ == "__main__":
    sys.exit(main())
