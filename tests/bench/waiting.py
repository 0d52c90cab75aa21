"""Callers on hold with a wait document of their own, fetched again every ten seconds: how many, what they cost, what they hear.

    PYTHONPATH=tests python -m bench.waiting [--counts 500,1000,2000] [--seconds 20]

As ``held``, but the ``<Enqueue>`` names a wait document, ``<Play>`` of a clip of ten seconds that is in the cache after the first time. It
ends, and is asked for again by each caller for itself. Speech apart: how many seconds of speech a clip worker makes in a second.
"""

from __future__ import annotations

import argparse
import sys
import time
import urllib.request
from collections.abc import Sequence

from bench import rig
from bench.crowd import Crowd
from bench.figures import Curve, Figure, missing, tell
from bench.held import DIAL_RATE, SETTLE_S, Found, is_clean, window
from bench.hold import raise_file_limit
from bench.programs import Missing, Phones, compiled

from waitline.media.speech import available

NUMBER = "+15550100"
DOCUMENTS = {
    "/voice": '<Response><Enqueue maxQueueSize="5000" waitUrl="/wait">hold</Enqueue></Response>',
    "/wait": "<Response><Play>/clip</Play></Response>",
    "/clip": "wav:10",
}
GOAL = 2000
TEXT = (
    "You are caller number {} in the queue. Your call is important to us, please stay on the line, and somebody will be with you shortly."
)


def measure(counts: Sequence[int], seconds: float) -> list[Found]:
    """Let more and more callers call; returns what was found at each number."""
    points = []
    with compiled("phones") as program, rig.platform(DOCUMENTS) as (platform, tenant):
        platform.number(NUMBER, f"{tenant}/voice")
        ears = Phones(program, max(counts))
        crowd = Crowd(platform.serve.sip, ears)
        try:
            for count in counts:
                crowd.call(NUMBER, range(len(crowd.held), count), DIAL_RATE)
                crowd.serve(SETTLE_S)
                asked = requests(tenant)
                found = window(platform, crowd, ears, seconds)
                fetched = (requests(tenant) - asked) / (seconds + 0.3)
                points.append({**found, "callers": count, "fetched_per_s": fetched, "dropped": count - len(crowd.held)})
                print(_row(points[-1]), flush=True)
            crowd.hang_up()
        finally:
            crowd.close()
            ears.close()
    return points


def requests(tenant: str) -> int:
    """How many requests came to the tenant so far."""
    with urllib.request.urlopen(f"{tenant}/requests", timeout=5) as response:
        return int(response.read())


def spoken(texts: int = 8) -> float:
    """Return how many seconds of speech are made in a second, by one process."""
    voice = available()
    voice.synthesise(TEXT.format(0), "man", "en-US")  # loads what is loaded once
    begun, made_s = time.perf_counter(), 0.0
    for number in range(1, texts + 1):
        speech = voice.synthesise(TEXT.format(number), "man", "en-US")
        made_s += len(speech[0]) / speech[1]
    return made_s / (time.perf_counter() - begun)


def figures(points: Sequence[Found]) -> list[Figure]:
    """The lines of the common table."""
    clean = [point for point in points if is_clean(point) and not point["dropped"]]
    most = max(clean, key=lambda point: point["callers"], default=points[0])
    bad = next((point for point in points if point not in clean), None)
    rate = spoken()
    return [
        Figure(
            name="callers held, each with a wait document of its own every 10 s",
            goal=f"≥ {GOAL:,}",
            measured=f"{most['callers'] if clean else 0:,}, {most['ms']:.3f} ms a call-second",
            met=bool(clean) and most["callers"] >= GOAL,
            method=f"50.0 ± 0.5 packets/s, p99 deviation {most['dev_p99_ms']:.2f} ms; {most['fetched_per_s']:.0f} documents a second"
            + (f"; not clean: {_row(bad)}" if bad else "; more were not tried"),
        ),
        Figure(
            name="speech made, seconds a second",
            measured=f"{rate:.0f}",
            method="one process, a sentence of about eight seconds, each another; each text is made once and then a clip",
        ),
    ]


def _row(point: Found) -> str:
    return (
        f"{point['callers']:,} callers, {point['ms']:.3f} ms/call-second, {point['fetched_per_s']:.0f} documents/s, {point['off_rate']} "
        f"off rate, {point['silent']} silent, deviation p99 {point['dev_p99_ms']:.2f} ms, {point['dropped']} dropped"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", default="500,1000,2000", help="numbers of callers, with commas")
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    raise_file_limit()
    try:
        points = measure([int(count) for count in options.counts.split(",")], options.seconds)
    except Missing as why:
        tell("waiting", [missing("callers held, each with a wait document of its own every 10 s", f"≥ {GOAL:,}", str(why))])
        return 0
    lines = {"waitline": [(point["callers"], point["ms"]) for point in points]}
    curve = Curve(name="waiting", title="CPU of the whole tree a call-second, wait documents every 10 s", x="callers", y="ms", lines=lines)
    tell("waiting", figures(points), points=points, curve=curve)
    return 0


if __name__ == "__main__":
    sys.exit(main())
