"""What a figure depends on beside the program: the machine, the interpreter, and how fast both are at the moment.

``pace`` is the CPU time of a fixed piece of Python's own work, ms. CPU figures of two runs are compared by their ratio to it: what else
runs on a machine of few cores slows every process down, in CPU time too.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from importlib import metadata
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
        "versions": versions(),
        "load": os.getloadavg()[0],
        "pace_ms": pace(),
    }


def versions() -> dict[str, str]:
    """Return the versions of what a figure depends on: ours by its commit."""
    found = {name: metadata.version(name) for name in ("numpy", "aiohttp", "sqlalchemy")}
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, timeout=5, check=True
        ).stdout.strip()
        changed = subprocess.run(["git", "status", "--porcelain", "-uno"], capture_output=True, text=True, timeout=5, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return found
    return {"commit": f"{commit}{' and changes' if changed else ''}", **found}


def is_quiet(found: dict[str, Any]) -> bool:
    """Whether nothing much else ran on the machine."""
    return float(found["load"]) < 0.5 * int(found["cores"])


def told(found: dict[str, Any]) -> str:
    """Return it as a line."""
    return (
        f"{found['cores']} cores, {found['kernel']}, Python {found['python']}{_named(found)}; load {found['load']:.1f} before; "
        f"{found['pace_ms']} ms for a fixed piece of work (compare CPU figures by their ratio to it)"
    )


def _named(found: dict[str, Any]) -> str:
    return "".join(f", {name} {version}" for name, version in found.get("versions", {}).items())
