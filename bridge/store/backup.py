"""A copy of the data, taken while the platform runs, and how it comes back.

A backup is one file: an SQLite database of its own, whole and checked. It is copied by SQLite's online backup in one step, which is one
read transaction: it holds what was committed when it began, and in WAL mode no writer waits for it. It is made under another name, checked,
flushed to the disk and renamed: there is a whole backup of that name, or none.

Secrets in it are encrypted as they are in the data, so it is of no use without the key of that day: ``waitline.key``, or
WAITLINE_KEY. Keep it apart from the backups, or have it written beside one (``FILE.key``).

What is restored is an earlier day: the calls that were live then are not. Their live states are dropped, so that no call is gone on with
and no callback sent a second time; the next start closes their records. The data that was there is kept beside under another name.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from waitline.bridge.store.drivers import BUSY_S, SqliteDriver, damaged, reason_of
from waitline.bridge.store.folder import DataFolder, flush
from waitline.bridge.store.keys import Key, candidates, matching, opens
from waitline.bridge.store.migrations import KNOWN_VERSIONS
from waitline.bridge.store.secrets import key_from_setting, read_key_file
from waitline.bridge.store.settings import KEY_CHECK, KEY_SALT, read_setting
from waitline.errors import ConfigError

ENTIRE_CHECK_S = 3600.0
_SIDES = ("-wal", "-shm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a backup holds, for people."""

    bytes: int
    accounts: int
    calls: int
    key_beside: bool = False
    replaced: Path | None = None
    """Where the data is that was there before"""


def key_beside(file: Path) -> Path:
    """Return where the key of a backup is, if it is beside it."""
    return file.with_name(f"{file.name}.key")


def back_up(folder: Path, file: Path, *, with_key: bool = False, force: bool = False) -> Content:
    """Copy the data of a folder, served or not, to a file. Raises ConfigError; there is no file of that name then, or the one before."""
    source = folder / "waitline.db"
    if not source.is_file() or not source.stat().st_size:
        raise ConfigError(f"WAITLINE_DATA: there is no data in {folder}")
    key = folder / "waitline.key"
    if with_key and not key.is_file():
        raise ConfigError(f"--with-key: there is no {key}; is the key in WAITLINE_KEY? Then keep that")
    for taken in (file, *([key_beside(file)] if with_key else [])):
        if taken.exists() and not force:
            raise ConfigError(f"{taken} exists: choose another name, or --force")
    with _made_aside(file) as partial:
        _copy_database(source, partial)
        content = examine(partial)
        if with_key:
            _copy_file(_opening_key(partial, folder), key_beside(file))
    return Content(bytes=content.bytes, accounts=content.accounts, calls=content.calls, key_beside=with_key)


def _opening_key(partial: Path, folder: Path) -> Path:
    """The file whose key opens the copy: where changing it was cut short that need not be the one in use. Raises ConfigError."""
    with closing(_open(partial)) as database:
        found = database.execute("SELECT value FROM settings WHERE name=?", (KEY_CHECK,)).fetchone()
    used = matching(candidates(folder, setting="", next_setting="", salt=b""), found[0] if found else "")
    return used.file or folder / "waitline.key"


def examine(file: Path) -> Content:
    """Look at all of a backup. Raises ConfigError where it is no whole backup, or of a version that is not known here."""
    if not file.is_file():
        raise ConfigError(f"{file}: there is no such backup")
    try:
        with closing(_open(file)) as database:
            (found,) = database.execute("PRAGMA integrity_check(1)").fetchone()
            if found != "ok":
                raise ConfigError(f"{file} is damaged: {found}")
            versions = [version for (version,) in database.execute("SELECT version_num FROM alembic_version")]
            counts = [database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("accounts", "calls")]
    except sqlite3.Error as error:
        raise ConfigError(f"{file} is no backup of Waitline's data: {error}") from error
    if len(versions) != 1 or versions[0] not in KNOWN_VERSIONS:
        raise ConfigError(
            f"{file} was written by another version (schema {', '.join(versions)}); this one knows {', '.join(KNOWN_VERSIONS)}"
        )
    return Content(bytes=file.stat().st_size, accounts=counts[0], calls=counts[1])


def restore(file: Path, folder: Path, *, key: str = "", force: bool = False, stamp: str) -> Content:
    """Put a backup in the place of a folder's data. Raises ConfigError, and has changed nothing then.

    ``key`` is WAITLINE_KEY. ``stamp`` goes into the name under which the data is kept that was there.
    """
    examine(file)
    if not force and _has_data(folder):
        raise ConfigError(f"{folder} has data: --force replaces it (and keeps it beside, as waitline.db.{stamp})")
    data = DataFolder(folder)
    data.lock_for_serving()
    try:
        with data.opening():
            return _replace(file, data, key, stamp)
    finally:
        data.unlock()


def _has_data(folder: Path) -> bool:
    database = folder / "waitline.db"
    return (database.is_file() and database.stat().st_size > 0) or (folder / "waitline.key").exists()


def _replace(file: Path, data: DataFolder, setting: str, stamp: str) -> Content:
    with _made_aside(data.database, ends="restoring") as fresh:
        _copy_database(file, fresh)
        key_file = _forget_the_living(fresh, file, data, setting)
        replaced = _set_aside(data, stamp)
        if key_file is not None:
            _copy_file(key_file, data.key)
    content = examine(data.database)
    return Content(bytes=content.bytes, accounts=content.accounts, calls=content.calls, key_beside=key_file is not None, replaced=replaced)


def _forget_the_living(fresh: Path, file: Path, data: DataFolder, setting: str) -> Path | None:
    """Drop what was going on; find the key, and return its file where that is to be copied. Raises ConfigError."""
    with closing(SqliteDriver(str(fresh))) as driver:
        key_file = _find_key(driver, file, data, setting)
        driver.script(["DELETE FROM live_states"])
        driver.query("PRAGMA journal_mode=DELETE")
    return key_file


def _find_key(driver: SqliteDriver, file: Path, data: DataFolder, setting: str) -> Path | None:
    known = read_setting(driver, KEY_CHECK)
    if known is None:
        return None
    if setting:
        salt = (read_setting(driver, KEY_SALT) or "").encode()
        matching([Key(key_from_setting(setting, salt=salt), None)], known)
        return None
    for path in (key_beside(file), data.key, data.next_key, *data.old_keys):
        if (key := read_key_file(path)) is not None and opens(key, known):
            return None if path == data.key else path
    raise ConfigError(f"the key of this backup is not here: put it at {data.key} (or {key_beside(file)}), or set WAITLINE_KEY")


def _set_aside(data: DataFolder, stamp: str) -> Path | None:
    """Keep the data that is there under another name, with all that its log still holds."""
    if not data.database.stat().st_size:
        return None
    replaced = data.database.with_name(f"{data.database.name}.{stamp}")
    _settle_log(data.database)
    os.link(data.database, replaced)
    for side in _SIDES:  # of a database that could not be opened: nobody must take its log for the new one's
        log = data.database.with_name(data.database.name + side)
        if log.exists():
            log.rename(replaced.with_name(replaced.name + side))
    if data.key.exists():
        shutil.copy2(data.key, data.key.with_name(f"{data.key.name}.{stamp}"))
    return replaced


def _settle_log(database: Path) -> None:
    """Have everything in the one file; what is damaged stays as it is."""
    try:
        with closing(_open(database)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE").close()
    except sqlite3.Error as error:
        if reason_of(error) != "damaged":
            raise ConfigError(f"WAITLINE_DATA: {database} cannot be set aside: {error}") from error


@contextmanager
def _made_aside(file: Path, *, ends: str = "partial") -> Iterator[Path]:
    """Make a file under another name; it has its own when the block ends well, and nothing is left of it otherwise."""
    aside = file.with_name(f"{file.name}.{ends}")
    try:
        _remove(aside)
        os.close(os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        yield aside
        flush(aside)
        aside.rename(file)
        flush(file.parent)
    except OSError as error:
        _remove(aside)
        raise ConfigError(f"{file}: cannot be written: {error.strerror}") from error
    except BaseException:
        _remove(aside)
        raise


def _remove(file: Path) -> None:
    for name in (file.name, *(f"{file.name}{side}" for side in (*_SIDES, "-journal"))):
        file.with_name(name).unlink(missing_ok=True)


def _copy_file(source: Path, target: Path) -> None:
    with _made_aside(target) as aside:
        aside.write_bytes(source.read_bytes())


def _copy_database(source: Path, target: Path) -> None:
    """Copy in one step. Raises ConfigError."""
    try:
        with closing(_open(source)) as here, closing(_open(target)) as there:
            here.backup(there, pages=-1)
            there.execute("PRAGMA journal_mode=DELETE").close()
    except sqlite3.Error as error:
        if reason_of(error) == "damaged":
            raise damaged(source, str(error)) from error
        raise ConfigError(f"{source} cannot be copied to {target.parent}: {error}") from error


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_S, isolation_level=None)
