"""Whether memory grows while calls come and go, ten a second.

    PYTHONPATH=tests python -m bench.churn [--rate 10] [--seconds 60]

Calls are those of ``calls`` (SIPp: INVITE → webhook → answer → BYE). The memory of the whole tree (Pss) is read all the time; the growth is
the slope of a straight line through the second half of what was read, so that what is loaded and kept once does not count as growth.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from bench import rig
from bench.calls import DOCUMENT, NUMBER, WARM_CALLS, WARM_RATE, drive
from bench.figures import Curve, Figure, missing, tell

EACH_S = 1.0
BOUND_KB_PER_H = 5000.0
NAME, GOAL = "memory growth under churn, 10 calls a second", "none over an hour"


class Watch:
    """Reads the memory of a tree all the time, in a thread of its own."""

    def __init__(self, platform: rig.Platform) -> None:
        self.read: list[tuple[float, float]] = []
        """(seconds, kB)"""
        self._platform = platform
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        begun = time.monotonic()
        while not self._over.wait(EACH_S):
            self.read.append((time.monotonic() - begun, self._platform.pss_kib() * 1.024))


def growth_kb_per_h(read: list[tuple[float, float]]) -> float:
    """The slope of the second half."""
    late = np.array(read[len(read) // 2 :])
    return float(np.polyfit(late[:, 0], late[:, 1], 1)[0] * 3600)


def figure(read: list[tuple[float, float]], calls: int, seconds: float) -> Figure:
    """The line of the common table; a minute is too short to judge an hour."""
    grown, long = growth_kb_per_h(read), seconds >= 3600
    return Figure(
        name=NAME,
        goal=GOAL,
        measured=f"{read[0][1] / 1000:.1f} MB → {read[-1][1] / 1000:.1f} MB; {grown:+,.0f} kB an hour in the second half",
        met=grown <= BOUND_KB_PER_H if long else None,
        method=f"{calls:,} calls in {seconds:,.0f} s; Pss of the whole tree; met: within {BOUND_KB_PER_H:,.0f} kB"
        + ("" if long else "; the hour only with --long"),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=90.0)
    options = parser.parse_args()
    if shutil.which("sipp") is None:
        tell("churn", [missing(NAME, GOAL, "SIPp is not installed (Debian: sip-tester)")])
        return 0
    with rig.platform({"/voice": DOCUMENT}) as (platform, tenant), tempfile.TemporaryDirectory() as folder:
        platform.number(NUMBER, f"{tenant}/voice")
        drive(platform, WARM_CALLS, WARM_RATE, Path(folder))
        with Watch(platform) as watch, tempfile.TemporaryDirectory() as own:
            found = drive(platform, round(options.rate * options.seconds), options.rate, Path(own))
    points = watch.read[:: max(1, len(watch.read) // 200)]
    curve = Curve(name="churn", title="Memory of the whole tree, 10 calls a second", x="s", y="kB", lines={"Pss": points})
    tell("churn", [figure(watch.read, found["calls"], options.seconds)], found=found, curve=curve)
    return 0


if __name__ == "__main__":
    sys.exit(main())
