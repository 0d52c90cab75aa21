"""The OpenAPI document says what the router does, and what it says is true."""

from __future__ import annotations

import json

import jsonschema_rs
import pytest
from harness.rest import rest
from harness.virtual_time import run

from waitline.api import openapi, operating, resources
from waitline.api.render import BASE
from waitline.api.routing import ACCOUNT

DOCUMENT = openapi.document(resources.ALL, operating.ROUTES)


def test_every_route_is_in_the_document_and_every_operation_has_a_route():
    async def story():
        async with rest() as api:
            routed = {
                (route.method, route.resource.canonical) for route in api.client.app.router.routes() if route.resource is not None
            }  # fmt: skip
            served = (await api.request("GET", "//openapi.json", auth=None)).body
            described = {(method.upper(), path) for path, item in served["paths"].items() for method in item}
            assert described == routed
            assert served == json.loads(json.dumps(DOCUMENT))

    run(story())


def test_operations_have_names_of_their_own_and_schemas_that_are_schemas():
    operations = [operation for item in DOCUMENT["paths"].values() for operation in item.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    for operation in operations:
        for answer in operation["responses"].values():
            for content in answer.get("content", {}).values():
                jsonschema_rs.meta.validate({**content["schema"], "components": DOCUMENT["components"]})


def test_every_list_has_one_key_beside_the_envelopes():
    envelope = {"page", "page_size", "start", "end", "uri", "first_page_uri", "previous_page_uri", "next_page_uri"}
    lists = [
        item["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        for item in DOCUMENT["paths"].values()
        if any(parameter["name"] == "PageSize" for parameter in item.get("get", {}).get("parameters", []))
    ]
    assert len(lists) >= 18
    assert all(len(set(schema["properties"]) - envelope) == 1 for schema in lists)


def test_only_the_operators_routes_need_no_credentials():
    free = {path for path, item in DOCUMENT["paths"].items() for operation in item.values() if not operation["security"]}
    assert free == {"/healthz", "/readyz", "/metrics", "/openapi.json", "/errors/{code}"}


@pytest.mark.parametrize(
    ("method", "path", "turn"),
    [
        ("GET", "/Queues/{sid}.json", None),
        ("POST", "/Queues.json", None),
        ("POST", ".json", ".json"),
        ("POST", "/Queues/{sid}.json", "/Queues/{sid}.json"),
        ("DELETE", "/SIP/CredentialLists/{sid}.json", "/SIP/CredentialLists/{sid}.json"),
        ("POST", "/SIP/CredentialLists/{list_sid}/Credentials.json", "/SIP/CredentialLists/{list_sid}.json"),
        ("POST", "/SIP/Domains/{domain_sid}/Auth/Calls/CredentialListMappings.json", "/SIP/Domains/{domain_sid}.json"),
        ("POST", "/Queues/{queue_sid}/Members/{call_sid}.json", "/Queues/{queue_sid}/Members/{call_sid}.json"),
    ],
)
def test_a_change_waits_for_others_of_the_same_record_or_container(method, path, turn):
    (route,) = [route for route in resources.ALL if (route.method, route.path) == (method, ACCOUNT + path)]
    assert route.turn(BASE + ACCOUNT + path) == (None if turn is None else BASE + ACCOUNT + turn)


def test_creating_an_account_waits_for_nothing():
    (route,) = [route for route in resources.ALL if (route.method, route.path) == ("POST", "/Accounts.json")]
    assert route.turn(BASE + "/Accounts.json") is None
