"""The OpenAPI 3.1 document, made from the same route tables as the router."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import waitline
from waitline.api import shapes
from waitline.api.operating import OpenRoute
from waitline.api.params import Param
from waitline.api.routing import Route

Schema = dict[str, Any]

FORM = "application/x-www-form-urlencoded"
REFUSALS = {
    "400": "A parameter is unknown or invalid, or the state does not allow it",
    "401": "Credentials are missing or wrong",
    "403": "The account may not do this",
    "404": "Not found, or another account's",
    "408": "The body did not arrive in time",
    "409": "It conflicts with the present state",
    "413": "The body is too large",
    "415": "The body is not form-encoded",
    "422": "The Idempotency-Key was used for another request",
    "500": "Internal error",
    "501": "Not available yet",
    "503": "Unavailable for the moment",
}


def document(routes: Sequence[Route], open_routes: Sequence[OpenRoute]) -> Schema:
    """The whole document."""
    paths: dict[str, Schema] = {}
    for route in routes:
        paths.setdefault(route.full_path, {})[route.method.lower()] = _operation(route)
    for open_route in open_routes:
        paths.setdefault(open_route.path, {})["get"] = _open_operation(open_route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Waitline", "version": waitline.__version__, "description": "Programmable voice with queues of calls."},
        "paths": paths,
        "components": {
            "securitySchemes": {"basic": {"type": "http", "scheme": "basic"}},
            "schemas": {"Error": shapes.ERROR},
            "responses": {status: _refusal(text) for status, text in REFUSALS.items()},
        },
    }


def _operation(route: Route) -> Schema:
    operation: Schema = {
        "summary": route.summary,
        "operationId": _operation_id(route.method, route.path),
        "security": [{"basic": []}],
        "parameters": _path_parameters(route.full_path) + (_query_parameters(route.params) if route.method == "GET" else []),
        "responses": {**_success(route), **{status: _refused(status) for status in REFUSALS}},
    }
    if route.method == "POST":
        operation["requestBody"] = {"required": _needs_body(route), "content": {FORM: {"schema": _form(route.params)}}}
    return operation


def _open_operation(route: OpenRoute) -> Schema:
    content = {route.content_type: {"schema": route.answer}}
    others = {str(s): {"description": "See the body"} if s == 503 else _refused(str(s)) for s in route.other_statuses}
    return {
        "summary": route.summary,
        "operationId": _operation_id("get", route.path),
        "security": [],
        "parameters": _path_parameters(route.path),
        "responses": {"200": {"description": "As asked", "content": content}, **others},
    }


def _success(route: Route) -> Schema:
    if route.answer is None:
        return {} if str(route.status) in REFUSALS else {str(route.status): {"description": "Done"}}
    return {str(route.status): {"description": "As asked", "content": {"application/json": {"schema": route.answer}}}}


def _refusal(text: str) -> Schema:
    return {"description": text, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}


def _refused(status: str) -> Schema:
    return {"$ref": f"#/components/responses/{status}"}


def _path_parameters(path: str) -> list[Schema]:
    names = re.findall(r"{(\w+)}", path)
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}} for name in names]


def _query_parameters(params: Sequence[Param]) -> list[Schema]:
    return [{"name": param.name, "in": "query", "required": param.required, "schema": param.kind.schema()} for param in params]


def _form(params: Sequence[Param]) -> Schema:
    required = [param.name for param in params if param.required]
    form: Schema = {"type": "object", "properties": {param.name: param.kind.schema() for param in params}, "additionalProperties": False}
    return {**form, "required": required} if required else form


def _needs_body(route: Route) -> bool:
    return any(param.required for param in route.params)


def _operation_id(method: str, path: str) -> str:
    words = re.findall(r"\w+", path.removesuffix(".json"))
    return "_".join([method.lower(), *words])
