"""A new key for the data: all of it or nothing, whatever fails and wherever the keys are kept."""

from __future__ import annotations

import base64
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from unit.store.kit import AC, Database, account, call_event, credential, driver_of, sid

from waitline.bridge.store.backup import back_up, key_beside, restore
from waitline.bridge.store.history import Filter
from waitline.bridge.store.inspection import look
from waitline.bridge.store.opening import Place
from waitline.bridge.store.records import CallEvent, LiveState
from waitline.bridge.store.rotation import Rotated, rotate
from waitline.errors import ConfigError

TOKEN, HA1 = "c0ffee" * 5, "cafe" * 8
KEYED = {"sdp": "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:a2V5"}
KEY, NEXT = base64.b64encode(bytes(range(32))).decode(), "correct horse battery"


def fill(database: Database, **options: Any) -> None:
    async def story() -> None:
        store = await database.open(**options)
        await store.put(account(auth_token=TOKEN), credential(ha1_md5=HA1))
        store.append(LiveState(kind="call", key=sid("CA", 2), version=1, data=KEYED))
        store.append(call_event(2, request=KEYED))
        store.append(call_event(2, request={"url": "http://t/"}))
        await store.durable()
        await store.close()

    database.run(story())


def secrets_of(database: Database, **options: Any) -> list[Any]:
    found: list[Any] = []

    async def story() -> None:
        store = await database.open(**options)
        events, _ = await store.page(CallEvent, account_sid=AC, filters=[Filter("call_sid", "=", sid("CA", 2))])
        found.extend(
            [
                *(record.auth_token for record in store.image.accounts),
                *(record.ha1_md5 for record in store.image.credentials),
                *(state.data for state in await store.live_states("call")),
                *(event.request for event in reversed(events)),
            ]
        )
        await store.close()

    database.run(story())
    return found


ALL = [TOKEN, HA1, KEYED, KEYED, {"url": "http://t/"}]


def give_new_key(database: Database, *, key: str = "", next_key: str = "") -> Rotated:
    return rotate(Place.of(database.where, database.folder), key=key, next_key=next_key)


def encrypted_values(database: Database) -> set[str]:
    driver = driver_of(database)
    found = {
        value
        for table, column in [("accounts", "auth_token"), ("credentials", "ha1_md5"), ("live_states", "data"), ("settings", "value")]
        for (value,) in driver.query(f"SELECT {column} FROM {table}")
        if value.startswith("1:")
    }
    driver.close()
    return found


@pytest.fixture
def data(tmp_path: Path) -> Database:
    """Data with its key in a file."""
    database = Database(where=tmp_path / "data", folder=tmp_path / "data", inline=True)
    fill(database)
    return database


def test_everything_is_encrypted_anew_and_reads_as_before(database: Database) -> None:
    fill(database)
    key, before = (database.folder / "waitline.key").read_bytes(), encrypted_values(database)
    done = give_new_key(database)
    assert (done.values, done.kept) == (5, database.folder / "waitline.key.old-1")
    assert (database.folder / "waitline.key").read_bytes() != key
    assert (database.folder / "waitline.key.old-1").read_bytes() == key
    assert (len(before), before & encrypted_values(database)) == (4, set())
    assert secrets_of(database) == ALL


def test_the_key_before_opens_nothing_any_more(data: Database) -> None:
    give_new_key(data)
    (data.folder / "waitline.key.old-1").replace(data.folder / "waitline.key")
    with pytest.raises(ConfigError, match="not the one the data was encrypted with"):
        secrets_of(data)


def test_each_key_that_was_in_use_is_kept_under_a_name_of_its_own(data: Database) -> None:
    kept = [give_new_key(data).kept for _ in range(11)]
    assert [path and path.name for path in kept] == [f"waitline.key.old-{number}" for number in range(1, 12)]
    assert secrets_of(data) == ALL


def test_a_setting_is_changed_for_another_and_both_are_taken_meanwhile(tmp_path: Path) -> None:
    database = Database(where=tmp_path, folder=tmp_path, inline=True)
    fill(database, key=KEY)
    assert secrets_of(database, key=KEY, next_key=NEXT) == ALL
    assert give_new_key(database, key=KEY, next_key=NEXT).kept is None
    assert secrets_of(database, key=KEY, next_key=NEXT) == ALL
    assert secrets_of(database, key=NEXT) == ALL
    assert look(folder=tmp_path, database="", key=KEY, next_key=NEXT)[0].data == KEYED
    with pytest.raises(ConfigError, match="not the one the data was encrypted with"):
        secrets_of(database, key=KEY)


def test_a_key_moves_from_the_file_into_the_setting(data: Database) -> None:
    give_new_key(data, next_key=NEXT)
    assert secrets_of(data, next_key=NEXT) == ALL
    assert secrets_of(data, key=NEXT) == ALL


def test_a_key_in_a_setting_has_to_be_followed_by_one(tmp_path: Path) -> None:
    database = Database(where=tmp_path, folder=tmp_path, inline=True)
    fill(database, key=KEY)
    with pytest.raises(ConfigError, match="WAITLINE_KEY_NEXT: the key is in WAITLINE_KEY"):
        give_new_key(database, key=KEY)
    with pytest.raises(ConfigError, match="WAITLINE_KEY_NEXT: neither base64"):
        give_new_key(database, key=KEY, next_key="short")
    assert secrets_of(database, key=KEY) == ALL


def test_it_is_refused_while_the_platform_runs_or_a_command_has_the_data_open(database: Database) -> None:
    async def story(*, serve: bool, why: str) -> None:
        store = await database.open(serve=serve)
        with pytest.raises(ConfigError, match=why):
            give_new_key(database)
        await store.close()

    database.run(story(serve=True, why="in use by another server"))
    database.run(story(serve=False, why="another process has .* open just now"))
    assert not (database.folder / "waitline.key.next").exists()


def test_a_secret_that_does_not_decrypt_keeps_the_key_as_it_is(data: Database) -> None:
    with sqlite3.connect(data.folder / "waitline.db") as connection:
        connection.execute("UPDATE credentials SET ha1_md5 = ha1_sha256")
    connection.close()
    with pytest.raises(ConfigError, match=r"the key was not changed: the secret at credentials/.*/ha1_md5 does not decrypt"):
        give_new_key(data)
    assert look(folder=data.folder, database="", key="")[0].data == KEYED


def test_a_key_that_was_made_but_not_used_is_forgotten_at_the_next_start(data: Database) -> None:
    (data.folder / "waitline.key.next").write_bytes(base64.b64encode(bytes(32)))
    (data.folder / "waitline.key.next").chmod(0o600)
    assert secrets_of(data) == ALL
    assert not (data.folder / "waitline.key.next").exists()


@pytest.mark.parametrize("step", ["link", "rename"])
def test_files_that_were_not_renamed_any_more_are_at_the_next_start(
    data: Database, step: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(5, "gone")

    with monkeypatch.context() as patch:
        patch.setattr("os.link" if step == "link" else "waitline.bridge.store.keys.flush", fail)
        with pytest.raises(ConfigError, match="the key cannot be changed: gone"):
            give_new_key(data)
    back_up(data.folder, tmp_path / "backup", with_key=True)
    assert secrets_of(data) == ALL
    assert {path.name for path in data.folder.glob("waitline.key*")} == {"waitline.key", "waitline.key.old-1"}
    restore(tmp_path / "backup", tmp_path / "new", stamp="x")
    assert key_beside(tmp_path / "backup").read_bytes() == (data.folder / "waitline.key").read_bytes()


def test_a_backup_of_before_is_restored_with_the_key_of_before(data: Database, tmp_path: Path) -> None:
    back_up(data.folder, tmp_path / "backup")
    give_new_key(data)
    restore(tmp_path / "backup", data.folder, force=True, stamp="before-x")
    assert secrets_of(data)[:2] == ALL[:2]
