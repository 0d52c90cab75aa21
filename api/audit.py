"""The audit log of REST changes, for the account whose things were changed and for its owner. Nothing writes or deletes it from outside.

An entry is there for each change that an authenticated request began for the account, made or refused; a request that is turned away at the
door (credentials, another tenant's path, too many) is none, and neither is a repeated one that got its first answer again.
"""

from __future__ import annotations

from dataclasses import replace

from waitline.api import auth, shapes, trail
from waitline.api.calls import filters_of
from waitline.api.paging import PAGING, from_disk, window
from waitline.api.params import Moment, Param, sid_kind
from waitline.api.render import Json, dates
from waitline.api.routing import Answer, Ask, Route
from waitline.bridge.store.records import AuditEntry

VERSION = "v1"
ANY_SID = "[A-Z]{2}"
SHAPE = shapes.record(
    sid=shapes.sid("AE"), account_sid=shapes.sid("AC"), actor_sid=shapes.STRING, address=shapes.STRING, method=shapes.STRING,
    path=shapes.STRING, resource_sid=shapes.OPTIONAL, changed={"type": "array", "items": shapes.STRING},
    status={"type": ["integer", "null"]}, error_code={"type": ["integer", "null"]}, **shapes.DATES,
)  # fmt: skip


def render(entry: AuditEntry) -> Json:
    return {
        "sid": entry.sid, "account_sid": entry.account_sid, "actor_sid": entry.actor_sid, "address": entry.address,
        "method": entry.method, "path": entry.path, "resource_sid": entry.resource_sid or None, "changed": entry.changed.split(),
        "status": None if entry.status == trail.UNKNOWN else entry.status, "error_code": entry.error_code or None, **dates(entry),
    }  # fmt: skip


async def page(ask: Ask) -> Answer:
    at = window(ask)
    return await from_disk(_for_whom(ask, at.filters), "audit", AuditEntry, render, filters=filters_of(at.filters), at=at)


def _for_whom(ask: Ask, filters: dict[str, object]) -> Ask:
    """The request in the name of the account that AccountSid says. ApiError 404 for another tenant's."""
    sid = filters.pop("account_sid", ask.account.sid)
    account = ask.services.store.image.accounts.get(str(sid))
    if account is None or not auth.may_act_on(ask.principal, account):
        raise ask.not_found()
    return replace(ask, account=account)


async def fetch(ask: Ask) -> Answer:
    entry = await ask.services.store.get(AuditEntry, ask.names["sid"])
    account = ask.services.store.image.accounts.get(entry.account_sid) if entry else None
    if entry is None or account is None or not auth.may_act_on(ask.principal, account):
        raise ask.not_found()
    return Answer(body=render(entry))


FILTERS = (
    Param(name="AccountSid", field="account_sid", kind=sid_kind("AC")),
    Param(name="ActorSid", field="actor_sid", kind=sid_kind(ANY_SID)),
    Param(name="ResourceSid", field="resource_sid", kind=sid_kind(ANY_SID)),
    *(Param(name="Date" + op, field=f"date_created {op}".strip(), kind=Moment()) for op in ("", "<", ">")),
)
ROUTES = (
    Route(
        method="GET", version=VERSION, path="/Audit", handler=page, summary="List what was changed over REST, and by whom",
        params=(*PAGING, *FILTERS), answer=shapes.envelope("audit", SHAPE),
    ),
    Route(method="GET", version=VERSION, path="/Audit/{sid}", handler=fetch, summary="Fetch an entry of the audit log", answer=SHAPE),
)  # fmt: skip
