"""Data is looked at before it is taken over, and nothing of it changes by that."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pytest
from unit.store.kit import Database, driver_of

from waitline.bridge.store.inspection import look
from waitline.bridge.store.records import LiveState
from waitline.bridge.store.schema import SCHEMA_VERSION
from waitline.errors import ConfigError

RECORD = LiveState(kind="call", key="CA1", version=7, data={"a": [1, "é"]})


@dataclass
class Data:
    database: Database
    seen: list[LiveState]

    def look(self, key: str = "") -> list[LiveState]:
        where = str(self.database.where)
        return look(folder=self.database.folder, database=where if "://" in where else "", key=key)

    def run(self, statement: str) -> None:
        driver = driver_of(self.database)
        driver.script([statement])
        driver.close()


@pytest.fixture
def data(database: Database) -> Data:
    """Data that is being served, with one record of what is going on."""
    found: list[LiveState] = []

    async def story() -> None:
        store = await database.open()
        store.append(RECORD)
        await store.durable()
        found.extend(Data(database, []).look())
        await store.close()

    database.run(story())
    return Data(database, found)


def test_what_is_going_on_is_seen_while_another_serves(data: Data) -> None:
    assert data.seen == [RECORD]


def test_an_encrypted_call_does_not_look_unreadable_and_keep_an_upgrade_from_happening(database: Database) -> None:
    keyed = LiveState(kind="call", key="CA2", version=7, data={"sdp": "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:a2V5"})

    async def story() -> None:
        store = await database.open()
        store.append(keyed)
        await store.durable()
        assert Data(database, []).look() == [keyed]
        await store.close()

    database.run(story())


def test_looking_changes_nothing(data: Data) -> None:
    files = sorted(data.database.folder.glob("waitline.*"))
    before = {file: hashlib.sha256(file.read_bytes()).digest() for file in files if file.suffix != ".db-shm"}
    data.look()
    assert {file: hashlib.sha256(file.read_bytes()).digest() for file in before} == before


@pytest.mark.parametrize("version", ["9999", ""])
def test_a_schema_that_is_not_known_is_refused_with_its_version(data: Data, version: str) -> None:
    data.run(f"UPDATE alembic_version SET version_num = '{version}'" if version else "DELETE FROM alembic_version")
    with pytest.raises(ConfigError, match=f"version {version or 'none'}, this program knows up to {SCHEMA_VERSION}"):
        data.look()


def test_an_older_schema_that_can_be_migrated_is_no_reason_to_refuse(data: Data) -> None:
    data.run("UPDATE alembic_version SET version_num = '0001'")
    assert data.look() == [RECORD]


def test_another_key_is_refused(data: Data) -> None:
    with pytest.raises(ConfigError, match="not the one the data was encrypted with"):
        data.look(key="another pass phrase")
    (data.database.folder / "waitline.key").unlink()
    with pytest.raises(ConfigError, match="the key is missing"):
        data.look()


def test_a_record_that_is_no_json_is_one_that_nobody_can_read(data: Data) -> None:
    data.run("UPDATE live_states SET data = 'oh'")
    assert data.look() == [LiveState(kind="call", key="CA1", version=7, data={})]


def test_a_folder_without_data_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no data in"):
        look(folder=tmp_path, database="", key="")
    assert list(tmp_path.iterdir()) == []
