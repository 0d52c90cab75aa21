"""A story one of whose webhooks fails, the n-th, for any n: all attempts at it, known by their token, in one of twelve ways.

The number's fallback answers what the failed URL would have answered, as a tenant with a second server would; what has no fallback by the
contract (wait documents, whispers, status callbacks) goes unanswered.
"""

from __future__ import annotations

import asyncio
from typing import Self
from urllib.parse import urlsplit

from harness.story_gate import GatedStory
from harness.story_tenant import Answer, Asked, Reply, Tenant, read
from waitline.bridge.webhook.exchange import HttpRequest, HttpResponse
from waitline.bridge.webhook.faults import Failure, Fault

WAYS: dict[str, tuple[int, Answer | Fault]] = {
    "connection refused": (11202, Fault.CONNECTION_REFUSED),
    "reset": (11205, Fault.CONNECTION_LOST),
    "TLS error": (11220, Fault.TLS),
    "no answer": (11203, Answer(after_s=60)),
    "status 500": (11200, Answer(status=500, body="out of order", content_type="text/plain")),
    "status 404": (11200, Answer(status=404)),
    "redirects in a circle": (11215, Answer(status=302, headers=(("Location", "?again"),))),
    "slow on and on": (11203, Answer(status=302, headers=(("Location", "?again"),), after_s=4)),
    "wrong content type": (12300, Answer(body="{}", content_type="application/json")),
    "broken XML": (12100, Answer(body=b"<Response><Say>")),
    "empty body": (11770, Answer(body=b"")),
    "too large": (11750, Answer(body=b"x" * (64 * 1024 + 1))),
}
"""The code the tenant reads, and what happens"""


class FailingTenant(Tenant):
    """``fails_at(3, way)`` before the story begins."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens: list[str] = []
        """Of each request, in the order of their first attempts"""
        self.paths: list[str] = []
        self._number, self._way = 0, ""
        self._failing = False

    def fails_at(self, number: int, way: str) -> None:
        self._number, self._way = number, way

    async def take(self, request: HttpRequest) -> HttpResponse:
        asked, _ = read(request)
        token = asked.headers["I-Twilio-Idempotency-Token"]
        if token not in self.tokens:
            self.tokens.append(token)
            self.paths.append(asked.path)
        if self.tokens.index(token) + 1 != self._number:
            return await super().take(request)
        if "CallSid" in asked:  # a redirect has lost what the request said
            self.requests.append(asked)
        return await self._fail(WAYS[self._way][1])

    async def _fail(self, what: Answer | Fault) -> HttpResponse:
        if isinstance(what, Fault):
            raise Failure(what, "as arranged")
        await asyncio.sleep(what.after_s)
        body = what.body.encode() if isinstance(what.body, str) else what.body
        return HttpResponse(status=what.status, headers=(("Content-Type", what.content_type), *what.headers), body=body)

    def answers_for_the_failed(self, asked: Asked) -> str | Answer:
        """The fallback's answer: what the URL that failed would have said."""
        reply: Reply = self._answers[urlsplit(asked["ErrorUrl"]).path][0]
        return reply(asked) if callable(reply) else reply


class FailingStory(GatedStory):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.failing = FailingTenant()
        self.tenant = self.failing

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        return self
