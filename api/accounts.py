"""Accounts: an account reads itself and the accounts it owns, makes more of them, names, suspends and closes them.

Ownership is one level deep. Nobody changes the status of the account they are: the way back would be shut. Closed is for good. The token
is shown to who came with a token of that account or of its owner; a key never sees one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from waitline.api import shapes
from waitline.api.paging import PAGING, listing, window
from waitline.api.params import Choice, Param, Text
from waitline.api.problems import invalid
from waitline.api.render import Json, address, dates
from waitline.api.routing import ACCOUNT, Answer, Ask, Route
from waitline.bridge.store.accounts import create_account
from waitline.bridge.store.records import Account
from waitline.errors import ApiError

NAME = Param(name="FriendlyName", field="friendly_name", kind=Text(shortest=1), code=20002)
STATUS = Param(name="Status", field="status", kind=Choice(words=("active", "suspended", "closed")))
SUBRESOURCES = {
    "applications": "Applications", "calls": "Calls", "incoming_phone_numbers": "IncomingPhoneNumbers", "keys": "Keys",
    "notifications": "Notifications", "queues": "Queues",
}  # fmt: skip
SHAPE = shapes.record(
    sid=shapes.sid("AC"), auth_token=shapes.OPTIONAL, friendly_name=shapes.STRING, owner_account_sid=shapes.sid("AC"),
    status=shapes.STRING, type=shapes.STRING, subresource_uris=shapes.OBJECT, uri=shapes.STRING, **shapes.DATES,
)  # fmt: skip


def render(ask: Ask, account: Account) -> Json:
    return {
        "sid": account.sid,
        "auth_token": account.auth_token if ask.principal.by_token else None,
        "friendly_name": account.friendly_name,
        "owner_account_sid": account.owner_account_sid,
        "status": account.status,
        "type": "Full",
        "subresource_uris": {name: address(account.sid, path) for name, path in SUBRESOURCES.items()},
        "uri": address(account.sid),
        **dates(account),
    }


async def page(ask: Ask) -> Answer:
    at = window(ask)
    mine = {record.sid: record for record in (ask.account, *ask.services.store.image.accounts.of_account(ask.account.sid))}
    wanted = [record for record in mine.values() if all(getattr(record, name) == value for name, value in at.filters.items())]
    return listing(ask, "accounts", wanted, lambda record: render(ask, record), at=at)


async def create(ask: Ask) -> Answer:
    services, parent = ask.services, ask.account
    if parent.owner_account_sid != parent.sid:
        raise ApiError("An account that is owned by another cannot make accounts", status=403, code=20006)
    name = ask.given().get("friendly_name") or f"SubAccount created at {services.clock.utc():%Y-%m-%d %H:%M}"
    account = await create_account(services.store, name, clock=services.clock, random_bytes=services.random_bytes, parent=parent)
    return Answer(status=201, body=render(ask, account))


async def fetch(ask: Ask) -> Answer:
    return Answer(body=render(ask, ask.account))


async def update(ask: Ask) -> Answer:
    changes, account = ask.given(), ask.services.store.image.accounts.get(ask.account.sid) or ask.account  # others may have changed it
    _check_status(ask, account, changes)
    changed = replace(account, **changes, date_updated=ask.services.clock.utc())
    await ask.services.store.put(changed)
    return Answer(body=render(ask, changed))


def _check_status(ask: Ask, account: Account, changes: dict[str, Any]) -> None:
    status = account.status
    if changes.get("status", status) == status:
        return
    if ask.principal.account.sid == ask.account.sid:
        raise ApiError("Status: only the owner of an account can change it", status=403, code=20006)
    if status == "closed":
        raise invalid("Status", "a closed account stays closed")


ROUTES = (
    Route(
        method="GET", path="/Accounts.json", handler=page, summary="List the account and those it owns", params=(*PAGING, NAME, STATUS),
        answer=shapes.envelope("accounts", SHAPE),
    ),
    Route(
        method="POST", path="/Accounts.json", handler=create, summary="Create an account owned by this one", params=(NAME,), status=201,
        answer=SHAPE,
    ),
    Route(method="GET", path=ACCOUNT + ".json", handler=fetch, summary="Fetch an account", answer=SHAPE),
    Route(
        method="POST", path=ACCOUNT + ".json", handler=update, summary="Rename, suspend, wake or close an account", params=(NAME, STATUS),
        answer=SHAPE, for_inactive=True,
    ),
)  # fmt: skip
