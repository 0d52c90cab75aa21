"""Credentials of a list: a user name, and a password that is never kept.

What is kept is HA1, the digest of user, realm and password, for both algorithms that phones are challenged with. It is computed for the
platform's one realm, so a list can be mapped to domains later.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from waitline.api import shapes
from waitline.api.paging import PAGING, listing
from waitline.api.params import Param, Pattern, Schema
from waitline.api.problems import invalid
from waitline.api.render import Json, address, dates
from waitline.api.routing import ACCOUNT, Answer, Ask, Route
from waitline.bridge.sip.digest import ha1
from waitline.bridge.store.errors import Conflict
from waitline.bridge.store.records import Credential, CredentialList

LONGEST_PASSWORD = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Password:
    """At least 12 characters with a digit and both cases."""

    def parse(self, text: str) -> str:
        has = any(c.isdigit() for c in text) and any(c.islower() for c in text) and any(c.isupper() for c in text)
        if not has or not 12 <= len(text) <= LONGEST_PASSWORD or not text.isprintable():
            raise ValueError(f"12 to {LONGEST_PASSWORD} characters, with a digit, a lower-case and an upper-case letter")
        return text

    def schema(self) -> Schema:
        return {"type": "string", "minLength": 12, "maxLength": LONGEST_PASSWORD, "writeOnly": True}


USERNAME = Param(
    name="Username", field="username", required=True, code=21243,
    # what may stand unquoted before the @ of a SIP URI, without the colon that HA1 is joined with
    kind=Pattern(pattern=r"[A-Za-z0-9_.!~*'()&=+$,;?/-]{1,32}", means="1 to 32 characters that may stand in a SIP URI's user"),
)  # fmt: skip
PASSWORD = Param(name="Password", field="password", kind=Password(), required=True, code=21243)
COLLECTION = ACCOUNT + "/SIP/CredentialLists/{list_sid}/Credentials.json"
ITEM = ACCOUNT + "/SIP/CredentialLists/{list_sid}/Credentials/{sid}.json"
SHAPE = shapes.record(
    sid=shapes.sid("CR"), account_sid=shapes.sid("AC"), credential_list_sid=shapes.sid("CL"), username=shapes.STRING, uri=shapes.STRING,
    **shapes.DATES,
)  # fmt: skip


def render(credential: Credential) -> Json:
    of_list = credential.credential_list_sid
    return {
        "sid": credential.sid,
        "account_sid": credential.account_sid,
        "credential_list_sid": of_list,
        "username": credential.username,
        "uri": address(credential.account_sid, "SIP", "CredentialLists", of_list, "Credentials", credential.sid),
        **dates(credential),
    }


async def page(ask: Ask) -> Answer:
    return listing(ask, "credentials", ask.services.store.image.credentials.of_list(_list(ask).sid), render)


async def create(ask: Ask) -> Answer:
    of_list, given, now = _list(ask), ask.given(), ask.services.clock.utc()
    md5, sha256 = digests(ask, given["username"], given["password"])
    credential = Credential(
        sid=ask.services.sids.new("CR"), account_sid=ask.account.sid, credential_list_sid=of_list.sid, username=given["username"],
        ha1_md5=md5, ha1_sha256=sha256, date_created=now, date_updated=now,
    )  # fmt: skip
    async with ask.turns.alone(f"{of_list.sid} {credential.username}"):
        await _put_unique(ask, credential)
    return Answer(status=201, body=render(credential))


async def fetch(ask: Ask) -> Answer:
    return Answer(body=render(_credential(ask)))


async def update(ask: Ask) -> Answer:
    credential = _credential(ask)
    md5, sha256 = digests(ask, credential.username, ask.given()["password"])
    changed = replace(credential, ha1_md5=md5, ha1_sha256=sha256, date_updated=ask.services.clock.utc())
    await ask.services.store.put(changed)
    return Answer(body=render(changed))


async def delete(ask: Ask) -> Answer:
    await ask.services.store.delete(_credential(ask))
    return Answer(status=204)


def digests(ask: Ask, username: str, password: str) -> tuple[str, str]:
    """What is kept instead of the password: HA1 by MD5 and by SHA-256."""
    realm = ask.services.realm
    return ha1(username, realm, password, "MD5"), ha1(username, realm, password, "SHA-256")


def _list(ask: Ask) -> CredentialList:
    return ask.own(ask.services.store.image.credential_lists, "list_sid")


def _credential(ask: Ask) -> Credential:
    credential = ask.own(ask.services.store.image.credentials)
    if credential.credential_list_sid != _list(ask).sid:
        raise ask.not_found()
    return credential


async def _put_unique(ask: Ask, credential: Credential) -> None:
    taken = invalid("Username", "the list has a credential of that name", code=21243)
    if ask.services.store.image.credentials.by_username(credential.credential_list_sid, credential.username) is not None:
        raise taken
    try:
        await ask.services.store.put(credential)
    except Conflict as error:
        raise taken from error


ROUTES = (
    Route(
        method="GET", path=COLLECTION, handler=page, summary="List a list's credentials", params=PAGING,
        answer=shapes.envelope("credentials", SHAPE),
    ),
    Route(
        method="POST", path=COLLECTION, handler=create, summary="Add a credential", params=(USERNAME, PASSWORD), status=201, answer=SHAPE,
    ),
    Route(method="GET", path=ITEM, handler=fetch, summary="Fetch a credential", answer=SHAPE),
    Route(method="POST", path=ITEM, handler=update, summary="Change a credential's password", params=(PASSWORD,), answer=SHAPE),
    Route(method="DELETE", path=ITEM, handler=delete, summary="Delete a credential", status=204),
)  # fmt: skip
