"""What the tests of the webhook client share: a client whose network is a function and whose time is the virtual loop's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count

import pytest

from waitline.bridge.webhook.client import Limits, WebhookClient, WebhookRequest
from waitline.bridge.webhook.exchange import HttpRequest, HttpResponse
from waitline.bridge.webhook.memory import Handler, MemoryTransport
from waitline.clock import VirtualClock
from waitline.errors import WebhookError

TOKEN = "12345"
PARAMS = (("CallSid", "CA1"), ("From", "+15550100"))


class Desk:
    """A webhook client; to be made inside ``run``."""

    def __init__(self, handler: Handler, *, limits: Limits | None = None) -> None:
        self.transport = MemoryTransport(handler)
        self.clock = VirtualClock(asyncio.get_running_loop().time)
        tokens = count(1)
        self.client = WebhookClient(transport=self.transport, clock=self.clock, limits=limits, new_token=lambda: f"token-{next(tokens)}")

    @property
    def requests(self) -> list[HttpRequest]:
        return self.transport.requests

    async def code_of(self, url: str, *, method: str = "POST") -> int:
        """The notification code of a fetch that has to fail."""
        with pytest.raises(WebhookError) as caught:
            await self.client.fetch(request(url, method=method))
        return caught.value.code


def request(url: str = "http://tenant.example/voice", *, method: str = "POST", call: str = "CA1", token: str = "") -> WebhookRequest:
    return WebhookRequest(url=url, method=method, params=PARAMS, account_sid="AC1", auth_token=TOKEN, call_sid=call, token=token)


def header(sent: HttpRequest, name: str) -> str | None:
    return next((value for key, value in sent.headers if key.lower() == name.lower()), None)


def xml(body: bytes = b"<Response/>", *headers: tuple[str, str], status: int = 200) -> HttpResponse:
    return HttpResponse(status=status, headers=(("Content-Type", "text/xml; charset=utf-8"), *headers), body=body)


def always(response: HttpResponse) -> Callable[[HttpRequest], HttpResponse]:
    return lambda _: response


def in_turn(*answers: HttpResponse | Exception) -> Callable[[HttpRequest], HttpResponse]:
    """Give these answers one after the other; the last one for ever."""
    left = list(answers)

    def answer(_: HttpRequest) -> HttpResponse:
        given = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(given, Exception):
            raise given
        return given

    return answer
