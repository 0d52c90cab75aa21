"""Carries one errand out: attempts within a budget, each from the first URL along its redirects to the answer that counts.

::

    deliver ─ budget ─┬─ attempt: hop → redirect → hop → … → 2xx ──► Arrival
                      ├─ a failure the policy covers: the next attempt
                      └─ any other, or the budget is spent ──► Failure

An ``Errand`` is what stays the same over all of it, a ``Hop`` one request on the way. Each hop is signed anew over the URL it goes to and
carries the cookies of its call and host. Redirects with 301, 302 and 303 go on as GET without parameters, 307 and 308 as they were.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from waitline.bridge.webhook import signature, urls
from waitline.bridge.webhook.body import ACCEPTED_ENCODINGS
from waitline.bridge.webhook.cache import Key, ResponseCache
from waitline.bridge.webhook.cookies import CookieJars
from waitline.bridge.webhook.exchange import Headers, HttpRequest, HttpResponse, Transport, body_limit
from waitline.bridge.webhook.faults import Failure, Fault
from waitline.bridge.webhook.policy import RetryPolicy
from waitline.bridge.webhook.slots import Slots

Params = tuple[tuple[str, str], ...]

FORM = "application/x-www-form-urlencoded; charset=UTF-8"
_AS_GET = frozenset({301, 302, 303})
_AS_IT_WAS = frozenset({307, 308})


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """On whose behalf, and within which limits."""

    account: str = ""
    auth_token: str = field(default="", repr=False)
    """Empty: not signed."""
    call: str = ""
    """Whose cookies; empty: none."""
    token: str = ""
    """The same for all attempts, so that a server can tell a repetition."""
    policy: RetryPolicy
    largest_body: int
    largest_audio: int = 0

    def limit(self, content_type: str) -> int:
        """The most bytes an answer of that type may have."""
        return body_limit(content_type, body=self.largest_body, audio=self.largest_audio)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One request, before it is signed."""

    method: str
    target: urls.WebUrl
    params: Params = ()
    redirected: bool = False

    @property
    def url(self) -> str:
        """As requested and signed."""
        return urls.with_query(self.target.url, self.params) if self.method == "GET" else self.target.url

    @property
    def form(self) -> Params:
        return self.params if self.method == "POST" else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """The answer that counts, with the hop it answers."""

    hop: Hop
    response: HttpResponse


class Courier:
    """``redirects``: how many are followed."""

    def __init__(
        self, *, transport: Transport, cookies: CookieJars, cache: ResponseCache, user_agent: str, redirects: int, slots: Slots
    ) -> None:
        self._transport = transport
        self._cookies = cookies
        self._cache = cache
        self._user_agent = user_agent
        self._redirects = redirects
        self._slots = slots

    async def deliver(self, errand: Errand, hop: Hop) -> Arrival:
        """Raises Failure: what the last attempt came to, or BUDGET_SPENT."""
        try:
            async with asyncio.timeout(errand.policy.total_s), self._slots.one(errand.account):
                return await self._attempts(errand, hop)
        except TimeoutError as error:
            raise Failure(Fault.BUDGET_SPENT, f"{errand.policy.total_s:g} s") from error

    async def _attempts(self, errand: Errand, hop: Hop) -> Arrival:
        for _ in range(errand.policy.retries):
            try:
                return await self._attempt(errand, hop)
            except Failure as failure:
                if not errand.policy.covers(failure):
                    raise
        return await self._attempt(errand, hop)

    async def _attempt(self, errand: Errand, hop: Hop) -> Arrival:
        for _ in range(self._redirects + 1):
            response = await self._send(errand, hop)
            following = _following(hop, response)
            if following is None:
                return Arrival(hop=hop, response=_judged(response))
            hop = following
        raise Failure(Fault.TOO_MANY_REDIRECTS, f"more than {self._redirects}, the last to {hop.url}")

    async def _send(self, errand: Errand, hop: Hop) -> HttpResponse:
        response = await (self._ask(errand, hop) if hop.method == "GET" else self._exchange(errand, hop))
        limit = errand.limit(response.content_type)
        if len(response.body) > limit:  # kept under another limit
            raise Failure(Fault.TOO_LARGE, f"more than {limit} bytes")
        self._cookies.keep(errand.call, hop.url, response.header_values("Set-Cookie"))
        return response

    async def _ask(self, errand: Errand, hop: Hop) -> HttpResponse:
        """A GET: from the cache if it is fresh there, asked for conditionally if it is stale there."""
        key = key_of(errand, hop)
        entry = self._cache.find(key)
        if entry is not None and self._cache.is_fresh(entry):
            return entry.response
        response = await self._exchange(errand, hop, extra=entry.conditions if entry else ())
        if entry is not None and response.status == 304:
            return self._cache.confirm(key, entry, response)
        self._cache.offer(key, response)
        return response

    async def _exchange(self, errand: Errand, hop: Hop, *, extra: Headers = ()) -> HttpResponse:
        return await self._transport.exchange(self._request(errand, hop, extra))

    def _request(self, errand: Errand, hop: Hop, extra: Headers = ()) -> HttpRequest:
        return HttpRequest(
            method=hop.method, url=hop.url, headers=self._headers(errand, hop) + extra,
            body=urls.form(hop.form) if hop.method == "POST" else b"",
            connect_s=errand.policy.connect_s, read_s=errand.policy.read_s, largest_body=errand.largest_body,
            largest_audio=errand.largest_audio,
        )  # fmt: skip

    def _headers(self, errand: Errand, hop: Hop) -> Headers:
        signed = signature.sign(hop.url, hop.form, auth_token=errand.auth_token) if errand.auth_token else None
        given = (
            ("User-Agent", self._user_agent),
            ("Accept", "*/*"),
            ("Accept-Encoding", ACCEPTED_ENCODINGS),
            ("Content-Type", FORM if hop.method == "POST" else None),
            (signature.HEADER, signed),
            ("I-Twilio-Idempotency-Token", errand.token),
            ("Authorization", hop.target.authorization),
            ("Cookie", self._cookies.header(errand.call, hop.url)),
        )
        return tuple((name, value) for name, value in given if value)


def key_of(errand: Errand, hop: Hop) -> Key:
    """Under which key the answer to a GET is kept."""
    return errand.account, hop.url, hop.target.authorization or ""


def _following(hop: Hop, response: HttpResponse) -> Hop | None:
    if response.status not in _AS_GET | _AS_IT_WAS:
        return None
    location = response.header("Location")
    if not location:
        raise Failure(Fault.BAD_REDIRECT, f"{response.status} without Location from {hop.url}", status=response.status)
    target = urls.redirected(hop.target, location)
    if response.status in _AS_IT_WAS and hop.method == "POST":
        return Hop(method="POST", target=target, params=hop.params, redirected=True)
    return Hop(method="GET", target=target, redirected=True)  # the parameters of a GET were in the URL that was redirected


def _judged(response: HttpResponse) -> HttpResponse:
    if 200 <= response.status < 300:
        return response
    fault = {4: Fault.CLIENT_ERROR, 5: Fault.SERVER_ERROR}.get(response.status // 100, Fault.REFUSED_STATUS)
    raise Failure(fault, str(response.status), status=response.status, body=response.body)
