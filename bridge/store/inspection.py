"""Looking at data without touching it: what a version that is to take over from a running one asks before it agrees.

Nothing is made, migrated, locked or written here, and whoever serves the data does not notice. A refusal is a ConfigError whose text an
operator reads: there is no data, it is of a version that is not known, or the key is another one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from waitline.bridge.store.codec import Codec
from waitline.bridge.store.drivers import BUSY_S, PostgresDriver
from waitline.bridge.store.errors import StoreError
from waitline.bridge.store.folder import in_outage
from waitline.bridge.store.keys import Key, candidates, matching
from waitline.bridge.store.migrations import KNOWN_VERSIONS
from waitline.bridge.store.records import LiveState
from waitline.bridge.store.schema import KINDS, SCHEMA_VERSION
from waitline.bridge.store.secrets import SecretBox
from waitline.bridge.store.settings import KEY_CHECK, KEY_SALT
from waitline.errors import ConfigError

Query = Callable[[str], Sequence[Sequence[Any]]]
_LIVE = "SELECT kind, key, version, data FROM live_states ORDER BY serial"


def look(*, folder: Path, database: str, key: str, next_key: str = "") -> list[LiveState]:
    """Return all that is going on in the data of these settings. Raises ConfigError where this version could not serve it."""
    if in_outage(folder):
        raise ConfigError("the platform that runs cannot write its data just now and holds what is going on in memory: see /readyz")
    try:
        if database:
            with closing(PostgresDriver(database)) as driver:
                return _examined(driver.query, folder, (key, next_key))
        with closing(_read_only(folder / "waitline.db")) as connection:
            return _examined(lambda sql: connection.execute(sql).fetchall(), folder, (key, next_key))
    except (StoreError, sqlite3.Error) as error:
        raise ConfigError(f"the data cannot be read: {error}") from error


def _read_only(file: Path) -> sqlite3.Connection:
    if not file.exists():
        raise ConfigError(f"WAITLINE_DATA: there is no data in {file.parent}")
    return sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True, timeout=BUSY_S)


def _examined(query: Query, folder: Path, keys: tuple[str, str]) -> list[LiveState]:
    _check_version(query)
    codec: Codec[LiveState] = Codec(KINDS[LiveState], SecretBox(_key(query, folder, keys).key))
    return [_live_state(codec, row) for row in query(_LIVE)]


def _check_version(query: Query) -> None:
    """The schema's version is one that this program has, or can migrate."""
    found = [row[0] for row in query("SELECT version_num FROM alembic_version")]
    if len(found) != 1 or found[0] not in KNOWN_VERSIONS:
        raise ConfigError(f"the data's schema is version {', '.join(found) or 'none'}, this program knows up to {SCHEMA_VERSION}")


def _key(query: Query, folder: Path, keys: tuple[str, str]) -> Key:
    settings: dict[str, str] = {name: value for name, value in query("SELECT name, value FROM settings")}  # noqa: C416 - rows are no pairs
    salt = settings.get(KEY_SALT, "").encode()
    return matching(candidates(folder, setting=keys[0], next_setting=keys[1], salt=salt), settings.get(KEY_CHECK, ""))


def _live_state(codec: Codec[LiveState], row: Sequence[Any]) -> LiveState:
    """What does not decrypt or is no JSON is none of this version's forms, and is found to be so by whoever reads it."""
    try:
        return codec.decode(row)
    except (StoreError, ValueError):
        kind, key, version, _ = row
        return LiveState(kind=kind, key=key, version=version, data={})
