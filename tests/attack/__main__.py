"""``make attack``: attack a fresh platform on loopback in every way we know, while callers hold, and count what got in and who was cut off.

    PYTHONPATH=tests python -m attack [--callers 100] [--seconds 10] [--no-tools]

The callers wait in a queue and talk, 50 packets a second each way, from an address that the operator trusts; the attackers have others. The
kernel stamps what the callers hear; beside them a program that does nothing but send shows what this machine makes of 20 ms. Ends with 1
where something got in or a call was lost; times are told and decide nothing.
"""

from __future__ import annotations

import argparse
import resource
import signal
import sys
import tempfile
from pathlib import Path

from attack.drive import Run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--callers", type=int, default=100, help="callers on hold meanwhile (100)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each attack (10)")
    parser.add_argument("--no-tools", action="store_true", help="leave sipvicious out")
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    with tempfile.TemporaryDirectory(prefix="waitline-attack-") as folder:
        run = Run(Path(folder), callers=options.callers, seconds=options.seconds, tools=not options.no_tools)
        found = run.findings(lambda text: print(text, flush=True))
    print(f"\n{found.told()}")
    return 0 if found.held else 1


if __name__ == "__main__":
    sys.exit(main())
