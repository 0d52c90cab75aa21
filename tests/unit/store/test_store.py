"""The store's promises, on SQLite and on PostgreSQL, inline and with its writer thread."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from unit.store.kit import AC, NOW, Database, account, call, call_event, notification, one_of_each, phone_number, queue, queue_event, sid

from waitline.bridge.store import Conflict, Filter, Store
from waitline.bridge.store.records import CallEvent, CallRecord, LiveState, Notification, Queue, QueueEventRecord
from waitline.errors import ApiError, BridgeError, ConfigError


def test_what_was_put_is_in_the_image_and_is_there_after_a_restart(database: Database):
    async def story():
        store = await database.open()
        await store.put(*one_of_each())
        for _ in range(2):
            for record in one_of_each():
                if type(record) in store.image.kinds:
                    assert list(store.image.index(type(record))) == [record]
                else:
                    assert await store.get(type(record), record.sid) == record
            await store.close()
            store = await database.open()
        await store.close()

    database.run(story())


def test_a_deleted_record_is_gone_from_image_and_disk(database: Database):
    async def story():
        store = await database.open()
        records = [record for record in one_of_each() if type(record) in store.image.kinds]
        await store.put(*records)
        await store.delete(*records)
        await store.delete(*records)  # what is not there is no error
        for _ in range(2):
            assert all(len(store.image.index(kind)) == 0 for kind in store.image.kinds)
            await store.close()
            store = await database.open()
        await store.close()

    database.run(story())


def test_a_put_that_conflicts_changes_nothing_and_costs_its_neighbours_nothing(database: Database):
    async def story():
        store = await database.open()
        await store.put(phone_number(1))
        good, bad, also_good = await asyncio.gather(
            store.put(queue(1)),
            store.put(queue(2), phone_number(2, phone_number=phone_number(1).phone_number)),
            store.put(queue(3)),
            return_exceptions=True,
        )
        assert (good, also_good) == (None, None)
        assert isinstance(bad, Conflict)
        assert [found.sid for found in store.image.queues] == [sid("QU", 1), sid("QU", 3)]
        assert await store.get(Queue, sid("QU", 2)) is None
        assert store.image.numbers.by_number(phone_number(1).phone_number) == phone_number(1)
        await store.close()

    database.run(story())


def test_what_was_appended_is_read_back_in_its_last_state(database: Database):
    async def story():
        store = await database.open()
        for status in ("ringing", "in-progress", "completed"):
            store.append(call(status=status))
        store.append(queue_event(detail={"position": 1}))
        found = await store.get(CallRecord, call().sid)
        assert found is not None
        assert found.status == "completed"
        await store.durable()
        await store.close()
        store = await database.open()
        assert await store.get(CallRecord, call().sid) == call(status="completed")
        (event,), token = await store.page(QueueEventRecord, account_sid=AC)
        assert (event.id, event.detail, token) == (1, {"position": 1}, None)
        await store.close()

    database.run(story())


async def _pages(store: Store, **options) -> list[list[str]]:
    pages: list[list[str]] = []
    token: str | None = None
    while not pages or token:
        records, token = await store.page(CallRecord, account_sid=AC, before=token, **options)
        pages.append([record.sid[-1] for record in records])
    return pages


def test_pages_are_newest_first_and_end(database: Database):
    async def story():
        store = await database.open()
        assert await _pages(store, limit=3) == [[]]
        for number in range(1, 7):
            store.append(call(number))
        store.append(call(9, account_sid=sid("AC", 2)))
        store.append(call(1, status="completed"))  # a change does not move a record
        assert await _pages(store, limit=4) == [["6", "5", "4", "3"], ["2", "1"]]
        assert await _pages(store, limit=3) == [["6", "5", "4"], ["3", "2", "1"]]
        await store.close()

    database.run(story())


def test_pages_do_not_shift_under_inserts(database: Database):
    async def story():
        store = await database.open()
        for number in range(1, 5):
            store.append(call(number))
        first, token = await store.page(CallRecord, account_sid=AC, limit=2)
        store.append(call(5, date_created=NOW - timedelta(days=1)))  # a clock that stepped back changes nothing
        second, end = await store.page(CallRecord, account_sid=AC, limit=2, before=token)
        assert [record.sid[-1] for record in first + second] == ["4", "3", "2", "1"]
        assert end is None
        await store.close()

    database.run(story())


def test_pages_are_filtered_by_equality_and_by_dates(database: Database):
    async def story():
        store = await database.open()
        for number in range(1, 5):
            status = "completed" if number % 2 else "busy"
            store.append(call(number, status=status, start_time=NOW + timedelta(hours=number), to=f"+{number}"))
        assert await _pages(store, filters=[Filter("status", "=", "busy")]) == [["4", "2"]]
        assert await _pages(store, filters=[Filter("to", "=", "+3")]) == [["3"]]
        assert await _pages(store, filters=[Filter("from_", "=", "nobody")]) == [[]]
        late = [Filter("start_time", ">", NOW + timedelta(hours=1)), Filter("start_time", "<=", NOW + timedelta(hours=3))]
        assert await _pages(store, filters=late) == [["3", "2"]]
        store.append(notification(1, log=1))
        store.append(notification(2, log=0))
        (warning,), _ = await store.page(Notification, account_sid=AC, filters=[Filter("log", "=", 1)])
        assert warning.sid == sid("NO", 1)
        store.append(call_event(1))
        store.append(call_event(2))
        (event,), _ = await store.page(CallEvent, account_sid=AC, filters=[Filter("call_sid", "=", sid("CA", 2))])
        assert event == replace(call_event(2), id=2)
        await store.close()

    database.run(story())


def test_a_page_token_of_no_page_is_refused(database: Database):
    async def story():
        store = await database.open()
        for token in ("", "CA", "CA-1", "CAzz", "NO1", "CA01", "CAFF", "CA" + "f" * 20, "' OR 1"):
            with pytest.raises(ApiError) as refused:
                await store.page(CallRecord, account_sid=AC, before=token)
            assert refused.value.status == 400
        await store.close()

    database.run(story())


def test_sequences_grow_also_over_a_restart_without_a_close(database: Database):
    async def story():
        first, second = await database.open(), await database.open()
        numbers = [first.next_sequence("QUa"), first.next_sequence("QUb"), first.next_sequence("QUa")]
        numbers += [second.next_sequence("QUa"), second.next_sequence("QUa")]
        assert numbers == sorted(set(numbers))
        assert second.epoch > first.epoch
        await first.close()
        await second.close()

    database.run(story())


def test_the_realm_is_fixed_at_first_start(database: Database):
    async def story():
        store = await database.open()
        assert await store.realm("acme.example") == "acme.example"
        await store.close()
        store = await database.open()
        assert await store.realm() == "acme.example"
        with pytest.raises(ConfigError, match=r"WAITLINE_SIP_REALM.*'other'.*'acme.example'"):
            await store.realm("other")
        await store.close()

    database.run(story())


def test_counters_are_durable(database: Database):
    async def story():
        store = await database.open()
        assert [await store.count("calls"), await store.count("calls", by=5), await store.count("other")] == [1, 6, 1]
        await store.close()
        store = await database.open()
        assert await store.count("calls") == 7
        await store.close()

    database.run(story())


def test_a_server_closes_the_calls_that_a_dead_one_left_live(database: Database):
    async def story():
        store = await database.open()
        store.append(call(1, status="in-progress", start_time=NOW))
        store.append(queue_event(1, "joined", at=NOW + timedelta(seconds=1)))
        store.append(queue_event(1, "claimed", at=NOW + timedelta(seconds=31)))
        store.append(call(2, status="ringing"))
        store.append(call(3, status="completed", end_reason="caller-hung-up"))
        store.append(queue_event(3, "joined"))
        store.append(queue_event(3, "left"))
        await store.put(queue(1))
        await store.close()

        command = await database.open()
        assert command.closed_calls == 0
        await command.close()
        server = await database.open(serve=True)
        assert server.closed_calls == 2
        assert len(server.image.queues) == 1
        records = {record.sid[-1]: record for record in (await server.page(CallRecord, account_sid=AC))[0]}
        assert (records["1"].status, records["1"].duration_s, records["1"].end_reason) == ("completed", 31, "server-restart")
        assert records["1"].end_time == NOW + timedelta(seconds=31)
        assert (records["2"].status, records["2"].duration_s) == ("failed", 0)
        assert records["3"] == call(3, status="completed", end_reason="caller-hung-up")
        events, _ = await server.page(QueueEventRecord, account_sid=AC)
        assert [(event.call_sid[-1], event.kind) for event in events[:2]] == [("1", "left"), ("3", "left")]
        assert events[0].detail == {"reason": "system-error", "waited_s": 30.0}
        await server.close()

    database.run(story())


def test_one_server_at_a_time_and_commands_beside_it(database: Database):
    async def story():
        server = await database.open(serve=True)
        with pytest.raises(ConfigError, match="in use by another server"):
            await database.open(serve=True)
        command = await database.open()
        await command.put(account())
        await command.close()
        await server.close()
        await (await database.open(serve=True)).close()

    database.run(story())


def test_what_a_command_wrote_is_seen_by_a_refresh(database: Database):
    async def story():
        server, command = await database.open(serve=True), await database.open()
        await server.put(account(1))
        await command.put(account(2), queue(5))
        assert server.image.accounts.get(sid("AC", 2)) is None
        await server.refresh()
        assert server.image.accounts.get(sid("AC", 2)) == account(2)
        assert [found.sid for found in server.image.accounts] == [sid("AC", 1), sid("AC", 2)]
        await command.delete(queue(5))
        await server.refresh()
        assert len(server.image.queues) == 0
        await command.close()
        await server.close()

    database.run(story())


def test_a_write_whose_waiter_is_gone_still_shows_in_the_image(database: Database):
    async def story():
        store = await database.open()
        waiting = asyncio.ensure_future(store.put(queue(1)))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await store.durable()
        assert store.image.queues.get(sid("QU", 1)) == queue(1)
        await store.close()

    database.run(story())


def test_text_that_no_database_takes_is_cleaned(database: Database):
    async def story():
        store = await database.open()
        await store.put(notification(message_text="a\0b", response_body="\ud800 ü \udfff\0"))
        found = await store.get(Notification, sid("NO", 1))
        assert found is not None
        assert (found.message_text, found.response_body) == ("a\ufffdb", "\ufffd ü \ufffd\ufffd")
        assert not database.failures
        await store.close()

    database.run(story())


def test_a_row_that_cannot_be_stored_is_reported_and_costs_only_itself(database: Database):
    async def story():
        store = await database.open()
        store.append(notification(1))
        store.append(notification(2, error_code=2**70))
        store.append(notification(3))
        await store.durable()
        found, _ = await store.page(Notification, account_sid=AC)
        assert [record.sid[-1] for record in found] == ["3", "1"]
        assert [(failure.kept, failure.lost) for failure in database.failures] == [(0, 1)]
        await store.close()

    database.run(story())


def test_appending_does_not_wait_and_keeps_what_a_dictionary_was_then(database: Database):
    async def story():
        store = await database.open()
        detail = {"position": 1}
        store.append(queue_event(detail=detail))
        detail["position"] = 2
        (event,), _ = await store.page(QueueEventRecord, account_sid=AC)
        assert event.detail == {"position": 1}
        await store.close()

    database.run(story())


def test_a_thing_that_is_no_record_raises_at_its_author(database: Database):
    async def story():
        store = await database.open()
        with pytest.raises(TypeError):
            store.append("a call")  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            store.append(call(date_created=NOW.replace(tzinfo=None)))
        with pytest.raises(TypeError):
            store.append(queue_event(detail={"at": NOW}))
        await store.close()
        await store.close()  # closing twice is no error
        with pytest.raises(BridgeError, match="closed"):
            store.append(call())
        with pytest.raises(BridgeError, match="closed"):
            await store.put(account())

    database.run(story())


def test_close_writes_what_was_appended_a_moment_ago(database: Database):
    async def story():
        store = await database.open()
        store.append(call())
        await store.close()
        store = await database.open()
        assert await store.get(CallRecord, call().sid) == call()
        await store.close()

    database.run(story())


def test_what_is_going_on_is_kept_in_order_replaced_and_dropped(database: Database):
    async def story():
        store = await database.open()
        store.append(LiveState(kind="call", key="CA1", version=1, data={"index": 0}))
        store.append(LiveState(kind="call", key="CA2", version=1, data={}))
        store.append(LiveState(kind="member", key="CA1", version=1, data={}))
        store.append(LiveState(kind="call", key="CA1", version=1, data={"index": 3}))
        store.drop("call", "CA2")
        await store.durable()
        assert [(state.key, state.data) for state in await store.live_states("call")] == [("CA1", {"index": 3})]
        assert [state.key for state in await store.live_states("member")] == ["CA1"]
        await store.close()

    database.run(story())
