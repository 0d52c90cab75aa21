"""Pin what the project needs, and nothing else: ``make constraints`` writes constraints.txt from what is installed.

With ``--check`` nothing is written: exit code 1 where something is installed for the project, directly or not, that the file does not pin.

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
PINS = ROOT / "constraints.txt"
EXTRAS = ("postgres", "srtp", "test", "check", "fuzz", "bench")


def wanted() -> list[Requirement]:
    """Return what pyproject.toml asks for, extras included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = [*project["dependencies"], *(text for extra in EXTRAS for text in project["optional-dependencies"][extra])]
    return [Requirement(text) for text in texts]


def pinned(wanted: list[Requirement]) -> dict[str, str]:
    """Return name and version of everything that is installed for these."""
    todo, seen, found = list(wanted), set(), {}
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


def loose(lines: list[str], found: dict[str, str]) -> list[str]:
    """Return what is wrong with the pins, given what is installed: a line that pins nothing, a package without a pin, another version."""
    pins: dict[str, str] = {}
    wrong = []
    for line in lines:
        name, equals, version = line.partition("==")
        if not equals or not re.fullmatch(r"[0-9A-Za-z.!+]+", version):
            wrong.append(f"{line}: not NAME==VERSION")
        pins[name] = version
    wrong += [f"{name} {version}: not pinned" for name, version in sorted(found.items()) if name not in pins]
    return wrong + [
        f"{name} {version}: pinned as {pins[name]}" for name, version in sorted(found.items()) if pins.get(name, version) != version
    ]


def _installed(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:  # of an extra that was not asked for
        return False
    return True


def check() -> int:
    """Say what is installed and not pinned; returns the exit code."""
    lines = [line for line in PINS.read_text().splitlines() if line and not line.startswith("#")]
    here = [requirement for requirement in wanted() if _installed(requirement.name)]
    found = pinned(here)
    wrong = loose(lines, found)
    sys.stderr.write("".join(f"constraints.txt: {line}\n" for line in wrong) or f"constraints.txt: {len(found)} packages, all pinned\n")
    return 1 if wrong else 0


def main() -> None:
    lines = [f"{name}=={version}" for name, version in sorted(pinned(wanted()).items())]
    PINS.write_text("# What the project was last tested with; `make constraints` writes this file.\n" + "\n".join(lines) + "\n")
    sys.stderr.write(f"constraints.txt: {len(lines)} packages\n")


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(check())
    main()
