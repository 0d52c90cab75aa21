"""What the store's tests share: databases to open, records to store, and a connection that fails on demand."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from harness.virtual_time import run as run_virtual

from waitline.bridge.store import Store, StoreFailure
from waitline.bridge.store.drivers import Driver, PostgresDriver, SqliteDriver
from waitline.bridge.store.records import (
    Account,
    ApiKey,
    Application,
    CallEvent,
    CallRecord,
    Credential,
    CredentialList,
    DomainMapping,
    IncomingPhoneNumber,
    IpAccessControlList,
    IpAddress,
    Notification,
    Queue,
    QueueEventRecord,
    SipDomain,
)
from waitline.clock import SystemClock, VirtualClock

NOW = datetime(2026, 2, 3, 4, 5, 6, 789012, tzinfo=UTC)
DATES: dict[str, Any] = {"date_created": NOW, "date_updated": NOW}
ODD_TEXT = "Ünïcödé ☎ 'quoted' \"twice\" %s ? \\ \n 😀"


def sid(prefix: str, number: int) -> str:
    return f"{prefix}{number:032x}"


AC = sid("AC", 1)


def account(number: int = 1, **changes: Any) -> Account:
    values = {"sid": sid("AC", number), "friendly_name": "Acme", "auth_token": f"{number:032x}", "owner_account_sid": sid("AC", number)}
    return Account(**{**values, **DATES, **changes})


def queue(number: int = 1, **changes: Any) -> Queue:
    return Queue(**{"sid": sid("QU", number), "account_sid": AC, "friendly_name": f"queue {number}", **DATES, **changes})


def phone_number(number: int = 1, **changes: Any) -> IncomingPhoneNumber:
    values = {"sid": sid("PN", number), "account_sid": AC, "phone_number": f"+1555{number:04d}", "friendly_name": "line"}
    return IncomingPhoneNumber(**{**values, **DATES, **changes})


def call(number: int = 1, **changes: Any) -> CallRecord:
    values = {"sid": sid("CA", number), "account_sid": AC, "to": "+15550100", "from_": "+15550199", "status": "ringing"}
    return CallRecord(**{**values, **DATES, **changes})


def queue_event(call_number: int = 1, kind: str = "joined", **changes: Any) -> QueueEventRecord:
    values = {"account_sid": AC, "queue_sid": sid("QU", 1), "call_sid": sid("CA", call_number), "at": NOW, "kind": kind, "detail": {}}
    return QueueEventRecord(**{**values, **changes})


def notification(number: int = 1, **changes: Any) -> Notification:
    values = {"sid": sid("NO", number), "account_sid": AC, "log": 0, "error_code": 11200, "message_text": "m", "message_date": NOW}
    return Notification(**{**values, **DATES, **changes})


def call_event(call_number: int = 1, **changes: Any) -> CallEvent:
    values = {"account_sid": AC, "call_sid": sid("CA", call_number), "at": NOW, "request": {"url": "http://t/"}, "response": {}}
    return CallEvent(**{**values, **changes})


def credential(number: int = 1, **changes: Any) -> Credential:
    values = {"sid": sid("CR", number), "account_sid": AC, "credential_list_sid": sid("CL", 1), "username": f"user{number}"}
    return Credential(**{**values, "ha1_md5": "md5" * 8, "ha1_sha256": "sha" * 8, **DATES, **changes})


def mapping(number: int = 1, **changes: Any) -> DomainMapping:
    values = {"sid": sid("CL", number), "account_sid": AC, "domain_sid": sid("SD", 1), "kind": "calls-credentials", "friendly_name": "x"}
    return DomainMapping(**{**values, **DATES, **changes})


def one_of_each() -> list[Any]:
    """A record of every kind the store can ``put``, with texts that break careless SQL."""
    owned: dict[str, Any] = {"account_sid": AC, "friendly_name": ODD_TEXT, **DATES}
    return [
        account(friendly_name=ODD_TEXT),
        ApiKey(sid=sid("SK", 1), secret_hash="5" * 64, **owned),
        queue(friendly_name=ODD_TEXT, max_size=7, wait_retry_s=1.5),
        phone_number(voice_url="http://t/?a=%20&b=1", voice_caller_id_lookup=True),
        Application(sid=sid("AP", 1), **owned),
        SipDomain(sid=sid("SD", 1), domain_name="acme.example", sip_registration=True, **owned),
        CredentialList(sid=sid("CL", 1), **owned),
        credential(),
        IpAccessControlList(sid=sid("AL", 1), **owned),
        IpAddress(sid=sid("IP", 1), ip_access_control_list_sid=sid("AL", 1), ip_address="192.0.2.1", **owned),
        mapping(),
        call(start_time=NOW, end_time=NOW + timedelta(seconds=3), duration_s=3, caller_name=ODD_TEXT),
        call(2, start_time=None, end_time=None, duration_s=None),
        notification(response_body=ODD_TEXT),
    ]


@dataclass
class Database:
    """A place to keep data, and how the store is to work on it."""

    where: Path | str
    folder: Path
    inline: bool
    failures: list[StoreFailure] = field(default_factory=list)

    def run(self, story: Coroutine[Any, Any, Any]) -> Any:
        """Run in virtual time where the store is inline, else in real time: a thread's work takes some."""
        return run_virtual(story) if self.inline else asyncio.run(story)

    async def open(self, **options: Any) -> Store:
        loop = asyncio.get_running_loop()
        clock = VirtualClock(loop.time) if self.inline else SystemClock()
        if "://" in str(self.where):
            options.setdefault("folder", self.folder)
        options = {"refresh_s": None, "on_failure": self.failures.append, "inline": self.inline, **options}
        return await Store.open(self.where, clock=clock, **options)


def driver_of(database: Database) -> Driver:
    """A connection of its own to data that exists."""
    where = str(database.where)
    return PostgresDriver(where) if "://" in where else SqliteDriver(str(database.folder / "waitline.db"))


class FailingConnection:
    """An SQLite connection some of whose statements fail: BEGIN, rows and COMMIT alike."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.failing = range(0)
        self.statements = 0

    def _step(self) -> None:
        self.statements += 1
        if self.statements in self.failing:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error

    def execute(self, sql: str, params: Any = ()) -> sqlite3.Cursor:
        if sql != "ROLLBACK":
            self._step()
        return self._connection.execute(sql, params)

    def executemany(self, sql: str, params: Any) -> sqlite3.Cursor:
        self._step()
        return self._connection.executemany(sql, params)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class Fault:
    """Makes a store's statements fail: pass it as ``wrap_driver``, then ``arm``."""

    connection: FailingConnection

    def __call__(self, driver: Driver) -> Driver:
        assert isinstance(driver, SqliteDriver)
        self.connection = FailingConnection(driver._connection)
        driver._connection = self.connection  # type: ignore[assignment]
        return driver

    def arm(self, first: int, *, count: int = 1) -> None:
        """Let the ``first`` statement from now on (1-based) and the ``count`` - 1 after it fail."""
        start = self.connection.statements + first
        self.connection.failing = range(start, start + count)

    @property
    def met(self) -> bool:
        """Whether that many statements came at all."""
        return self.connection.statements >= self.connection.failing.start
