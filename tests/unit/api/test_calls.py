"""Calls over REST (platform contract 5.5)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from harness.rest import rest
from harness.virtual_time import run

from waitline.api.ports import CallChanges
from waitline.bridge.sids import CallSid
from waitline.bridge.store.records import CallEvent, Notification

URL = "http://tenant.test/next"


def test_a_call_is_shown_with_every_field_of_the_contract():
    async def story():
        async with rest() as api:
            call = api.call(status="completed", live=False, to="+14155550100", duration_s=12)
            body = (await api.get(f"/Calls/{call.sid}.json")).body
            assert (body["to"], body["to_formatted"], body["from"]) == ("+14155550100", "(415) 555-0100", "+15550199")
            assert (body["status"], body["duration"], body["queue_time"]) == ("completed", "12", "0")
            assert (body["parent_call_sid"], body["price"], body["end_time"]) == (None, None, None)
            assert body["start_time"] == "Thu, 01 Jan 2026 00:00:00 +0000"
            assert body["subresource_uris"]["events"] == f"/2010-04-01/Accounts/{api.account.sid}/Calls/{call.sid}/Events.json"

    run(story())


def test_a_live_call_is_redirected_given_a_document_or_ended():
    async def story():
        async with rest() as api:
            call = api.call()
            path = f"/Calls/{call.sid}.json"
            assert (await api.post(path, Url=URL, Method="GET", Twiml="<ignored/>")).status == 200
            assert (await api.post(path, Twiml="<Response/>")).status == 200
            ended = await api.post(path, Status="completed")
            assert (ended.status, ended.body["status"], ended.body["duration"]) == (200, "completed", "7")
            assert call.heard == [f"GET {URL}", "<Response/>", "hangup"]

    run(story())


def test_a_waiting_call_leaves_its_queue_by_a_redirect():
    async def story():
        async with rest() as api:
            queue = await api.queue()
            call = api.enqueue(queue)
            assert (await api.post(f"/Calls/{call.sid}.json", Url=URL)).status == 200
            assert api.services.authority.member(CallSid(call.sid)) is None

    run(story())


@pytest.mark.parametrize("form", [{"Url": URL}, {"Twiml": "<Response/>"}, {"Status": "completed"}, {"Status": "canceled"}, {}])
def test_a_call_that_is_over_takes_no_word_any_more(form):
    async def story():
        async with rest() as api:
            call = api.call(status="completed", live=False)
            reply = await api.post(f"/Calls/{call.sid}.json", form)
            assert (reply.status, reply.code) == (400, 21220)
            assert reply.body["message"] == "Call is not in-progress. Cannot redirect."

    run(story())


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({}, 21205),
        ({"Url": "nowhere"}, 21205),
        ({"Url": URL, "Method": "PATCH"}, 21209),
        ({"Status": "paused"}, 20422),
        ({"Status": "canceled"}, 21220),
        ({"Twiml": "<Nonsense/>"}, 12102),
        ({"Twiml": "x" * 4001}, 20422),
        ({"TimeLimit": "0"}, 20422),
    ],
)
def test_an_update_that_makes_no_sense_leaves_the_call_alone(form, code):
    async def story():
        async with rest() as api:
            call = api.call()
            reply = await api.post(f"/Calls/{call.sid}.json", form)
            assert (reply.status, reply.code) == (400, code)
            assert call.heard == []

    run(story())


def test_a_ringing_call_can_be_cancelled():
    async def story():
        async with rest() as api:
            call = api.call(status="ringing")
            assert (await api.post(f"/Calls/{call.sid}.json", Status="canceled")).status == 200
            assert call.heard == ["hangup"]

    run(story())


def test_what_outlives_the_document_is_handed_on():
    async def story():
        async with rest() as api:
            call = api.call()
            await api.post(f"/Calls/{call.sid}.json", Url=URL, FallbackUrl=URL + "2", TimeLimit=60)
            assert api.board.adjusted == [(call.sid, CallChanges(fallback_url=URL + "2", time_limit_s=60))]
            assert call.heard == [f"POST {URL}"]

    run(story())


def test_only_a_call_that_is_over_can_be_deleted():
    async def story():
        async with rest() as api:
            call = api.call()
            refused = await api.delete(f"/Calls/{call.sid}.json")
            assert (refused.status, refused.code) == (409, 20009)
            await api.board.hangup(call.sid)
            assert (await api.delete(f"/Calls/{call.sid}.json")).status == 204
            assert (await api.get(f"/Calls/{call.sid}.json")).code == 20404

    run(story())


@pytest.mark.parametrize(
    ("form", "status", "code"),
    [
        ({"From": "+15550100"}, 400, 21201),
        ({"To": "+15550100"}, 400, 21213),
        ({"To": "+15550100", "From": "+15550199", "Url": URL, "StatusCallbackEvent": "answered"}, 501, 20501),
    ],
)
def test_placing_a_call_says_clearly_that_it_cannot_be_done_yet(form, status, code):
    async def story():
        async with rest() as api:
            reply = await api.post("/Calls.json", form)
            assert (reply.status, reply.code) == (status, code)

    run(story())


MOMENTS = [datetime(2026, 3, day, 12, 0, 0, 500_000, tzinfo=UTC) for day in (1, 2, 3)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("To=+15550002", [1]),
        ("From=sip:a@b", [2]),
        ("Status=busy", [0]),
        ("ParentCallSid=CA" + "5" * 32, [2]),
        ("StartTime=2026-03-02", [1]),
        ("StartTime=2026-03-02T12:00:00Z", [1]),
        ("StartTime=2026-03-02T12:00:01Z", []),
        ("StartTime<=2026-03-02T12:00:00Z", [1, 0]),
        ("StartTime<=2026-03-02", [1, 0]),
        ("StartTime>=2026-03-02T12:00:00Z", [2, 1]),
        ("StartTime>=2026-03-01&StartTime<=2026-03-02T00:00:00Z", [0]),
        ("EndTime>=2026-03-03", [2]),
        ("To=+15550002&Status=busy", []),
    ],
)
def test_calls_are_filtered(query, expected):
    async def story():
        async with rest() as api:
            more: list[dict[str, Any]] = [{"status": "busy"}, {"to": "+15550002"}, {"from_": "sip:a@b", "parent_call_sid": "CA" + "5" * 32}]
            calls = [
                api.call(live=False, **{"status": "completed", "start_time": at, "end_time": at, **given})
                for at, given in zip(MOMENTS, more, strict=True)
            ]
            reply = await api.get("/Calls.json?" + quote(query, safe="=&"))
            assert reply.status == 200, reply.body
            sids = [call.sid for call in calls]
            assert [sids.index(call["sid"]) for call in reply.body["calls"]] == expected

    run(story())


@pytest.mark.parametrize(
    "query", ["Status=gone", "StartTime=yesterday", "StartTime=0001-01-01", "StartTime=9999-12-31T23:59:59-14:00", "StartTime=2026-02-30"]
)
def test_a_filter_without_sense_is_a_400(query):
    async def story():
        async with rest() as api:
            assert (await api.get("/Calls.json?" + query)).code == 20422

    run(story())


def _notification(api, call, number: int, **more) -> Notification:
    now = api.services.clock.utc()
    return Notification(
        sid=api.services.sids.new("NO"), account_sid=api.account.sid, call_sid=call.sid, error_code=11200 + number, message_date=now,
        message_text="HTTP retrieval failure", date_created=now, date_updated=now, **{"log": 0, **more},
    )  # fmt: skip


def test_notifications_are_listed_filtered_and_fetched_by_account_and_by_call():
    async def story():
        async with rest() as api:
            one, two = api.call(), api.call()
            entries = [_notification(api, one, 0), _notification(api, two, 5, log=1)]
            for entry in entries:
                api.store.append(entry)

            async def codes(path):
                return [n["error_code"] for n in (await api.get(path)).body["notifications"]]

            assert await codes("/Notifications.json") == ["11205", "11200"]
            assert await codes("/Notifications.json?Log=1") == ["11205"]
            assert await codes("/Notifications.json?MessageDate=2026-01-01") == ["11205", "11200"]
            assert await codes("/Notifications.json?MessageDate%3C=2025-12-31") == []
            assert await codes(f"/Calls/{one.sid}/Notifications.json") == ["11200"]
            shown = (await api.get(f"/Notifications/{entries[0].sid}.json")).body
            assert (shown["log"], shown["more_info"], shown["call_sid"]) == ("0", "/errors/11200", one.sid)
            assert (await api.get(f"/Calls/{one.sid}/Notifications/{entries[0].sid}.json")).body == shown
            assert (await api.get(f"/Calls/{two.sid}/Notifications/{entries[0].sid}.json")).code == 20404

    run(story())


def test_the_webhooks_of_a_call_are_its_events():
    async def story():
        async with rest() as api:
            call = api.call()
            event = CallEvent(
                account_sid=api.account.sid, call_sid=call.sid, at=api.services.clock.utc(), request={"method": "POST", "url": URL},
                response={"response_code": 200},
            )  # fmt: skip
            api.store.append(event)
            body = (await api.get(f"/Calls/{call.sid}/Events.json")).body
            assert body["events"] == [{"request": event.request, "response": event.response}]

    run(story())
