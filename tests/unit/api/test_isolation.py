"""The isolation sweep: every route of the OpenAPI document, asked for another tenant's things (platform contract 8, test 5).

Two ways in: the other account in the path, and one's own account in the path with the other's identifiers behind it. Each is a 404 in the
words of a mistyped identifier, and nothing of the other tenant has changed after.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from harness.rest import Rest, rest
from harness.rest_things import PASSWORD, filled, possessions
from harness.virtual_time import run

from waitline.api import openapi, operating, resources
from waitline.bridge.sids import QueueSid
from waitline.bridge.store.records import CallRecord, Notification

FORMS = {
    "FriendlyName": "stolen", "Url": "http://thief.test/", "Status": "completed", "Password": PASSWORD, "Username": "thief",
    "IpAddress": "10.0.0.1", "DomainName": "thief.test", "PhoneNumber": "+15550666",
}  # fmt: skip


def _operations() -> list[tuple[str, str, dict[str, Any]]]:
    paths = openapi.document(resources.ALL, operating.ROUTES)["paths"]
    return [
        (method.upper(), path, operation) for path, item in paths.items() for method, operation in item.items() if operation["security"]
    ]


def _form(operation: dict[str, Any]) -> dict[str, str]:
    body = operation.get("requestBody", {"content": {"": {"schema": {"properties": {}}}}})
    (content,) = body["content"].values()
    return {name: FORMS[name] for name in content["schema"]["properties"] if name in FORMS}


async def _whole(api: Rest, things: dict[str, str]) -> str:
    """Everything the tenant has, as text."""
    image: Any = api.store.image
    records: list[Any] = [record for kind in image.kinds for record in image.index(kind)]
    kept = [asdict(record) for record in records if api.account.sid in str(record)]
    view = api.services.authority.snapshot(QueueSid(things["QU"]), limit=10)
    history = [await api.store.get(CallRecord, things["CA"]), await api.store.get(Notification, things["NO"])]
    return str((kept, view.current_size, history, [call.heard for call in api.board.calls.values()]))


def test_every_route_hides_another_tenants_things_and_leaves_them_alone():
    async def story():
        async with rest() as api:
            things = await possessions(api)
            before = await _whole(api, things)
            thief = api.as_other()
            asked = 0
            for own_account in (False, True):
                names = {**things, "AC": thief.account.sid} if own_account else things
                for method, path, operation in _operations():
                    variables = path.count("{") - (1 if own_account else 0)
                    if variables < 1:
                        continue
                    reply = await _ask(thief, method, filled(path, names), operation)
                    assert (reply.status, reply.code) == (404, 20404), (method, path, own_account, reply.body)
                    assert api.account.sid not in str(reply.body) or not own_account
                    asked += 1
            assert asked > 100
            assert await _whole(api, things) == before

    run(story())


async def _ask(api: Rest, method: str, path: str, operation: dict[str, Any]) -> Any:
    return await (api.post(path, _form(operation)) if method == "POST" else api.request(method, path))


def test_another_tenants_call_is_not_even_known_to_ones_own_queue():
    async def story():
        async with rest() as api:
            call = api.enqueue(await api.queue())
            thief = api.as_other()
            queue = await thief.queue()
            reply = await thief.post(f"/Queues/{queue.sid}/Members/{call.sid}.json", Url="http://thief.test/")
            assert (reply.status, reply.code, call.heard) == (404, 20404, [])

    run(story())


def test_front_of_another_tenants_queue_is_hidden_too():
    async def story():
        async with rest() as api:
            queue = await api.queue()
            call = api.enqueue(queue)
            reply = await api.as_other().post(f"/Queues/{queue.sid}/Members/Front.json", Url="http://thief.test/")
            assert (reply.status, reply.code, call.heard) == (404, 20404, [])

    run(story())


def test_identifiers_in_a_form_are_no_way_in_either():
    async def story():
        async with rest() as api:
            things = await possessions(api)
            thief = api.as_other()
            domain = (await thief.post("/SIP/Domains.json", DomainName="thief.test")).body["sid"]
            mapped = await thief.post(f"/SIP/Domains/{domain}/CredentialListMappings.json", CredentialListSid=things["CL"])
            assert mapped.code == 20404
            taken = await thief.post("/IncomingPhoneNumbers.json", PhoneNumber="+15550667", VoiceApplicationSid=things["AP"])
            assert taken.code == 21218
            for path, key in (("/Calls.json", "calls"), ("/Notifications.json", "notifications"), ("/Queues.json", "queues")):
                assert (await thief.get(path)).body[key] == []

    run(story())


def test_a_thing_of_ones_own_is_not_found_under_the_wrong_container():
    async def story():
        async with rest() as api:
            things = await possessions(api)
            lists = (await api.post("/SIP/CredentialLists.json", FriendlyName="b")).body["sid"]
            assert (await api.get(f"/SIP/CredentialLists/{lists}/Credentials/{things['CR']}.json")).code == 20404
            acls = (await api.post("/SIP/IpAccessControlLists.json", FriendlyName="b")).body["sid"]
            assert (await api.get(f"/SIP/IpAccessControlLists/{acls}/IpAddresses/{things['IP']}.json")).code == 20404

    run(story())
