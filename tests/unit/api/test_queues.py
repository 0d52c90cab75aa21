"""Queues over REST (platform contract 2.6)."""

from __future__ import annotations

import asyncio

import pytest
from harness.rest import rest
from harness.virtual_time import run


def test_a_created_queue_has_an_identifier_and_every_field_of_the_contract():
    async def story():
        async with rest() as api:
            reply = await api.post("/Queues.json", FriendlyName="support")
            assert reply.status == 201
            sid = reply.body["sid"]
            assert reply.body == {
                "sid": sid, "account_sid": api.account.sid, "friendly_name": "support", "current_size": 0, "max_size": 1000,
                "average_wait_time": 0, "resume_window": 0, "drain_url": "",
                "uri": f"/2010-04-01/Accounts/{api.account.sid}/Queues/{sid}.json",
                "date_created": "Thu, 01 Jan 2026 00:00:00 +0000", "date_updated": "Thu, 01 Jan 2026 00:00:00 +0000",
            }  # fmt: skip
            fetched = await api.get(f"/Queues/{sid}.json")
            assert (fetched.status, fetched.body) == (200, reply.body)
            listed = await api.get("/Queues.json")
            assert listed.body["queues"] == [reply.body]

    run(story())


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({}, 20002),
        ({"FriendlyName": ""}, 20002),
        ({"FriendlyName": "   "}, 20002),
        ({"FriendlyName": "x" * 65}, 20002),
        ({"FriendlyName": "a\x00b"}, 20002),
        ({"FriendlyName": "taken"}, 22003),
        ({"FriendlyName": "new", "MaxSize": "0"}, 20422),
        ({"FriendlyName": "new", "MaxSize": "5001"}, 20422),
        ({"FriendlyName": "new", "MaxSize": "many"}, 20422),
        ({"FriendlyName": "new", "MaxSise": "5"}, 20001),
        ({"FriendlyName": "new", "WaitRetry": "-1"}, 20422),
    ],
)
def test_a_queue_that_cannot_be_is_refused_with_its_code(form, code):
    async def story():
        async with rest() as api:
            await api.queue("taken")
            reply = await api.post("/Queues.json", form)
            assert (reply.status, reply.code) == (400, code)
            assert len(api.store.image.queues) == 1

    run(story())


def test_the_refusal_of_a_second_queue_of_that_name_names_it():
    async def story():
        async with rest() as api:
            await api.queue("support")
            reply = await api.post("/Queues.json", FriendlyName="support")
            assert reply.body["message"] == "A queue with the name support already exists"
            assert (await api.as_other().post("/Queues.json", FriendlyName="support")).status == 201

    run(story())


def test_a_queue_is_renamed_and_resized_and_keeps_what_is_not_sent():
    async def story():
        async with rest() as api:
            queue = await api.queue("support", MaxSize=7)
            renamed = await api.post(f"/Queues/{queue.sid}.json", FriendlyName="sales")
            assert (renamed.status, renamed.body["friendly_name"], renamed.body["max_size"]) == (200, "sales", 7)
            resized = await api.post(f"/Queues/{queue.sid}.json", MaxSize=9)
            assert (resized.body["friendly_name"], resized.body["max_size"]) == ("sales", 9)
            assert (await api.post(f"/Queues/{queue.sid}.json")).status == 200

    run(story())


def test_a_queue_cannot_take_the_name_of_another():
    async def story():
        async with rest() as api:
            await api.queue("one")
            two = await api.queue("two")
            assert (await api.post(f"/Queues/{two.sid}.json", FriendlyName="one")).code == 22003
            assert (await api.post(f"/Queues/{two.sid}.json", FriendlyName="two")).status == 200

    run(story())


def test_wait_retry_is_kept_and_not_shown():
    async def story():
        async with rest() as api:
            queue = await api.queue("support", WaitRetry=90)
            assert queue.wait_retry_s == 90.0
            shown = await api.post(f"/Queues/{queue.sid}.json", WaitRetry=0, MaxSize=3)
            assert "wait_retry" not in str(shown.body).lower()
            changed = api.store.image.queues.get(queue.sid)
            assert changed is not None
            assert (changed.wait_retry_s, changed.max_size) == (0.0, 3)

    run(story())


def test_the_document_for_a_drain_is_shown_and_can_be_cleared():
    async def story():
        async with rest() as api:
            made = await api.post("/Queues.json", FriendlyName="support", DrainUrl="https://tenant.example/sorry", ResumeWindow=60)
            assert (made.body["drain_url"], made.body["resume_window"]) == ("https://tenant.example/sorry", 60)
            path = f"/Queues/{made.body['sid']}.json"
            assert (await api.post(path, DrainUrl="/relative")).code == 21205
            assert (await api.post(path, ResumeWindow=86_401)).code == 20422
            changed = await api.post(path, DrainUrl="")
            assert (changed.body["drain_url"], changed.body["resume_window"]) == ("", 60)

    run(story())


def test_only_an_empty_queue_can_be_deleted():
    async def story():
        async with rest() as api:
            queue = await api.queue()
            call = api.enqueue(queue)
            refused = await api.delete(f"/Queues/{queue.sid}.json")
            assert (refused.status, refused.code) == (400, 22002)
            await api.board.hangup(call.sid)
            deleted = await api.delete(f"/Queues/{queue.sid}.json")
            assert (deleted.status, deleted.body) == (204, None)
            assert (await api.get(f"/Queues/{queue.sid}.json")).code == 20404
            assert (await api.delete(f"/Queues/{queue.sid}.json")).code == 20404

    run(story())


def test_the_figures_are_those_of_the_moment():
    async def story():
        async with rest() as api:
            queue = await api.queue()
            api.enqueue(queue)
            await asyncio.sleep(40)
            api.enqueue(queue)
            await asyncio.sleep(10)
            body = (await api.get(f"/Queues/{queue.sid}.json")).body
            assert (body["current_size"], body["average_wait_time"]) == (2, 30)

    run(story())


@pytest.mark.parametrize("sid", ["QU" + "0" * 32, "support", "QU", "%20", "QU" + "g" * 32, "%00", "%C3%9Cnde"])
def test_an_unknown_queue_is_not_found(sid):
    async def story():
        async with rest() as api:
            reply = await api.get(f"/Queues/{sid}.json")
            assert (reply.status, reply.code) == (404, 20404)

    run(story())
