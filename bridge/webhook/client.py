"""What the platform asks a tenant's server, and what it gets: a reply, or one WebhookError with the code the tenant will read.

There is no fallback in here: who asked decides it, since a reply that cannot be parsed deserves one too. An empty reply is a reply; who
needs a document finds out for itself. How a fetch is tried, redirected, signed and limited is told in ``courier``; which hosts a tenant
may name in ``guard``; the network itself is the ``Transport`` it is given (``transport``, or a function: ``memory``).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from waitline import __version__
from waitline.bridge.webhook import urls
from waitline.bridge.webhook.audio import AudioFetcher, AudioReply
from waitline.bridge.webhook.cache import ResponseCache
from waitline.bridge.webhook.cookies import CookieJars
from waitline.bridge.webhook.courier import Arrival, Courier, Errand, Hop, Params
from waitline.bridge.webhook.exchange import Transport
from waitline.bridge.webhook.faults import Failure
from waitline.bridge.webhook.policy import Limits, policy_of
from waitline.bridge.webhook.slots import Slots
from waitline.clock import Clock

__all__ = ["AudioReply", "Limits", "WebhookClient", "WebhookReply", "WebhookRequest"]

USER_AGENT = f"Waitline/{__version__}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookRequest:
    """What is to be asked."""

    url: str
    """As the tenant wrote it: absolute, perhaps with credentials and with overrides in its fragment."""
    method: str = "POST"
    """GET or POST."""
    params: Params = ()
    account_sid: str = ""
    auth_token: str = field(default="", repr=False)
    call_sid: str = ""
    token: str = ""
    """Says to the server that a repetition is one; made up if empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookReply:
    """A 2xx answer, whole."""

    url: str
    """The document's own, which relative ones are resolved against: the one asked for, or where redirects led; without the parameters."""
    status: int
    content_type: str
    """In lower case, without parameters; empty where there was none."""
    body: bytes = field(repr=False)
    elapsed_s: float
    requested_url: str
    """The last one that went out, as it was signed."""
    request: WebhookRequest


class WebhookClient:
    """See the module. Close it when the platform ends."""

    def __init__(
        self, *, transport: Transport, clock: Clock, limits: Limits | None = None, new_token: Callable[[], str] = lambda: str(uuid.uuid4())
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._limits = limits or Limits()
        self._new_token = new_token
        self._cookies = CookieJars(clock)
        cache = ResponseCache(clock=clock, capacity=self._limits.cache_bytes)
        self._courier = Courier(
            transport=transport, cookies=self._cookies, cache=cache, user_agent=USER_AGENT, redirects=self._limits.redirects,
            slots=Slots(self._limits.at_one_time),
        )  # fmt: skip
        self._audio = AudioFetcher(courier=self._courier, cache=cache, limits=self._limits)

    async def fetch(self, request: WebhookRequest) -> WebhookReply:
        """Ask, within the budget of the URL's policy (15 s if it has none). Raises WebhookError."""
        started = self._clock.now()
        try:
            arrival = await self._deliver(request)
        except Failure as failure:
            raise failure.as_error(request.url) from failure
        return WebhookReply(
            url=arrival.hop.target.named if arrival.hop.redirected else request.url.strip(),
            status=arrival.response.status, content_type=arrival.response.content_type, body=arrival.response.body,
            elapsed_s=self._clock.now() - started, requested_url=arrival.hop.url, request=request,
        )  # fmt: skip

    async def fetch_audio(self, url: str, *, account_sid: str = "", auth_token: str = "") -> AudioReply:
        """An audio file, from the cache where it is fresh; signed if a token is given. Raises WebhookError or AudioError 13420."""
        return await self._audio.fetch(url, account=account_sid, auth_token=auth_token)

    def forget(self, call_sid: str) -> None:
        """The call is over: drop its cookies."""
        self._cookies.forget(call_sid)

    def cookies_to_plain(self, call_sid: str) -> list[dict[str, Any]]:
        """A call's cookies, for the control process that takes it over."""
        return self._cookies.to_plain(call_sid)

    def restore_cookies(self, call_sid: str, plain: list[dict[str, Any]]) -> None:
        self._cookies.restore(call_sid, plain)

    async def close(self) -> None:
        await self._transport.close()

    async def _deliver(self, request: WebhookRequest) -> Arrival:
        target = urls.parse(request.url)
        errand = Errand(
            account=request.account_sid, auth_token=request.auth_token, call=request.call_sid, token=request.token or self._new_token(),
            policy=policy_of(target.fragment, self._limits), largest_body=self._limits.document_bytes,
            largest_audio=self._limits.audio_bytes,
        )  # fmt: skip
        method = "GET" if request.method.upper() == "GET" else "POST"
        return await self._courier.deliver(errand, Hop(method=method, target=target, params=request.params))
