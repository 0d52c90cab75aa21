"""Backups: whole or not there, of no use without the key, and restored only where nobody is."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from unit.store.kit import Database, account, call, queue, sid

from waitline.bridge.store.backup import back_up, examine, key_beside, restore
from waitline.bridge.store.records import CallRecord, LiveState
from waitline.errors import ConfigError

STAMP = "before-x"
TOKEN = "c0ffee" * 5


def fill(folder: Path, **options: Any) -> None:
    async def story() -> None:
        store = await Database(where=folder, folder=folder, inline=False).open(**options)
        await store.put(account(auth_token=TOKEN), queue(1))
        store.append(call(1, status="completed"))
        store.append(call(2, status="in-progress"))
        store.append(LiveState(kind="call", key=sid("CA", 2), version=1, data={}))
        store.append(LiveState(kind="callback", key="T1", version=1, data={}))
        await store.durable()
        await store.close()

    asyncio.run(story())


async def look(folder: Path, **options: Any) -> dict[str, Any]:
    store = await Database(where=folder, folder=folder, inline=False).open(serve=True, **options)
    try:
        statuses = [(await store.get(CallRecord, sid("CA", number))) for number in (1, 2)]
        return {
            "tokens": [found.auth_token for found in store.image.accounts],
            "queues": len(store.image.queues),
            "calls": [call and call.status for call in statuses],
            "going on": [*await store.live_states("call"), *await store.live_states("callback")],
        }
    finally:
        await store.close()


AS_IT_WAS = {"tokens": [TOKEN], "queues": 1, "calls": ["completed", "completed"], "going on": []}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    fill(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def file(data: Path, tmp_path: Path) -> Path:
    back_up(data, tmp_path / "backup", with_key=True)
    return tmp_path / "backup"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_backup_is_one_file_that_only_its_owner_reads(data: Path, tmp_path: Path) -> None:
    made = back_up(data, tmp_path / "backup")
    assert (made.accounts, made.calls) == (1, 2)
    assert names(tmp_path) == {"data", "backup"}
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o600
    assert TOKEN.encode() not in (tmp_path / "backup").read_bytes()


def test_what_is_restored_is_as_it_was_and_nothing_goes_on(file: Path, tmp_path: Path) -> None:
    done = restore(file, tmp_path / "new" / "data", stamp=STAMP)
    assert (done.accounts, done.calls, done.replaced) == (1, 2, None)
    assert names(tmp_path / "new" / "data") == {"waitline.db", "waitline.key", "serve.lock", "open.lock", "outage.lock"}
    assert asyncio.run(look(tmp_path / "new" / "data")) == AS_IT_WAS
    assert asyncio.run(look(tmp_path / "new" / "data")) == AS_IT_WAS


def test_a_backup_under_writes_holds_a_moment_and_stops_nobody(tmp_path: Path) -> None:
    """A call and its queue are put together: no backup has one without the other."""

    async def story() -> None:
        store = await Database(where=tmp_path / "data", folder=tmp_path, inline=False).open(serve=True)
        number, going = 0, True

        async def write() -> None:
            nonlocal number
            while going:
                number += 1
                await store.put(call(number, status="completed"), queue(number))

        writing = asyncio.create_task(write())
        found: list[int] = []
        written = []
        for index in range(40):  # on a busy machine a backup may be done before anybody comes to write
            before = number
            await asyncio.to_thread(back_up, tmp_path / "data", tmp_path / f"backup-{index}")
            written.append(number > before)
            with sqlite3.connect(tmp_path / f"backup-{index}") as copy:
                (counts,) = copy.execute("SELECT (SELECT count(*) FROM calls), (SELECT count(*) FROM queues)")
            copy.close()
            assert counts[0] == counts[1]
            assert before - 1 <= counts[0] <= number + 1
            found.append(counts[0])
            if sum(written) >= 3 and index >= 7:
                break
        assert any(written), "nobody could write meanwhile"
        assert found == sorted(found)
        going = False
        await writing
        await store.close()

    asyncio.run(story())


def test_a_file_that_is_there_is_not_overwritten_unasked(data: Path, file: Path) -> None:
    with pytest.raises(ConfigError, match=r"backup exists: choose another name, or --force"):
        back_up(data, file)
    file.unlink()
    with pytest.raises(ConfigError, match=r"backup.key exists"):
        back_up(data, file, with_key=True)
    assert back_up(data, file, with_key=True, force=True).accounts == 1


def test_data_that_is_there_is_replaced_only_when_told_so_and_kept_beside(file: Path, data: Path) -> None:
    async def add() -> None:
        store = await Database(where=data, folder=data, inline=False).open()
        await store.put(queue(2))
        await store.close()

    asyncio.run(add())
    with pytest.raises(ConfigError, match=r"data has data: --force replaces it \(and keeps it beside, as waitline.db.before-x\)"):
        restore(file, data, stamp=STAMP)
    done = restore(file, data, stamp=STAMP, force=True)
    assert done.replaced == data / "waitline.db.before-x"
    assert asyncio.run(look(data)) == AS_IT_WAS
    with sqlite3.connect(done.replaced) as old:
        assert old.execute("SELECT count(*) FROM queues").fetchone() == (2,)
    old.close()


def test_nothing_is_restored_onto_a_running_platform(file: Path, data: Path) -> None:
    async def story() -> None:
        store = await Database(where=data, folder=data, inline=False).open(serve=True)
        with pytest.raises(ConfigError, match="in use by another server"):
            restore(file, data, stamp=STAMP, force=True)
        await store.put(queue(3))
        await store.close()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda file: file.write_bytes(b"no database" * 1000), "is no backup of Waitline's data: file is not a database"),
        (lambda file: file.write_bytes(b""), "is no backup of Waitline's data: no such table"),
        (lambda file: file.write_bytes(file.read_bytes()[:-8192]), "is "),
        (lambda file: file.unlink(), "there is no such backup"),
        (lambda file: _version(file, "9999"), r"was written by another version \(schema 9999\)"),
    ],
)
def test_what_is_no_whole_backup_of_a_known_version_changes_nothing(file: Path, data: Path, spoil: Any, why: str) -> None:
    spoil(file)
    before = names(data)
    with pytest.raises(ConfigError, match=why):
        restore(file, data, stamp=STAMP, force=True)
    assert names(data) == before


def _version(file: Path, version: str) -> None:
    with sqlite3.connect(file) as database:
        database.execute("UPDATE alembic_version SET version_num=?", (version,))
    database.close()


def test_without_its_key_a_backup_is_not_restored(file: Path, data: Path, tmp_path: Path) -> None:
    key_beside(file).unlink()
    with pytest.raises(ConfigError, match=r"the key of this backup is not here: put it at .*new/waitline\.key \(or .*backup\.key\)"):
        restore(file, tmp_path / "new", stamp=STAMP)
    assert "waitline.key" not in names(tmp_path / "new")
    shutil.copy2(data / "waitline.key", tmp_path / "new" / "waitline.key")
    restore(file, tmp_path / "new", stamp=STAMP, force=True)
    assert asyncio.run(look(tmp_path / "new")) == AS_IT_WAS


def test_a_key_of_other_data_is_replaced_and_kept(file: Path, tmp_path: Path) -> None:
    fill(tmp_path / "other")
    other = (tmp_path / "other" / "waitline.key").read_bytes()
    restore(file, tmp_path / "other", stamp=STAMP, force=True)
    assert (tmp_path / "other" / "waitline.key.before-x").read_bytes() == other
    assert asyncio.run(look(tmp_path / "other")) == AS_IT_WAS


def test_a_key_from_the_settings_opens_a_backup(tmp_path: Path) -> None:
    fill(tmp_path / "data", key="a pass phrase of some length")
    back_up(tmp_path / "data", tmp_path / "backup")
    with pytest.raises(ConfigError, match="--with-key: there is no"):
        back_up(tmp_path / "data", tmp_path / "other", with_key=True)
    with pytest.raises(ConfigError, match=r"the key .* is not the one"):
        restore(tmp_path / "backup", tmp_path / "new", key="another pass phrase", stamp=STAMP)
    restore(tmp_path / "backup", tmp_path / "new", key="a pass phrase of some length", stamp=STAMP)
    assert asyncio.run(look(tmp_path / "new", key="a pass phrase of some length")) == AS_IT_WAS


def test_damaged_data_is_not_backed_up_and_a_backup_replaces_it(file: Path, data: Path, tmp_path: Path) -> None:
    database = data / "waitline.db"
    database.write_bytes(database.read_bytes()[:5000] + b"\xa5" * 100_000)
    with pytest.raises(ConfigError, match="damaged"):
        back_up(data, tmp_path / "second")
    assert not (tmp_path / "second").exists()
    assert not (tmp_path / "second.partial").exists()
    restore(file, data, stamp=STAMP, force=True)
    assert asyncio.run(look(data)) == AS_IT_WAS
    assert (data / "waitline.db.before-x").read_bytes()[5000:].startswith(b"\xa5")


def test_where_there_is_no_data_there_is_no_backup(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no data in"):
        back_up(tmp_path / "data", tmp_path / "backup")
    fill(tmp_path / "data")
    with pytest.raises(ConfigError, match="cannot be written: No such file or directory"):
        back_up(tmp_path / "data", tmp_path / "nowhere" / "backup")


def test_a_backup_can_be_looked_at_by_itself(file: Path) -> None:
    assert examine(file).accounts == 1
