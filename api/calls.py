"""Calls: their records, and the tenant's word to a call that is live: run another document, or end.

What can be done is the switchboard's to say; this file finds the call, reads the parameters and chooses. Calls cannot be placed yet.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from waitline.api import shapes
from waitline.api.paging import PAGING, from_disk, window
from waitline.api.params import Choice, Method, Moment, Param, Text, Url, Whole, inert
from waitline.api.ports import CallChanges, Switchboard
from waitline.api.render import API_VERSION, Json, address, dates, formatted, rfc2822
from waitline.api.routing import ACCOUNT, Answer, Ask, Route
from waitline.bridge.store.history import Filter
from waitline.bridge.store.records import CallRecord
from waitline.errors import ApiError

NOT_BEGUN = ("queued", "ringing")
LIVE = (*NOT_BEGUN, "in-progress")
OVER = ("completed", "busy", "failed", "no-answer", "canceled")
COLLECTION, ITEM = ACCOUNT + "/Calls.json", ACCOUNT + "/Calls/{sid}.json"
SHAPE = shapes.record(
    sid=shapes.sid("CA"), parent_call_sid=shapes.OPTIONAL, account_sid=shapes.sid("AC"), to=shapes.STRING, to_formatted=shapes.STRING,
    **{"from": shapes.STRING}, from_formatted=shapes.STRING, phone_number_sid=shapes.OPTIONAL, status=shapes.STRING,
    start_time=shapes.OPTIONAL_DATE, end_time=shapes.OPTIONAL_DATE, duration=shapes.OPTIONAL, price=shapes.NULL, price_unit=shapes.STRING,
    direction=shapes.STRING, answered_by=shapes.NULL, api_version=shapes.STRING, forwarded_from=shapes.OPTIONAL, group_sid=shapes.NULL,
    caller_name=shapes.OPTIONAL, queue_time=shapes.STRING, trunk_sid=shapes.NULL, annotation=shapes.NULL, uri=shapes.STRING,
    subresource_uris=shapes.OBJECT, **shapes.DATES,
)  # fmt: skip
"""``end_reason`` of the record is left out: client libraries know the fields of a call."""


def render(call: CallRecord) -> Json:
    return {
        "sid": call.sid, "parent_call_sid": call.parent_call_sid or None, "account_sid": call.account_sid,
        "to": call.to, "to_formatted": formatted(call.to), "from": call.from_, "from_formatted": formatted(call.from_),
        "phone_number_sid": call.phone_number_sid or None, "status": call.status,
        "start_time": rfc2822(call.start_time), "end_time": rfc2822(call.end_time),
        "duration": None if call.duration_s is None else str(call.duration_s), "price": None, "price_unit": "USD",
        "direction": call.direction, "answered_by": None, "api_version": API_VERSION, "forwarded_from": call.forwarded_from or None,
        "group_sid": None, "caller_name": call.caller_name or None, "queue_time": "0", "trunk_sid": None, "annotation": None,
        "uri": address(call.account_sid, "Calls", call.sid),
        "subresource_uris": {path.lower(): address(call.account_sid, "Calls", call.sid, path) for path in ("Notifications", "Events")},
        **dates(call),
    }  # fmt: skip


async def page(ask: Ask) -> Answer:
    at = window(ask)
    return await from_disk(ask, "calls", CallRecord, render, filters=filters_of(at.filters), at=at)


async def create(ask: Ask) -> Answer:
    ask.given()
    raise ApiError("Calls cannot be placed by this server yet: it takes calls that come in", status=501, code=20501)


async def fetch(ask: Ask) -> Answer:
    return Answer(body=render(await own_call(ask)))


async def update(ask: Ask) -> Answer:
    call, board = await own_call(ask), ask.services.switchboard
    given = ask.given()
    if board.live(call.sid) is None:
        raise ApiError("Call is not in-progress. Cannot redirect.", status=400, code=21220)
    await _change(board, call, given)
    return Answer(body=render(await own_call(ask)))


async def delete(ask: Ask) -> Answer:
    call = await own_call(ask)
    if call.status in LIVE or ask.services.switchboard.live(call.sid) is not None:
        raise ApiError(f"Call {call.sid} is not over: it cannot be deleted", status=409, code=20009)
    await ask.services.store.delete(call)
    return Answer(status=204)


async def own_call(ask: Ask, name: str = "sid") -> CallRecord:
    """The call that a part of the path names. ApiError 404."""
    call = await ask.services.store.get(CallRecord, ask.names[name])
    if call is None or call.account_sid != ask.account.sid:
        raise ask.not_found()
    return call


def filters_of(given: dict[str, Any]) -> list[Filter]:
    """Conditions of the store. A parameter's field names the record's field and, for a moment, the operator: ``start_time <``."""
    return [condition for name, value in given.items() for condition in _conditions(name, value)]


def _conditions(name: str, value: object) -> list[Filter]:
    field, _, op = name.partition(" ")
    if not isinstance(value, str | int):
        return _moment_conditions(field, op, value)
    return [Filter(field, "=", value)]


def _moment_conditions(field: str, op: str, value: Any) -> list[Filter]:
    """Both ends are included: the whole second of a datetime (that is what is shown), the whole day of a date."""
    first, last = _span(value)
    return [*([Filter(field, ">=", first)] if op != "<" else []), *([Filter(field, "<", last)] if op != ">" else [])]


def _span(value: datetime | date) -> tuple[datetime, datetime]:
    if isinstance(value, datetime):
        first = value.replace(microsecond=0)
        return first, first + timedelta(seconds=1)
    first = datetime.combine(value, time(), tzinfo=UTC)
    return first, first + timedelta(days=1)


async def _change(board: Switchboard, call: CallRecord, given: dict[str, Any]) -> None:
    changes = CallChanges(**{name: given.pop(name) for name in CallChanges.__slots__ if name in given})
    if not given and changes == CallChanges():
        raise ApiError("Url, Twiml or Status is required", status=400, code=21205)
    if given.get("status") == "canceled" and call.status not in NOT_BEGUN:
        raise ApiError("Call is in-progress. Cannot cancel.", status=400, code=21220)
    if changes != CallChanges():
        await board.adjust(call.sid, changes)
    if "status" in given:
        await board.hangup(call.sid)
    elif "url" in given:
        await board.redirect(call.sid, url=given["url"], method=given.get("method", "POST"))
    elif "twiml" in given:
        await board.run_document(call.sid, given["twiml"])


def _moments(name: str, field: str) -> tuple[Param, ...]:
    return tuple(Param(name=name + op, field=f"{field} {op}".strip(), kind=Moment()) for op in ("", "<", ">"))


FILTERS = (
    Param(name="To", field="to", kind=Text(longest=255)),
    Param(name="From", field="from_", kind=Text(longest=255)),
    Param(name="Status", field="status", kind=Choice(words=LIVE + OVER)),
    Param(name="ParentCallSid", field="parent_call_sid", kind=Text()),
    *_moments("StartTime", "start_time"),
    *_moments("EndTime", "end_time"),
)
OUTBOUND = (
    Param(name="To", field="to", kind=Text(longest=1024, shortest=1), required=True, code=21211, missing=21201),
    Param(name="From", field="from_", kind=Text(longest=1024, shortest=1), required=True, code=21212, missing=21213),
    *inert(
        "Url", "Twiml", "ApplicationSid", "Method", "FallbackUrl", "FallbackMethod", "StatusCallback", "StatusCallbackMethod",
        "StatusCallbackEvent", "SendDigits", "Timeout", "Record", "RecordingChannels", "RecordingTrack", "RecordingStatusCallback",
        "RecordingStatusCallbackMethod", "RecordingStatusCallbackEvent", "RecordingConfigurationId", "Trim", "SipAuthUsername",
        "SipAuthPassword", "CallerId", "TimeLimit", "CallReason", "CallToken", "Byoc", "Passports", "ClientNotificationUrl",
        "MachineDetection", "MachineDetectionTimeout", "MachineDetectionSpeechThreshold", "MachineDetectionSpeechEndThreshold",
        "MachineDetectionSilenceTimeout", "AsyncAmd", "AsyncAmdStatusCallback", "AsyncAmdStatusCallbackMethod",
    ),
)  # fmt: skip
CHANGES = (
    Param(name="Url", field="url", kind=Url(), code=21205),
    Param(name="Method", field="method", kind=Method(), code=21209),
    Param(name="Twiml", field="twiml", kind=Text(longest=4000, shortest=1)),
    Param(name="Status", field="status", kind=Choice(words=("canceled", "completed"))),
    Param(name="FallbackUrl", field="fallback_url", kind=Url(clears=True), code=21205),
    Param(name="FallbackMethod", field="fallback_method", kind=Method(), code=21209),
    Param(name="StatusCallback", field="status_callback", kind=Url(clears=True), code=21205),
    Param(name="StatusCallbackMethod", field="status_callback_method", kind=Method(), code=21209),
    Param(name="TimeLimit", field="time_limit_s", kind=Whole(low=1, high=86_400)),
)
ROUTES = (
    Route(
        method="GET", path=COLLECTION, handler=page, summary="List the calls", params=(*PAGING, *FILTERS),
        answer=shapes.envelope("calls", SHAPE),
    ),
    Route(method="POST", path=COLLECTION, handler=create, summary="Place a call (not available yet)", params=OUTBOUND, status=501),
    Route(method="GET", path=ITEM, handler=fetch, summary="Fetch a call", answer=SHAPE),
    Route(method="POST", path=ITEM, handler=update, summary="Make a live call run a document, or end it", params=CHANGES, answer=SHAPE),
    Route(method="DELETE", path=ITEM, handler=delete, summary="Delete the record of a call that is over", status=204),
)  # fmt: skip
