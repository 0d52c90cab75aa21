"""Calls that a dead process left live.

A server that opens the data holds it alone, so a call that is still live in it has nobody: it is closed, and its place in a queue with it,
before anybody can list it. A call of which a live state is kept is control's to go on with or to end. How a call ended is unknown; the last
that is known of it (its record, its events) is taken as its end.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from waitline.bridge.events import LeaveReason
from waitline.bridge.store.codec import Codec, from_microseconds
from waitline.bridge.store.drivers import Driver, Row, upsert_sql
from waitline.bridge.store.records import CallRecord, QueueEventRecord
from waitline.bridge.store.schema import LIVE_STATUSES

END_REASON = "server-restart"


def close_calls_left_live(driver: Driver, calls: Codec[CallRecord], events: Codec[QueueEventRecord], now: datetime) -> int:
    """Close them and return how many there were. Raises StoreUnavailable."""
    rows: list[Row] = []
    live = _live(driver, calls)
    for call in live:
        seen = _last_seen(driver, call)
        rows.append(_row(driver, calls, _ended(call, seen, now)))
        rows += [_row(driver, events, left) for left in _leaving(driver, events, call, seen)]
    if rows:
        driver.write(rows)
    return len(live)


def _live(driver: Driver, calls: Codec[CallRecord]) -> list[CallRecord]:
    names = ", ".join(f'"{name}"' for name in calls.kind.read)
    # The literal list is what the partial index is made for; parameters would not match it.
    statuses = ", ".join(f"'{status}'" for status in LIVE_STATUSES)
    unkept = "sid NOT IN (SELECT key FROM live_states WHERE kind='call')"
    return [calls.decode(row) for row in driver.query(f'SELECT {names} FROM "calls" WHERE status IN ({statuses}) AND {unkept}')]


def _last_seen(driver: Driver, call: CallRecord) -> datetime:
    moments = [call.date_updated]
    for table in ("queue_events", "call_events"):
        rows = driver.query(f'SELECT max("at") FROM {table} WHERE call_sid={driver.mark}', (call.sid,))
        moments += [from_microseconds(row[0]) for row in rows if row[0] is not None]
    return max(moments)


def _ended(call: CallRecord, seen: datetime, now: datetime) -> CallRecord:
    answered = call.status == "in-progress"
    duration_s = int((seen - call.start_time).total_seconds()) if answered and call.start_time else 0
    return replace(
        call,
        status="completed" if answered else "failed",
        start_time=call.start_time or call.date_created,
        end_time=seen,
        duration_s=max(0, duration_s),
        end_reason=END_REASON,
        date_updated=now,
    )


def _leaving(driver: Driver, events: Codec[QueueEventRecord], call: CallRecord, seen: datetime) -> list[QueueEventRecord]:
    """Return the event that takes the call out of the queue it was in, so that statistics count no ghost."""
    names = ", ".join(f'"{name}"' for name in events.kind.read)
    log = [
        events.decode(row)
        for row in driver.query(f"SELECT {names} FROM queue_events WHERE call_sid={driver.mark} ORDER BY id", (call.sid,))
    ]
    if not log or log[-1].kind == "left":
        return []
    joined = next((event for event in reversed(log) if event.kind == "joined"), log[-1])
    detail: dict[str, Any] = {"reason": LeaveReason.SYSTEM_ERROR.value, "waited_s": (seen - joined.at).total_seconds()}
    return [replace(joined, kind="left", at=seen, detail=detail)]


def _row(driver: Driver, codec: Codec[Any], record: Any) -> Row:
    return Row(codec.kind.table.name, upsert_sql(codec.kind, driver.mark), codec.encode(record))
