"""``make chaos``: kill what can be killed under live calls, and count what the phones noticed.

    PYTHONPATH=tests python -m chaos [--callers 200] [--pairs 20] [--gathers 10] [--rate 5] [--kills 50] [--upgrades 10] [--media-kills 10]

See ``chaos.drive`` for what is done and ``chaos.verdict`` for what is counted. Ends with 1 where a count misses its goal; times are told
and decide nothing. The order of things, the moments and the keys come from ``--seed``; what the machine makes of them is its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import sys
import tempfile
import time
from dataclasses import asdict, fields
from pathlib import Path

from chaos import drive, verdict

HELP = {
    "callers": "callers who wait",
    "pairs": "pairs who talk",
    "gathers": "callers with half of their keys typed",
    "rate": "callers a second who arrive, and nearly as many agents",
    "kills": "deaths of the active control",
    "upgrades": "upgrades",
    "media_kills": "deaths of a media worker, afterwards",
    "spread_s": "longest pause before each, seconds",
    "limit_s": "no more kills and upgrades of control are begun after so many seconds",
    "seed": "of everything that is by chance",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for given in fields(drive.Sizes):
        kind = float if isinstance(given.default, float) else int
        parser.add_argument(
            f"--{given.name.replace('_', '-')}", type=kind, default=given.default, help=f"{HELP[given.name]} ({given.default})"
        )
    parser.add_argument("--keep", type=Path, help="where everything that was seen is written, and the platform's log")
    options = vars(parser.parse_args())
    keep = options.pop("keep")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="waitline-chaos-") as folder:
        found = drive.Run(drive.Sizes(**options), Path(folder), lambda text: print(text, flush=True)).findings()
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
        (keep / "chaos.json").write_text(json.dumps(asdict(found)))
        (keep / "serve.log").write_text(found.log)
    print(f"\n{verdict.told(found)}\n\n{len(found.calls)} calls, {len(found.requests)} requests, {time.monotonic() - begun:.0f} s")
    return 0 if all(count.figure.met is not False for count in verdict.counts(found)) else 1


if __name__ == "__main__":
    sys.exit(main())
