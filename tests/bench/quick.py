"""``make bench-quick``: the ratios to the floor, in under two minutes, beside the committed ones.

    PYTHONPATH=tests python -m bench.quick [--write]

A ratio is what a machine's speed and its other work cancel out of, nearly: callers on hold in a media worker beside ``floor.c``, bridged
pairs beside ``relay.c``, SRTP beside plain RTP, a short call and an INVITE's parsing beside a fixed piece of Python's own work (``speed``).
One that is more than 25 % over that in ``quick.json`` is a warning: the figures of a busy machine are no reason to refuse a change, but
somebody should look. ``--write`` commits what is measured now.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench import bridge, calls, rig, sip_parse, speed
from bench.hold import SRTP_LEGS, measure_floor, measure_worker, middle, raise_file_limit
from bench.programs import Missing, compiled

from waitline.media import srtp

COMMITTED = Path(__file__).with_name("quick.json")
WORSE = 1.25
LEGS, PAIRS, RATE = 1000, 100, 50


def hold() -> float:
    """A caller on hold in a media worker, beside the floor."""
    with compiled("phones") as program, compiled("floor") as floor:
        worker = asyncio.run(measure_worker(program, LEGS, 2.0, 3))
        least = asyncio.run(measure_floor(program, floor, LEGS, 2.0, 3))
    return middle(worker, "us_per_tick") / middle(least, "us_per_tick")


def sealed() -> float:
    """An SRTP caller on hold, beside a plain one."""
    if not srtp.available():
        raise Missing("the extra srtp is not installed")
    with compiled("phones") as program:
        plain = asyncio.run(measure_worker(program, SRTP_LEGS, 2.0, 2))
        return middle(asyncio.run(measure_worker(program, SRTP_LEGS, 2.0, 2, encrypted=True)), "us_per_tick") / middle(plain, "us_per_tick")


def pairs() -> float:
    """Bridged pairs, the whole tree, beside the relay in C."""
    with compiled("phones") as program, compiled("relay") as relay, rig.platform(bridge.DOCUMENTS) as (platform, tenant):
        platform.number(bridge.CALLERS, f"{tenant}/caller")
        platform.number(bridge.AGENTS, f"{tenant}/agent")
        found = bridge.measure(program, platform, PAIRS, 2.0, 3)
        return middle(found, "ms") / middle(bridge.measure_floor(program, relay, PAIRS, 2.0, 2), "ms")


def short_call() -> float:
    """A short call, the whole tree, beside a fixed piece of work."""
    if shutil.which("sipp") is None:
        raise Missing("SIPp is not installed")
    with rig.platform({"/voice": calls.DOCUMENT}) as (platform, tenant):
        platform.number(calls.NUMBER, f"{tenant}/voice")
        calls.measure(platform, RATE, 2.0)
        found = [calls.measure(platform, RATE, 4.0) for _ in range(3)]
    return middle(found, "ms_per_call") / middle(found, "pace_ms")


def parsing() -> float:
    """An INVITE parsed and read, beside a fixed piece of work."""
    begun = time.process_time()
    for _ in range(2000):
        sip_parse.touch()
    return (time.process_time() - begun) / 2000 * 1e6 / speed.pace()


RATIOS: dict[str, Callable[[], float]] = {
    "a caller on hold / floor.c": hold,
    "a bridged pair / relay.c": pairs,
    "SRTP / plain RTP": sealed,
    "a short call / pace": short_call,
    "an INVITE parsed / pace, µs/ms": parsing,
}


def compare(found: dict[str, float], committed: dict[str, float]) -> list[str]:
    """Return the warnings."""
    return [
        f"{name}: {ratio:.2f}, committed {committed[name]:.2f} ({ratio / committed[name] - 1:+.0%})"
        for name, ratio in found.items()
        if name in committed and ratio > WORSE * committed[name]
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="make these the committed ones")
    options = parser.parse_args()
    raise_file_limit()
    committed: dict[str, float] = json.loads(COMMITTED.read_text()) if COMMITTED.exists() else {}
    found: dict[str, float] = {}
    for name, measure in RATIOS.items():
        try:
            found[name] = round(measure(), 3)
        except (Missing, AssertionError, OSError, RuntimeError) as error:
            print(f"{name:<32} not measured: {str(error).splitlines()[0] if str(error) else type(error).__name__}", flush=True)
            continue
        beside = f"committed {committed[name]:.2f}" if name in committed else "none committed"
        print(f"{name:<32} {found[name]:8.2f}   {beside}", flush=True)
    if options.write:
        COMMITTED.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    for warning in compare(found, committed):
        print(f"WARNING: slower than committed: {warning}", flush=True)
    print(f"machine: {speed.told(speed.machine())}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
