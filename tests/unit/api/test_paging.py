"""The list envelope, and pages that stay right while the list changes (platform contract 5.2)."""

from __future__ import annotations

import asyncio

import pytest
from harness.rest import Rest, rest
from harness.virtual_time import run

ENVELOPE = {"page", "page_size", "start", "end", "uri", "first_page_uri", "previous_page_uri", "next_page_uri"}


async def _queues(api: Rest, count: int, prefix: str = "q") -> None:
    for number in range(count):
        await asyncio.sleep(1)
        await api.queue(f"{prefix}{number}")


async def _names(api: Rest, path: str) -> list[str]:
    names, next_path = [], path
    while next_path:
        body = (await api.get(next_path)).body
        names += [queue["friendly_name"] for queue in body["queues"]]
        next_path = body["next_page_uri"]
    return names


def test_an_empty_list_has_the_envelope_and_one_more_key():
    async def story():
        async with rest() as api:
            path = f"/2010-04-01/Accounts/{api.account.sid}/Queues.json"
            body = (await api.get("/Queues.json")).body
            assert body == {
                "queues": [], "page": 0, "page_size": 50, "start": 0, "end": 0, "uri": path + "?PageSize=50&Page=0",
                "first_page_uri": path + "?PageSize=50&Page=0", "previous_page_uri": None, "next_page_uri": None,
            }  # fmt: skip

    run(story())


def test_pages_follow_each_other_newest_first_to_null():
    async def story():
        async with rest() as api:
            await _queues(api, 5)
            first = (await api.get("/Queues.json?PageSize=2")).body
            assert [q["friendly_name"] for q in first["queues"]] == ["q4", "q3"]
            assert (first["start"], first["end"]) == (0, 1)
            second = (await api.get(first["next_page_uri"])).body
            assert [q["friendly_name"] for q in second["queues"]] == ["q2", "q1"]
            assert (second["page"], second["start"], second["end"]) == (1, 2, 3)
            assert second["previous_page_uri"] == second["first_page_uri"] == first["first_page_uri"]
            third = (await api.get(second["next_page_uri"])).body
            assert [q["friendly_name"] for q in third["queues"]] == ["q0"]
            assert (third["end"], third["next_page_uri"], third["previous_page_uri"]) == (4, None, None)
            assert set(third) == ENVELOPE | {"queues"}

    run(story())


@pytest.mark.parametrize(("count", "size"), [(4, 2), (4, 4), (1, 1), (3, 1000)])
def test_no_page_follows_the_last_record(count, size):
    async def story():
        async with rest() as api:
            await _queues(api, count)
            assert len(await _names(api, f"/Queues.json?PageSize={size}")) == count

    run(story())


def test_what_is_inserted_or_deleted_meanwhile_neither_repeats_nor_hides_a_record():
    async def story():
        async with rest() as api:
            await _queues(api, 6)
            first = (await api.get("/Queues.json?PageSize=2")).body
            await _queues(api, 3, "new")
            await api.delete(f"/Queues/{first['queues'][1]['sid']}.json")  # the record the token stands for
            assert await _names(api, first["next_page_uri"]) == ["q3", "q2", "q1", "q0"]

    run(story())


def test_records_of_one_instant_are_each_on_exactly_one_page():
    async def story():
        async with rest() as api:
            for number in range(7):
                await api.queue(f"q{number}")
            names = await _names(api, "/Queues.json?PageSize=3")
            assert sorted(names) == [f"q{number}" for number in range(7)]

    run(story())


def test_calls_are_paged_from_disk_and_keep_their_filters():
    async def story():
        async with rest() as api:
            calls = [api.call(status=("busy", "completed")[number % 2], live=False) for number in range(6)]
            first = (await api.get("/Calls.json?Status=busy&PageSize=2&StartTime%3E=2020-01-01")).body
            assert "Status=busy&StartTime%3E=2020-01-01&PageSize=2&Page=1&PageToken=PA" in first["next_page_uri"]
            api.call(status="busy", live=False)
            second = (await api.get(first["next_page_uri"])).body
            seen = [call["sid"] for call in first["calls"] + second["calls"]]
            assert seen == [call.sid for call in reversed(calls[::2])]
            assert second["next_page_uri"] is None

    run(story())


@pytest.mark.parametrize("size", ["0", "1001", "-1", "ten", "", "1e3"])
def test_a_page_size_out_of_bounds_is_refused(size):
    async def story():
        async with rest() as api:
            reply = await api.get(f"/Queues.json?PageSize={size}")
            assert (reply.status, reply.code) == (400, 20007)

    run(story())


@pytest.mark.parametrize(
    "query",
    [
        "Page=-1",
        "Page=1",
        "Page=x",
        "PageToken=",
        "PageToken=nonsense",
        "PageToken=PA",
        "PageToken=PAQU-",
        "PageToken=PAQU-%C2%B2",
        "Pag=1",
    ],
)
@pytest.mark.parametrize("path", ["/Queues.json", "/Calls.json"])
def test_a_page_that_cannot_be_found_is_refused_and_not_guessed(path, query):
    async def story():
        async with rest() as api:
            reply = await api.get(f"{path}?{query}")
            assert reply.status == 400
            assert reply.code in {20001, 20422}

    run(story())
