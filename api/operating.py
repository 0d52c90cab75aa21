"""What operators and tools ask without credentials: health, metrics, the description of the interface, the meaning of a code."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from waitline.api import shapes
from waitline.api.problems import CODES, not_found
from waitline.api.routing import SERVICES
from waitline.api.shapes import Schema

DOCUMENT: web.AppKey[str] = web.AppKey("openapi_document", str)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRoute:
    """A GET that needs no credentials."""

    path: str
    handler: Callable[[web.Request], Awaitable[web.Response]]
    summary: str
    answer: Schema
    content_type: str = "application/json"
    other_statuses: tuple[int, ...] = ()


async def healthz(_: web.Request) -> web.Response:
    """The process answers; whether it can work is ``readyz``'s to say."""
    return web.json_response({"status": "ok"})


async def readyz(request: web.Request) -> web.Response:
    """Whether new work is taken; what is ``degraded`` costs promises but no calls, so it is no reason to send them elsewhere."""
    services = request.app[SERVICES]
    reasons, degraded = list(services.not_ready()), list(services.degraded())
    return web.json_response({"ready": not reasons, "reasons": reasons, "degraded": degraded}, status=503 if reasons else 200)


async def metrics(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    if services.refresh_metrics is not None:
        await services.refresh_metrics()
    return web.Response(body=generate_latest(services.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def openapi(request: web.Request) -> web.Response:
    return web.Response(text=request.app[DOCUMENT], content_type="application/json")


async def explain(request: web.Request) -> web.Response:
    code = request.match_info["code"]
    meaning = CODES.get(int(code)) if code.isascii() and code.isdigit() and len(code) <= len("99999") else None
    if meaning is None:
        raise not_found(request.path)
    return web.json_response({"code": int(code), "message": meaning})


_LINES: Schema = {"type": "array", "items": shapes.STRING}
ROUTES = (
    OpenRoute(path="/healthz", handler=healthz, summary="Is the process alive", answer=shapes.record(status=shapes.STRING)),
    OpenRoute(
        path="/readyz", handler=readyz, summary="Can it take new work", other_statuses=(503,),
        answer=shapes.record(ready=shapes.BOOLEAN, reasons=_LINES, degraded=_LINES),
    ),
    OpenRoute(path="/metrics", handler=metrics, summary="Metrics for Prometheus", answer=shapes.STRING, content_type="text/plain"),
    OpenRoute(path="/openapi.json", handler=openapi, summary="This document", answer=shapes.OBJECT),
    OpenRoute(
        path="/errors/{code}", handler=explain, summary="What an error code means", other_statuses=(404,),
        answer=shapes.record(code=shapes.INTEGER, message=shapes.STRING),
    ),
)  # fmt: skip


def as_text(document: Schema) -> str:
    return json.dumps(document)
