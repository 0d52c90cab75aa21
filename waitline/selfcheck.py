"""Whether this version can take over from the one that runs: asked before the other has let go of anything.

Everything is imported (in a process that ends again, for workers and migrations are not control's to load), the settings are read, and the
data is looked at: its schema, its key, and each record of what is going on. The answer is a reason that an operator reads, or nothing.
"""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from waitline.bridge.call import forms
from waitline.bridge.config import load_config
from waitline.bridge.store.inspection import look
from waitline.errors import ConfigError

IMPORTS_WITHIN_S = 20.0
MOST_TOLD = 3
_RUN_BY_ALEMBIC = "waitline.bridge.store.migrations.env"


def self_check(config_file: Path | None) -> str:
    """Say why this version cannot take over, or nothing."""
    try:
        return _import_trouble() or _data_trouble(config_file)
    except ConfigError as error:
        return str(error)


def _data_trouble(config_file: Path | None) -> str:
    config = load_config(config_file)
    lines = forms.unreadable(look(folder=config.data, database=config.database, key=config.key, next_key=config.key_next))
    more = f", and {len(lines) - MOST_TOLD} more" if len(lines) > MOST_TOLD else ""
    return f"it cannot read what is going on: {'; '.join(lines[:MOST_TOLD])}{more}" if lines else ""


def _import_trouble() -> str:
    try:
        subprocess.run(
            [sys.executable, "-P", "-m", __name__], check=True, timeout=IMPORTS_WITHIN_S, stdin=subprocess.DEVNULL, capture_output=True,
            text=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"its modules are not imported within {IMPORTS_WITHIN_S:g} s"
    except subprocess.CalledProcessError as error:
        last_words: str = error.stderr.strip().rpartition("\n")[2]
        return f"its modules cannot be imported: {last_words or f'exit code {error.returncode}'}"
    return ""


def modules_of(package: ModuleType) -> Iterator[str]:
    """All modules below a package but what only Alembic can run; importing the packages on the way raises what it raises."""
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.", onerror=_raise):
        if module.name != _RUN_BY_ALEMBIC:
            yield module.name


def _raise(_name: str) -> None:
    """``walk_packages`` swallows what an import raises unless told not to."""
    raise  # noqa: PLE0704 - called while the exception is handled


def main() -> int:
    """Import every part that runs in service."""
    for name in ("waitline.bridge", "waitline.api", "waitline.media"):
        for module in modules_of(importlib.import_module(name)):
            importlib.import_module(module)
    return 0


if __name__ == "__main__":
    sys.exit(main())
