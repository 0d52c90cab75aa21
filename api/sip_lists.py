"""Credential lists and IP access control lists: named containers, alike but for what they hold.

A list that goes takes its entries and its mappings with it, in one step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from waitline.api import shapes
from waitline.api.paging import PAGING, listing
from waitline.api.params import Param, Text
from waitline.api.render import Json, address, dates
from waitline.api.routing import ACCOUNT, Answer, Ask, Route
from waitline.bridge.store.image import Image, Index
from waitline.bridge.store.records import CredentialList, IpAccessControlList

AnyList = CredentialList | IpAccessControlList


@dataclass(frozen=True, slots=True, kw_only=True)
class ListResource:
    """The five operations on one kind of list."""

    record: type[AnyList]
    prefix: str
    path: str
    """As in ``/SIP/CredentialLists``."""
    key: str
    entries: str
    """The path of what it holds."""
    index: Callable[[Image], Index[Any]]
    members: Callable[[Image, str], list[Any]]
    """What a list holds, by its sid."""
    code: int

    async def page(self, ask: Ask) -> Answer:
        return listing(ask, self.key, self._index(ask).of_account(ask.account.sid), self.render)

    async def create(self, ask: Ask) -> Answer:
        now = ask.services.clock.utc()
        record = self.record(
            sid=ask.services.sids.new(self.prefix), account_sid=ask.account.sid, date_created=now, date_updated=now, **ask.given()
        )
        await ask.services.store.put(record)
        return Answer(status=201, body=self.render(record))

    async def fetch(self, ask: Ask) -> Answer:
        return Answer(body=self.render(ask.own(self._index(ask))))

    async def update(self, ask: Ask) -> Answer:
        record = ask.own(self._index(ask))
        changed = replace(record, **ask.given(), date_updated=ask.services.clock.utc())
        await ask.services.store.put(changed)
        return Answer(body=self.render(changed))

    async def delete(self, ask: Ask) -> Answer:
        record, store = ask.own(self._index(ask)), ask.services.store
        await store.delete(record, *self.members(store.image, record.sid), *store.image.mappings.of_target(record.sid))
        return Answer(status=204)

    def render(self, record: AnyList) -> Json:
        return {
            "sid": record.sid,
            "account_sid": record.account_sid,
            "friendly_name": record.friendly_name,
            "subresource_uris": {self.entries_key: address(record.account_sid, "SIP", self.path, record.sid, self.entries)},
            "uri": address(record.account_sid, "SIP", self.path, record.sid),
            **dates(record),
        }

    @property
    def entries_key(self) -> str:
        return {"Credentials": "credentials", "IpAddresses": "ip_addresses"}[self.entries]

    def _index(self, ask: Ask) -> Index[Any]:
        return self.index(ask.services.store.image)

    def routes(self) -> tuple[Route, ...]:
        name = Param(name="FriendlyName", field="friendly_name", kind=Text(shortest=1), required=True, code=self.code)
        shape = shapes.record(
            sid=shapes.sid(self.prefix), account_sid=shapes.sid("AC"), friendly_name=shapes.STRING, subresource_uris=shapes.OBJECT,
            uri=shapes.STRING, **shapes.DATES,
        )  # fmt: skip
        collection, item, what = f"{ACCOUNT}/SIP/{self.path}.json", f"{ACCOUNT}/SIP/{self.path}/{{sid}}.json", self.key.replace("_", " ")
        page = shapes.envelope(self.key, shape)
        return (
            Route(method="GET", path=collection, handler=self.page, summary=f"List the {what}", params=PAGING, answer=page),
            Route(
                method="POST", path=collection, handler=self.create, summary=f"Add to the {what}", params=(name,), status=201, answer=shape
            ),
            Route(method="GET", path=item, handler=self.fetch, summary=f"Fetch one of the {what}", answer=shape),
            Route(method="POST", path=item, handler=self.update, summary=f"Rename one of the {what}", params=(name,), answer=shape),
            Route(method="DELETE", path=item, handler=self.delete, summary=f"Delete one of the {what}", status=204),
        )


CREDENTIAL_LISTS = ListResource(
    record=CredentialList, prefix="CL", path="CredentialLists", key="credential_lists", entries="Credentials", code=21240,
    index=lambda image: image.credential_lists, members=lambda image, sid: image.credentials.of_list(sid),
)  # fmt: skip
IP_LISTS = ListResource(
    record=IpAccessControlList, prefix="AL", path="IpAccessControlLists", key="ip_access_control_lists", entries="IpAddresses", code=21241,
    index=lambda image: image.ip_lists, members=lambda image, sid: image.ip_addresses.of_list(sid),
)  # fmt: skip
ROUTES = (*CREDENTIAL_LISTS.routes(), *IP_LISTS.routes())
