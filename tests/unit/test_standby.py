"""How a standby starts: imported at low priority, run at none."""

import os
import sys
import threading

import pytest

from waitline import standby


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module that a standby may run; returns its name."""

    def write(source):
        (tmp_path / "probe_of_standby.py").write_text(source)
        monkeypatch.syspath_prepend(str(tmp_path))
        return "probe_of_standby"

    yield write
    sys.modules.pop("probe_of_standby", None)


def test_the_import_is_nice_and_what_runs_is_not(module):
    name = module(
        "import os, threading\n"
        "niceness, thread = os.getpriority(os.PRIO_PROCESS, threading.get_native_id()), threading.get_ident()\n"
        "def main(arguments):\n    return len(arguments)\n"
    )
    before = os.getpriority(os.PRIO_PROCESS, 0)
    assert standby.main([name, "--config", "x"]) == 2
    imported = sys.modules[name]
    assert imported.niceness == standby.NICENESS
    assert imported.thread != threading.get_ident()
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


@pytest.mark.parametrize("failure", ["raise ValueError('broken')", "raise SystemExit('broken')", "import nothing_of_that_name"])
def test_an_import_that_fails_is_raised_where_it_ends_the_process(module, failure):
    with pytest.raises((ValueError, SystemExit, ModuleNotFoundError)):
        standby.main([module(failure)])
