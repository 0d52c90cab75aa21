"""Coverage-guided fuzzing of every parser: ``make fuzz``. Starts from the kept corpus, one process a target, all time shared equally.

``--seconds N``: all targets together (600). ``--target NAME``: only that one. ``--keep``: what was found worth keeping is merged into the
corpus, as few files as cover the same. Where an input breaks an invariant, takes more than five seconds or a gigabyte, it is written to
``crash-…`` here and the exit code is 1; put it into the corpus under a name that tells the symptom when it is mended: ``test_corpus``
runs it for ever after.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
LARGEST_BYTES = 70_000
LIMITS = ("-timeout=5", "-rss_limit_mb=1024", f"-max_len={LARGEST_BYTES}", "-print_final_stats=0", "-verbosity=0")


def fuzz(target: str, seconds: int, found: Path) -> bool:
    """Run a target for so long; False if something broke."""
    command = [sys.executable, "-m", "fuzz.worker", target, str(found), str(CORPUS / target), f"-max_total_time={seconds}", *LIMITS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(f"{target:8} {'ok' if not done.returncode else 'BROKEN'} after {seconds} s, {len(list(found.iterdir()))} new inputs")
    if done.returncode:
        print((done.stdout + done.stderr)[-4000:])
    return not done.returncode


def keep(target: str, found: Path) -> None:
    """Merge what covers more into the corpus."""
    command = [sys.executable, "-m", "fuzz.worker", target, "-merge=1", str(CORPUS / target), str(found), *LIMITS]
    subprocess.run(command, capture_output=True, check=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzz")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--target", choices=TARGETS)
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    targets = [arguments.target] if arguments.target else list(TARGETS)
    sound = True
    for target in targets:
        with tempfile.TemporaryDirectory() as folder:
            sound = fuzz(target, max(1, arguments.seconds // len(targets)), Path(folder)) and sound
            if arguments.keep:
                keep(target, Path(folder))
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
