"""``make bench-readme``: put the figures of the last ``make bench`` into the README, between its two marks.

They are copied as they were measured, missed goals too; nothing is written by hand.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bench import speed
from bench.figures import Figure, markdown

ROOT = Path(__file__).parent.parent.parent
RESULTS, README = ROOT / "build" / "bench.json", ROOT / "README.md"
BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->\n"


def with_figures(text: str, shown: str) -> str:
    """Return the README with other figures. Raises ValueError where it has no place for them."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md has no {BEGIN.strip()} … {END.strip()}")
    return f"{before}{BEGIN}\n{shown}\n\n{END}{after}"


def main() -> int:
    if not RESULTS.exists():
        sys.stderr.write(f"{RESULTS.relative_to(ROOT)} is not there: run make bench first\n")
        return 1
    report = json.loads(RESULTS.read_text())
    if report["faults"]:
        sys.stderr.write(f"parts of the last make bench failed ({', '.join(report['faults'])}): they are in the table as not measured\n")
    lines = [Figure(**plain) for plain in report["figures"]]
    README.write_text(with_figures(README.read_text(), f"{markdown(lines)}\n\nMeasured on {speed.told(report['machine'])}."))
    sys.stderr.write(f"README.md: {len(lines)} figures\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
