"""What a figure depends on beside the program: the machine, the interpreter, and how fast both are at the moment.

``pace`` is the CPU time of a fixed piece of Python's own work, ms. CPU figures of two runs are compared by their ratio to it: what else
runs on a machine of few cores slows every process down, in CPU time too.
"""

from __future__ import annotations

import json
import os
import platform
import time
from typing import Any

_SAMPLE = {"call": "CA0123456789", "to": "+15550100", "steps": [{"at": n, "kind": f"step {n}", "of": [n, n + 1]} for n in range(20)]}


def pace(repeats: int = 7) -> float:
    """Return the least of some repeats of 200 times writing and reading a document of JSON, and taking its text apart, ms."""

    def work() -> float:
        begun = time.process_time()
        for _ in range(200):
            text = json.dumps(json.loads(json.dumps(_SAMPLE)))
            words = {word.strip('"{}[]:, '): len(word) for word in text.split(" ")}
            sorted(words)
        return (time.process_time() - begun) * 1000

    return round(min(work() for _ in range(repeats)), 2)


def machine() -> dict[str, Any]:
    """Return what is known of where this runs."""
    uname = os.uname()
    return {
        "cores": len(os.sched_getaffinity(0)),
        "kernel": f"{uname.sysname} {uname.release} {uname.machine}",
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
        "pace_ms": pace(),
    }


def told(found: dict[str, Any]) -> str:
    """Return it as a line."""
    return (
        f"{found['cores']} cores, {found['kernel']}, Python {found['python']}; load {found['load']:.1f} before; "
        f"{found['pace_ms']} ms for a fixed piece of work (compare CPU figures by their ratio to it)"
    )
