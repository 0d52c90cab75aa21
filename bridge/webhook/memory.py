"""A network that is a function: what stories and tests give the webhook client instead of sockets.

The function gets the request as it would go out and returns the answer, at once or after as much (virtual) time as it likes; limits of
time and size are kept as on a real wire. To act out a fault of the network, raise ``Failure``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from waitline.bridge.webhook.exchange import HttpRequest, HttpResponse
from waitline.bridge.webhook.faults import Failure, Fault

Handler = Callable[[HttpRequest], HttpResponse | Awaitable[HttpResponse]]


class MemoryTransport:
    """``requests`` is what has been asked so far."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.requests: list[HttpRequest] = []

    async def exchange(self, request: HttpRequest) -> HttpResponse:
        self.requests.append(request)
        try:
            async with asyncio.timeout(request.read_s):
                response = self._handler(request)
                if not isinstance(response, HttpResponse):
                    response = await response
        except TimeoutError as error:
            raise Failure(Fault.READ_TIMEOUT, f"{request.read_s:g} s") from error
        limit = request.limit(response.content_type)
        if len(response.body) > limit:
            raise Failure(Fault.TOO_LARGE, f"more than {limit} bytes")
        return response

    async def close(self) -> None:
        """Nothing is open."""
