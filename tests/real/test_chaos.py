"""The short form of ``make chaos``: the counts that decide, on phones, while control is killed and replaced under live calls."""

from __future__ import annotations

from pathlib import Path

import pytest
from chaos import drive, verdict

pytestmark = pytest.mark.real
SHORT = drive.Sizes(callers=30, pairs=4, gathers=4, rate=1.0, kills=5, upgrades=1, media_kills=1, spread_s=1.0, limit_s=60.0)


def test_phones_notice_nothing_of_five_deaths_and_an_upgrade_of_control(tmp_path: Path) -> None:
    found = drive.Run(SHORT, tmp_path).findings()
    missed = [count.figure for count in verdict.counts(found) if count.figure.met is False]
    assert not missed, f"{verdict.told(found)}\n{found.log[-6000:]}"
