"""Pin what the project needs, and nothing else: ``make constraints`` writes constraints.txt from what is installed.

Only names and versions go into the file, no addresses: where packages come from is each machine's own affair.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
EXTRAS = ("postgres", "srtp", "test", "check", "fuzz", "bench")


def wanted() -> list[Requirement]:
    """Return what pyproject.toml asks for, extras included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = [*project["dependencies"], *(text for extra in EXTRAS for text in project["optional-dependencies"][extra])]
    return [Requirement(text) for text in texts]


def pinned() -> dict[str, str]:
    """Return name and version of everything that is installed for these."""
    todo, seen, found = wanted(), set(), {}
    while todo:
        requirement = todo.pop()
        name, extras = re.sub(r"[-_.]+", "-", requirement.name).lower(), {"", *requirement.extras}
        if (name, *sorted(extras)) in seen or not _applies(requirement, {""}):
            continue
        seen.add((name, *sorted(extras)))
        distribution = importlib.metadata.distribution(requirement.name)
        found[name] = distribution.version
        for text in distribution.requires or []:
            needed = Requirement(text)
            if _applies(needed, extras):
                needed.marker = None
                todo.append(needed)
    return found


def _applies(requirement: Requirement, extras: set[str]) -> bool:
    return requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras)


def main() -> None:
    lines = [f"{name}=={version}" for name, version in sorted(pinned().items())]
    (ROOT / "constraints.txt").write_text(
        "# What the project was last tested with; `make constraints` writes this file.\n" + "\n".join(lines) + "\n"
    )
    sys.stderr.write(f"constraints.txt: {len(lines)} packages\n")


if __name__ == "__main__":
    main()
