"""A database that cannot be written, under a live call on real sockets: the call goes on, the operator is told, and it passes by itself."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from harness import audio
from harness.processes import wait_until
from harness.sip_phone import PhoneCall, SipPhone
from twilio.base.exceptions import TwilioRestException

if TYPE_CHECKING:
    from real.conftest import Platform

pytestmark = pytest.mark.real
SOON_S = 10.0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "none", str(folder)], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def a_desk(start_platform: Callable[..., Platform], data: Path) -> Platform:
    platform = start_platform(WAITLINE_DATA=str(data))
    tenant = platform.tenant()
    tone = tenant.serves("/tone", audio.wav(audio.tone(440, 5.0)), "audio/wav")
    wait = tenant.answers("/wait", f"<Response><Play>{tone}</Play></Response>")
    platform.number(tenant.answers("/voice", f'<Response><Enqueue waitUrl="{wait}">support</Enqueue></Response>'))
    return platform


def a_caller(phone: SipPhone) -> PhoneCall:
    caller = phone.invite("+15550100")
    caller.answered()
    caller.ear.wait_for_tone(440)
    return caller


def readyz(platform: Platform) -> dict[str, Any]:
    answer = requests.get(f"{platform.base_url}/readyz", timeout=5)
    return {"status": answer.status_code, **answer.json()}


def durable(platform: Platform) -> int:
    text = requests.get(f"{platform.base_url}/metrics", timeout=5).text
    (line,) = (line for line in text.splitlines() if line.startswith("waitline_store_durable "))
    return int(float(line.split()[1]))


def members(platform: Platform) -> list[str]:
    (queue,) = platform.client.queues.list()
    return [member.call_sid for member in platform.client.queues(queue.sid).members.list()]


def is_told(platform: Platform, why: str) -> None:
    """Wait until the operator sees the outage; ``why`` is a pattern."""
    wait_until(lambda: not durable(platform), SOON_S, platform.log)
    ready = readyz(platform)
    assert (ready["status"], ready["ready"]) == (200, True)
    assert re.match(f"store: ({why}): ", ready["degraded"][0]), ready
    platform.serve.log.wait_for(f"store: ({why}) ")


def calls_go_on(platform: Platform, phone: SipPhone, first: PhoneCall) -> PhoneCall:
    """Old and new callers hear their music, REST reads, and changes are refused with a time to come back."""
    second = a_caller(phone)
    heard = len(first.ear.packets)
    first.ear.hear(1.0)
    assert len(first.ear.packets) > heard
    assert len(members(platform)) == 2
    for member in members(platform):
        assert platform.client.calls(member).fetch().status == "in-progress"
    path = f"{platform.base_url}/2010-04-01/Accounts/{platform.account_sid}/Queues.json"
    refused = requests.post(path, data={"FriendlyName": "o" * 60}, auth=(platform.account_sid, platform.auth_token), timeout=10)
    assert (refused.status_code, refused.json()["code"]) == (503, 20503)
    assert int(refused.headers["Retry-After"]) > 0
    with pytest.raises(TwilioRestException) as raised:
        platform.client.applications.create(friendly_name="n" * 60)
    assert raised.value.status == 503
    return second


def it_passes(platform: Platform, data: Path) -> None:
    """What was held back is on disk, and a control that is killed now loses nothing of it."""
    wait_until(lambda: durable(platform), SOON_S, platform.log)
    assert readyz(platform)["degraded"] == []
    platform.serve.log.wait_for("store: written again after .*rows lost: 0")
    places = members(platform)
    with closing(sqlite3.connect(data / "waitline.db")) as database:
        kept = {key for (key,) in database.execute("SELECT key FROM live_states WHERE kind='member'")}
    assert kept == set(places)
    os.kill(platform.serve.control(), signal.SIGKILL)
    platform.serve.log.wait_for(r"control \(pid \d+\) is ready after", within_s=20)
    assert members(platform) == places


def fill(folder: Path) -> Path:
    """Leave no byte free."""
    filler = folder / "filler"
    with open(filler, "wb", buffering=0) as file:
        for size in (65536, 512, 1):
            try:
                while file.write(b"\0" * size) == size:
                    pass
            except OSError:
                continue
    return filler


def test_a_full_disk_costs_no_call_and_is_caught_up_with(start_platform: Callable[..., Platform], disk: Path) -> None:
    platform = a_desk(start_platform, disk / "data")
    with SipPhone(server=platform.sip) as phone:
        first = a_caller(phone)
        filler = fill(disk)
        # The log has room of its own until it has been written through once.
        for _ in range(200):
            try:
                platform.client.queues.create("x" * 60)
            except TwilioRestException as error:
                if error.status == 503:
                    break
        is_told(platform, "the disk is full")
        calls_go_on(platform, phone, first)
        filler.unlink()
        it_passes(platform, disk / "data")


def test_a_database_that_another_process_locks_costs_no_call(start_platform: Callable[..., Platform], tmp_path: Path) -> None:
    platform = a_desk(start_platform, tmp_path / "data")
    with SipPhone(server=platform.sip) as phone:
        first = a_caller(phone)
        with closing(sqlite3.connect(tmp_path / "data" / "waitline.db", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            provoke(platform)
            is_told(platform, "another process has the database locked")
            calls_go_on(platform, phone, first)
            other.execute("ROLLBACK")
        it_passes(platform, tmp_path / "data")


def test_a_damaged_database_costs_no_call_and_the_next_start_names_the_way_back(
    start_platform: Callable[..., Platform], tmp_path: Path
) -> None:
    data, backup = tmp_path / "data", tmp_path / "backup"
    platform = a_desk(start_platform, data)
    with SipPhone(server=platform.sip) as phone:
        first = a_caller(phone)
        made = platform.serve.command("backup", str(backup))
        assert made.returncode == 0, made.stderr
        assert "keep a copy of that apart" in made.stdout
        damage(data / "waitline.db")
        provoke(platform)
        is_told(platform, "the database is damaged")
        second = a_caller(phone)
        first.ear.hear(1.0)
        second.hang_up()
    platform.serve.stop()
    again = platform.serve.command("serve")
    assert again.returncode == 2
    assert f"{data}/waitline.db is damaged" in again.stderr
    assert "waitline restore FILE --force" in again.stderr
    restored = platform.serve.command("restore", str(backup), "--force")
    assert restored.returncode == 0, restored.stderr
    platform.serve = type(platform.serve).start(platform.folder, WAITLINE_DATA=str(data))
    platform.client.api.base_url = platform.base_url
    assert [number.phone_number for number in platform.client.incoming_phone_numbers.list()] == ["+15550100"]
    assert {call.status for call in platform.client.calls.list()} == {"completed"}


def provoke(platform: Platform) -> None:
    """Have the platform write once, in vain."""
    with pytest.raises(TwilioRestException) as raised:
        platform.client.queues.create("other")
    assert raised.value.status == 503


def damage(file: Path) -> None:
    """Overwrite the roots of the tables in the file itself, and have the platform look at it again."""
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        tables = "('queues', 'calls', 'live_states', 'queue_events')"
        roots = [page for (page,) in database.execute(f"SELECT rootpage FROM sqlite_master WHERE type='table' AND name IN {tables}")]
        (size,) = database.execute("PRAGMA page_size").fetchone()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        with file.open("r+b") as content:
            for page in roots:
                content.seek((page - 1) * size)
                content.write(b"\xa5" * size)
        database.execute("UPDATE counters SET value = value + 0")  # another's write: pages in memory are read again


def test_a_data_folder_that_cannot_be_written_is_exit_code_2(start_platform: Callable[..., Platform], disk: Path) -> None:
    platform = start_platform(WAITLINE_DATA=str(disk / "data"))
    platform.serve.stop()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    again = platform.serve.command("serve")
    assert again.returncode == 2
    assert f"WAITLINE_DATA: the folder {disk}/data cannot be used: Read-only file system" in again.stderr


def test_a_disk_that_turns_read_only_costs_no_call(start_platform: Callable[..., Platform], tmp_path: Path) -> None:
    """As ext4 does by itself when its disk fails; nothing is written there any more before it is mounted again."""
    image, folder = tmp_path / "image", tmp_path / "disk"
    folder.mkdir()
    image.write_bytes(bytes(16 * 1024 * 1024))
    for command in (["mkfs.ext4", "-q", str(image)], ["mount", "-o", "loop,errors=remount-ro", str(image), str(folder)]):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no file system can be made here: {done.stderr.strip()}")
    try:
        platform = a_desk(start_platform, folder / "data")
        with SipPhone(server=platform.sip) as phone:
            first = a_caller(phone)
            subprocess.run(["mount", "-o", "remount,abort", str(folder)], capture_output=True)
            provoke(platform)
            is_told(platform, "the data cannot be written to|the disk gives errors")
            calls_go_on(platform, phone, first)
        platform.serve.stop()
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
