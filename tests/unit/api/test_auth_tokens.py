"""Two auth tokens of an account: both are taken, one of them signs, and no change of the account loses either."""

from __future__ import annotations

import asyncio

from harness.rest import Rest, basic, rest
from harness.virtual_time import run

SECONDARY, PROMOTE = "//v1/AuthTokens/Secondary", "//v1/AuthTokens/Promote"


async def _status_with(api: Rest, token: str) -> int:
    return (await api.request("GET", ".json", auth=basic(api.account.sid, token))).status


def _tokens(api: Rest) -> tuple[str, str | None]:
    account = api.store.image.accounts.get(api.account.sid)
    assert account is not None
    return account.auth_token, account.secondary_auth_token


def test_both_tokens_are_taken_until_the_second_is_promoted():
    async def story():
        async with rest() as api:
            old = api.account.auth_token
            made = await api.post(SECONDARY)
            new = made.body["secondary_auth_token"]
            assert (made.status, made.body["url"], len(new)) == (201, "/v1/AuthTokens/Secondary", 32)
            assert [await _status_with(api, token) for token in (old, new, "", "x" * 32)] == [200, 200, 401, 401]
            assert _tokens(api) == (old, new), "webhooks are signed with the first"
            promoted = await api.post(PROMOTE)
            assert (promoted.status, promoted.body["auth_token"]) == (200, new)
            assert [await _status_with(api, token) for token in (old, new)] == [401, 200]
            assert _tokens(api) == (new, None)

    run(story())


def test_a_second_token_is_taken_away_again():
    async def story():
        async with rest() as api:
            new = (await api.post(SECONDARY)).body["secondary_auth_token"]
            assert (await api.post(SECONDARY)).code == 20409
            assert (await api.delete(SECONDARY)).status == 204
            assert [await _status_with(api, token) for token in (api.account.auth_token, new)] == [200, 401]
            assert [(await api.delete(SECONDARY)).status, (await api.post(PROMOTE)).status] == [404, 404]

    run(story())


def test_a_key_neither_makes_nor_promotes_tokens():
    async def story():
        async with rest() as api:
            key = (await api.post("/Keys.json")).body
            for method, path in (("POST", SECONDARY), ("POST", PROMOTE), ("DELETE", SECONDARY)):
                reply = await api.request(method, path, auth=basic(key["sid"], key["secret"]))
                assert (reply.status, reply.code) == (403, 20006)
            assert _tokens(api) == (api.account.auth_token, None)

    run(story())


def test_a_rename_at_the_same_moment_does_not_bring_the_old_token_back():
    async def story():
        async with rest() as api:
            new = (await api.post(SECONDARY)).body["secondary_auth_token"]
            replies = await asyncio.gather(api.post(PROMOTE), *(api.post(".json", FriendlyName=str(n)) for n in range(5)))
            assert {reply.status for reply in replies} <= {200, 401}
            assert _tokens(api) == (new, None)

    run(story())


def test_the_second_token_is_encrypted_and_a_plain_account_shows_nothing_of_it():
    async def story():
        async with rest() as api:
            new = (await api.post(SECONDARY)).body["secondary_auth_token"]
            assert new not in str((await api.get(".json")).body)
            assert new not in repr(api.store.image.accounts.get(api.account.sid))

    run(story())
