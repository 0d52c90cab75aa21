"""The short form of ``make attack``: nothing gets in and nobody who holds is cut off, whatever strangers do."""

from __future__ import annotations

from pathlib import Path

import pytest
from attack.drive import Run

pytestmark = pytest.mark.real


def test_nothing_gets_in_and_nobody_is_cut_off(tmp_path: Path) -> None:
    found = Run(tmp_path, callers=10, seconds=2.0, tools=False).findings()
    assert found.held, found.told()
    assert all(outcome.tried for outcome in found.outcomes), found.told()
