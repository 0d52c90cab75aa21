"""Accounts and API keys (platform contract 5.6)."""

from __future__ import annotations

from dataclasses import replace

from harness.rest import basic, rest
from harness.virtual_time import run

from waitline.bridge.store.secrets import secret_matches


def test_an_account_makes_names_suspends_and_closes_accounts_it_owns():
    async def story():
        async with rest() as api:
            sub = (await api.post("/2010-04-01/Accounts.json", FriendlyName="branch")).body
            assert (sub["owner_account_sid"], sub["status"], sub["type"]) == (api.account.sid, "active", "Full")
            path = f"/2010-04-01/Accounts/{sub['sid']}.json"
            assert (await api.get(path)).body == sub
            assert (await api.post(path, FriendlyName="renamed")).body["friendly_name"] == "renamed"
            assert (await api.post(path, Status="suspended")).body["status"] == "suspended"
            assert (await api.post(path, Status="active")).body["status"] == "active"
            assert (await api.post(path, Status="closed")).body["status"] == "closed"
            assert (await api.post(path, Status="active")).code == 20422

    run(story())


def test_a_new_account_can_authenticate_with_the_token_it_was_born_with():
    async def story():
        async with rest() as api:
            sub = (await api.post("/2010-04-01/Accounts.json")).body
            assert sub["friendly_name"].startswith("SubAccount created at ")
            reply = await api.request("GET", f"/2010-04-01/Accounts/{sub['sid']}.json", auth=basic(sub["sid"], sub["auth_token"]))
            assert reply.status == 200

    run(story())


def test_the_list_has_the_account_and_its_own_and_is_filtered():
    async def story():
        async with rest() as api:
            subs = [(await api.post("/2010-04-01/Accounts.json", FriendlyName=name)).body["sid"] for name in ("a", "b")]
            await api.post(f"/2010-04-01/Accounts/{subs[0]}.json", Status="suspended")

            async def listed(**query):
                return {account["sid"] for account in (await api.get("/2010-04-01/Accounts.json", **query)).body["accounts"]}

            assert await listed() == {api.account.sid, *subs}
            assert await listed(Status="suspended") == {subs[0]}
            assert await listed(FriendlyName="b") == {subs[1]}
            sub = api.store.image.accounts.get(subs[1])
            assert sub is not None
            own = await replace(api, account=sub).get("/2010-04-01/Accounts.json")
            assert [account["sid"] for account in own.body["accounts"]] == [subs[1]]

    run(story())


def test_nobody_changes_the_status_of_the_account_they_are():
    async def story():
        async with rest() as api:
            assert (await api.post(".json", Status="active")).status == 200
            refused = await api.post(".json", Status="closed")
            assert (refused.status, refused.code) == (403, 20006)
            assert (await api.get(".json")).body["status"] == "active"

    run(story())


def test_an_owned_account_makes_no_accounts():
    async def story():
        async with rest() as api:
            sub = (await api.post("/2010-04-01/Accounts.json")).body
            refused = await api.request("POST", "/2010-04-01/Accounts.json", auth=basic(sub["sid"], sub["auth_token"]))
            assert (refused.status, refused.code) == (403, 20006)

    run(story())


def test_a_keys_secret_is_shown_once_and_kept_as_a_hash():
    async def story():
        async with rest() as api:
            created = (await api.post("/Keys.json", FriendlyName="ci")).body
            kept = api.store.image.keys.get(created["sid"])
            assert kept is not None
            assert created["secret"] not in str((kept.secret_hash, kept))
            assert secret_matches(created["secret"], kept.secret_hash)
            shown = {name: value for name, value in created.items() if name != "secret"}
            assert (await api.get(f"/Keys/{created['sid']}.json")).body == shown
            assert (await api.get("/Keys.json")).body["keys"] == [shown]
            assert (await api.post(f"/Keys/{created['sid']}.json", FriendlyName="cd")).body["friendly_name"] == "cd"
            assert (await api.delete(f"/Keys/{created['sid']}.json")).status == 204
            assert (await api.get(f"/Keys/{created['sid']}.json")).code == 20404

    run(story())
