"""How many webhook turns a second: documents that are asked for, read and run, one after the other, by calls that are up.

    PYTHONPATH=tests python -m bench.turns [--callers 50] [--seconds 5] [--repeats 3]

Each caller's document is ``<Redirect>`` to itself, so that every turn is a signed request over a kept-alive connection, the document's
parsing, and what is kept of both. The tenant is a process of its own and counts them; the CPU is that of the platform's tree.
"""

from __future__ import annotations

import argparse
import sys
import time

from bench import rig
from bench.crowd import Crowd
from bench.figures import Figure, median, missing, spread, tell
from bench.programs import Missing, phones
from bench.waiting import requests

NUMBER = "+15550100"
DOCUMENTS = {
    "/voice": "<Response><Pause length='1'/><Redirect>/turn</Redirect></Response>",
    "/turn": "<Response><Redirect>/turn</Redirect></Response>",
}
GOAL = 2000
WARM_S = 2.0


def measure(callers: int, seconds: float, repeats: int) -> list[dict[str, float]]:
    """Return turns a second and CPU a turn (ms), for each repeat."""
    found = []
    with phones(callers) as ears, rig.platform(DOCUMENTS, WAITLINE_ACCOUNT_WEBHOOKS="0") as (platform, tenant):
        platform.number(NUMBER, f"{tenant}/voice")
        crowd = Crowd(platform.serve.sip, ears)
        try:
            crowd.call(NUMBER, range(callers), rate=50)
            crowd.serve(WARM_S)
            for _ in range(repeats):
                asked, before, begun = requests(tenant), platform.total_cpu_s(), time.monotonic()
                crowd.serve(seconds)
                turns, took = requests(tenant) - asked - 1, time.monotonic() - begun
                found.append({"per_s": turns / took, "ms": 1000 * (platform.total_cpu_s() - before) / max(1, turns)})
            crowd.hang_up()
        finally:
            crowd.close()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--callers", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    name, goal = "webhook turns", f"≥ {GOAL:,}/s"
    try:
        found = measure(options.callers, options.seconds, options.repeats)
    except Missing as why:
        tell("turns", [missing(name, goal, str(why))])
        return 0
    rates = [one["per_s"] for one in found]
    figure = Figure(
        name=name,
        goal=goal,
        measured=f"{median(rates):,.0f}/s, {median([one['ms'] for one in found]):.2f} ms CPU each",
        spread=spread(rates, "/s", 0),
        met=median(rates) >= GOAL,
        method=f"{options.callers} calls, each redirected without end; CPU of the whole tree; the tenant counts",
    )
    tell("turns", [figure], found=found, per_s=median(rates))
    return 0


if __name__ == "__main__":
    sys.exit(main())
