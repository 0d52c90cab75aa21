"""Applications: a set of voice URLs that several numbers may share."""

from __future__ import annotations

from dataclasses import replace

from waitline.api import shapes
from waitline.api.paging import PAGING, listing, window
from waitline.api.params import Param, Text, inert
from waitline.api.render import API_VERSION, Json, address, dates
from waitline.api.routing import ACCOUNT, Answer, Ask, Route
from waitline.api.voice import CALLER_ID_LOOKUP, STATUS_CALLBACK, VOICE
from waitline.bridge.store.records import Application

NAME = Param(name="FriendlyName", field="friendly_name", kind=Text(), code=20002)
PARAMS = (
    NAME, *VOICE, *STATUS_CALLBACK, CALLER_ID_LOOKUP,
    *inert(
        "ApiVersion", "SmsUrl", "SmsMethod", "SmsFallbackUrl", "SmsFallbackMethod", "SmsStatusCallback", "MessageStatusCallback",
        "PublicApplicationConnectEnabled",
    ),
)  # fmt: skip
COLLECTION, ITEM = ACCOUNT + "/Applications.json", ACCOUNT + "/Applications/{sid}.json"
SHAPE = shapes.record(
    sid=shapes.sid("AP"), account_sid=shapes.sid("AC"), api_version=shapes.STRING, friendly_name=shapes.STRING,
    voice_url=shapes.STRING, voice_method=shapes.STRING, voice_fallback_url=shapes.STRING, voice_fallback_method=shapes.STRING,
    voice_caller_id_lookup=shapes.BOOLEAN, status_callback=shapes.STRING, status_callback_method=shapes.STRING, uri=shapes.STRING,
    **shapes.DATES,
)  # fmt: skip


def render(application: Application) -> Json:
    return {
        "sid": application.sid,
        "account_sid": application.account_sid,
        "api_version": API_VERSION,
        "friendly_name": application.friendly_name,
        "voice_url": application.voice_url,
        "voice_method": application.voice_method,
        "voice_fallback_url": application.voice_fallback_url,
        "voice_fallback_method": application.voice_fallback_method,
        "voice_caller_id_lookup": application.voice_caller_id_lookup,
        "status_callback": application.status_callback,
        "status_callback_method": application.status_callback_method,
        "uri": address(application.account_sid, "Applications", application.sid),
        **dates(application),
    }


async def page(ask: Ask) -> Answer:
    at = window(ask)
    records = ask.services.store.image.applications.of_account(ask.account.sid)
    name = at.filters.get("friendly_name")
    return listing(ask, "applications", [record for record in records if name in {None, record.friendly_name}], render, at=at)


async def create(ask: Ask) -> Answer:
    now, given = ask.services.clock.utc(), ask.given()
    fresh = {"friendly_name": f"Application created at {now:%Y-%m-%d %H:%M}", **given}
    application = Application(sid=ask.services.sids.new("AP"), account_sid=ask.account.sid, date_created=now, date_updated=now, **fresh)
    await ask.services.store.put(application)
    return Answer(status=201, body=render(application))


async def fetch(ask: Ask) -> Answer:
    return Answer(body=render(ask.own(ask.services.store.image.applications)))


async def update(ask: Ask) -> Answer:
    application = ask.own(ask.services.store.image.applications)
    changed = replace(application, **ask.given(), date_updated=ask.services.clock.utc())
    await ask.services.store.put(changed)
    return Answer(body=render(changed))


async def delete(ask: Ask) -> Answer:
    """Numbers that used it go back to their own URLs, first, so that none ever names an application that is not there."""
    application, store = ask.own(ask.services.store.image.applications), ask.services.store
    users = [number for number in store.image.numbers.of_account(ask.account.sid) if number.voice_application_sid == application.sid]
    left = [replace(number, voice_application_sid="", date_updated=ask.services.clock.utc()) for number in users]
    await store.change(put=left, delete=[application])
    return Answer(status=204)


ROUTES = (
    Route(
        method="GET", path=COLLECTION, handler=page, summary="List the applications", params=(*PAGING, NAME),
        answer=shapes.envelope("applications", SHAPE),
    ),
    Route(method="POST", path=COLLECTION, handler=create, summary="Create an application", params=PARAMS, status=201, answer=SHAPE),
    Route(method="GET", path=ITEM, handler=fetch, summary="Fetch an application", answer=SHAPE),
    Route(method="POST", path=ITEM, handler=update, summary="Change an application", params=PARAMS, answer=SHAPE),
    Route(method="DELETE", path=ITEM, handler=delete, summary="Delete an application", status=204),
)  # fmt: skip
