"""One of everything that a tenant can have, and paths of the OpenAPI document filled with it."""

from __future__ import annotations

import re

from harness.rest import Rest
from waitline.bridge.store.records import Notification

PASSWORD = "Correct1Horse"
Things = dict[str, str]
"""An identifier by its two letters."""

_KINDS = {
    "Audit": "AE",
    "Accounts": "AC", "Keys": "SK", "Queues": "QU", "Members": "CA", "Calls": "CA", "Notifications": "NO", "IncomingPhoneNumbers": "PN",
    "Applications": "AP", "Domains": "SD", "CredentialLists": "CL", "Credentials": "CR", "IpAccessControlLists": "AL", "IpAddresses": "IP",
    "CredentialListMappings": "CL", "IpAccessControlListMappings": "AL",
}  # fmt: skip


def filled(path: str, things: Things) -> str:
    """The path with an identifier for each variable part: which kind is told by the word before it."""
    return re.sub(r"(\w+)/{\w+}", lambda match: f"{match[1]}/{things[_KINDS[match[1]]]}", path)


def variables(path: str, things: Things) -> dict[str, str]:
    """The same, as the values of the variable parts by name."""
    return {name: things[_KINDS[word]] for word, name in re.findall(r"(\w+)/{(\w+)}", path) if word in _KINDS}


async def possessions(api: Rest) -> Things:
    """Make one of everything for the account, and a call that waits in its queue."""
    queue = await api.queue("mine")
    call = api.enqueue(queue)
    credentials = await _make(api, "/SIP/CredentialLists.json", FriendlyName="mine")
    addresses = await _make(api, "/SIP/IpAccessControlLists.json", FriendlyName="mine")
    domain = await _guarded_domain(api, credentials, addresses)
    return {
        "AC": api.account.sid, "QU": queue.sid, "CA": call.sid, "NO": _notification(api, call.sid), "CL": credentials, "AL": addresses,
        "SD": domain,
        "SK": await _make(api, "/Keys.json", FriendlyName="mine"),
        "PN": await _make(api, "/IncomingPhoneNumbers.json", PhoneNumber="+15550100"),
        "AP": await _make(api, "/Applications.json", FriendlyName="mine"),
        "CR": await _make(api, f"/SIP/CredentialLists/{credentials}/Credentials.json", Username="mine", Password=PASSWORD),
        "AE": (await api.get("//v1/Audit", PageSize=1)).body["audit"][0]["sid"],
        "IP": await _make(api, f"/SIP/IpAccessControlLists/{addresses}/IpAddresses.json", FriendlyName="mine", IpAddress="10.0.0.9"),
    }  # fmt: skip


async def _make(api: Rest, path: str, **form: str) -> str:
    reply = await api.post(path, form)
    assert reply.status == 201, (path, reply.body)
    return str(reply.body["sid"])


async def _guarded_domain(api: Rest, credentials: str, addresses: str) -> str:
    domain = await _make(api, "/SIP/Domains.json", DomainName="mine.test")
    for path in ("CredentialListMappings", "Auth/Registrations/CredentialListMappings"):
        await _make(api, f"/SIP/Domains/{domain}/{path}.json", CredentialListSid=credentials)
    await _make(api, f"/SIP/Domains/{domain}/IpAccessControlListMappings.json", IpAccessControlListSid=addresses)
    return domain


def _notification(api: Rest, call_sid: str) -> str:
    now = api.services.clock.utc()
    note = Notification(
        sid=api.services.sids.new("NO"), account_sid=api.account.sid, call_sid=call_sid, log=0, error_code=11200, message_text="x",
        message_date=now, date_created=now, date_updated=now,
    )  # fmt: skip
    api.store.append(note)
    return note.sid
