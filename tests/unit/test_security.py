"""SECURITY.md names tests that are there, and nothing that is installed for the project is without a pin."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "SECURITY.md").read_text()


def _defences() -> list[str]:
    return [line for line in TEXT.splitlines() if line.startswith("| ") and not line.startswith("| from")]


def test_every_defence_names_a_test_that_is_there():
    assert len(_defences()) > 20
    for line in _defences():
        tests = re.findall(r"`((?:unit|stories|real|torture|fuzz)/[\w/]+\.py)(?:::(\w+))?`", line.split("|")[4])
        assert tests, line[:80]
        for file, name in tests:
            path = ROOT / "tests" / file
            assert path.is_file(), file
            assert not name or re.search(rf"^(async )?def {name}\(", path.read_text(), re.MULTILINE), f"{file}::{name}"


@pytest.fixture(scope="module")
def constraints() -> ModuleType:
    spec = importlib.util.spec_from_file_location("constraints", ROOT / "scripts" / "constraints.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_dependency_that_is_not_pinned_or_is_another_version_is_said(constraints: ModuleType):
    found = {"aiohttp": "3.14.5", "attrs": "26.1.0", "idna": "3.20"}
    assert constraints.loose(["aiohttp==3.14.5", "attrs==26.1.0", "idna==3.20", "more==1"], found) == []
    assert constraints.loose(["aiohttp>=3", "attrs==26.1.1"], found) == [
        "aiohttp>=3: not NAME==VERSION",
        "aiohttp 3.14.5: not pinned",
        "idna 3.20: not pinned",
        "attrs 26.1.0: pinned as 26.1.1",
    ]
