"""The tables, made from the records: one table per record type, one column per field.

Values are kept in the plainest form both databases have: dates as whole microseconds since 1970 (UTC; exact, sortable, the same in every
time zone), dictionaries as JSON text, secrets as encrypted text. ``codec.py`` turns records into rows and back.

Every table has a whole-number primary key, given by the database in the order of insertion: it is the order of lists (newest first) and the
page token, stable while dates are equal or a clock steps back. What identifies a record to people (``sid``) is unique beside it.

A change here needs a migration with the same effect, and ``SCHEMA_VERSION`` set to its revision; a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, MetaData, Table, Text, UniqueConstraint, text

from waitline.bridge.store.records import (
    Account,
    ApiKey,
    Application,
    AuditEntry,
    CallEvent,
    CallRecord,
    Credential,
    CredentialList,
    DomainMapping,
    IncomingPhoneNumber,
    IpAccessControlList,
    IpAddress,
    LiveState,
    Notification,
    Queue,
    QueueEventRecord,
    RestAnswer,
    SipDomain,
)

SCHEMA_VERSION = "0007"
"""The revision of the newest migration."""

LIVE_STATUSES = ("queued", "initiated", "ringing", "in-progress")
"""A call in one of these has not ended."""

METADATA = MetaData()

_TYPES: dict[Any, Any] = {str: Text, int: BigInteger, float: Float, bool: Boolean, datetime: BigInteger, dict: Text}
_SERIAL = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER PRIMARY KEY counts by itself there


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A record type and its table."""

    record: type
    table: Table
    key: tuple[str, ...]
    """The columns that identify a record: writing it again replaces it. Empty: a log, each write is a new row."""
    serial: str
    """The primary key column."""

    @property
    def written(self) -> tuple[str, ...]:
        """The columns that a write fills; the database gives the serial."""
        return tuple(field.name for field in fields(self.record) if field.name != self.serial)

    @property
    def read(self) -> tuple[str, ...]:
        """The columns of a record, in the order of its fields."""
        return tuple(field.name for field in fields(self.record))


@cache
def plain_type(record: type, name: str) -> tuple[Any, bool]:
    """Return a field's type without ``None``, and whether it may be None."""
    hint = get_type_hints(record)[name]
    if get_origin(hint) in (UnionType, Union):
        (hint,) = (part for part in get_args(hint) if part is not type(None))
        return get_origin(hint) or hint, True
    return get_origin(hint) or hint, False


def _columns(record: type, serial: str) -> list[Column[Any]]:
    columns: list[Column[Any]] = [Column(serial, _SERIAL, primary_key=True, autoincrement=True)]
    for field in fields(record):
        if field.name != serial:
            base, nullable = plain_type(record, field.name)
            columns.append(Column(field.name, _TYPES[base], nullable=nullable))
    return columns


def _kept(record: type, name: str, *, key: tuple[str, ...] = ("sid",), unique: tuple[tuple[str, ...], ...] = ()) -> Kind:
    """A table of records that can be replaced and deleted."""
    constraints = [UniqueConstraint(*columns, name=f"{name}_{'_'.join(columns)}_key") for columns in (key, *unique)]
    table = Table(name, METADATA, *_columns(record, "serial"), *constraints)
    return Kind(record=record, table=table, key=key, serial="serial")


def _log(record: type, name: str) -> Kind:
    """A table that is only added to."""
    return Kind(record=record, table=Table(name, METADATA, *_columns(record, "id")), key=(), serial="id")


KINDS: dict[type, Kind] = {
    kind.record: kind
    for kind in (
        _kept(Account, "accounts"),
        _kept(ApiKey, "api_keys"),
        _kept(Queue, "queues", unique=(("account_sid", "friendly_name"),)),
        _kept(IncomingPhoneNumber, "incoming_phone_numbers", unique=(("phone_number",),)),
        _kept(Application, "applications"),
        _kept(SipDomain, "sip_domains", unique=(("domain_name",),)),
        _kept(CredentialList, "credential_lists"),
        _kept(Credential, "credentials", unique=(("credential_list_sid", "username"),)),
        _kept(IpAccessControlList, "ip_access_control_lists"),
        _kept(IpAddress, "ip_addresses"),
        _kept(DomainMapping, "domain_mappings", key=("domain_sid", "kind", "sid")),
        _kept(CallRecord, "calls"),
        _kept(Notification, "notifications"),
        _kept(AuditEntry, "audit"),
        _kept(LiveState, "live_states", key=("kind", "key")),
        _kept(RestAnswer, "rest_answers"),
        _log(QueueEventRecord, "queue_events"),
        _log(CallEvent, "call_events"),
    )
}

SETTINGS = Table("settings", METADATA, Column("name", Text, primary_key=True), Column("value", Text, nullable=False))
COUNTERS = Table("counters", METADATA, Column("name", Text, primary_key=True), Column("value", BigInteger, nullable=False))

# Each serves one question: an account's history, a call's or queue's log, what a dead process left live.
_LIVE = text(f"status IN ({', '.join(repr(status) for status in LIVE_STATUSES)})")
Index("calls_account", KINDS[CallRecord].table.c.account_sid, KINDS[CallRecord].table.c.serial)
Index("calls_live", KINDS[CallRecord].table.c.status, sqlite_where=_LIVE, postgresql_where=_LIVE)
Index("notifications_account", KINDS[Notification].table.c.account_sid, KINDS[Notification].table.c.serial)
Index("notifications_call", KINDS[Notification].table.c.call_sid, KINDS[Notification].table.c.serial)
Index("audit_account", KINDS[AuditEntry].table.c.account_sid, KINDS[AuditEntry].table.c.serial)
Index("queue_events_queue", KINDS[QueueEventRecord].table.c.queue_sid, KINDS[QueueEventRecord].table.c.id)
Index("queue_events_call", KINDS[QueueEventRecord].table.c.call_sid, KINDS[QueueEventRecord].table.c.id)
Index("call_events_call", KINDS[CallEvent].table.c.call_sid, KINDS[CallEvent].table.c.id)
