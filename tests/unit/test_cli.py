"""The command line: what is printed, and exit code 2 for what the operator can mend."""

import json
import re
import socket
import sqlite3

import pytest
from typer.testing import CliRunner

from waitline.cli import app


@pytest.fixture
def waitline(monkeypatch, tmp_path):
    """Run a command in an empty folder with settings of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WAITLINE_HTTP", "127.0.0.1:0")
    monkeypatch.setenv("WAITLINE_SIP", "127.0.0.1:0")
    return lambda *arguments: CliRunner().invoke(app, arguments)


def test_the_help_names_every_command(waitline):
    text = waitline("--help").stdout
    for command in ("serve", "demo", "account", "doctor"):
        assert command in text


def test_the_help_of_serve_gives_the_ready_line_and_the_exit_code(waitline):
    text = " ".join(waitline("serve", "--help").stdout.split())
    assert '"ready http=HOST:PORT sip=HOST:PORT pid=PID"' in text
    assert "Exit code 2" in text


def test_an_account_is_printed_as_one_line_of_json(waitline, tmp_path):
    done = waitline("account", "create", "Acme", "--json")
    assert done.exit_code == 0, done.output
    account = json.loads(done.stdout)
    assert list(account) == ["sid", "auth_token"]
    assert re.fullmatch("AC[0-9a-f]{32}", account["sid"])
    assert re.fullmatch("[0-9a-f]{32}", account["auth_token"])
    assert done.stdout.count("\n") == 1
    assert (tmp_path / "waitline-data").is_dir()


def test_a_second_account_is_another(waitline):
    first, second = (json.loads(waitline("account", "create", name, "--json").stdout) for name in "AB")
    assert first["sid"] != second["sid"]
    assert first["auth_token"] != second["auth_token"]


def test_the_key_is_changed_by_a_command_that_says_where_the_one_before_is(waitline, tmp_path):
    waitline("account", "create", "Acme")
    done = waitline("key", "rotate")
    assert done.exit_code == 0, done.output
    data = "waitline-data"
    assert (
        done.stdout
        == f"1 secrets are encrypted with a new key in {data}/waitline.key; backups made until now need {data}/waitline.key.old-1\n"
    )
    assert waitline("account", "create", "Beta").exit_code == 0


def test_for_people_sid_and_token_are_on_lines_of_their_own(waitline):
    assert re.fullmatch(r"account sid  AC\w{32}\nauth token   \w{32}\n", waitline("account", "create", "Acme").stdout)


def test_a_data_folder_that_is_a_file_is_exit_code_2(waitline, tmp_path):
    (tmp_path / "waitline-data").write_text("not a folder")
    done = waitline("account", "create", "Acme", "--json")
    assert done.exit_code == 2
    assert done.stdout == ""
    assert "waitline-data" in done.stderr


@pytest.mark.parametrize("command", [("account", "create", "Acme"), ("doctor",)])
def test_a_bad_setting_is_exit_code_2_and_named(waitline, monkeypatch, command):
    monkeypatch.setenv("WAITLINE_RTP_PORTS", "lots")
    done = waitline(*command)
    assert done.exit_code == 2
    assert "WAITLINE_RTP_PORTS" in done.output


def test_the_doctor_finds_nothing_wrong_with_a_free_machine(waitline):
    done = waitline("doctor")
    assert done.exit_code == 0, done.output
    for subject in ("settings", "data", "port udp", "open files", "kernel filter", "speech"):
        assert re.search(f"^(ok|note) +{subject}", done.stdout, re.MULTILINE), done.output


def test_the_doctor_names_a_port_in_use(waitline, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("WAITLINE_SIP", f"127.0.0.1:{port}")
        done = waitline("doctor")
    assert done.exit_code == 2
    assert re.search(rf"^fault +port tcp +WAITLINE_SIP: .*:{port}: the port is in use", done.stdout, re.MULTILINE)


def test_the_doctor_says_what_durable_means_and_looks_at_all_of_the_database(waitline, tmp_path):
    assert waitline("account", "create", "Acme").exit_code == 0
    said = waitline("doctor").stdout
    assert re.search("^ok +durability +SQLite, WAL, synchronous=NORMAL: .* a power loss may cost ", said, re.MULTILINE)
    assert re.search(r"^(ok|note) +database +\d+\.\d MB, whole; \d+ MB are free$", said, re.MULTILINE)
    file = tmp_path / "waitline-data" / "waitline.db"
    assert {path.name for path in file.parent.iterdir()} == {"waitline.db", "waitline.key", "open.lock", "use.lock"}
    file.write_bytes(file.read_bytes()[:8192] + b"\xa5" * 50_000)
    done = waitline("doctor")
    assert done.exit_code == 2
    assert re.search(r"^fault +database .*waitline\.db is damaged \(.*\): restore a backup", done.stdout, re.MULTILINE)


def test_a_backup_is_made_and_restored_by_commands(waitline, tmp_path, monkeypatch):
    account = json.loads(waitline("account", "create", "Acme", "--json").stdout)
    made = waitline("backup", "monday", "--with-key")
    assert made.exit_code == 0, made.output
    assert re.fullmatch(r"monday: \d+\.\d MB, 1 accounts, 0 calls; its key is beside it, in monday\.key\n", made.stdout)
    assert waitline("backup", "monday").exit_code == 2
    assert waitline("restore", "monday").exit_code == 2
    monkeypatch.setenv("WAITLINE_DATA", str(tmp_path / "new"))
    done = waitline("restore", "monday")
    assert done.exit_code == 0, done.output
    with sqlite3.connect(tmp_path / "new" / "waitline.db") as database:
        assert database.execute("SELECT sid FROM accounts").fetchall() == [(account["sid"],)]
    database.close()


@pytest.mark.parametrize(("command", "instead"), [("backup", "pg_dump"), ("restore", "pg_restore")])
def test_data_in_postgresql_is_backed_up_by_its_own_tools(waitline, monkeypatch, command, instead):
    monkeypatch.setenv("WAITLINE_DATABASE", "postgresql://localhost/waitline")
    done = waitline(command, "monday")
    assert done.exit_code == 2
    assert f"the data is in PostgreSQL: {'back it up' if command == 'backup' else 'restore it'} with {instead}" in done.stderr
    assert "waitline.key" in done.stderr


def test_the_doctor_names_a_data_folder_that_is_a_file(waitline, tmp_path):
    (tmp_path / "waitline-data").write_text("")
    done = waitline("doctor")
    assert done.exit_code == 2
    assert "WAITLINE_DATA" in done.stdout
