"""The log of a call's webhooks: what was asked, what came back, how long it took (``Calls/{CA}/Events``)."""

from __future__ import annotations

from typing import Any

from waitline.bridge.call.services import Services
from waitline.bridge.store.records import CallEvent
from waitline.bridge.webhook.client import WebhookReply, WebhookRequest
from waitline.errors import WebhookError
from waitline.redaction import redacted

_MAX_BODY = 16_384


def answered(services: Services, request: WebhookRequest, reply: WebhookReply) -> None:
    """Log an answer."""
    body = "" if reply.content_type.startswith("audio/") else reply.body[:_MAX_BODY].decode("utf-8", "replace")
    response = {"response_code": reply.status, "content_type": reply.content_type, "body": redacted(body)}
    _write(services, request, response, reply.elapsed_s)
    services.metrics.observe("webhook_seconds", reply.elapsed_s, outcome="answered")


def failed(services: Services, request: WebhookRequest, error: WebhookError, elapsed_s: float) -> None:
    """Log a failure."""
    body = error.body[:_MAX_BODY].decode("utf-8", "replace")
    response = {"response_code": error.status, "error_code": error.code, "message": redacted(str(error)), "body": redacted(body)}
    _write(services, request, response, elapsed_s)
    services.metrics.observe("webhook_seconds", elapsed_s, outcome="failed")


def _parameters(request: WebhookRequest) -> dict[str, str]:
    return {name: redacted(value) for name, value in request.params}


def _write(services: Services, request: WebhookRequest, response: dict[str, Any], elapsed_s: float) -> None:
    asked = {"method": request.method, "url": redacted(request.url), "parameters": _parameters(request)}
    answer = response | {"duration_ms": round(elapsed_s * 1000)}
    event = CallEvent(account_sid=request.account_sid, call_sid=request.call_sid, at=services.clock.utc(), request=asked, response=answer)
    services.store.append(event)
