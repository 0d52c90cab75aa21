"""``waitline upgrade`` to a version that cannot take over: refused with the reason, and nothing has changed, not even for a caller."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from harness import audio
from harness.processes import children
from harness.serve import TESTS, WAITLINE
from harness.sip_phone import SipPhone

if TYPE_CHECKING:
    from real.conftest import Platform

pytestmark = pytest.mark.real


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A copy of the program, that a test can replace by another version."""
    installed = tmp_path / "installed" / "waitline"
    shutil.copytree(TESTS.parent / "waitline", installed, ignore=shutil.ignore_patterns("__pycache__"))
    return installed


@pytest.fixture
def platform(start_platform: Callable[..., Platform], code: Path) -> Platform:
    return start_platform(PYTHONPATH=f"{code.parent}:{TESTS}")


def break_import(code: Path, _platform: Platform) -> None:
    server = code / "server.py"
    server.write_text(server.read_text().replace("log = structlog", "raise RuntimeError('half an upload')\nlog = structlog", 1))


def break_worker(code: Path, _platform: Platform) -> None:
    worker = code / "media" / "worker.py"
    worker.write_text(worker.read_text() + "\nimport nothing_of_that_name\n")


def be_older_than_a_record(_code: Path, platform: Platform) -> None:
    with sqlite3.connect(platform.folder / "data" / "waitline.db", timeout=10) as connection:
        connection.execute("INSERT INTO live_states (kind, key, version, data) VALUES ('call', 'CA7', 99, '{}')")
    connection.close()


def be_older_than_the_data(_code: Path, platform: Platform) -> None:
    with sqlite3.connect(platform.folder / "data" / "waitline.db", timeout=10) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()


def have_bad_settings(_code: Path, platform: Platform) -> None:
    (platform.folder / "waitline.toml").write_text("queue_length = 3\n")


REFUSALS = [
    (break_import, "it cannot be imported: RuntimeError: half an upload"),
    (break_worker, "its modules cannot be imported: ModuleNotFoundError: No module named 'nothing_of_that_name'"),
    (be_older_than_a_record, "it cannot read what is going on: call CA7: its form is 99, this version reads"),
    (be_older_than_the_data, "the data's schema is version 9999, this program knows up to"),
    (have_bad_settings, "queue_length in waitline.toml: there is no such setting"),
]


@pytest.mark.parametrize(("breaks", "reason"), REFUSALS, ids=[breaks.__name__ for breaks, _ in REFUSALS])
def test_a_version_that_cannot_take_over_is_refused_and_the_caller_waits_on(
    platform: Platform, code: Path, breaks: Callable[[Path, Platform], None], reason: str
) -> None:
    tenant = platform.tenant()
    tone = tenant.serves("/tone", audio.wav(audio.tone(440, 2.0)), "audio/wav")
    tenant.answers("/wait", f"<Response><Play>{tone}</Play></Response>")
    platform.number(tenant.answers("/voice", "<Response><Enqueue waitUrl='/wait'>support</Enqueue></Response>"))
    with SipPhone(server=platform.sip) as phone:
        call = phone.invite("+15550100")
        call.answered()
        call.ear.wait_for_tone(440)
        processes = sorted(children(platform.serve.process.pid))
        breaks(code, platform)
        done = run_upgrade(platform)
        assert (done.returncode, done.stderr) == (1, "")
        assert done.stdout.startswith(f"the new version does not pass its self-check: {reason}")
        assert sorted(children(platform.serve.process.pid)) == processes
        assert "upgrade refused" in platform.log()
        call.ear.hear(1.0)
        queue = platform.client.queues.list()[0]
        assert len(platform.client.queues(queue.sid).members.list()) == 1


def run_upgrade(platform: Platform) -> subprocess.CompletedProcess[str]:
    """The command is of the version that was there before, and has the settings that were."""
    environment = platform.serve.environment | {"PYTHONPATH": str(TESTS)}
    return subprocess.run([WAITLINE, "upgrade"], cwd=platform.folder.parent, env=environment, capture_output=True, text=True, timeout=60)


def test_a_good_version_takes_over_and_its_code_runs(platform: Platform, code: Path) -> None:
    version = code / "__init__.py"
    version.write_text(version.read_text().replace('__version__ = "', '__version__ = "9.'))
    done = run_upgrade(platform)
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("version 9.")
    assert platform.client.queues.create(friendly_name="after").current_size == 0
