"""The audit log: who changed what from where, by names and never by values, whatever came of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from harness.rest import Rest, basic, rest
from harness.virtual_time import run

from waitline.api import trail
from waitline.bridge.store.audit import PORTION
from waitline.bridge.store.records import AuditEntry

AUDIT = "//v1/Audit"
PASSWORD = "Correct1Horse"


async def _entries(api: Rest, **query: Any) -> list[dict[str, Any]]:
    reply = await api.get(AUDIT, **query)
    assert reply.status == 200, reply.body
    return list(reply.body["audit"])


def test_a_change_is_logged_with_who_what_when_and_from_where():
    async def story():
        async with rest() as api:
            queue = await api.queue("support", MaxSize=5)
            key = (await api.post("/Keys.json")).body
            await api.request("DELETE", f"/Queues/{queue.sid}.json", auth=basic(key["sid"], key["secret"]))
            deleted, _, made = await _entries(api)
            assert (deleted["method"], deleted["actor_sid"], deleted["resource_sid"]) == ("DELETE", key["sid"], queue.sid)
            assert (deleted["status"], deleted["error_code"], deleted["changed"]) == (204, None, [])
            assert (made["method"], made["actor_sid"], made["resource_sid"]) == ("POST", api.account.sid, queue.sid)
            assert (made["status"], made["changed"], made["address"]) == (201, ["FriendlyName", "MaxSize"], "127.0.0.1")
            assert made["path"] == f"/2010-04-01/Accounts/{api.account.sid}/Queues.json"
            assert (await api.get(f"{AUDIT}/{made['sid']}")).body == made

    run(story())


def test_names_are_logged_and_no_values():
    async def story():
        async with rest() as api:
            credentials = (await api.post("/SIP/CredentialLists.json", FriendlyName="mine")).body["sid"]
            path = f"/SIP/CredentialLists/{credentials}/Credentials.json"
            await api.post(path, Username="alice", Password=PASSWORD)
            await api.post(path, {"Username": "bob", "Password": "weak", PASSWORD: "x"})
            refused, made = (await _entries(api))[:2]
            assert made["changed"] == refused["changed"] == ["Password", "Username"]
            assert (refused["status"], refused["error_code"]) == (400, 20001)
            assert PASSWORD not in str(await _entries(api))

    run(story())


def test_reading_is_not_logged_and_neither_is_who_is_turned_away_at_the_door():
    async def story():
        async with rest() as api:
            await api.get("/Queues.json")
            await api.request("POST", "/Queues.json", data="FriendlyName=x", auth=basic(api.account.sid, "wrong"))
            await api.as_other().post(f"/2010-04-01/Accounts/{api.account.sid}/Queues.json", FriendlyName="x")
            assert await _entries(api) == []

    run(story())


def test_the_log_is_its_accounts_and_its_owners():
    async def story():
        async with rest() as api:
            made = (await api.post("/2010-04-01/Accounts.json")).body["sid"]
            sub = api.store.image.accounts.get(made)
            assert sub is not None
            branch = replace(api, account=sub)
            await branch.queue()
            (entry,) = await _entries(branch)
            assert [found["sid"] for found in await _entries(api, AccountSid=sub.sid)] == [entry["sid"]]
            assert [found["resource_sid"] for found in await _entries(api)] == [sub.sid]
            thief = api.as_other()
            assert [(await thief.get(path)).status for path in (f"{AUDIT}/{entry['sid']}", f"{AUDIT}?AccountSid={sub.sid}")] == [404, 404]
            assert await _entries(thief) == []

    run(story())


def test_nothing_changes_or_deletes_an_entry():
    async def story():
        async with rest() as api:
            await api.queue()
            (entry,) = await _entries(api)
            for path in (AUDIT, f"{AUDIT}/{entry['sid']}"):
                assert [(await api.request(method, path)).status for method in ("POST", "PUT", "DELETE")] == [405, 405, 405]
            assert await _entries(api) == [entry]

    run(story())


def test_a_page_is_cut_and_entries_are_found_by_whose_they_are_and_when():
    async def story():
        async with rest() as api:
            queues = []
            for number in range(5):
                await asyncio.sleep(86_400)
                queues.append(await api.queue(f"q{number}"))
            first = (await api.get(AUDIT, PageSize=2)).body
            second = (await api.request("GET", "/" + first["next_page_uri"])).body
            assert [entry["resource_sid"] for page in (first, second) for entry in page["audit"]] == [q.sid for q in queues[:0:-1]]
            assert len(await _entries(api, ResourceSid=queues[2].sid)) == 1
            assert len(await _entries(api, ActorSid=api.account.sid)) == 5
            day = queues[1].date_created.date().isoformat()
            assert [entry["resource_sid"] for entry in await _entries(api, Date=day)] == [queues[1].sid]
            assert len(await _entries(api, **{"Date>": day})) == 4

    run(story())


def test_a_change_whose_process_died_is_there_and_its_outcome_unknown(monkeypatch: pytest.MonkeyPatch):
    async def story():
        async with rest() as api:
            monkeypatch.setattr(trail, "answered", lambda entry, clock, **_: entry)  # the last that it did not do
            queue = await api.queue()
            (entry,) = await _entries(api)
            assert (entry["status"], entry["changed"], entry["resource_sid"]) == (None, ["FriendlyName"], api.account.sid)
            assert api.store.image.queues.get(queue.sid) is not None

    run(story())


def test_no_change_is_written_before_its_entry():
    async def story():
        async with rest() as api:
            written: list[str] = []
            driver = api.store._opened.driver
            write = driver.write

            def noted(rows: Any) -> None:
                written.extend(row.table for row in rows)
                write(rows)

            driver.write = noted  # type: ignore[method-assign]
            await api.queue()
            await _entries(api)
            assert written == ["audit", "queues", "audit"]

    run(story())


def test_entries_go_when_they_are_old_and_when_an_account_has_too_many():
    async def story():
        async with rest() as api:
            now = api.services.clock.utc()
            for number in range(PORTION + 10):
                api.store.append(_entry(api, number, now - timedelta(days=30)))
            for number in range(5):
                api.store.append(_entry(api, PORTION + 10 + number, now))
            api.store.append(_entry(api.as_other(), 10**6, now))
            month_ago = now - timedelta(days=29)
            assert [await api.store.forget_audit(before=month_ago, most=0) for _ in range(2)] == [True, False]
            assert [len(await _entries(who)) for who in (api, api.as_other())] == [5, 1]
            assert await api.store.forget_audit(before=None, most=3) is False
            assert [entry["path"] for entry in await _entries(api)] == [f"/{PORTION + 10 + number}" for number in (4, 3, 2)]
            assert len(await _entries(api.as_other())) == 1

    run(story())


def _entry(api: Rest, number: int, at: Any) -> AuditEntry:
    return AuditEntry(
        sid=f"AE{number:032x}", account_sid=api.account.sid, actor_sid=api.account.sid, address="", method="POST", path=f"/{number}",
        resource_sid="", changed="", status=200, date_created=at, date_updated=at,
    )  # fmt: skip
