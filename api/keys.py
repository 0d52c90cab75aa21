"""API keys: a second way to authenticate, that can be taken away. The secret is shown once, at creation; only its hash is kept."""

from __future__ import annotations

from dataclasses import replace

from waitline.api import shapes
from waitline.api.paging import PAGING, listing
from waitline.api.params import Param, Text
from waitline.api.render import Json, dates
from waitline.api.routing import ACCOUNT, Answer, Ask, Route
from waitline.bridge.store.records import ApiKey
from waitline.bridge.store.secrets import hash_secret

NAME = Param(name="FriendlyName", field="friendly_name", kind=Text(), code=20002)
COLLECTION, ITEM = ACCOUNT + "/Keys.json", ACCOUNT + "/Keys/{sid}.json"
SHAPE = shapes.record(sid=shapes.sid("SK"), friendly_name=shapes.STRING, **shapes.DATES)
SHAPE_WITH_SECRET = shapes.record(sid=shapes.sid("SK"), friendly_name=shapes.STRING, secret=shapes.STRING, **shapes.DATES)


def render(key: ApiKey) -> Json:
    return {"sid": key.sid, "friendly_name": key.friendly_name, **dates(key)}


async def page(ask: Ask) -> Answer:
    return listing(ask, "keys", ask.services.store.image.keys.of_account(ask.account.sid), render)


async def create(ask: Ask) -> Answer:
    services, now = ask.services, ask.services.clock.utc()
    secret = services.random_bytes(16).hex()
    key = ApiKey(
        sid=services.sids.new("SK"), account_sid=ask.account.sid, friendly_name=ask.given().get("friendly_name", ""),
        secret_hash=hash_secret(secret), date_created=now, date_updated=now,
    )  # fmt: skip
    await services.store.put(key)
    return Answer(status=201, body={**render(key), "secret": secret})


async def fetch(ask: Ask) -> Answer:
    return Answer(body=render(ask.own(ask.services.store.image.keys)))


async def update(ask: Ask) -> Answer:
    key = ask.own(ask.services.store.image.keys)
    changed = replace(key, **ask.given(), date_updated=ask.services.clock.utc())
    await ask.services.store.put(changed)
    return Answer(body=render(changed))


async def delete(ask: Ask) -> Answer:
    await ask.services.store.delete(ask.own(ask.services.store.image.keys))
    return Answer(status=204)


ROUTES = (
    Route(
        method="GET", path=COLLECTION, handler=page, summary="List the API keys", params=PAGING, answer=shapes.envelope("keys", SHAPE),
    ),
    Route(
        method="POST", path=COLLECTION, handler=create, summary="Create an API key; its secret is shown this once", params=(NAME,),
        status=201, answer=SHAPE_WITH_SECRET,
    ),
    Route(method="GET", path=ITEM, handler=fetch, summary="Fetch an API key", answer=SHAPE),
    Route(method="POST", path=ITEM, handler=update, summary="Rename an API key", params=(NAME,), answer=SHAPE),
    Route(method="DELETE", path=ITEM, handler=delete, summary="Take an API key away", status=204),
)  # fmt: skip
