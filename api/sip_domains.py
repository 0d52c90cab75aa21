"""SIP domains: a host name under which an account's users call in, unique over the platform.

What guards a domain (``auth_type``) is told by its mappings: none, and every call to it is refused. A domain cannot have the platform's
own host name: calls to numbers arrive under that one.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace

from waitline.api import shapes
from waitline.api.paging import PAGING, listing
from waitline.api.params import Choice, Flag, Param, Schema, Text, inert
from waitline.api.problems import invalid
from waitline.api.render import API_VERSION, Json, address, dates
from waitline.api.routing import ACCOUNT, Answer, Ask, Route
from waitline.api.voice import VOICE, url_and_method
from waitline.bridge.store.errors import Conflict
from waitline.bridge.store.records import SipDomain

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostName:
    """A host name (RFC 1123), kept in lower case; not an address."""

    def parse(self, text: str) -> str:
        name = text.lower()
        if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")) or _is_address(name):
            raise ValueError("a host name: letters, digits and hyphens between dots")
        return name

    def schema(self) -> Schema:
        return {"type": "string", "minLength": 1, "maxLength": 253}


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name.rpartition(".")[2].isdigit()
    return True


DOMAIN_NAME = Param(name="DomainName", field="domain_name", kind=HostName(), required=True, code=21232)
PARAMS = (
    DOMAIN_NAME,
    Param(name="FriendlyName", field="friendly_name", kind=Text(), code=21231),
    *VOICE,
    *url_and_method("VoiceStatusCallbackUrl", "voice_status_callback_url"),
    Param(name="SipRegistration", field="sip_registration", kind=Flag(), code=21231),
    Param(name="Secure", field="secure", kind=Flag(), code=21231),
    Param(name="MediaEncryption", field="media_encryption", kind=Choice(words=("", "off", "offered", "required")), code=21231),
    *inert("EmergencyCallingEnabled", "ByocTrunkSid", "EmergencyCallerSid"),
)
COLLECTION, ITEM = ACCOUNT + "/SIP/Domains.json", ACCOUNT + "/SIP/Domains/{sid}.json"
MAPPINGS = {
    "credential_list_mappings": "CredentialListMappings", "ip_access_control_list_mappings": "IpAccessControlListMappings",
    "auth_calls_credential_list_mappings": "Auth/Calls/CredentialListMappings",
    "auth_calls_ip_access_control_list_mappings": "Auth/Calls/IpAccessControlListMappings",
    "auth_registrations_credential_list_mappings": "Auth/Registrations/CredentialListMappings",
}  # fmt: skip
SHAPE = shapes.record(
    sid=shapes.sid("SD"), account_sid=shapes.sid("AC"), api_version=shapes.STRING, domain_name=shapes.STRING, friendly_name=shapes.STRING,
    auth_type=shapes.STRING, voice_url=shapes.STRING, voice_method=shapes.STRING, voice_fallback_url=shapes.STRING,
    voice_fallback_method=shapes.STRING, voice_status_callback_url=shapes.STRING, voice_status_callback_method=shapes.STRING,
    sip_registration=shapes.BOOLEAN, secure=shapes.BOOLEAN, media_encryption=shapes.STRING,
    emergency_calling_enabled=shapes.BOOLEAN, emergency_caller_sid=shapes.NULL,
    byoc_trunk_sid=shapes.NULL, uri=shapes.STRING, subresource_uris=shapes.OBJECT, **shapes.DATES,
)  # fmt: skip

PAGE = shapes.envelope("domains", SHAPE)


def render(ask: Ask, domain: SipDomain) -> Json:
    return {
        "sid": domain.sid, "account_sid": domain.account_sid, "api_version": API_VERSION,
        "domain_name": domain.domain_name, "friendly_name": domain.friendly_name, "auth_type": _auth_type(ask, domain),
        "voice_url": domain.voice_url, "voice_method": domain.voice_method,
        "voice_fallback_url": domain.voice_fallback_url, "voice_fallback_method": domain.voice_fallback_method,
        "voice_status_callback_url": domain.voice_status_callback_url,
        "voice_status_callback_method": domain.voice_status_callback_method,
        "sip_registration": domain.sip_registration, "secure": domain.secure,
        "media_encryption": domain.media_encryption, "emergency_calling_enabled": False,
        "emergency_caller_sid": None, "byoc_trunk_sid": None,
        "uri": address(domain.account_sid, "SIP", "Domains", domain.sid),
        "subresource_uris": {name: address(domain.account_sid, "SIP", "Domains", domain.sid, path) for name, path in MAPPINGS.items()},
        **dates(domain),
    }  # fmt: skip


def _auth_type(ask: Ask, domain: SipDomain) -> str:
    mappings = ask.services.store.image.mappings
    words = (("CREDENTIAL_LIST", "calls-credentials"), ("IP_ACL", "calls-ips"))
    return ",".join(word for word, kind in words if mappings.of_domain(domain.sid, kind))


async def page(ask: Ask) -> Answer:
    records = ask.services.store.image.domains.of_account(ask.account.sid)
    return listing(ask, "domains", records, lambda domain: render(ask, domain))


async def create(ask: Ask) -> Answer:
    given, now = ask.given(), ask.services.clock.utc()
    fresh = {"friendly_name": given["domain_name"], **given}
    domain = SipDomain(sid=ask.services.sids.new("SD"), account_sid=ask.account.sid, date_created=now, date_updated=now, **fresh)
    async with ask.turns.alone(domain.domain_name):
        await _put_unique(ask, domain)
    return Answer(status=201, body=render(ask, domain))


async def fetch(ask: Ask) -> Answer:
    return Answer(body=render(ask, ask.own(ask.services.store.image.domains)))


async def update(ask: Ask) -> Answer:
    domain = ask.own(ask.services.store.image.domains)
    changed = replace(domain, **ask.given(), date_updated=ask.services.clock.utc())
    async with ask.turns.alone(changed.domain_name):
        await _put_unique(ask, changed)
    return Answer(body=render(ask, changed))


async def delete(ask: Ask) -> Answer:
    domain, store = ask.own(ask.services.store.image.domains), ask.services.store
    mappings = [mapping for mapping in store.image.mappings.of_account(ask.account.sid) if mapping.domain_sid == domain.sid]
    await store.delete(domain, *mappings)
    return Answer(status=204)


async def _put_unique(ask: Ask, domain: SipDomain) -> None:
    taken = invalid("DomainName", f"{domain.domain_name} is in use", code=21232)
    holder = ask.services.store.image.domains.by_name(domain.domain_name)
    if domain.domain_name in ask.services.own_hosts or (holder is not None and holder.sid != domain.sid):
        raise taken
    try:
        await ask.services.store.put(domain)
    except Conflict as error:
        raise taken from error


ROUTES = (
    Route(method="GET", path=COLLECTION, handler=page, summary="List the SIP domains", params=PAGING, answer=PAGE),
    Route(method="POST", path=COLLECTION, handler=create, summary="Create a SIP domain", params=PARAMS, status=201, answer=SHAPE),
    Route(method="GET", path=ITEM, handler=fetch, summary="Fetch a SIP domain", answer=SHAPE),
    Route(
        method="POST", path=ITEM, handler=update, summary="Change a SIP domain", params=(replace(DOMAIN_NAME, required=False), *PARAMS[1:]),
        answer=SHAPE,
    ),
    Route(method="DELETE", path=ITEM, handler=delete, summary="Delete a SIP domain with its mappings", status=204),
)  # fmt: skip
