"""How long from the start of ``waitline serve`` until it is ready, cold and warm.

    PYTHONPATH=tests python -m bench.start [--repeats 5]

The data folder is new each time, so that making the database and the key is in it. Cold: the files of the interpreter's libraries, of the
packages and of the platform are put out of the page cache before (``posix_fadvise``; what another process has mapped stays in).
"""

from __future__ import annotations

import argparse
import os
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

from bench.figures import Figure, median, spread, tell
from harness.serve import Serve

import waitline

GOAL_S = 1.5


def put_out() -> None:
    """Put what is read at a start out of the page cache, as far as the kernel lets us."""
    folders = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platlib", "purelib")} | {Path(waitline.__file__).parent.parent}
    folders |= {Path(path) for path in sys.path if path.endswith("site-packages")}
    for path in (path for folder in folders if folder.is_dir() for path in folder.rglob("*") if path.suffix in (".py", ".pyc", ".so")):
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except OSError:
            continue
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def start_s(*, cold: bool) -> float:
    """Return how long one start takes."""
    if cold:
        put_out()
    with tempfile.TemporaryDirectory(prefix="waitline-bench-") as folder:
        begun = time.monotonic()
        serve = Serve.start(Path(folder))
        took = time.monotonic() - begun
        serve.stop()
    return took


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    start_s(cold=False)  # makes the byte code
    figures = []
    for cold in (True, False):
        times = [start_s(cold=cold) for _ in range(repeats)]
        how = "files put out of the page cache before" if cold else "files in the page cache"
        figures.append(
            Figure(
                name=f"start to ready, {'cold' if cold else 'warm'}",
                goal=f"≤ {GOAL_S} s" if cold else "",
                measured=f"{median(times):.2f} s",
                spread=spread(times, "s"),
                met=median(times) <= GOAL_S if cold else None,
                method=f"waitline serve in a new data folder to its ready line; {how}",
            )
        )
    tell("start", figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
