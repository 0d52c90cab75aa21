"""Who may ask for what (platform contract 5.1)."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from harness.rest import Rest, basic, rest
from harness.virtual_time import run

from waitline.bridge.store.accounts import create_account


def _encoded(text: bytes) -> str:
    return "Basic " + base64.b64encode(text).decode()


@pytest.mark.parametrize(
    "header",
    [
        None,
        "Bearer abc",
        "Basic",
        "Basic !!!",
        _encoded(b"\xff\xfe:x"),
        _encoded(b""),
        _encoded(b":"),
        _encoded(b"AC" + b"0" * 32 + b":x"),
        _encoded(b"SK" + b"0" * 32 + b":x"),
    ],
)
def test_credentials_that_are_not_ours_are_a_401(header):
    async def story():
        async with rest() as api:
            reply = await api.request("GET", "/Queues.json", auth=header)
            assert (reply.status, reply.code) == (401, 20003)
            assert reply.body["message"] == "Authenticate"
            assert reply.headers["WWW-Authenticate"] == 'Basic realm="Waitline API"'

    run(story())


def test_a_wrong_token_is_a_401_and_the_right_one_is_not():
    async def story():
        async with rest() as api:
            for token in ("", "x", api.other.auth_token, api.account.auth_token[:-1], api.account.auth_token.upper()):
                assert (await api.request("GET", "/Queues.json", auth=basic(api.account.sid, token))).code == 20003
            assert (await api.get("/Queues.json")).status == 200

    run(story())


def test_an_api_key_works_until_it_is_deleted_and_sees_no_token():
    async def story():
        async with rest() as api:
            key = (await api.post("/Keys.json", FriendlyName="ci")).body
            by_key = basic(key["sid"], key["secret"])
            assert (await api.request("GET", "/Queues.json", auth=by_key)).status == 200
            assert (await api.request("GET", "/Queues.json", auth=basic(key["sid"], "wrong"))).status == 401
            assert (await api.request("GET", ".json", auth=by_key)).body["auth_token"] is None
            assert (await api.get(".json")).body["auth_token"] == api.account.auth_token
            await api.delete(f"/Keys/{key['sid']}.json")
            assert (await api.request("GET", "/Queues.json", auth=by_key)).status == 401

    run(story())


def test_another_accounts_path_does_not_exist():
    async def story():
        async with rest() as api:
            theirs = await api.get(f"/2010-04-01/Accounts/{api.other.sid}/Queues.json")
            nobodys = await api.get(f"/2010-04-01/Accounts/AC{'0' * 32}/Queues.json")
            assert theirs.code == nobodys.code == 20404
            assert theirs.body["message"].replace(api.other.sid, "AC" + "0" * 32) == nobodys.body["message"]

    run(story())


async def _sub_account(api: Rest) -> Rest:
    account = await create_account(
        api.store, "sub", clock=api.services.clock, random_bytes=api.services.random_bytes, parent=api.account
    )  # fmt: skip
    return replace(api, account=account)


def test_an_owner_acts_for_its_sub_account_and_not_the_other_way_round():
    async def story():
        async with rest() as api:
            sub = await _sub_account(api)
            path = f"/2010-04-01/Accounts/{sub.account.sid}/Queues.json"
            assert (await api.post(path, FriendlyName="theirs")).status == 201
            assert [q["friendly_name"] for q in (await sub.get("/Queues.json")).body["queues"]] == ["theirs"]
            assert (await sub.get(f"/2010-04-01/Accounts/{api.account.sid}/Queues.json")).code == 20404

    run(story())


@pytest.mark.parametrize("status", ["suspended", "closed"])
def test_an_inactive_account_and_its_keys_are_refused_and_its_owner_reads_it_only(status):
    async def story():
        async with rest() as api:
            sub = await _sub_account(api)
            key = (await sub.post("/Keys.json")).body
            path = f"/2010-04-01/Accounts/{sub.account.sid}"
            assert (await api.post(path + ".json", Status=status)).body["status"] == status
            refused = await sub.get("/Queues.json")
            assert (refused.status, refused.code) == (401, 20003)
            assert (await sub.request("GET", "/Queues.json", auth=basic(key["sid"], key["secret"]))).status == 401
            assert (await api.get(path + "/Queues.json")).status == 200
            change = await api.post(path + "/Queues.json", FriendlyName="x")
            assert (change.status, change.code) == (403, 20005)

    run(story())


def test_an_account_made_by_another_process_a_moment_ago_is_known_at_once():
    async def story():
        async with rest() as api:
            account = replace(api.account, sid="AC" + "7" * 32, owner_account_sid="AC" + "7" * 32)
            seen = []

            async def refresh() -> None:
                seen.append(1)
                await api.store.put(account)

            api.store.refresh = refresh  # type: ignore[method-assign]
            newcomer = replace(api, account=account)
            assert (await newcomer.get("/Queues.json")).status == 200
            assert (await newcomer.get("/Queues.json")).status == 200
            assert seen == [1]
            assert (await api.request("GET", "/Queues.json", auth=basic("AC'; drop", "x"))).status == 401
            assert seen == [1]

    run(story())
