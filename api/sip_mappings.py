"""Which lists guard which SIP domain.

Three kinds of guard, five addresses: the two old ones (``CredentialListMappings``, ``IpAccessControlListMappings``) and their newer names
under ``Auth/Calls`` show the same mappings, with different fields and list keys. A mapping has the sid of the list that is mapped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from waitline.api import shapes
from waitline.api.paging import PAGING, listing
from waitline.api.params import Param, sid_kind
from waitline.api.problems import not_found
from waitline.api.render import Json, address, dates
from waitline.api.routing import ACCOUNT, Answer, Ask, Route
from waitline.bridge.store.image import Image, Index
from waitline.bridge.store.records import DomainMapping, SipDomain
from waitline.errors import ApiError


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """The four operations on one kind of mapping under one address."""

    kind: str
    path: str
    """As in ``/SIP/Domains/SD…/Auth/Calls/CredentialListMappings``."""
    key: str
    param: str
    prefix: str
    index: Callable[[Image], Index[Any]]
    list_path: str
    """Where the mapped lists are, under ``/SIP``."""

    async def page(self, ask: Ask) -> Answer:
        domain = _domain(ask)
        records = ask.services.store.image.mappings.of_domain(domain.sid, self.kind)
        return listing(ask, self.key, records, lambda mapping: self.render(ask, mapping))

    async def create(self, ask: Ask) -> Answer:
        domain, sid = _domain(ask), ask.given()["list_sid"]
        async with ask.turns.alone(address(ask.account.sid, "SIP", self.list_path, sid)):  # the list may be about to go
            mapping = await self._map(ask, domain, sid)
        return Answer(status=201, body=self.render(ask, mapping))

    async def _map(self, ask: Ask, domain: SipDomain, sid: str) -> DomainMapping:
        target = self.index(ask.services.store.image).get(sid)
        if target is None or target.account_sid != ask.account.sid:
            raise not_found(f"{self.param} {sid}")
        if ask.services.store.image.mappings.find(domain.sid, self.kind, sid) is not None:
            raise ApiError(f"{self.param} {sid} is mapped to domain {domain.sid} already", status=400, code=21231)
        now = ask.services.clock.utc()
        mapping = DomainMapping(
            sid=sid, account_sid=ask.account.sid, domain_sid=domain.sid, kind=self.kind, friendly_name=target.friendly_name,
            date_created=now, date_updated=now,
        )  # fmt: skip
        await ask.services.store.put(mapping)
        return mapping

    async def fetch(self, ask: Ask) -> Answer:
        return Answer(body=self.render(ask, self._mapping(ask)))

    async def delete(self, ask: Ask) -> Answer:
        await ask.services.store.delete(self._mapping(ask))
        return Answer(status=204)

    def render(self, ask: Ask, mapping: DomainMapping) -> Json:
        target = self.index(ask.services.store.image).get(mapping.sid)
        body = {
            "sid": mapping.sid,
            "account_sid": mapping.account_sid,
            "friendly_name": mapping.friendly_name if target is None else target.friendly_name,
            **dates(mapping),
        }
        return body if self.is_new else {**body, "domain_sid": mapping.domain_sid, "uri": self._uri(mapping)}

    @property
    def is_new(self) -> bool:
        return self.key == "contents"

    def _uri(self, mapping: DomainMapping) -> str:
        return address(mapping.account_sid, "SIP", "Domains", mapping.domain_sid, self.path, mapping.sid)

    def _mapping(self, ask: Ask) -> DomainMapping:
        mapping = ask.services.store.image.mappings.find(_domain(ask).sid, self.kind, ask.names["sid"])
        if mapping is None:
            raise ask.not_found()
        return mapping

    def routes(self) -> tuple[Route, ...]:
        fields = {"sid": shapes.sid(self.prefix), "account_sid": shapes.sid("AC"), "friendly_name": shapes.STRING, **shapes.DATES}
        shape = shapes.record(**fields, **({} if self.is_new else {"domain_sid": shapes.sid("SD"), "uri": shapes.STRING}))
        param = Param(name=self.param, field="list_sid", kind=sid_kind(self.prefix), required=True, code=21231)
        base, page = f"{ACCOUNT}/SIP/Domains/{{domain_sid}}/{self.path}", shapes.envelope(self.key, shape)
        collection, item, what = base + ".json", base + "/{sid}.json", self.kind
        return (
            Route(method="GET", path=collection, handler=self.page, summary=f"List the guards ({what})", params=PAGING, answer=page),
            Route(
                method="POST",
                path=collection,
                handler=self.create,
                summary=f"Map a list ({what})",
                params=(param,),
                status=201,
                answer=shape,
            ),
            Route(method="GET", path=item, handler=self.fetch, summary=f"Fetch a mapping ({what})", answer=shape),
            Route(method="DELETE", path=item, handler=self.delete, summary=f"Take a mapping away ({what})", status=204),
        )


def _domain(ask: Ask) -> SipDomain:
    return ask.own(ask.services.store.image.domains, "domain_sid")


def _credentials(kind: str, path: str, key: str) -> Guard:
    return Guard(
        kind=kind,
        path=path,
        key=key,
        param="CredentialListSid",
        prefix="CL",
        list_path="CredentialLists",
        index=lambda image: image.credential_lists,
    )


def _addresses(kind: str, path: str, key: str) -> Guard:
    return Guard(
        kind=kind,
        path=path,
        key=key,
        param="IpAccessControlListSid",
        prefix="AL",
        list_path="IpAccessControlLists",
        index=lambda image: image.ip_lists,
    )


GUARDS = (
    _credentials("calls-credentials", "CredentialListMappings", "credential_list_mappings"),
    _addresses("calls-ips", "IpAccessControlListMappings", "ip_access_control_list_mappings"),
    _credentials("calls-credentials", "Auth/Calls/CredentialListMappings", "contents"),
    _addresses("calls-ips", "Auth/Calls/IpAccessControlListMappings", "contents"),
    _credentials("registrations-credentials", "Auth/Registrations/CredentialListMappings", "contents"),
)
ROUTES = tuple(route for guard in GUARDS for route in guard.routes())
