"""Opening the data: folder, database, schema, key. Everything here blocks and happens once, before the server listens.

The order matters: the key can only be judged by what is in the database (a known text encrypted with it), so a new key is made only for
data that has none, and never in place of a lost one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sqlalchemy.engine import Dialect, make_url
from sqlalchemy.schema import CreateIndex, CreateTable

from waitline.bridge.store.drivers import Driver, PostgresDriver, SqliteDriver, damaged
from waitline.bridge.store.errors import StoreError, StoreUnavailable
from waitline.bridge.store.folder import DataFolder
from waitline.bridge.store.image import Image
from waitline.bridge.store.keys import Key, candidates, known_text, matching, settle
from waitline.bridge.store.schema import KINDS, METADATA, SCHEMA_VERSION
from waitline.bridge.store.secrets import KEY_BYTES, SecretBox, make_key_file
from waitline.bridge.store.settings import KEY_CHECK, KEY_SALT, OPENINGS, count, fix_setting, read_setting
from waitline.errors import ConfigError

MEMORY = ":memory:"
CHECK_S = 0.1
"""How long a start may look for damage: callers may be waiting for it. `waitline doctor` looks at everything."""
_LOCK_OPENING = 0x57414954
_LOCK_SERVING = 0x57414955


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the data is."""

    database: str
    """``:memory:``, a file or a ``postgresql://`` URL"""
    folder: DataFolder | None

    @classmethod
    def of(cls, database: str | Path, folder: Path | None) -> Place:
        """Read what ``Store.open`` was given: a path is the data folder. Raises ConfigError."""
        text = str(database)
        if text == MEMORY:
            return cls(database=text, folder=None)
        if "://" in text:
            return cls(database=text, folder=DataFolder(folder) if folder else None)
        data = DataFolder(Path(text))
        return cls(database=str(data.database), folder=data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What opening gives."""

    driver: Driver
    box: SecretBox
    folder: DataFolder | None
    openings: int
    """How often this data was opened, this time included."""


def open_data(place: Place, *, key: str, next_key: str = "", serve: bool, random_bytes: Callable[[int], bytes] = os.urandom) -> Opened:
    """Open the data for writing; create what is missing. Raises ConfigError, and leaves nothing open then.

    ``key`` and ``next_key`` are WAITLINE_KEY and WAITLINE_KEY_NEXT: whichever of them the data is under.
    """
    driver: Driver | None = None
    try:
        if serve and place.folder:
            place.folder.lock_for_serving()
        with _alone_in(place.folder):
            if place.folder:
                place.folder.use()
            driver = _driver(place)
            if isinstance(driver, PostgresDriver):
                _lock_postgres(driver, serve=serve)
            elif serve and isinstance(driver, SqliteDriver) and (fault := driver.check(CHECK_S)):
                raise damaged(place.database, fault)
            prepare_schema(driver)
            box = _box(driver, place, (key, next_key), random_bytes)
            openings = count(driver, OPENINGS, 1)
            if isinstance(driver, PostgresDriver):
                driver.query(f"SELECT pg_advisory_unlock({_LOCK_OPENING}, hashtext(current_schema()))")
        return Opened(driver=driver, box=box, folder=place.folder, openings=openings)
    except Exception as error:
        if driver:
            driver.close()
        if place.folder:
            place.folder.unlock()
        if isinstance(error, StoreError):
            raise unusable(place.database, error, "opened") from error
        raise


def unusable(database: str | Path, error: StoreError, doing: str) -> ConfigError:
    """What to say to the operator whose data cannot be served."""
    if isinstance(error, StoreUnavailable) and error.reason == "damaged":
        return damaged(database, str(error))
    return ConfigError(f"WAITLINE_DATA: {str(database).rpartition('@')[2]} cannot be {doing}: {error}")


@contextmanager
def _alone_in(folder: DataFolder | None) -> Iterator[None]:
    if folder is None:
        yield
    else:
        with folder.opening():
            yield


def _driver(place: Place) -> Driver:
    if "://" not in place.database:
        return SqliteDriver(place.database)
    return PostgresDriver(place.database, announced=[KINDS[record].table.name for record in Image().kinds])


def _lock_postgres(driver: PostgresDriver, *, serve: bool) -> None:
    """Keep a second server out, and whoever opens at the same time waiting. Per schema: one database may hold several."""
    if serve:
        lock = f"SELECT pg_try_advisory_lock({_LOCK_SERVING}, hashtext(current_schema()))"
        if not driver.query(lock)[0][0]:
            raise ConfigError(f"WAITLINE_DATABASE: {driver.url.render_as_string()} is in use by another server")
        driver.in_each_session(lock)
    driver.query(f"SELECT pg_advisory_lock({_LOCK_OPENING}, hashtext(current_schema()))")


def prepare_schema(driver: Driver) -> None:
    """Make the tables of a new database, or migrate an old one. Raises ConfigError, StoreError."""
    if not driver.has_table("alembic_version"):
        driver.script(creation_script(driver.dialect))
        return
    versions = driver.query("SELECT version_num FROM alembic_version")
    if versions != [(SCHEMA_VERSION,)]:
        from waitline.bridge.store.migrations import upgrade  # Alembic is slow to import and rarely needed

        engine = driver.engine()
        try:
            upgrade(engine)
        finally:
            engine.dispose()


@cache
def creation_script(dialect: str) -> tuple[str, ...]:
    """Return the statements that make every table as ``schema.py`` has it and mark the version."""
    spoken: Dialect = make_url(f"{dialect}://").get_dialect()()
    tables = [str(CreateTable(table).compile(dialect=spoken)) for table in METADATA.sorted_tables]
    indexes = [
        str(CreateIndex(index).compile(dialect=spoken))
        for table in METADATA.sorted_tables
        for index in sorted(table.indexes, key=lambda index: str(index.name))
    ]
    mark = [
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL CONSTRAINT alembic_version_pkc PRIMARY KEY)",
        f"INSERT INTO alembic_version (version_num) VALUES ('{SCHEMA_VERSION}')",
    ]
    return (*tables, *indexes, *mark)


def _box(driver: Driver, place: Place, settings: tuple[str, str], random_bytes: Callable[[int], bytes]) -> SecretBox:
    """The box whose key the data is under; for new data, of the first key there is, or of a new one. Raises ConfigError."""
    known, folder = read_setting(driver, KEY_CHECK), place.folder
    salt = fix_setting(driver, KEY_SALT, random_bytes(16).hex()).encode() if any(settings) else b""
    keys = candidates(folder.path if folder else None, setting=settings[0], next_setting=settings[1], salt=salt)
    if known is None:
        first = next(keys, None) or Key(_new_key(place, random_bytes), None)
        known = fix_setting(driver, KEY_CHECK, known_text(SecretBox(first.key, random_bytes=random_bytes)))
        keys = iter([first])
    used = matching(keys, known)
    if folder:
        settle(folder, used)
    return SecretBox(used.key, random_bytes=random_bytes)


def _new_key(place: Place, random_bytes: Callable[[int], bytes]) -> bytes:
    if place.folder is not None:
        return make_key_file(place.folder.key, random_bytes=random_bytes)
    if place.database == MEMORY:
        return random_bytes(KEY_BYTES)
    raise ConfigError("WAITLINE_KEY: neither a key nor a data folder to keep one in")
