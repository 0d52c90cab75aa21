"""What is held back while the database cannot be written: the newest of everything, bounded, going on last and at once."""

from __future__ import annotations

import random

from waitline.bridge.store.backlog import ROW_BYTES, Backlog
from waitline.bridge.store.drivers import Row, delete_sql, upsert_sql
from waitline.bridge.store.records import CallRecord, LiveState
from waitline.bridge.store.schema import KINDS

STATES, CALLS = KINDS[LiveState], KINDS[CallRecord]


def state(key: str, text: str = "{}") -> Row:
    return Row("live_states", upsert_sql(STATES, "?"), ("call", key, 1, text))


def gone(key: str) -> Row:
    return Row("live_states", delete_sql(STATES, "?"), ("call", key))


def call(sid: str, status: str) -> Row:
    values = [""] * len(CALLS.written)
    values[0], values[CALLS.written.index("status")] = sid, status
    return Row("calls", upsert_sql(CALLS, "?"), tuple(values))


def event(number: int) -> Row:
    return Row("queue_events", "INSERT", (number,))


def rows(backlog: Backlog, limit: int = 1000) -> list[Row]:
    return [row for _, row in backlog.portion(limit)]


def drained(backlog: Backlog, limit: int) -> list[list[Row]]:
    portions = []
    while portion := backlog.portion(limit):
        portions.append([row for _, row in portion])
        for key, _ in portion:
            backlog.written(key)
    return portions


def test_of_what_changes_only_the_newest_is_held_and_of_events_each() -> None:
    backlog = Backlog()
    backlog.add([state("CA1", "1"), call("CA1", "ringing"), event(1), state("CA2", "1"), event(2)])
    backlog.add([state("CA1", "2"), call("CA1", "completed"), gone("CA2")])
    assert rows(backlog) == [event(1), event(2), call("CA1", "completed"), gone("CA2"), state("CA1", "2")]


def test_what_is_going_on_is_written_at_once_and_after_all_history() -> None:
    backlog = Backlog()
    backlog.add([state("CA1"), *(event(number) for number in range(5)), gone("CA2"), state("CA3")])
    portions = drained(backlog, 2)
    assert [len(portion) for portion in portions] == [2, 2, 4]
    assert portions[-1] == [event(4), gone("CA2"), state("CA1"), state("CA3")]
    assert (len(backlog), backlog.bytes) == (0, 0)


def test_beyond_the_bound_the_oldest_history_goes_and_never_what_is_going_on() -> None:
    backlog = Backlog(keep_rows=4)
    assert backlog.add([event(1), state("CA1"), event(2), gone("CA2"), gone("CA3")]) == 1
    assert rows(backlog) == [event(2), gone("CA2"), gone("CA3"), state("CA1")]
    assert backlog.add([state(f"CB{number}") for number in range(10)]) == 3
    assert len(backlog) == 11


def test_memory_is_bounded_by_what_the_rows_hold() -> None:
    backlog = Backlog(keep_bytes=10 * (ROW_BYTES + 1000))
    for number in range(100):
        backlog.add([Row("call_events", "INSERT", (number, "x" * 1000))])
    assert len(backlog) == 10
    assert backlog.bytes == 10 * (ROW_BYTES + 1000)
    assert rows(backlog)[0].params[0] == 90


def test_whatever_comes_the_end_is_as_if_each_row_had_been_written_at_once() -> None:
    chance = random.Random(4)
    for _ in range(50):
        backlog, truth = Backlog(), {}
        for _ in range(chance.randrange(60)):
            key, text = f"CA{chance.randrange(6)}", str(chance.random())
            row = chance.choice([state(key, text), gone(key)])
            backlog.add([row])
            truth[key] = None if row == gone(key) else text
        found = {row.params[1]: row.params[3] if len(row.params) == 4 else None for row in rows(backlog)}
        assert found == truth
