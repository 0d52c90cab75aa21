"""A POST that may be repeated: the same key gives the same answer, and what was asked happens once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from harness.rest import Reply, Rest, rest
from harness.virtual_time import run

from waitline.api.repeats import KEPT_FOR, MOST_KEPT
from waitline.bridge.store.errors import StoreUnavailable
from waitline.bridge.store.records import RestAnswer

KEY = "Idempotency-Key"


async def post(api: Rest, path: str, *, key: str = "k1", header: str = KEY, **form: Any) -> Reply:
    return await api.request("POST", path, data=urlencode(form), headers={header: key})


def with_rest(story: Callable[[Rest], Awaitable[None]]) -> None:
    async def told() -> None:
        async with rest() as api:
            await story(api)

    run(told())


@pytest.mark.parametrize("header", [KEY, "I-Twilio-Idempotency-Token", "idempotency-key"])
def test_a_repeated_creation_creates_once_and_answers_the_same(header: str) -> None:
    async def story(api: Rest) -> None:
        first = await post(api, "/Queues.json", header=header, FriendlyName="support")
        again = await post(api, "/Queues.json", header=header, FriendlyName="support")
        assert (first.status, "Idempotent-Replayed" in first.headers) == (201, False)
        assert (again.status, again.body, again.headers["Idempotent-Replayed"]) == (201, first.body, "true")
        assert len((await api.get("/Queues.json")).body["queues"]) == 1

    with_rest(story)


def test_two_at_once_are_one() -> None:
    async def story(api: Rest) -> None:
        replies = await asyncio.gather(*(post(api, "/Queues.json", FriendlyName="support") for _ in range(5)))
        assert {reply.status for reply in replies} == {201}
        assert len({reply.body["sid"] for reply in replies}) == 1
        assert sum("Idempotent-Replayed" in reply.headers for reply in replies) == 4

    with_rest(story)


def test_the_front_is_dequeued_once_however_often_it_is_asked() -> None:
    async def story(api: Rest) -> None:
        queue = await api.queue()
        first, second = api.enqueue(queue), api.enqueue(queue)
        path = f"/Queues/{queue.sid}/Members/Front.json"
        for _ in range(3):
            reply = await post(api, path, Url="http://t.example/x")
            assert (reply.status, reply.body["call_sid"]) == (200, first.sid)
        assert second.heard == []

    with_rest(story)


def test_the_same_key_for_something_else_is_refused_and_does_nothing() -> None:
    async def story(api: Rest) -> None:
        made = await post(api, "/Queues.json", FriendlyName="one")
        assert (await post(api, "/Queues.json", FriendlyName="two")).code == 20424
        assert (await post(api, f"/Queues/{made.body['sid']}.json", FriendlyName="one")).status == 422
        assert [queue["friendly_name"] for queue in (await api.get("/Queues.json")).body["queues"]] == ["one"]

    with_rest(story)


def test_the_order_of_parameters_makes_no_other_request() -> None:
    async def story(api: Rest) -> None:
        first = await post(api, "/Queues.json", FriendlyName="one", MaxSize=3)
        again = await post(api, "/Queues.json", MaxSize=3, FriendlyName="one")
        assert again.body == first.body

    with_rest(story)


def test_keys_are_an_accounts_own() -> None:
    async def story(api: Rest) -> None:
        ours = await post(api, "/Queues.json", FriendlyName="support")
        theirs = await post(api.as_other(), "/Queues.json", FriendlyName="support")
        assert theirs.status == 201
        assert theirs.body["sid"] != ours.body["sid"]

    with_rest(story)


def test_a_refusal_is_an_answer_too() -> None:
    async def story(api: Rest) -> None:
        await api.queue("taken")
        first = await post(api, "/Queues.json", FriendlyName="taken")
        queues = (await api.get("/Queues.json")).body["queues"]
        await api.delete(f"/Queues/{queues[0]['sid']}.json")
        again = await post(api, "/Queues.json", FriendlyName="taken")
        assert (first.code, again.code) == (22003, 22003)

    with_rest(story)


def test_where_the_platform_could_not_the_key_is_free_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(api: Rest) -> None:
        create = type(api.services.directory).create

        async def fails(*_: Any, **__: Any) -> Any:
            raise StoreUnavailable("the disk is full")

        monkeypatch.setattr(type(api.services.directory), "create", fails)
        assert (await post(api, "/Queues.json", FriendlyName="support")).status == 503
        monkeypatch.setattr(type(api.services.directory), "create", create)
        assert (await post(api, "/Queues.json", FriendlyName="support")).status == 201

    with_rest(story)


def test_a_request_that_died_in_the_middle_is_not_done_again() -> None:
    async def story(api: Rest) -> None:
        await post(api, "/Queues.json", FriendlyName="support")
        (answer,), _ = await api.store.page(RestAnswer, account_sid=api.account.sid)
        begun = RestAnswer(
            sid=answer.sid, account_sid=answer.account_sid, fingerprint=answer.fingerprint, status=0, body="",
            date_created=answer.date_created, date_updated=answer.date_updated,
        )  # fmt: skip
        await api.store.put(begun)
        reply = await post(api, "/Queues.json", FriendlyName="support")
        assert (reply.status, reply.code) == (409, 20423)

    with_rest(story)


@pytest.mark.parametrize("key", ["", "x" * 256, "queue-\u00e9"])
def test_a_key_that_cannot_be_is_refused(key: str) -> None:
    async def story(api: Rest) -> None:
        assert (await post(api, "/Queues.json", key=key, FriendlyName="support")).code == 20001
        assert (await api.get("/Queues.json")).body["queues"] == []

    with_rest(story)


def test_after_a_day_the_key_is_new_and_what_is_old_or_too_much_is_forgotten() -> None:
    async def story(api: Rest) -> None:
        first = await post(api, "/Applications.json", FriendlyName="one")
        await asyncio.sleep(KEPT_FOR.total_seconds() - 1)
        assert (await post(api, "/Applications.json", FriendlyName="one")).body == first.body
        await asyncio.sleep(2)
        assert (await post(api, "/Applications.json", FriendlyName="one")).body["sid"] != first.body["sid"]
        for number in range(4):
            await post(api, "/Applications.json", key=f"other {number}", FriendlyName="x")
        await api.store.forget_answers(before=api.services.clock.utc() - KEPT_FOR, most=MOST_KEPT)
        assert len((await api.store.page(RestAnswer, account_sid=api.account.sid))[0]) == 5
        await api.store.forget_answers(before=api.services.clock.utc() - KEPT_FOR, most=2)
        assert len((await api.store.page(RestAnswer, account_sid=api.account.sid))[0]) == 2

    with_rest(story)


def test_a_secret_that_is_shown_once_is_shown_again_and_lies_encrypted() -> None:
    async def story(api: Rest) -> None:
        first = await post(api, "/Keys.json", FriendlyName="ci")
        again = await post(api, "/Keys.json", FriendlyName="ci")
        assert again.body["secret"] == first.body["secret"]
        rows = await api.store._ask(lambda driver: driver.query("SELECT body FROM rest_answers"))
        assert rows
        assert first.body["secret"] not in str(rows)

    with_rest(story)
