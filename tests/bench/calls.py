"""What setting up a call costs, with the tenant asked by webhook: CPU of the whole process tree, and how many go through clean.

    PYTHONPATH=tests python -m bench.calls [--rates 100,200,400,600,800,1000] [--seconds 8] [--repeats 3]

``waitline serve`` as in life (a supervisor, control, workers; SQLite in a folder; its log read by nobody but us), a tenant in a process of
its own that answers ``<Response><Hangup/></Response>`` over kept-alive connections, and SIPp as the callers, at a fixed rate. So a call is
INVITE, 100, durable rows, a media leg, 180, the webhook, 200, ACK, BYE, 200, and what the log of calls and webhooks keeps of it. The cost
is the CPU time of all processes of the tree between the first INVITE and the last BYE, divided by the calls; the tenant's and SIPp's are
not in it. Some calls before are not counted: they open connections and load what is loaded once.

The first rate is repeated, for the spread of the cost; then the rates rise until one is not clean twice: a call that fails, or a message
that SIPp had to send again.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import rig, speed
from bench.figures import Curve, Figure, median, missing, spread, tell
from harness.ports import free_block
from harness.processes import end

NUMBER = "+15550100"
DOCUMENT = "<Response><Hangup/></Response>"
SCENARIO = Path(__file__).with_name("short-call.xml")
WARM_CALLS, WARM_RATE = 100, 50
GOAL_MS, GOAL_RATE = 0.8, 600
CONSTANT = (
    "a call answered by a constant document",
    "≤ 0.4 ms, ≥ 1,500 calls/s clean",
    "there is no constant document yet: every call asks by webhook",
)


def drive(platform: rig.Platform, calls: int, rate: int, folder: Path, scenario: Path = SCENARIO) -> dict[str, Any]:
    """Let SIPp make the calls; returns its counts and the tree's CPU meanwhile."""
    host, port = platform.serve.sip
    limit_s = calls / rate + 20
    own = free_block(4)
    command = [
        "sipp", f"{host}:{port}", "-sf", str(scenario), "-s", NUMBER, "-i", "127.0.0.1", "-p", str(own), "-mi", "127.0.0.1",
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
    counted = {name: row[f"{name}(C)"] for name in ("refused", "served") if f"{name}(C)" in row}  # of a scenario that counts them
    return {**{name: int(row[column]) for name, column in names.items()}, **{name: int(value) for name, value in counted.items()}}


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


def run(rates: list[int], seconds: float, repeats: int) -> None:
    """Measure, print the table, tell the figures."""
    print(f"{'calls/s':>8}{'calls':>7}{'failed':>8}{'again':>7}{'ms/call':>9}{'/ pace':>8}{'200 p50':>9}{'p99 ms':>8}   ms by part")
    with rig.platform({"/voice": DOCUMENT}) as (platform, tenant):
        platform.number(NUMBER, f"{tenant}/voice")
        with tempfile.TemporaryDirectory() as folder:
            drive(platform, WARM_CALLS, WARM_RATE, Path(folder))
        first = [_measured(platform, rates[0], seconds) for _ in range(repeats)]
        tell("calls", [cost(first, seconds)], rates=first, ms=median([found["ms_per_call"] for found in first]))
        clean, steps = [found for found in first if is_clean(found)][:1], first[:1]
        for rate in rates[1:]:
            tries = [_measured(platform, rate, seconds)]
            if not is_clean(tries[0]):
                tries.append(_measured(platform, rate, seconds))
            steps += tries
            clean += [found for found in tries if is_clean(found)]
            if not any(map(is_clean, tries)):
                break
    tell("calls", [clean_rate(clean, steps, seconds)], steps=steps, clean_rate=max((found["rate"] for found in clean), default=0))
    lines = {"cost": [(found["rate"], found["ms_per_call"]) for found in steps]}
    tell(
        "calls",
        [missing(*CONSTANT)],
        curve=Curve(name="calls", title="CPU of the whole tree a short call", x="calls/s", y="ms", lines=lines),
    )


def _measured(platform: rig.Platform, rate: int, seconds: float) -> dict[str, Any]:
    found = measure(platform, rate, seconds)
    print(_row(found), flush=True)
    return found


def is_clean(found: dict[str, Any]) -> bool:
    """Whether every call went through, and nothing had to be said twice."""
    return found["calls"] > 0 and not found["failures"] and not found["retransmissions"]


def cost(found: list[dict[str, Any]], seconds: float) -> Figure:
    """The line of what a call costs."""
    values = [one["ms_per_call"] for one in found]
    unclean = sum(one["failures"] + one["retransmissions"] for one in found)
    return Figure(
        name=f"short call with the voice webhook, CPU a call, at {found[0]['rate']} calls/s",
        goal=f"≤ {GOAL_MS} ms",
        measured=f"{median(values):.2f} ms" + (f", {unclean} failed or said twice" if unclean else ""),
        spread=spread(values, "ms"),
        met=median(values) <= GOAL_MS and not unclean,
        method=f"CPU of the whole process tree, INVITE → webhook → answer → BYE; SIPp, {len(found)} × {seconds:g} s",
    )


def clean_rate(clean: list[dict[str, Any]], steps: list[dict[str, Any]], seconds: float) -> Figure:
    """The line of how many go through."""
    most = max(clean, key=lambda found: found["rate"]) if clean else None
    last = steps[-1]
    after = (
        "more were not tried"
        if is_clean(last)
        else (f"at {last['rate']}: {last['failures']} of {last['failures'] + last['calls']} failed, {last['retransmissions']} said twice")
    )
    answered = f", answered in p50 {most.get('answer_p50_ms', 0):.0f}, p99 {most.get('answer_p99_ms', 0):.0f} ms" if most else ""
    return Figure(
        name="clean set-up rate with the voice webhook",
        goal=f"≥ {GOAL_RATE} calls/s",
        measured=f"{most['rate'] if most else 0} calls/s{answered}",
        met=most is not None and most["rate"] >= GOAL_RATE,
        method=f"none fails, no message is sent again; SIPp, {seconds:g} s each; {after}",
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
    parser.add_argument("--rates", default="100,150,200,300,400,500,600,800,1000", help="calls a second, rising, with commas")
    parser.add_argument("--seconds", type=float, default=8.0, help="for each rate")
    parser.add_argument("--repeats", type=int, default=3, help="of the first rate")
    options = parser.parse_args()
    if shutil.which("sipp") is None:
        tell("calls", [missing("short call with the voice webhook", f"≤ {GOAL_MS} ms", "SIPp is not installed (Debian: sip-tester)")])
        return 0
    run([int(rate) for rate in options.rates.split(",")], options.seconds, options.repeats)
    return 0


if __name__ == "__main__":
    sys.exit(main())
