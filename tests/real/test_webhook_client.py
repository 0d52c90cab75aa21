"""The webhook client on real sockets against a server that fails in every way we know; budgets are set small by the URL's fragment."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any
from urllib.parse import parse_qsl

import pytest
import trustme
from harness.fault_server import FaultServer, fault_server
from twilio.request_validator import RequestValidator

from waitline.bridge.webhook.client import USER_AGENT, WebhookClient, WebhookRequest
from waitline.bridge.webhook.guard import HostGuard
from waitline.bridge.webhook.resolver import GuardedResolver
from waitline.bridge.webhook.transport import AiohttpTransport
from waitline.clock import SystemClock
from waitline.errors import AudioError, WebhookError

pytestmark = pytest.mark.real

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
LOOPBACK = ip_network("127.0.0.0/8")
TOKEN = "12345"
PARAMS = (("CallSid", "CA1"), ("From", "+15550100"), ("Name", "Zoë & Co"))
QUICK = "#tt=600&rt=300&ct=300&rc=0"


def client(*, guard: HostGuard | None = None, tls: ssl.SSLContext | bool = True, resolver: GuardedResolver | None = None) -> WebhookClient:
    transport = AiohttpTransport(guard=guard or HostGuard([LOOPBACK]), tls=tls, resolver=resolver)
    return WebhookClient(transport=transport, clock=SystemClock())


def ask(url: str, method: str = "POST") -> WebhookRequest:
    return WebhookRequest(url=url, method=method, params=PARAMS, account_sid="AC1", auth_token=TOKEN, call_sid="CA1")


def with_server(story: Callable[[FaultServer, WebhookClient], Awaitable[None]]) -> None:
    async def play() -> None:
        webhooks = client()
        async with fault_server() as server, asyncio.timeout(20):
            try:
                await story(server, webhooks)
            finally:
                await webhooks.close()

    asyncio.run(play())


async def failure(work: Coroutine[Any, Any, object]) -> WebhookError:
    with pytest.raises(WebhookError) as caught:
        await work
    return caught.value


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_tenant_sees_a_request_the_official_validator_accepts(method: str):
    async def story(server: FaultServer, webhooks: WebhookClient) -> None:
        reply = await webhooks.fetch(ask(f"{server.url}/fine?x=1#rc=2", method))
        (visit,) = server.visits
        assert (reply.body, reply.content_type) == (b"<Response/>", "text/xml")
        assert visit.method == method
        seen = f"http://{visit.header('Host')}{visit.path}"
        form = dict(parse_qsl(visit.body.decode(), keep_blank_values=True))
        for url in (seen, seen.replace(f":{server.port}", "")) if method == "GET" else (seen,):
            valid = RequestValidator(TOKEN).validate(url, form, visit.header("X-Twilio-Signature"))
            assert valid is (f":{server.port}" in url)
        assert (form == dict(PARAMS)) is (method == "POST")
        assert visit.header("User-Agent") == USER_AGENT
        assert visit.header("I-Twilio-Idempotency-Token")

    with_server(story)


FAILURES = [
    ("silent", 11203),
    ("reset", 11205),
    ("hung_up", 11205),
    ("half_closed", 11205),
    ("reset_in_the_body", 11205),
    ("endless", 11750),
    ("endless_chunks", 11750),
    ("drip", 11203),
    ("drip_head", 11203),
    ("loop", 11215),
    ("to_metadata", 11210),
    ("nowhere", 11216),
    ("oversized", 11750),
    ("bomb", 11750),
    ("gibberish", 11206),
    ("huge_head", 11206),
    ("bad_chunks", 11206),
    ("broken", 11200),
]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(("way", "code"), FAILURES)
def test_each_way_of_failing_has_its_code_and_takes_no_longer_than_its_budget(way: str, code: int, method: str):
    async def story(server: FaultServer, webhooks: WebhookClient) -> None:
        start = time.monotonic()
        error = await failure(webhooks.fetch(ask(f"{server.url}/{way}{QUICK}", method)))
        assert error.code == code, str(error)
        assert time.monotonic() - start < 2

    with_server(story)


def test_a_refused_connection_is_tried_twice():
    async def story(server: FaultServer, webhooks: WebhookClient) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            error = await failure(webhooks.fetch(ask(f"http://127.0.0.1:{unused.getsockname()[1]}/")))
        assert error.code == 11202

    with_server(story)


def test_a_connection_that_nobody_accepts_times_out():
    async def story(server: FaultServer, webhooks: WebhookClient) -> None:
        with socket.socket() as deaf, socket.socket() as first, socket.socket() as second:
            deaf.bind(("127.0.0.1", 0))
            deaf.listen(0)
            for occupant in (first, second):  # fill the backlog
                occupant.setblocking(False)
                occupant.connect_ex(deaf.getsockname())
            start = time.monotonic()
            error = await failure(webhooks.fetch(ask(f"http://127.0.0.1:{deaf.getsockname()[1]}/#ct=150&rc=1")))
        assert error.code == 11201
        assert 0.25 < time.monotonic() - start < 2

    with_server(story)


def test_a_server_that_closes_a_kept_alive_connection_as_it_is_used_is_no_failure():
    async def story(server: FaultServer, webhooks: WebhookClient) -> None:
        for _ in range(4):
            assert (await webhooks.fetch(ask(f"{server.url}/closing"))).status == 200
        assert len(server.visits) > 4  # some were tried again

    with_server(story)


def test_after_every_failure_the_next_request_is_served():
    async def story(server: FaultServer, webhooks: WebhookClient) -> None:
        for way, _ in FAILURES:
            await failure(webhooks.fetch(ask(f"{server.url}/{way}#tt=200&rt=100&rc=0")))
            assert (await webhooks.fetch(ask(f"{server.url}/fine"))).status == 200

    with_server(story)


@pytest.mark.parametrize("kind", ["audio/wav", "text/html"])
def test_audio_of_the_right_and_of_the_wrong_type(kind: str):
    async def story(server: FaultServer, webhooks: WebhookClient) -> None:
        url = f"{server.url}/typed?type={kind}"
        if kind == "audio/wav":
            assert (await webhooks.fetch_audio(url)).data == b"RIFF"
        else:
            with pytest.raises(AudioError):
                await webhooks.fetch_audio(url)

    with_server(story)


# Who may be asked


NEAR = [
    "127.0.0.1",
    "[::1]",
    "localhost",
    "[::ffff:127.0.0.1]",
    "0.0.0.0",
    "169.254.169.254",
    "10.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
]


@pytest.mark.parametrize("host", NEAR)
def test_hosts_a_tenant_may_not_name(host: str):
    async def story() -> None:
        webhooks = client(guard=HostGuard())
        async with fault_server() as server:
            error = await failure(webhooks.fetch(ask(f"http://{host}:{server.port}/fine{QUICK}")))
            assert error.code == 11210
            assert server.visits == []
            if host in ("127.0.0.1", "localhost"):
                assert "WAITLINE_WEBHOOK_ALLOW" in str(error)
                assert "127.0.0.1" in str(error) or "::1" in str(error)
        await webhooks.close()

    asyncio.run(story())


def test_a_name_is_connected_to_the_address_that_was_judged():
    answers = iter(["127.0.0.1", "10.0.0.1"])

    def changing_its_mind(host: str, port: int, **_: object) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    async def story() -> None:
        guard = HostGuard([LOOPBACK])
        webhooks = client(guard=guard, resolver=GuardedResolver(guard, lookup=changing_its_mind))
        async with fault_server() as server:
            reply = await webhooks.fetch(ask(f"http://tenant.example:{server.port}/fine"))
            assert reply.status == 200
            assert server.visits[0].header("Host") == f"tenant.example:{server.port}"
        await webhooks.close()

    asyncio.run(story())


def test_a_name_nobody_knows():
    def unknown(*_: object, **__: object) -> list[tuple[Any, ...]]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def story() -> None:
        guard = HostGuard()
        webhooks = client(guard=guard, resolver=GuardedResolver(guard, lookup=unknown))
        error = await failure(webhooks.fetch(ask("http://nobody.example/")))
        assert (error.code, "resolved" in str(error)) == (11210, True)
        await webhooks.close()

    asyncio.run(story())


def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    async def story(server: FaultServer, webhooks: WebhookClient) -> None:
        assert (await webhooks.fetch(ask(f"{server.url}/fine"))).status == 200

    with_server(story)


# TLS


def tls_contexts(*names: str, expired: bool = False) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = trustme.CA()
    certificate = authority.issue_cert(*names, not_after=LONG_AGO) if expired else authority.issue_cert(*names)
    server, known = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    certificate.configure_cert(server)
    authority.configure_trust(known)
    return server, known


@pytest.mark.parametrize(
    ("case", "code"), [("trusted", 0), ("unverified", 0), ("unknown authority", 11237), ("another host", 11235), ("expired", 11236)]
)
def test_certificates(case: str, code: int):
    served, known = tls_contexts("other.example" if case == "another host" else "127.0.0.1", expired=case == "expired")
    trust: dict[str, ssl.SSLContext | bool] = {"unknown authority": ssl.create_default_context(), "unverified": False}
    tls = trust.get(case, known)

    async def story() -> None:
        webhooks = client(tls=tls)
        async with fault_server(served) as server:
            url = f"https://127.0.0.1:{server.port}/fine{QUICK}"
            if code:
                assert (await failure(webhooks.fetch(ask(url)))).code == code
            else:
                assert (await webhooks.fetch(ask(url))).status == 200
        await webhooks.close()

    asyncio.run(story())


def test_a_server_that_speaks_no_tls():
    async def story(server: FaultServer, webhooks: WebhookClient) -> None:
        error = await failure(webhooks.fetch(ask(f"https://127.0.0.1:{server.port}/fine{QUICK}")))
        assert error.code in (11201, 11205, 11220)

    with_server(story)
