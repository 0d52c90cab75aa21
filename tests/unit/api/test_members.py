"""Members of a queue over REST (platform contract 2.7)."""

from __future__ import annotations

import asyncio

import pytest
from harness.rest import rest
from harness.virtual_time import run

from waitline.bridge.sids import CallSid, QueueSid

URL = "http://tenant.test/next"


def test_members_are_listed_from_the_front_under_queue_members():
    async def story():
        async with rest() as api:
            queue = await api.queue()
            first = api.enqueue(queue)
            await asyncio.sleep(143)
            second = api.enqueue(queue)
            body = (await api.get(f"/Queues/{queue.sid}/Members.json")).body
            assert [m["call_sid"] for m in body["queue_members"]] == [first.sid, second.sid]
            assert body["queue_members"][0] == {
                "queue_sid": queue.sid, "call_sid": first.sid, "date_enqueued": "Thu, 01 Jan 2026 00:00:00 +0000", "position": 1,
                "wait_time": 143, "uri": f"/2010-04-01/Accounts/{api.account.sid}/Queues/{queue.sid}/Members/{first.sid}.json",
            }  # fmt: skip

    run(story())


def test_a_member_is_fetched_by_its_call_and_as_front():
    async def story():
        async with rest() as api:
            queue = await api.queue()
            first, second = api.enqueue(queue), api.enqueue(queue)
            assert (await api.get(f"/Queues/{queue.sid}/Members/Front.json")).body["call_sid"] == first.sid
            assert (await api.get(f"/Queues/{queue.sid}/Members/{second.sid}.json")).body["position"] == 2

    run(story())


def test_a_dequeued_member_runs_the_url_and_is_returned_as_it_was():
    async def story():
        async with rest() as api:
            queue = await api.queue()
            call = api.enqueue(queue)
            reply = await api.post(f"/Queues/{queue.sid}/Members/{call.sid}.json", Url=URL, Method="get")
            assert (reply.status, reply.body["position"]) == (200, 1)
            assert call.heard == [f"GET {URL}"]
            assert (await api.get(f"/Queues/{queue.sid}.json")).body["current_size"] == 0

    run(story())


def test_the_second_dequeue_of_one_call_is_a_400_and_each_front_takes_the_next():
    async def story():
        async with rest() as api:
            queue = await api.queue()
            calls = [api.enqueue(queue) for _ in range(3)]
            path = f"/Queues/{queue.sid}/Members/{calls[0].sid}.json"
            assert (await api.post(path, Url=URL)).status == 200
            again = await api.post(path, Url=URL)
            assert (again.status, again.code) == (400, 21220)
            fronts = [await api.post(f"/Queues/{queue.sid}/Members/Front.json", Url=URL) for _ in range(3)]
            assert [reply.body.get("call_sid") for reply in fronts] == [calls[1].sid, calls[2].sid, None]
            assert (fronts[2].status, fronts[2].code) == (404, 20404)

    run(story())


def test_two_dequeues_at_once_never_get_the_same_member():
    async def story():
        async with rest() as api:
            queue = await api.queue()
            calls = [api.enqueue(queue) for _ in range(4)]
            path = f"/Queues/{queue.sid}/Members/Front.json"
            replies = await asyncio.gather(*(api.post(path, Url=URL) for _ in range(4)))
            assert sorted(reply.body["call_sid"] for reply in replies) == sorted(call.sid for call in calls)

    run(story())


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({}, 21205),
        ({"Url": ""}, 21205),
        ({"Url": "/relative"}, 21205),
        ({"Url": "ftp://tenant.test/"}, 21205),
        ({"Url": "http://"}, 21205),
        ({"Url": "http://tenant.test:99999/"}, 21205),
        ({"Url": URL, "Method": "PUT"}, 21209),
    ],
)
def test_a_dequeue_without_a_usable_url_leaves_the_member_where_it_is(form, code):
    async def story():
        async with rest() as api:
            queue = await api.queue()
            call = api.enqueue(queue)
            reply = await api.post(f"/Queues/{queue.sid}/Members/Front.json", form)
            assert (reply.status, reply.code) == (400, code)
            assert api.services.authority.position(CallSid(call.sid)) == 1

    run(story())


def test_a_member_is_looked_for_in_its_own_queue_only():
    async def story():
        async with rest() as api:
            queue, empty = await api.queue("one"), await api.queue("two")
            call = api.enqueue(queue)
            assert (await api.get(f"/Queues/{empty.sid}/Members/{call.sid}.json")).code == 20404
            assert (await api.get(f"/Queues/{empty.sid}/Members/Front.json")).code == 20404
            assert (await api.post(f"/Queues/{empty.sid}/Members/{call.sid}.json", Url=URL)).status == 400
            assert (await api.post(f"/Queues/{queue.sid}/Members/CA{'0' * 32}.json", Url=URL)).code == 20404
            assert call.heard == []

    run(story())


def test_a_claimed_member_is_out_of_sight_and_still_the_tenants_to_take():
    async def story():
        async with rest() as api:
            queue = await api.queue()
            call = api.enqueue(queue)
            await api.services.authority.claim(QueueSid(queue.sid), by=CallSid("CA" + "9" * 32))
            assert (await api.get(f"/Queues/{queue.sid}/Members.json")).body["queue_members"] == []
            assert (await api.get(f"/Queues/{queue.sid}/Members/{call.sid}.json")).code == 20404
            assert (await api.post(f"/Queues/{queue.sid}/Members/{call.sid}.json", Url=URL)).status == 200
            assert call.heard == [f"POST {URL}"]

    run(story())


def test_members_are_paged_by_their_place_while_the_queue_moves():
    async def story():
        async with rest() as api:
            queue = await api.queue()
            calls = [api.enqueue(queue) for _ in range(5)]
            page = await api.get(f"/Queues/{queue.sid}/Members.json", PageSize=2)
            await api.board.hangup(calls[1].sid)  # the last of the page shown
            rest_of_them = await api.get(page.body["next_page_uri"])
            assert [m["call_sid"] for m in rest_of_them.body["queue_members"]] == [calls[2].sid, calls[3].sid]
            last = await api.get(rest_of_them.body["next_page_uri"])
            assert [m["call_sid"] for m in last.body["queue_members"]] == [calls[4].sid]
            assert last.body["next_page_uri"] is None

    run(story())
