"""``make profile``: where the time goes in hold, bridge, set-up and webhook turns; the summary goes into docs/performance.md.

    PYTHONPATH=tests python -m bench.profile [hold bridge set-up turns] [--seconds 8]

Under each load py-spy (the extra ``bench``) looks at the process that has most to do, 200 times a second, C functions' time with the Python
function that called them. What is told: of the samples in which it worked, the share of each function itself, and with all it calls.
Writes build/profiles.json.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import bridge, calls, held, rig, turns
from bench.crowd import Crowd
from bench.hold import raise_file_limit
from bench.programs import Missing, phones
from harness.processes import children

OUT = Path("build") / "profiles.json"
RATE_HZ = 200
MOST = 15
CALLERS, PAIRS, CALL_RATE, TURNERS = 500, 100, 100, 50
Load = Iterator[rig.Platform]


def spied(pid: int, seconds: float) -> str:
    """Return the stacks of a process, one a line with the number of samples. Raises Missing."""
    spy = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    if spy is None:
        raise Missing("py-spy is not installed: pip install -e '.[bench]' -c constraints.txt")
    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/stacks"
        command = [spy, "record", "-p", str(pid), "-d", f"{seconds:g}", "-r", str(RATE_HZ), "-f", "raw", "-o", out, "--nonblocking"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
        if done.returncode:
            raise Missing(f"py-spy: {done.stderr.strip()[-300:]}")
        return Path(out).read_text()


def summed(stacks: str) -> tuple[int, list[dict[str, Any]]]:
    """Return the number of samples, and the functions that have most of them themselves."""
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    samples = 0
    for line in stacks.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [_short(frame) for frame in stack.split(";")]
        samples += int(count)
        own[frames[-1]] += int(count)
        for frame in set(frames):
            total[frame] += int(count)
    share = 100 / max(1, samples)
    return samples, [{"function": name, "own": n * share, "total": total[name] * share} for name, n in own.most_common(MOST)]


def _short(frame: str) -> str:
    """``function (a/long/path/file.py:12)`` as ``file.py function``: a line's number says nothing in a sum."""
    name, _, place = frame.partition(" (")
    file = place.rstrip(")").rpartition(":")[0] or place.rstrip(")")
    return f"{'/'.join(file.split('/')[-2:])} {name}" if file else name


def busiest(platform: rig.Platform, module: str) -> int:
    """The process of a part of the platform."""
    for pid in children(platform.serve.process.pid):
        if module.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
            return pid
    raise Missing(f"{module} does not run")


@contextmanager
def on_hold() -> Load:
    """Callers on hold."""
    with phones(CALLERS) as ears, rig.platform(held.DOCUMENTS) as (platform, tenant):
        platform.number(held.NUMBER, f"{tenant}/voice")
        with _calling(Crowd(platform.serve.sip, ears)) as crowd:
            crowd.call(held.NUMBER, range(CALLERS), held.DIAL_RATE)
            yield platform


@contextmanager
def bridged() -> Load:
    """Bridged pairs."""
    with phones(2 * PAIRS) as ears, rig.platform(bridge.DOCUMENTS) as (platform, tenant):
        platform.number(bridge.CALLERS, f"{tenant}/caller")
        platform.number(bridge.AGENTS, f"{tenant}/agent")
        with _calling(Crowd(platform.serve.sip, ears)) as crowd:
            crowd.call(bridge.CALLERS, range(PAIRS), bridge.DIAL_RATE)
            crowd.call(bridge.AGENTS, range(PAIRS, 2 * PAIRS), bridge.DIAL_RATE)
            crowd.serve(2.0)
            yield platform


@contextmanager
def setting_up(seconds: float = 30.0) -> Load:
    """Short calls, one after the other."""
    if shutil.which("sipp") is None:
        raise Missing("SIPp is not installed")
    with rig.platform({"/voice": calls.DOCUMENT}) as (platform, tenant), tempfile.TemporaryDirectory() as folder:
        platform.number(calls.NUMBER, f"{tenant}/voice")
        load = threading.Thread(target=calls.drive, args=(platform, round(CALL_RATE * seconds), CALL_RATE, Path(folder)))
        load.start()
        try:
            yield platform
        finally:
            load.join()


@contextmanager
def turning() -> Load:
    """Webhook turns without end."""
    with phones(TURNERS) as ears, rig.platform(turns.DOCUMENTS, WAITLINE_ACCOUNT_WEBHOOKS="0") as (platform, tenant):
        platform.number(turns.NUMBER, f"{tenant}/voice")
        with _calling(Crowd(platform.serve.sip, ears)) as crowd:
            crowd.call(turns.NUMBER, range(TURNERS), 50)
            crowd.serve(2.0)
            yield platform


@contextmanager
def _calling(crowd: Crowd) -> Iterator[Crowd]:
    try:
        yield crowd
        crowd.hang_up()
    finally:
        crowd.close()


MEDIA, CONTROL = "waitline.media.worker", "waitline.server"
LOADS: dict[str, tuple[Callable[[], Any], str, str]] = {
    "hold": (on_hold, MEDIA, f"{CALLERS} callers on hold who talk"),
    "bridge": (bridged, MEDIA, f"{PAIRS} bridged pairs"),
    "set-up": (setting_up, CONTROL, f"{CALL_RATE} short calls a second with the webhook"),
    "turns": (turning, CONTROL, f"{TURNERS} calls that ask for one document after the other"),
}


def profile(name: str, seconds: float) -> dict[str, Any]:
    """Return the profile of one load."""
    load, module, what = LOADS[name]
    with load() as platform:
        samples, functions = summed(spied(busiest(platform, module), seconds))
    return {
        "name": name, "what": what, "process": module, "tool": "py-spy", "samples": samples, "functions": functions,
        "command": f"python -m bench.profile {name} --seconds {seconds:g}",
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("loads", nargs="*", metavar="LOAD", help=f"which; all: {', '.join(LOADS)}")
    parser.add_argument("--seconds", type=float, default=8.0)
    options = parser.parse_args()
    raise_file_limit()
    found = {one["name"]: one for one in (json.loads(OUT.read_text()) if OUT.exists() else [])}
    for name in options.loads or LOADS:
        try:
            found[name] = profile(name, options.seconds)
        except (Missing, AssertionError, OSError, subprocess.SubprocessError) as error:
            print(f"== {name}: not taken: {error}", flush=True)
            continue
        print(f"== {name}: {found[name]['what']}; {found[name]['samples']} samples of {found[name]['process']}")
        for one in found[name]["functions"]:
            print(f"{one['own']:6.1f} % {one['total']:6.1f} %  {one['function']}", flush=True)
        OUT.parent.mkdir(exist_ok=True)
        OUT.write_text(json.dumps(list(found.values()), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
