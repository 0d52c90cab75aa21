"""Addresses of an IP access control list: an address and how many of its bits count."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from typing import Any

from waitline.api import shapes
from waitline.api.paging import PAGING, listing
from waitline.api.params import Param, Schema, Text, Whole
from waitline.api.problems import invalid
from waitline.api.render import Json, address, dates
from waitline.api.routing import ACCOUNT, Answer, Ask, Route
from waitline.bridge.store.records import IpAccessControlList, IpAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An IPv4 or IPv6 address, in its usual spelling."""

    def parse(self, text: str) -> str:
        return str(ipaddress.ip_address(text))

    def schema(self) -> Schema:
        return {"type": "string", "maxLength": 45}


NAME = Param(name="FriendlyName", field="friendly_name", kind=Text(shortest=1), required=True, code=21242)
ADDRESS = Param(name="IpAddress", field="ip_address", kind=Address(), required=True, code=21242)
PREFIX = Param(name="CidrPrefixLength", field="cidr_prefix_length", kind=Whole(low=0, high=128), code=21242)
COLLECTION = ACCOUNT + "/SIP/IpAccessControlLists/{list_sid}/IpAddresses.json"
ITEM = ACCOUNT + "/SIP/IpAccessControlLists/{list_sid}/IpAddresses/{sid}.json"
SHAPE = shapes.record(
    sid=shapes.sid("IP"), account_sid=shapes.sid("AC"), ip_access_control_list_sid=shapes.sid("AL"), friendly_name=shapes.STRING,
    ip_address=shapes.STRING, cidr_prefix_length=shapes.INTEGER, uri=shapes.STRING, **shapes.DATES,
)  # fmt: skip


def render(entry: IpAddress) -> Json:
    of_list = entry.ip_access_control_list_sid
    return {
        "sid": entry.sid,
        "account_sid": entry.account_sid,
        "ip_access_control_list_sid": of_list,
        "friendly_name": entry.friendly_name,
        "ip_address": entry.ip_address,
        "cidr_prefix_length": entry.cidr_prefix_length,
        "uri": address(entry.account_sid, "SIP", "IpAccessControlLists", of_list, "IpAddresses", entry.sid),
        **dates(entry),
    }


async def page(ask: Ask) -> Answer:
    return listing(ask, "ip_addresses", ask.services.store.image.ip_addresses.of_list(_list(ask).sid), render)


async def create(ask: Ask) -> Answer:
    of_list, now = _list(ask), ask.services.clock.utc()
    given = _with_prefix(ask.given(), None)
    entry = IpAddress(
        sid=ask.services.sids.new("IP"), account_sid=ask.account.sid, ip_access_control_list_sid=of_list.sid,
        date_created=now, date_updated=now, **given,
    )  # fmt: skip
    await ask.services.store.put(entry)
    return Answer(status=201, body=render(entry))


async def fetch(ask: Ask) -> Answer:
    return Answer(body=render(_entry(ask)))


async def update(ask: Ask) -> Answer:
    entry = _entry(ask)
    changed = replace(entry, **_with_prefix(ask.given(), entry), date_updated=ask.services.clock.utc())
    await ask.services.store.put(changed)
    return Answer(body=render(changed))


async def delete(ask: Ask) -> Answer:
    await ask.services.store.delete(_entry(ask))
    return Answer(status=204)


def _with_prefix(given: dict[str, Any], entry: IpAddress | None) -> dict[str, Any]:
    """The whole address counts where nothing else is said. ApiError for more bits than the address has."""
    parsed = ipaddress.ip_address(given["ip_address"] if entry is None else given.get("ip_address", entry.ip_address))
    length = given.get("cidr_prefix_length", parsed.max_prefixlen if entry is None else entry.cidr_prefix_length)
    if length > parsed.max_prefixlen:
        raise invalid("CidrPrefixLength", f"the address has {parsed.max_prefixlen} bits", code=21242)
    return {**given, "cidr_prefix_length": length}


def _list(ask: Ask) -> IpAccessControlList:
    return ask.own(ask.services.store.image.ip_lists, "list_sid")


def _entry(ask: Ask) -> IpAddress:
    entry = ask.own(ask.services.store.image.ip_addresses)
    if entry.ip_access_control_list_sid != _list(ask).sid:
        raise ask.not_found()
    return entry


ROUTES = (
    Route(
        method="GET", path=COLLECTION, handler=page, summary="List a list's addresses", params=PAGING,
        answer=shapes.envelope("ip_addresses", SHAPE),
    ),
    Route(
        method="POST", path=COLLECTION, handler=create, summary="Add an address", params=(NAME, ADDRESS, PREFIX), status=201, answer=SHAPE,
    ),
    Route(method="GET", path=ITEM, handler=fetch, summary="Fetch an address", answer=SHAPE),
    Route(
        method="POST", path=ITEM, handler=update, summary="Change an address",
        params=(replace(NAME, required=False), replace(ADDRESS, required=False), PREFIX), answer=SHAPE,
    ),
    Route(method="DELETE", path=ITEM, handler=delete, summary="Delete an address", status=204),
)  # fmt: skip
