"""``make bench``: run each program of this folder, one after the other, each in a process of its own and bounded in time; then one table of
every figure that has a goal.

To add figures, add a program to ``PROGRAMS`` and let its last line be JSON (see ``figures``). What a program needs and does not find
(SIPp, a compiler) it says, and leaves its figures out.
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
from pathlib import Path
from typing import Any

from bench import figures, speed

FOLDER = Path(__file__).parent
PROGRAMS = ("hold", "calls", "handoff", "sip_parse", "queue_scale")
LIMIT_S = 120
DEFAULT_FILE = Path("build") / "bench.json"


def run(program: str) -> tuple[list[dict[str, Any]], str]:
    """Run one program, showing what it prints; returns its results, and what went wrong."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(FOLDER.parent), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)}
    process = subprocess.Popen(
        [sys.executable, "-m", f"bench.{program}"], stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    limit = threading.Timer(LIMIT_S, os.killpg, (process.pid, signal.SIGKILL))
    limit.start()
    last = ""
    assert process.stdout is not None
    for line in process.stdout:
        print(last, end="", flush=True)
        last = line
    code = process.wait()
    limit.cancel()
    results = figures.results_of(last)
    if not results:
        print(last, end="", flush=True)
    return results, f"exit code {code}" if code else ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", nargs="*", default=PROGRAMS, metavar="PROGRAM", help=f"which; all: {', '.join(PROGRAMS)}")
    parser.add_argument("--json", type=Path, default=DEFAULT_FILE, help=f"where the results go (default: {DEFAULT_FILE})")
    options = parser.parse_args()
    begun, machine = time.monotonic(), speed.machine()
    results, faults = {}, {}
    for program in options.programs:
        print(f"\n== {program}: {_summary(program)}", flush=True)
        results[program], fault = run(program)
        if fault:
            faults[program] = fault
            print(f"== {program} failed: {fault}", flush=True)
    lines = [line for found in results.values() for line in figures.figures_of(found)]
    report = {"machine": machine, "figures": [line.to_plain() for line in lines], "programs": results, "faults": faults}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report, indent=1) + "\n")
    print(f"\n{figures.table(lines)}\n\n{speed.told(machine)}\n{time.monotonic() - begun:.0f} s; all results: {options.json}")
    return 1 if faults else 0


def _summary(program: str) -> str:
    return (FOLDER / f"{program}.py").read_text().partition('"""')[2].partition("\n")[0]


if __name__ == "__main__":
    sys.exit(main())
