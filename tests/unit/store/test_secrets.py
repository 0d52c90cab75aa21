"""Secrets at rest: unreadable without the key, bound to their place, and a wrong key is found at once."""

from __future__ import annotations

import base64
import os
import sqlite3
import stat
from pathlib import Path

import pytest
from harness.virtual_time import run
from unit.store.kit import Database, account, credential, phone_number

from waitline.bridge.store.errors import StoreError
from waitline.bridge.store.records import LiveState
from waitline.bridge.store.secrets import SecretBox, hash_secret, key_from_setting, secret_matches
from waitline.errors import ConfigError

KEY = base64.b64encode(bytes(range(32))).decode()


def test_a_secret_comes_back_and_each_time_looks_different():
    box = SecretBox(bytes(32))
    one, two = box.encrypt("s3cret ü", "accounts", "AC1", "auth_token"), box.encrypt("s3cret ü", "accounts", "AC1", "auth_token")
    assert one != two
    assert box.decrypt(one, "accounts", "AC1", "auth_token") == "s3cret ü"


@pytest.mark.parametrize("place", [("accounts", "AC2", "auth_token"), ("accounts", "AC1", "other"), ("keys", "AC1", "auth_token")])
def test_a_secret_copied_to_another_place_does_not_decrypt(place: tuple[str, ...]):
    box = SecretBox(bytes(32))
    with pytest.raises(StoreError, match="does not decrypt"):
        box.decrypt(box.encrypt("s3cret", "accounts", "AC1", "auth_token"), *place)


@pytest.mark.parametrize("damaged", ["", "1:", "1:AAAA", "plain text", "1:" + "A" * 60])
def test_a_damaged_secret_is_an_error_of_ours(damaged: str):
    with pytest.raises(StoreError, match="accounts/AC1"):
        SecretBox(bytes(32)).decrypt(damaged, "accounts", "AC1")


def test_a_key_is_base64_of_32_bytes_or_a_pass_phrase():
    assert key_from_setting(KEY, salt=b"x") == bytes(range(32))
    assert key_from_setting(base64.urlsafe_b64encode(b"\xff" * 32).decode().rstrip("="), salt=b"x") == b"\xff" * 32
    derived = key_from_setting("correct horse battery", salt=b"x")
    assert len(derived) == 32
    assert derived != key_from_setting("correct horse battery", salt=b"y")
    with pytest.raises(ConfigError, match="WAITLINE_KEY"):
        key_from_setting("short", salt=b"x")


def test_an_api_keys_secret_is_recognised_but_not_kept():
    stored = hash_secret("s" * 32)
    assert "s" * 32 not in stored
    assert secret_matches("s" * 32, stored)
    assert not secret_matches("t" * 32, stored)


def _opened(folder: Path, **options: object) -> None:
    async def story():
        database = Database(where=folder, folder=folder, inline=True)
        store = await database.open(**options)
        await store.put(account(auth_token="feedbeef" * 4), credential(ha1_md5="cafe" * 8))
        await store.close()

    run(story())


def test_no_secret_is_in_the_data_folder_as_text(tmp_path: Path):
    _opened(tmp_path)
    data = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"Acme" in data
    assert b"feedbeef" not in data
    assert b"cafecafe" not in data


def test_the_key_and_the_data_are_their_owners(tmp_path: Path):
    folder = tmp_path / "deep" / "data"
    _opened(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "waitline.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / "waitline.db").stat().st_mode) == 0o600


def test_a_lost_key_is_not_replaced_by_a_new_one(tmp_path: Path):
    _opened(tmp_path)
    (tmp_path / "waitline.key").unlink()
    with pytest.raises(ConfigError, match=r"waitline\.key: the key is missing"):
        _opened(tmp_path)
    assert not (tmp_path / "waitline.key").exists()


def test_a_wrong_key_is_found_when_the_data_is_opened(tmp_path: Path):
    _opened(tmp_path, key=KEY)
    with pytest.raises(ConfigError, match="not the one the data was encrypted with"):
        _opened(tmp_path, key="correct horse battery")
    _opened(tmp_path, key=KEY)


def test_a_pass_phrase_opens_the_data_again(tmp_path: Path):
    _opened(tmp_path, key="correct horse battery")
    _opened(tmp_path, key="correct horse battery")


def test_a_key_that_others_may_read_is_refused(tmp_path: Path):
    _opened(tmp_path)
    (tmp_path / "waitline.key").chmod(0o644)
    with pytest.raises(ConfigError, match=r"waitline\.key: other users may read the key \(mode 0644\)"):
        _opened(tmp_path)


@pytest.mark.parametrize("text", ["", "AAAA", "not base64 ü"])
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, text: str):
    _opened(tmp_path)
    (tmp_path / "waitline.key").write_text(text)
    with pytest.raises(ConfigError, match=r"waitline\.key"):
        _opened(tmp_path)


def test_a_row_that_was_tampered_with_is_refused_at_start(tmp_path: Path):
    _opened(tmp_path)
    connection = sqlite3.connect(tmp_path / "waitline.db")
    connection.execute("UPDATE credentials SET ha1_md5 = ha1_sha256")
    connection.commit()
    connection.close()
    with pytest.raises(ConfigError, match=r"credentials/.*/ha1_md5 does not decrypt"):
        _opened(tmp_path)


def test_a_folder_that_cannot_be_used_names_the_setting(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"WAITLINE_DATA: the folder .*file"):
        _opened(tmp_path / "file" / "data")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "waitline.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(
        ConfigError,
        match=r"WAITLINE_DATA: the database .*/waitline.db is damaged \(file is not a database\); restore a backup with `waitline restore",
    ):
        _opened(tmp_path / "bad")


def test_a_server_that_is_already_there_is_named_by_its_pid(tmp_path: Path):
    async def story():
        database = Database(where=tmp_path, folder=tmp_path, inline=True)
        server = await database.open(serve=True)
        with pytest.raises(ConfigError, match=rf"WAITLINE_DATA: the folder .* is in use by another server \(pid {os.getpid()}\)"):
            await database.open(serve=True)
        await server.close()

    run(story())


def test_a_url_with_user_information_is_not_in_the_data_as_text_and_comes_back(tmp_path: Path):
    url = "https://web:Canary1@t.test/voice?mail=a@b.test"
    state = LiveState(kind="call", key="CA1", version=1, data={"target": {"url": url}, "from": "sip:alice@a.test"})

    async def story():
        database = Database(where=tmp_path, folder=tmp_path, inline=True)
        store = await database.open()
        await store.put(phone_number(voice_url=url, status_callback=url, voice_fallback_url="https://t.test/fallback?mail=a@b.test"))
        store.append(state)
        await store.durable()
        assert [found.voice_url for found in store.image.numbers] == [url]
        await store.close()
        again = await database.open()
        (number,) = again.image.numbers
        assert (number.voice_url, number.status_callback) == (url, url)
        assert await again.live_states("call") == [state]
        await again.close()

    run(story())
    data = (tmp_path / "waitline.db").read_bytes()
    assert b"Canary1" not in data
    assert b"https://t.test/fallback?mail=a@b.test" in data
