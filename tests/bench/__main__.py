"""``make bench``: run each program of this folder, one after the other, each in a process of its own and bounded in time.

To add figures, add a program that prints them.
"""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
LIMIT_S = 600


def main() -> int:
    failed = []
    for program in sorted(FOLDER.glob("*.py")):
        if program.name.startswith("_"):
            continue
        summary = program.read_text().partition('"""')[2].partition("\n")[0]
        print(f"\n== {program.stem}: {summary}", flush=True)
        try:
            code = str(subprocess.run([sys.executable, str(program), *sys.argv[1:]], timeout=LIMIT_S).returncode)
        except subprocess.TimeoutExpired:
            code = f"no end within {LIMIT_S} s"
        if code != "0":
            failed.append(program.stem)
            print(f"== {program.stem} failed: {code}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
