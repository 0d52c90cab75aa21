"""Changing an account's auth token without a moment in which a server of the tenant's is refused.

::

    POST   /v1/AuthTokens/Secondary   a second token: both are taken for REST, webhooks stay signed with the first
    POST   /v1/AuthTokens/Promote     the second becomes the one and only; webhooks are signed with it from now on
    DELETE /v1/AuthTokens/Secondary   the second counts no more

Between the first two the tenant gives its servers the second token; while it promotes, they have to verify with both. It is the account
that asks whose token it is. An API key may do none of this: it never sees a token, and must not lock out who has one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from waitline.api import shapes
from waitline.api.params import inert
from waitline.api.render import Json, address, iso8601
from waitline.api.routing import Answer, Ask, Route
from waitline.bridge.store.records import Account
from waitline.errors import ApiError

VERSION = "v1"
SECONDARY, PROMOTE = "/AuthTokens/Secondary", "/AuthTokens/Promote"
IGNORED = inert("SuppressEmailNotification")
_SHAPE = {"account_sid": shapes.sid("AC"), "date_created": shapes.ISO_DATE, "date_updated": shapes.ISO_DATE, "url": shapes.STRING}


def render(ask: Ask, account: Account, token: Json) -> Json:
    moment = iso8601(account.date_updated)
    return {"account_sid": account.sid, "date_created": moment, "date_updated": moment, "url": ask.path, **token}


@asynccontextmanager
async def _alone(ask: Ask) -> AsyncIterator[Account]:
    """The account as it is, while nobody else changes it. ApiError 403 for a key."""
    if not ask.principal.by_token:
        raise ApiError("An API key cannot change auth tokens", status=403, code=20006)
    async with ask.turns.alone(address(ask.account.sid)):
        yield ask.services.store.image.accounts.get(ask.account.sid) or ask.account


async def create(ask: Ask) -> Answer:
    async with _alone(ask) as account:
        if account.secondary_auth_token is not None:
            raise ApiError("There is a secondary auth token: promote it, or delete it first", status=409, code=20409)
        token = ask.services.random_bytes(16).hex()
        changed = replace(account, secondary_auth_token=token, date_updated=ask.services.clock.utc())
        await ask.services.store.put(changed)
    return Answer(status=201, body=render(ask, changed, {"secondary_auth_token": token}))


async def promote(ask: Ask) -> Answer:
    async with _alone(ask) as account:
        token = _secondary(ask, account)
        changed = replace(account, auth_token=token, secondary_auth_token=None, date_updated=ask.services.clock.utc())
        await ask.services.store.put(changed)
    return Answer(body=render(ask, changed, {"auth_token": token}))


async def delete(ask: Ask) -> Answer:
    async with _alone(ask) as account:
        _secondary(ask, account)
        await ask.services.store.put(replace(account, secondary_auth_token=None, date_updated=ask.services.clock.utc()))
    return Answer(status=204)


def _secondary(ask: Ask, account: Account) -> str:
    if account.secondary_auth_token is None:
        raise ask.not_found()
    return account.secondary_auth_token


ROUTES = (
    Route(
        method="POST", version=VERSION, path=SECONDARY, handler=create, summary="Give the account a second auth token", params=IGNORED,
        status=201, answer=shapes.record(secondary_auth_token=shapes.STRING, **_SHAPE),
    ),
    Route(
        method="DELETE", version=VERSION, path=SECONDARY, handler=delete, summary="Take the second auth token away", params=IGNORED,
        status=204,
    ),
    Route(
        method="POST", version=VERSION, path=PROMOTE, handler=promote, summary="Make the second auth token the only one", params=IGNORED,
        answer=shapes.record(auth_token=shapes.STRING, **_SHAPE),
    ),
)  # fmt: skip
