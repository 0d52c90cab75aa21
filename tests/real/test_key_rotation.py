"""The key is changed and the process killed at each of its steps: the data opens, with everything in it, every time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HELPER = Path(__file__).parent.parent / "harness" / "key_crash.py"


@pytest.mark.real
def test_the_data_opens_wherever_changing_its_key_was_killed(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, HELPER, tmp_path], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(outcome["secrets"] for outcome in outcomes), [outcome for outcome in outcomes if not outcome["secrets"]]
    killed = [outcome for outcome in outcomes if outcome["killed"]]
    assert len(killed) > 30, "it died at every statement and every step on files"
    assert {outcome["new key"] for outcome in killed} == {False, True}, "before the change and after it"
    assert sorted(outcome["new key"] for outcome in outcomes) == [outcome["new key"] for outcome in outcomes], "once changed, it stays so"
