"""The two databases behind one small interface: run rows in a transaction, query, say whether somebody else wrote.

This is the raw driver (``sqlite3``, ``psycopg``), without an object in between: a call-path row costs 3–4 µs this way and a hundred through
an async ORM. The SQL is the same for both; they differ in the parameter mark and in how a foreign write is noticed (SQLite counts commits
of other connections; PostgreSQL notifies). A driver belongs to one thread at a time.

Every failure of a transaction leaves as ``Conflict`` (these rows would fail again) or ``StoreUnavailable`` (the database's trouble, and its
reason in a word).
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.pool import StaticPool

from waitline.bridge.store.errors import Conflict, StoreError, StoreUnavailable
from waitline.bridge.store.schema import Kind
from waitline.errors import ConfigError

if TYPE_CHECKING:
    import psycopg

BUSY_S = 2.0
"""How long a write waits for another process's transaction, seconds."""
STILL_BUSY_S = 0.2
"""The same for one that found the database locked the last time: others wait behind it."""
CONNECT_S = 10
_STEPS_BETWEEN_LOOKS = 10_000
CHANNEL = "waitline_image"
"""PostgreSQL's notification that configuration changed."""


class Row(NamedTuple):
    """One row to write: the SQL is the same text for all rows of its kind, so they run as one ``executemany``."""

    table: str
    sql: str
    params: tuple[Any, ...]


class Driver(Protocol):
    """A connection that writes."""

    mark: str
    dialect: str

    def write(self, rows: Sequence[Row]) -> None:
        """Run the rows in one transaction, in order within each table. Raises Conflict, StoreUnavailable; nothing is kept then."""
        ...

    def query(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement by itself and return its rows. Raises StoreUnavailable."""
        ...

    def script(self, statements: Sequence[str]) -> None:
        """Run statements in one transaction."""
        ...

    def has_table(self, name: str) -> bool:
        """Tell whether the database has that table."""
        ...

    def foreign_version(self) -> object:
        """Return a value that differs from the last one if another connection committed configuration since. Raises StoreUnavailable."""
        ...

    def engine(self) -> Engine:
        """Return an SQLAlchemy engine on the same database, for queries and migrations."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


def upsert_sql(kind: Kind, mark: str) -> str:
    """Return the statement that inserts a record or replaces the one with its key."""
    names = ", ".join(f'"{name}"' for name in kind.written)
    insert = f'INSERT INTO "{kind.table.name}" ({names}) VALUES ({", ".join([mark] * len(kind.written))})'
    if not kind.key:
        return insert
    changes = ", ".join(f'"{name}"=excluded."{name}"' for name in kind.written if name not in kind.key)
    return f"{insert} ON CONFLICT ({', '.join(kind.key)}) DO UPDATE SET {changes}"


def delete_sql(kind: Kind, mark: str) -> str:
    """Return the statement that deletes the record with a key."""
    return f'DELETE FROM "{kind.table.name}" WHERE ' + " AND ".join(f'"{name}"={mark}' for name in kind.key)


def select_sql(kind: Kind) -> str:
    """Return the statement that reads all records, the oldest first."""
    names = ", ".join(f'"{name}"' for name in kind.read)
    return f'SELECT {names} FROM "{kind.table.name}" ORDER BY "{kind.serial}"'


def grouped(rows: Iterable[Row]) -> list[tuple[str, list[tuple[Any, ...]]]]:
    """Collect rows that run as one ``executemany``. The order within a table is kept: a record may be written, deleted, written."""
    tables: dict[str, list[tuple[str, list[tuple[Any, ...]]]]] = {}
    for table, sql, params in rows:
        runs = tables.setdefault(table, [])
        if not runs or runs[-1][0] != sql:
            runs.append((sql, []))
        runs[-1][1].append(params)
    return [run for runs in tables.values() for run in runs]


class SqliteDriver:
    """SQLite in WAL mode: a commit is a write to the log file, so it survives SIGKILL; power loss may cost the last ones.

    ``synchronous=NORMAL``: the log is flushed to the disk's own memory at checkpoints (each 4 MB) and not at each commit. The file is
    consistent whatever happens; what was committed since the last flush is there unless the machine itself dies.
    """

    mark = "?"
    dialect = "sqlite"

    def __init__(self, path: str) -> None:
        self._path = path
        self._patience_s = BUSY_S
        try:
            self._connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode=WAL").close()
            self._connection.execute("PRAGMA synchronous=NORMAL").close()
        except sqlite3.Error as error:
            raise self._cannot_be_opened(error) from error

    def _cannot_be_opened(self, error: sqlite3.Error) -> ConfigError:
        if reason_of(error) == "damaged":
            return damaged(self._path, str(error))
        return ConfigError(f"WAITLINE_DATA: the database {self._path} cannot be opened: {error}")

    def write(self, rows: Sequence[Row]) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for sql, params in grouped(rows):
                self._connection.executemany(sql, params)
            self._connection.execute("COMMIT")
        except Exception as error:
            raise self._rolled_back(error) from error
        if self._patience_s != BUSY_S:
            self._wait_for_locks(BUSY_S)

    def _wait_for_locks(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._connection.execute(f"PRAGMA busy_timeout={round(patience_s * 1000)}").close()

    def _rolled_back(self, error: Exception) -> StoreError:
        """End the transaction that failed and return what to raise."""
        try:
            if self._connection.in_transaction:  # a full disk may have rolled it back already
                self._connection.execute("ROLLBACK")
            if reason_of(error) == "locked" and self._patience_s != STILL_BUSY_S:
                self._wait_for_locks(STILL_BUSY_S)
        except sqlite3.Error as second:
            return StoreUnavailable(f"the database: {error}; and it cannot be rolled back: {second}", reason=reason_of(error))
        return self._error(error)

    def _error(self, error: Exception) -> StoreError:
        if isinstance(error, _SQLITE_DATA):
            return Conflict(str(error))
        reason = reason_of(error)
        if reason == "disk" and self._path != ":memory:" and os.statvfs(self._path).f_flag & os.ST_RDONLY:
            reason = "read-only"
        return StoreUnavailable(f"the database: {error}", reason=reason)

    def query(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(sql, params).fetchall()
        except sqlite3.Error as error:
            raise self._error(error) from error

    def script(self, statements: Sequence[str]) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for statement in statements:
                self._connection.execute(statement)
            self._connection.execute("COMMIT")
        except Exception as error:
            raise self._rolled_back(error) from error

    def check(self, within_s: float) -> str:
        """Look for damage for so long at most; return the first that is found, or nothing. Raises StoreUnavailable."""
        ends_at = time.monotonic() + within_s
        self._connection.set_progress_handler(lambda: time.monotonic() > ends_at, _STEPS_BETWEEN_LOOKS)
        try:
            (found,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise self._error(error) from error
            return ""
        except sqlite3.DatabaseError as error:
            return str(error)
        finally:
            self._connection.set_progress_handler(None, 0)
        return "" if found == "ok" else str(found).rpartition("\n")[2]

    def has_table(self, name: str) -> bool:
        return bool(self.query("SELECT 1 FROM sqlite_master WHERE type='table' AND name=?", (name,)))

    def foreign_version(self) -> object:
        return self.query("PRAGMA data_version")[0][0]

    def engine(self) -> Engine:
        if self._path == ":memory:":
            return create_engine("sqlite://", creator=lambda: self._connection, poolclass=StaticPool)
        return create_engine(f"sqlite:///{Path(self._path).absolute()}", connect_args={"timeout": BUSY_S})

    def close(self) -> None:
        self._connection.close()


_SQLITE_DATA = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError, sqlite3.InterfaceError, OverflowError, UnicodeError)
_SQLITE_REASONS = {
    sqlite3.SQLITE_FULL: "full",
    sqlite3.SQLITE_READONLY: "read-only",
    sqlite3.SQLITE_PERM: "read-only",
    sqlite3.SQLITE_BUSY: "locked",
    sqlite3.SQLITE_LOCKED: "locked",
    sqlite3.SQLITE_CORRUPT: "damaged",
    sqlite3.SQLITE_NOTADB: "damaged",
    sqlite3.SQLITE_IOERR: "disk",
    sqlite3.SQLITE_CANTOPEN: "disk",
}


def reason_of(error: Exception) -> str:
    """Return a word of ``errors.REASONS`` for an SQLite error."""
    return _SQLITE_REASONS.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, "unavailable")


def damaged(path: str | Path, what: str) -> ConfigError:
    """What to say of a database that is no whole database any more."""
    return ConfigError(
        f"WAITLINE_DATA: the database {path} is damaged ({what}); restore a backup with `waitline restore FILE --force`"
        " (the damaged one is kept beside it)"
    )


class PostgresDriver:
    """PostgreSQL by psycopg. A lost connection is opened again by the next transaction."""

    mark = "%s"
    dialect = "postgresql"

    def __init__(self, url: str, *, announced: Collection[str] = ()) -> None:
        """Connect; commits that touch one of the ``announced`` tables are notified to other servers. Raises ConfigError."""
        self.url = make_url(url).set(drivername="postgresql")
        self._announced = frozenset(announced)
        self._session: list[str] = ["SET client_min_messages = warning", f"LISTEN {CHANNEL}"]
        self._foreign = 0
        self._connection = self._connect_first()

    def _connect_first(self) -> psycopg.Connection[tuple[Any, ...]]:
        try:
            import psycopg
        except ImportError as error:
            raise ConfigError(f"WAITLINE_DATABASE: PostgreSQL needs a driver: pip install 'waitline[postgres]' ({error})") from error
        try:
            return self._connect()
        except psycopg.Error as error:
            raise ConfigError(f"WAITLINE_DATABASE: cannot connect to {self.url.render_as_string()}: {str(error).strip()}") from error

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        import psycopg

        dsn = self.url.render_as_string(hide_password=False)
        connection: psycopg.Connection[tuple[Any, ...]] = psycopg.connect(dsn, autocommit=True, connect_timeout=CONNECT_S)
        connection.add_notify_handler(self._notified)
        for statement in self._session:
            cursor = connection.execute(statement.encode())
            if cursor.description and cursor.fetchone() == (False,):
                connection.close()
                raise psycopg.OperationalError(f"the database answers no to: {statement}")
        self._foreign += 1  # what was notified while nobody listened is unknown
        return connection

    def in_each_session(self, statement: str) -> None:
        """Run a statement whenever the connection had to be opened again: what belongs to a session, such as a lock.

        Where it answers false (another server has the lock meanwhile), nothing is written any more.
        """
        self._session.append(statement)

    def _notified(self, notify: psycopg.Notify) -> None:
        if notify.pid != self._connection.info.backend_pid:
            self._foreign += 1

    def _alive(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._connection.closed:
            self._connection = self._connect()
        return self._connection

    def write(self, rows: Iterable[Row]) -> None:
        try:
            connection = self._alive()
            with connection.transaction(), connection.cursor() as cursor:
                for sql, params in grouped(rows):
                    cursor.executemany(sql.encode(), params)
                if any(row.table in self._announced for row in rows):
                    cursor.execute(f"NOTIFY {CHANNEL}".encode())
        except Exception as error:
            raise _postgres_error(error) from error

    def query(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            cursor = self._alive().execute(sql.encode(), params)
            return cursor.fetchall() if cursor.description else []
        except Exception as error:
            raise _postgres_error(error) from error

    def script(self, statements: Sequence[str]) -> None:
        try:
            with self._alive().transaction():
                for statement in statements:
                    self._connection.execute(statement.encode())
        except Exception as error:
            raise _postgres_error(error) from error

    def has_table(self, name: str) -> bool:
        return bool(self.query("SELECT 1 WHERE to_regclass(%s) IS NOT NULL", (name,)))

    def foreign_version(self) -> object:
        self.query("SELECT 1")  # notifications arrive with any answer
        return self._foreign

    def engine(self) -> Engine:
        return create_engine(self.url.set(drivername="postgresql+psycopg"), pool_pre_ping=True)

    def close(self) -> None:
        self._connection.close()


def _postgres_error(error: Exception) -> StoreError:
    import psycopg

    data = (psycopg.IntegrityError, psycopg.DataError, psycopg.ProgrammingError, UnicodeError)
    if isinstance(error, data):
        return Conflict(str(error).strip())
    reason = _POSTGRES_REASONS.get(getattr(error, "sqlstate", None) or "", "unavailable")
    return StoreUnavailable(f"the database: {str(error).strip()}", reason=reason)


_POSTGRES_REASONS = {"53100": "full", "25006": "read-only", "55P03": "locked", "XX001": "damaged", "XX002": "damaged", "58030": "disk"}
