"""The tenant's debugger: notifications of the account or of one call, and a call's log of webhooks (Events)."""

from __future__ import annotations

from waitline.api import shapes
from waitline.api.calls import filters_of, own_call
from waitline.api.paging import PAGING, from_disk, window
from waitline.api.params import Moment, Param, Whole
from waitline.api.problems import more_info
from waitline.api.render import API_VERSION, Json, address, dates, rfc2822
from waitline.api.routing import ACCOUNT, Answer, Ask, Route
from waitline.bridge.store.history import Filter
from waitline.bridge.store.records import CallEvent, Notification

COLLECTION, ITEM = ACCOUNT + "/Notifications.json", ACCOUNT + "/Notifications/{sid}.json"
OF_CALL = ACCOUNT + "/Calls/{call_sid}"
SHAPE = shapes.record(
    sid=shapes.sid("NO"), account_sid=shapes.sid("AC"), call_sid=shapes.OPTIONAL, api_version=shapes.STRING, log=shapes.STRING,
    error_code=shapes.STRING, more_info=shapes.STRING, message_text=shapes.STRING, message_date=shapes.DATE, request_method=shapes.STRING,
    request_url=shapes.STRING, request_variables=shapes.STRING, response_body=shapes.STRING, response_headers=shapes.STRING,
    uri=shapes.STRING, **shapes.DATES,
)  # fmt: skip
EVENT = shapes.record(request=shapes.OBJECT, response=shapes.OBJECT)


def render(entry: Notification) -> Json:
    return {
        "sid": entry.sid, "account_sid": entry.account_sid, "call_sid": entry.call_sid or None, "api_version": API_VERSION,
        "log": str(entry.log), "error_code": str(entry.error_code), "more_info": more_info(entry.error_code),
        "message_text": entry.message_text, "message_date": rfc2822(entry.message_date),
        "request_method": entry.request_method, "request_url": entry.request_url, "request_variables": entry.request_variables,
        "response_body": entry.response_body, "response_headers": "",
        "uri": address(entry.account_sid, "Notifications", entry.sid), **dates(entry),
    }  # fmt: skip


async def page(ask: Ask) -> Answer:
    at = window(ask)
    return await from_disk(ask, "notifications", Notification, render, filters=filters_of(at.filters), at=at)


async def fetch(ask: Ask) -> Answer:
    entry = await ask.services.store.get(Notification, ask.names["sid"])
    if entry is None or entry.account_sid != ask.account.sid:
        raise ask.not_found()
    return Answer(body=render(entry))


async def page_of_call(ask: Ask) -> Answer:
    call, at = await own_call(ask, "call_sid"), window(ask)
    filters = [Filter("call_sid", "=", call.sid), *filters_of(at.filters)]
    return await from_disk(ask, "notifications", Notification, render, filters=filters, at=at)


async def fetch_of_call(ask: Ask) -> Answer:
    call = await own_call(ask, "call_sid")
    entry = await ask.services.store.get(Notification, ask.names["sid"])
    if entry is None or entry.call_sid != call.sid:
        raise ask.not_found()
    return Answer(body=render(entry))


async def events_of_call(ask: Ask) -> Answer:
    call = await own_call(ask, "call_sid")
    return await from_disk(ask, "events", CallEvent, _render_event, filters=[Filter("call_sid", "=", call.sid)])


def _render_event(event: CallEvent) -> Json:
    return {"request": event.request, "response": event.response}


FILTERS = (
    Param(name="Log", field="log", kind=Whole(low=0, high=1)),
    *(Param(name="MessageDate" + op, field=f"message_date {op}".strip(), kind=Moment()) for op in ("", "<", ">")),
)
PAGE = shapes.envelope("notifications", SHAPE)
ROUTES = (
    Route(method="GET", path=COLLECTION, handler=page, summary="List the notifications", params=(*PAGING, *FILTERS), answer=PAGE),
    Route(method="GET", path=ITEM, handler=fetch, summary="Fetch a notification", answer=SHAPE),
    Route(
        method="GET", path=OF_CALL + "/Notifications.json", handler=page_of_call, summary="List the notifications of a call",
        params=(*PAGING, *FILTERS), answer=PAGE,
    ),
    Route(
        method="GET", path=OF_CALL + "/Notifications/{sid}.json", handler=fetch_of_call, summary="Fetch a notification of a call",
        answer=SHAPE,
    ),
    Route(
        method="GET", path=OF_CALL + "/Events.json", handler=events_of_call, summary="List the webhooks of a call", params=PAGING,
        answer=shapes.envelope("events", EVENT),
    ),
)  # fmt: skip
