"""What becomes of held calls, and of new ones, at twice the rate of calls that the platform can serve.

    PYTHONPATH=tests python -m bench.overload [--held 500] [--seconds 10]

Callers are on hold and talk (``phones.c``). SIPp makes short calls at rising rates until one is not clean: what is served a second then
is the capacity, with these callers held. Then for some seconds twice that. New calls must be served, or refused with 503 and Retry-After,
and not fail in another way; callers on hold must hear what they heard before.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import rig
from bench.calls import DOCUMENT, WARM_CALLS, WARM_RATE, drive
from bench.crowd import Crowd
from bench.figures import Figure, missing, tell
from bench.held import DIAL_RATE, SETTLE_S, is_clean, window
from bench.hold import raise_file_limit
from bench.programs import Missing, Phones, phones

NUMBER, HOLD = "+15550100", "+15550101"
DOCUMENTS = {"/voice": DOCUMENT, "/hold": '<Response><Enqueue maxQueueSize="5000">hold</Enqueue></Response>'}
SCENARIO = Path(__file__).with_name("overload-call.xml")
RATES = (50, 100, 200, 300, 400, 600, 800, 1000, 1300)
STEP_S = 4.0
NAME, GOAL = "overload: twice the capacity of new calls", "503 with Retry-After before held calls suffer"


def offer(platform: rig.Platform, rate: int, seconds: float) -> dict[str, Any]:
    """Let SIPp call at a rate; returns what became of the calls."""
    with tempfile.TemporaryDirectory() as folder:
        found = drive(platform, round(rate * seconds), rate, Path(folder), SCENARIO)
    print(f"{rate:>6} calls/s: {_told(found)}", flush=True)
    return {"rate": rate, **found}


def _told(found: dict[str, Any]) -> str:
    served, refused = found.get("served", 0), found.get("refused", 0)
    return f"{served} served, {refused} refused, {found['failures']} failed, {found['retransmissions']} messages said twice"


def capacity(platform: rig.Platform, rates: Sequence[int]) -> int:
    """Return how many calls a second are served at most: at the first rate that is not clean, or the last one."""
    served = 0.0
    for rate in rates:
        found = offer(platform, rate, STEP_S)
        served = max(served, found["served"] / found["took_s"])
        if found["failures"] or found["retransmissions"] or found["refused"]:
            break
    return max(1, round(served))


def at_rate(platform: rig.Platform, crowd: Crowd, ears: Phones, rate: int, seconds: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Offer calls at a rate; returns what became of them, and what the callers on hold heard meanwhile."""
    offered: dict[str, Any] = {}
    caller = threading.Thread(target=lambda: offered.update(offer(platform, rate, seconds)))
    caller.start()
    heard = window(platform, crowd, ears, seconds)
    while caller.is_alive():
        crowd.serve(0.2)
    return offered, heard


def figure(clean: int, offered: dict[str, Any], before: dict[str, Any], heard: dict[str, Any], held: int, dropped: int) -> Figure:
    """The line of the common table."""
    well = is_clean(heard) and not dropped
    return Figure(
        name=NAME,
        goal=GOAL,
        measured=f"{_told(offered)}; held calls: {dropped} dropped, {heard['off_rate']} off rate, p99 {heard['dev_p99_ms']:.2f} ms "
        f"({before['dev_p99_ms']:.2f} before)",
        met=well and offered["failures"] == 0 and offered.get("refused", 0) > 0,
        method=f"{held} callers on hold; capacity {clean} calls/s, offered {offered['rate']} calls/s",
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--held", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rates", default=",".join(map(str, RATES)), help="that are tried for the capacity")
    options = parser.parse_args()
    raise_file_limit()
    if shutil.which("sipp") is None:
        tell("overload", [missing(NAME, GOAL, "SIPp is not installed (Debian: sip-tester)")])
        return 0
    try:
        run(options.held, options.seconds, [int(rate) for rate in options.rates.split(",")])
    except Missing as why:
        tell("overload", [missing(NAME, GOAL, str(why))])
    return 0


def run(held: int, seconds: float, rates: Sequence[int]) -> None:
    """Measure and tell."""
    with phones(held) as ears, rig.platform(DOCUMENTS) as (platform, tenant):
        platform.number(NUMBER, f"{tenant}/voice")
        platform.number(HOLD, f"{tenant}/hold")
        crowd = Crowd(platform.serve.sip, ears)
        try:
            with tempfile.TemporaryDirectory() as folder:
                drive(platform, WARM_CALLS, WARM_RATE, Path(folder), SCENARIO)
            crowd.call(HOLD, range(held), DIAL_RATE)
            crowd.serve(SETTLE_S)
            clean = capacity(platform, rates)
            before = window(platform, crowd, ears, 4.0)
            offered, heard = at_rate(platform, crowd, ears, 2 * clean, seconds)
            line = figure(clean, offered, before, heard, held, held - len(crowd.held))
            log = [text for text in platform.serve.log.text().splitlines() if "overloaded" in text]
            tell("overload", [line], capacity=clean, offered=offered, before=before, heard=heard, log=log[:5])
            crowd.hang_up()
        finally:
            crowd.close()


if __name__ == "__main__":
    sys.exit(main())
