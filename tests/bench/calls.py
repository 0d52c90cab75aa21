"""What setting up a call costs, with the tenant asked by webhook: CPU of the whole process tree, and how many go through clean.

    PYTHONPATH=tests python -m bench.calls [--rates 50,150] [--seconds 15]

``waitline serve`` as in life (a supervisor, control, workers; SQLite in a folder; its log read by nobody but us), a tenant in a process of
its own that answers ``<Response><Hangup/></Response>`` over kept-alive connections, and SIPp as the callers, at a fixed rate. So a call is
INVITE, 100, durable rows, a media leg, 180, the webhook, 200, ACK, BYE, 200, and what the log of calls and webhooks keeps of it. The cost
is the CPU time of all processes of the tree between the first INVITE and the last BYE, divided by the calls; the tenant's and SIPp's are
not in it. Some calls before are not counted: they open connections and load what is loaded once.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import rig, speed
from bench.figures import Figure
from harness.ports import free_block
from harness.processes import end

NUMBER = "+15550100"
DOCUMENT = "<Response><Hangup/></Response>"
SCENARIO = Path(__file__).with_name("short-call.xml")
WARM_CALLS, WARM_RATE = 100, 50
GOAL_MS = 1.0


def drive(platform: rig.Platform, calls: int, rate: int, folder: Path) -> dict[str, Any]:
    """Let SIPp make the calls; returns its counts and the tree's CPU meanwhile."""
    host, port = platform.serve.sip
    limit_s = calls / rate + 20
    own = free_block(4)
    command = [
        "sipp", f"{host}:{port}", "-sf", str(SCENARIO), "-s", NUMBER, "-i", "127.0.0.1", "-p", str(own), "-mi", "127.0.0.1",
        "-mp", str(own + 2), "-m", str(calls), "-r", str(rate), "-l", str(10 * rate), "-nostdin", "-timeout", f"{limit_s:g}",
        "-trace_stat", "-fd", "1", "-stf", str(folder / "stat.csv"), "-trace_rtt", "-rtt_freq", "100",
    ]  # fmt: skip
    before, begun = platform.cpu_s(), time.monotonic()
    process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(limit_s + 10)
    finally:
        end(process)
    used, took_s = rig.difference(before, platform.cpu_s()), time.monotonic() - begun
    return {**_counts(folder / "stat.csv"), **_answer_times(folder), "cpu_s": used, "took_s": round(took_s, 2)}


def _counts(path: Path) -> dict[str, int]:
    with path.open() as file:
        row = list(csv.DictReader(file, delimiter=";"))[-1]
    names = {"calls": "SuccessfulCall(C)", "failures": "FailedCall(C)", "retransmissions": "Retransmissions(C)"}
    return {name: int(row[column]) for name, column in names.items()}


def _answer_times(folder: Path) -> dict[str, float]:
    """Return how long callers waited for their 200, ms; SIPp looks at its clock every few ms only."""
    times: list[float] = []
    for path in folder.glob("*rtt*.csv"):
        with path.open() as file:
            times += [float(row[1]) for row in csv.reader(file, delimiter=";") if len(row) > 1 and row[0][:1].isdigit()]
    times.sort()
    return {f"answer_p{share}_ms": round(times[len(times) * share // 100], 1) for share in (50, 99)} if times else {}


def measure(platform: rig.Platform, rate: int, seconds: float) -> dict[str, Any]:
    """Return the figures of one rate."""
    pace_before = speed.pace()
    with tempfile.TemporaryDirectory() as folder:
        found = drive(platform, round(rate * seconds), rate, Path(folder))
    pace_ms = round((pace_before + speed.pace()) / 2, 2)
    calls = max(1, found["calls"])
    cpu = found.pop("cpu_s")
    parts = {part: round(1000 * used / calls, 3) for part, used in cpu.items()}
    return {
        "bench": "calls",
        "rate": rate,
        **found,
        "ms_per_call": round(1000 * sum(cpu.values()) / calls, 3),
        "parts_ms": parts,
        "pace_ms": pace_ms,
    }


def run(rates: list[int], seconds: float) -> list[dict[str, Any]]:
    """Measure, print the table, return the figures."""
    results = []
    print(f"{'calls/s':>8}{'calls':>7}{'failed':>8}{'again':>7}{'ms/call':>9}{'/ pace':>8}{'200 p50':>9}{'p99 ms':>8}   ms by part")
    with rig.platform({"/voice": DOCUMENT}) as (platform, tenant):
        platform.number(NUMBER, f"{tenant}/voice")
        with tempfile.TemporaryDirectory() as folder:
            drive(platform, WARM_CALLS, WARM_RATE, Path(folder))
        for rate in rates:
            found = measure(platform, rate, seconds)
            results.append({**found, "figures": [figure(found, seconds).to_plain()]})
            print(_row(found), flush=True)
    print(f"goal: ≤ {GOAL_MS} ms a call")
    return results


def figure(found: dict[str, Any], seconds: float) -> Figure:
    """The line of the common table."""
    clean = not found["failures"] and not found["retransmissions"]
    unclean = f", {found['failures']} failed, {found['retransmissions']} sent again"
    return Figure(
        name=f"call set-up with the voice webhook, {found['rate']} calls/s",
        goal=f"≤ {GOAL_MS} ms, none fails",
        measured=f"{found['ms_per_call']:.2f} ms" + ("" if clean else unclean),
        met=found["ms_per_call"] <= GOAL_MS and clean,
        method=f"CPU of the whole process tree a call, INVITE to BYE; SIPp, {seconds:g} s",
    )


def _row(found: dict[str, Any]) -> str:
    parts = ", ".join(f"{part} {ms:.2f}" for part, ms in sorted(found["parts_ms"].items(), key=lambda item: -item[1]))
    return (
        f"{found['rate']:>8}{found['calls']:>7}{found['failures']:>8}{found['retransmissions']:>7}"
        f"{found['ms_per_call']:>9.3f}{found['ms_per_call'] / found['pace_ms']:>8.4f}"
        f"{found.get('answer_p50_ms', 0):>9.1f}{found.get('answer_p99_ms', 0):>8.1f}   {parts}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", default="50,150", help="calls a second, with commas")
    parser.add_argument("--seconds", type=float, default=15.0, help="for each rate")
    options = parser.parse_args()
    if shutil.which("sipp") is None:
        missing = Figure(
            name="call set-up with the voice webhook", measured="left out", method="SIPp is not installed (Debian: sip-tester)"
        )
        print(json.dumps([{"bench": "calls", "figures": [missing.to_plain()]}]))
        return 0
    print(json.dumps(run([int(rate) for rate in options.rates.split(",")], options.seconds)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
