"""Incoming phone numbers: which number is whose, and whom to ask when it is called.

A number belongs to one account of the whole platform. There is no stock to choose from: the operator's trunk delivers certain numbers, and
the tenant names one in E.164 form. An owner may hand a number over to an account in its own family (``AccountSid``); applications do not
go along, they belong to the account left.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from waitline.api import auth, shapes
from waitline.api.paging import PAGING, listing, window
from waitline.api.params import Flag, Param, Pattern, Text, inert, sid_kind
from waitline.api.problems import invalid
from waitline.api.render import API_VERSION, Json, address, dates, formatted
from waitline.api.routing import ACCOUNT, Answer, Ask, Route
from waitline.api.voice import CALLER_ID_LOOKUP, STATUS_CALLBACK, VOICE
from waitline.bridge.store.errors import Conflict
from waitline.bridge.store.records import IncomingPhoneNumber
from waitline.errors import ApiError

NAME = Param(name="FriendlyName", field="friendly_name", kind=Text(), code=20002)
NUMBER = Param(
    name="PhoneNumber", field="phone_number", code=21421, kind=Pattern(pattern=r"\+[1-9][0-9]{1,14}", means="E.164: + and 2 to 15 digits")
)
AREA_CODE = Param(name="AreaCode", field="area_code", kind=Pattern(pattern="[0-9]{3}", means="three digits"))
SETTINGS = (
    NAME, *VOICE, *STATUS_CALLBACK, CALLER_ID_LOOKUP,
    Param(name="VoiceApplicationSid", field="voice_application_sid", kind=sid_kind("AP", clears=True), code=21218),
    Param(name="TrunkSid", field="trunk_sid", kind=sid_kind("TK", clears=True)),
    *inert(
        "ApiVersion", "SmsApplicationSid", "SmsUrl", "SmsMethod", "SmsFallbackUrl", "SmsFallbackMethod", "EmergencyStatus",
        "EmergencyAddressSid", "VoiceReceiveMode", "IdentitySid", "AddressSid", "BundleSid",
    ),
)  # fmt: skip
HAND_OVER = Param(name="AccountSid", field="account_sid", kind=sid_kind("AC"))
FILTERS = (
    Param(name="PhoneNumber", field="phone_number", kind=Text(longest=32)),
    NAME,
    Param(name="Beta", field="beta", kind=Flag()),
    Param(name="Origin", field="origin", kind=Text()),
)
COLLECTION, ITEM = ACCOUNT + "/IncomingPhoneNumbers.json", ACCOUNT + "/IncomingPhoneNumbers/{sid}.json"
SHAPE = shapes.record(
    sid=shapes.sid("PN"), account_sid=shapes.sid("AC"), api_version=shapes.STRING, phone_number=shapes.STRING, friendly_name=shapes.STRING,
    voice_url=shapes.STRING, voice_method=shapes.STRING, voice_fallback_url=shapes.STRING, voice_fallback_method=shapes.STRING,
    voice_application_sid=shapes.STRING, voice_caller_id_lookup=shapes.BOOLEAN, voice_receive_mode=shapes.STRING,
    status_callback=shapes.STRING, status_callback_method=shapes.STRING, trunk_sid=shapes.STRING, capabilities=shapes.OBJECT,
    address_requirements=shapes.STRING, beta=shapes.BOOLEAN, origin=shapes.STRING, type=shapes.STRING, status=shapes.STRING,
    uri=shapes.STRING, **shapes.DATES,
)  # fmt: skip
_TOLL_FREE = re.compile(r"\+1(800|833|844|855|866|877|888)[0-9]{7}")


def render(number: IncomingPhoneNumber) -> Json:
    return {
        "sid": number.sid, "account_sid": number.account_sid, "api_version": API_VERSION,
        "phone_number": number.phone_number, "friendly_name": number.friendly_name,
        "voice_url": number.voice_url, "voice_method": number.voice_method,
        "voice_fallback_url": number.voice_fallback_url, "voice_fallback_method": number.voice_fallback_method,
        "voice_application_sid": number.voice_application_sid, "voice_caller_id_lookup": number.voice_caller_id_lookup,
        "voice_receive_mode": "voice",
        "status_callback": number.status_callback, "status_callback_method": number.status_callback_method,
        "trunk_sid": number.trunk_sid, "capabilities": {"voice": True, "sms": False, "mms": False, "fax": False},
        "address_requirements": "none", "beta": False, "origin": "hosted", "type": _type(number), "status": "in-use",
        "uri": address(number.account_sid, "IncomingPhoneNumbers", number.sid), **dates(number),
    }  # fmt: skip


def _type(number: IncomingPhoneNumber) -> str:
    """``toll free`` is told by the North American prefixes; no other number says of itself what it is."""
    return "toll free" if _TOLL_FREE.fullmatch(number.phone_number) else "local"


async def create(ask: Ask) -> Answer:
    given = ask.given()
    phone_number = _wanted(given)
    await _check_settings(ask, given, ask.account.sid)
    number = _new(ask, phone_number, given)
    async with ask.turns.alone(phone_number):
        await _put_unique(ask, number)
    return Answer(status=201, body=render(number))


async def fetch(ask: Ask) -> Answer:
    return Answer(body=render(ask.own(ask.services.store.image.numbers)))


async def update(ask: Ask) -> Answer:
    number, given = ask.own(ask.services.store.image.numbers), ask.given()
    owner = _new_owner(ask, given)
    if owner != number.account_sid:
        given.setdefault("voice_application_sid", "")
    await _check_settings(ask, given, owner)
    changed = replace(number, **given, date_updated=ask.services.clock.utc())
    await ask.services.store.put(changed)
    return Answer(body=render(changed))


async def delete(ask: Ask) -> Answer:
    await ask.services.store.delete(ask.own(ask.services.store.image.numbers))
    return Answer(status=204)


def pages(*types: str) -> Callable[[Ask], Any]:
    """A handler that lists the numbers of these types."""

    async def page(ask: Ask) -> Answer:
        at = window(ask)
        records = ask.services.store.image.numbers.of_account(ask.account.sid)
        wanted = [record for record in records if _type(record) in types and _matches(record, at.filters)]
        return listing(ask, "incoming_phone_numbers", wanted, render, at=at)

    return page


def _matches(number: IncomingPhoneNumber, filters: dict[str, Any]) -> bool:
    if filters.get("beta") or filters.get("origin", "hosted") != "hosted":
        return False
    if filters.get("friendly_name", number.friendly_name) != number.friendly_name:
        return False
    # part of a number is enough, and * stands for one digit
    pattern = re.escape(filters.get("phone_number", "")).replace(r"\*", "[0-9]")
    return re.search(pattern, number.phone_number) is not None


def _wanted(given: dict[str, Any]) -> str:
    area_code, phone_number = given.pop("area_code", None), given.pop("phone_number", None)
    if phone_number is not None:
        return str(phone_number)
    if area_code is not None:
        raise ApiError(f"No number is available in area {area_code}: name one with PhoneNumber", status=400, code=21452)
    raise ApiError("PhoneNumber is required", status=400, code=21421)


def _new(ask: Ask, phone_number: str, given: dict[str, Any]) -> IncomingPhoneNumber:
    now = ask.services.clock.utc()
    return IncomingPhoneNumber(
        sid=ask.services.sids.new("PN"), account_sid=ask.account.sid, phone_number=phone_number,
        date_created=now, date_updated=now, **{"friendly_name": formatted(phone_number), **given},
    )  # fmt: skip


async def _put_unique(ask: Ask, number: IncomingPhoneNumber) -> None:
    """The look saves a write; the store's own rule decides, because another process may have taken the number since."""
    taken = ApiError(f"PhoneNumber {number.phone_number} is not available", status=400, code=21422)
    if ask.services.store.image.numbers.by_number(number.phone_number) is not None:
        raise taken
    try:
        await ask.services.store.put(number)
    except Conflict as error:
        raise taken from error


def _new_owner(ask: Ask, given: dict[str, Any]) -> str:
    sid = str(given.get("account_sid", ask.account.sid))
    owner = ask.services.store.image.accounts.get(sid)
    if owner is None or not auth.may_act_on(ask.principal, owner) or owner.status != "active":
        raise invalid("AccountSid", "not an active account of yours")
    return sid


async def _check_settings(ask: Ask, given: dict[str, Any], owner: str) -> None:
    sid = given.get("voice_application_sid")
    application = ask.services.store.image.applications.get(sid) if sid else None
    if sid and (application is None or application.account_sid != owner):
        raise invalid("VoiceApplicationSid", "not an application of the account", code=21218)
    if given.get("trunk_sid"):
        raise invalid("TrunkSid", "the account has no trunk of that name")


def _list_and_create(path: str, what: str, *types: str) -> tuple[Route, Route]:
    return (
        Route(
            method="GET", path=path, handler=pages(*types), summary=f"List the {what}numbers", params=(*PAGING, *FILTERS),
            answer=shapes.envelope("incoming_phone_numbers", SHAPE),
        ),
        Route(
            method="POST", path=path, handler=create, summary=f"Take a {what}number", params=(NUMBER, AREA_CODE, *SETTINGS),
            status=201, answer=SHAPE,
        ),
    )  # fmt: skip


ROUTES = (
    *_list_and_create(COLLECTION, "", "local", "mobile", "toll free"),
    *_list_and_create(ACCOUNT + "/IncomingPhoneNumbers/Local.json", "local ", "local"),
    *_list_and_create(ACCOUNT + "/IncomingPhoneNumbers/Mobile.json", "mobile ", "mobile"),
    *_list_and_create(ACCOUNT + "/IncomingPhoneNumbers/TollFree.json", "toll-free ", "toll free"),
    Route(method="GET", path=ITEM, handler=fetch, summary="Fetch a number", answer=SHAPE),
    Route(method="POST", path=ITEM, handler=update, summary="Change a number or hand it over", params=(*SETTINGS, HAND_OVER), answer=SHAPE),
    Route(method="DELETE", path=ITEM, handler=delete, summary="Give a number back", status=204),
)  # fmt: skip
