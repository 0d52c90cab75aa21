"""What a version says of itself before it takes over."""

from __future__ import annotations

import json
import socket
import sqlite3
from pathlib import Path

import pytest

import waitline.media
from waitline import selfcheck, standby
from waitline.admin import create_account
from waitline.bridge.store.folder import DataFolder


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with an account in it, that the settings name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WAITLINE_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(selfcheck, "_import_trouble", lambda: "")
    create_account("Acme", None)
    return tmp_path / "data"


def put_state(data: Path, *, kind: str = "call", key: str = "CA1", version: int = 1) -> None:
    with sqlite3.connect(data / "waitline.db") as connection:
        connection.execute("INSERT INTO live_states (kind, key, version, data) VALUES (?, ?, ?, '{}')", (kind, key, version))
    connection.close()


def test_a_version_that_can_read_everything_has_nothing_against_it(data: Path) -> None:
    assert selfcheck.self_check(None) == ""


def test_records_that_it_cannot_read_are_named_a_few_of_them(data: Path) -> None:
    for number in range(5):
        put_state(data, key=f"CA{number}", version=99)
    said = selfcheck.self_check(None)
    assert said.startswith("it cannot read what is going on: call CA0: its form is 99, this version reads ")
    assert said.endswith("call CA2: its form is 99, this version reads 1 to 1, and 2 more")


def test_what_a_platform_holds_in_memory_is_not_taken_over_from_the_disk(data: Path) -> None:
    folder = DataFolder(data)
    folder.lock_for_serving()
    folder.mark_outage(on=True)
    assert "cannot write its data just now" in selfcheck.self_check(None)
    folder.mark_outage(on=False)
    assert selfcheck.self_check(None) == ""
    folder.mark_outage(on=True)
    folder.unlock()
    assert selfcheck.self_check(None) == ""


def test_settings_that_are_at_fault_are_a_reason(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAITLINE_HTTP", "nowhere")
    assert "WAITLINE_HTTP: 'nowhere' is not HOST:PORT" in selfcheck.self_check(None)
    monkeypatch.delenv("WAITLINE_HTTP")
    monkeypatch.setenv("WAITLINE_DATA", str(data / "elsewhere"))
    assert "there is no data in" in selfcheck.self_check(None)


def test_everything_that_runs_in_service_is_imported() -> None:
    found = set(selfcheck.modules_of(waitline.media))
    assert {"waitline.media.worker", "waitline.media.clip_worker", "waitline.media.table"} <= found


def test_code_that_cannot_be_imported_says_why_to_the_supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_version.py").write_text("raise RuntimeError('half an upload')")
    monkeypatch.syspath_prepend(str(tmp_path))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        monkeypatch.setenv("WAITLINE_SUPERVISOR_FD", str(theirs.fileno()))
        with pytest.raises(RuntimeError, match="half an upload"):
            standby.main(["broken_version"])
        ours.settimeout(5)
        assert json.loads(ours.recv(1000)) == {"do": "checked", "reason": "it cannot be imported: RuntimeError: half an upload"}
