"""``make bench-docs``: write docs/performance.md, its pictures, and docs/capacity.md from the results of the last ``make bench``.

Nothing in them is written by hand: figures that were missed or not measured are there as the run left them, with the reason. Profiles are
those of the last ``make profile`` (build/profiles.json); where there was none the document says so.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from bench import capacity, pictures, speed
from bench.figures import Figure, markdown

ROOT = Path(__file__).parent.parent.parent
RESULTS, PROFILES = ROOT / "build" / "bench.json", ROOT / "build" / "profiles.json"
DOCS = ROOT / "docs"
HEAD = """# Performance

Written by `make bench-docs` from the results of `{command}`, {date}. Do not edit: run it again.

Measured on {machine}. It took {minutes:.0f} minutes.
{busy}
Everything is on the loopback of one machine: callers, tenant and platform share its cores, and a packet that is sent also pays for its
receiver's side. Compare ratios to the floor, and runs on one machine. CPU is that of the whole process tree unless the method says
otherwise. A goal that was missed stays here, and so does what was not measured, with the reason.
"""
BUSY = """
**The machine was busy with other work when this began: the figures are worth little.**
"""


def performance(report: dict[str, Any], profiles: list[dict[str, Any]]) -> str:
    """Return docs/performance.md."""
    machine = report["machine"]
    lines = [Figure(**plain | {"command": f"`{plain['command']}`"}) for plain in report["figures"]]
    head = HEAD.format(
        command=report["command"],
        date=machine.get("date", "without a date"),
        machine=speed.told(machine),
        minutes=report["took_s"] / 60,
        busy="" if speed.is_quiet(machine) else BUSY,
    )
    faults = [f"- `{name}`: {why}" for name, why in report["faults"].items()]
    parts = [head, "## Figures\n", markdown(lines, methods=True) + "\n"]
    if faults:
        parts += ["## Programs that did not get to their end\n", "\n".join(faults) + "\n"]
    parts += ["## How costs grow\n", *(_picture(curve) for curve in pictures.curves_of(report))]
    parts += ["## Profiles\n", *(_profile(one) for one in profiles)]
    if not profiles:
        parts.append("None were taken: `make profile` takes them.\n")
    return "\n".join(parts)


def _picture(curve: dict[str, Any]) -> str:
    return f"![{curve['title']}](performance/{curve['name']}.svg)\n"


def _profile(profile: dict[str, Any]) -> str:
    """One profile as a table: where the samples of the busiest process were, by function, itself and with what it called."""
    rows = [f"| {one['own']:.1f} % | {one['total']:.1f} % | `{one['function']}` |" for one in profile["functions"]]
    head = f"### {profile['name']}\n\n{profile['what']}; {profile['samples']:,} samples of {profile['process']} by {profile['tool']}."
    table = "\n".join(["| itself | with what it calls | function |", "| --- | --- | --- |", *rows])
    return f"{head}\n\n{_dominates(profile)}\n\n{table}\n\nMade by `{profile['command']}`.\n"


def _dominates(profile: dict[str, Any]) -> str:
    """What is most: these would be next."""
    first = ", ".join(f"`{one['function']}` ({one['own']:.0f} %)" for one in profile["functions"][:3])
    return f"Most of it: {first}; they would be next."


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=RESULTS)
    path = parser.parse_args().json
    if not path.exists():
        sys.stderr.write(f"{path} is not there: run make bench first\n")
        return 1
    report = json.loads(path.read_text())
    profiles = json.loads(PROFILES.read_text()) if PROFILES.exists() else []
    (DOCS / "performance.md").write_text(performance(report, profiles))
    made = pictures.write(DOCS / "performance", report)
    (DOCS / "capacity.md").write_text(capacity.document(report))
    sys.stderr.write(
        f"docs/performance.md: {len(report['figures'])} figures, {len(made)} pictures, {len(profiles)} profiles; docs/capacity.md\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
