from __future__ import annotations

import asyncio
from urllib.parse import parse_qsl, urlsplit

import pytest
from harness.virtual_time import run
from twilio.request_validator import RequestValidator
from unit.webhook.kit import PARAMS, TOKEN, Desk, always, header, in_turn, request, xml

from waitline.bridge.webhook.client import USER_AGENT, Limits, WebhookClient
from waitline.bridge.webhook.exchange import HttpRequest, HttpResponse
from waitline.bridge.webhook.faults import Failure, Fault
from waitline.bridge.webhook.memory import MemoryTransport
from waitline.clock import VirtualClock
from waitline.errors import WebhookError

REFUSED = Failure(Fault.CONNECTION_REFUSED)


# What goes out


def test_a_post_carries_the_parameters_as_a_signed_form():
    async def story() -> None:
        desk = Desk(always(xml()))
        reply = await desk.client.fetch(request("http://tenant.example/voice?x=1#rc=2"))
        (sent,) = desk.requests
        assert (sent.method, sent.url) == ("POST", "http://tenant.example/voice?x=1")
        assert sent.body == b"CallSid=CA1&From=%2B15550100"
        assert header(sent, "Content-Type") == "application/x-www-form-urlencoded; charset=UTF-8"
        assert RequestValidator(TOKEN).validate(sent.url, dict(PARAMS), header(sent, "X-Twilio-Signature"))
        assert (reply.status, reply.content_type, reply.body) == (200, "text/xml", b"<Response/>")
        assert reply.url == "http://tenant.example/voice?x=1#rc=2"
        assert reply.requested_url == sent.url

    run(story())


@pytest.mark.parametrize("url", ["http://tenant.example/voice?x=1", "http://tenant.example:9000/voice?x=1"])
def test_a_get_carries_them_behind_its_own_query_and_signs_the_url(url: str):
    async def story() -> None:
        desk = Desk(always(xml()))
        reply = await desk.client.fetch(request(url, method="GET"))
        (sent,) = desk.requests
        assert (sent.method, sent.url, sent.body) == ("GET", f"{url}&CallSid=CA1&From=%2B15550100", b"")
        assert parse_qsl(urlsplit(sent.url).query) == [("x", "1"), *PARAMS]
        assert header(sent, "Content-Type") is None
        assert RequestValidator(TOKEN).validate(sent.url, {}, header(sent, "X-Twilio-Signature"))
        assert reply.url == url  # relative URLs and repetitions start from the tenant's own, without our parameters

    run(story())


def test_we_say_who_we_are_and_repeat_the_token():
    async def story() -> None:
        desk = Desk(in_turn(REFUSED, xml()))
        await desk.client.fetch(request())
        await desk.client.fetch(request(token="given"))
        assert [header(sent, "I-Twilio-Idempotency-Token") for sent in desk.requests] == ["token-1", "token-1", "given"]
        assert {header(sent, "User-Agent") for sent in desk.requests} == {USER_AGENT}

    run(story())


def test_credentials_in_the_url_are_sent_and_not_shown():
    async def story() -> None:
        desk = Desk(always(xml()))
        reply = await desk.client.fetch(request("http://user:secret@tenant.example/voice"))
        (sent,) = desk.requests
        assert sent.url == "http://tenant.example/voice"
        assert header(sent, "Authorization") == "Basic dXNlcjpzZWNyZXQ="
        assert reply.url == "http://user:secret@tenant.example/voice"
        assert RequestValidator(TOKEN).validate(sent.url, dict(PARAMS), header(sent, "X-Twilio-Signature"))

    run(story())


def test_cookies_are_kept_for_the_call_and_its_host():
    async def story() -> None:
        desk = Desk(in_turn(xml(b"", ("Set-Cookie", "s=1; Path=/")), xml()))
        for host, call in (("a", "CA1"), ("a", "CA1"), ("b", "CA1"), ("a", "CA2")):
            await desk.client.fetch(request(f"http://{host}.example/", call=call))
        assert [header(sent, "Cookie") for sent in desk.requests] == [None, "s=1", None, None]
        plain = desk.client.cookies_to_plain("CA1")
        desk.client.forget("CA1")
        await desk.client.fetch(request("http://a.example/"))
        desk.client.restore_cookies("CA1", plain)
        await desk.client.fetch(request("http://a.example/"))
        assert [header(sent, "Cookie") for sent in desk.requests[-2:]] == [None, "s=1"]

    run(story())


def test_an_empty_answer_is_an_answer():
    async def story() -> None:
        desk = Desk(always(HttpResponse(status=204)))
        reply = await desk.client.fetch(request())
        assert (reply.status, reply.body, reply.content_type) == (204, b"", "")

    run(story())


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303])
def test_these_redirects_go_on_as_get_without_parameters(status: int):
    async def story() -> None:
        desk = Desk(in_turn(xml(b"", ("Location", "/other?y=2"), status=status), xml()))
        reply = await desk.client.fetch(request())
        sent = desk.requests[1]
        assert (sent.method, sent.url, sent.body) == ("GET", "http://tenant.example/other?y=2", b"")
        assert RequestValidator(TOKEN).validate(sent.url, {}, header(sent, "X-Twilio-Signature"))
        assert reply.url == sent.url

    run(story())


@pytest.mark.parametrize("status", [307, 308])
def test_these_redirects_go_on_as_they_were(status: int):
    async def story() -> None:
        desk = Desk(in_turn(xml(b"", ("Location", "https://other.example/v"), status=status), xml()))
        await desk.client.fetch(request("http://u:p@tenant.example/voice"))
        sent = desk.requests[1]
        assert (sent.method, sent.url, sent.body) == ("POST", "https://other.example/v", b"CallSid=CA1&From=%2B15550100")
        assert header(sent, "Authorization") is None
        assert RequestValidator(TOKEN).validate(sent.url, dict(PARAMS), header(sent, "X-Twilio-Signature"))

    run(story())


def test_ten_redirects_are_followed_and_the_eleventh_is_not():
    async def story() -> None:
        hop = xml(b"", ("Location", "/again"), status=302)
        ten = Desk(in_turn(*[hop] * 10, xml()))
        assert (await ten.client.fetch(request())).status == 200
        endless = Desk(always(hop))
        assert await endless.code_of("http://tenant.example/") == 11215
        assert len(endless.requests) == 11

    run(story())


@pytest.mark.parametrize("headers", [(), (("Location", "ftp://x/y"),), (("Location", ""),)])
def test_a_redirect_that_cannot_be_followed(headers: tuple[tuple[str, str], ...]):
    async def story() -> None:
        assert await Desk(always(xml(b"", *headers, status=302))).code_of("http://tenant.example/") == 11216

    run(story())


def test_credentials_within_the_origin_stay_in_the_documents_url():
    async def story() -> None:
        desk = Desk(in_turn(xml(b"", ("Location", "/b"), status=307), xml()))
        assert (await desk.client.fetch(request("http://u:p@tenant.example/a"))).url == "http://u:p@tenant.example/b"
        assert header(desk.requests[1], "Authorization") is not None

    run(story())


# Failures, retries, budgets


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (xml(status=404), 11200),
        (xml(status=500), 11200),
        (xml(status=304), 11200),
        (Failure(Fault.CONNECT_TIMEOUT), 11201),
        (Failure(Fault.CONNECTION_REFUSED), 11202),
        (Failure(Fault.READ_TIMEOUT), 11203),
        (Failure(Fault.UNREACHABLE), 11205),
        (Failure(Fault.CONNECTION_LOST), 11205),
        (Failure(Fault.PROTOCOL), 11206),
        (Failure(Fault.UNKNOWN_HOST), 11210),
        (Failure(Fault.FORBIDDEN_HOST), 11210),
        (Failure(Fault.TLS), 11220),
        (Failure(Fault.CERTIFICATE_HOST), 11235),
        (Failure(Fault.CERTIFICATE_EXPIRED), 11236),
        (Failure(Fault.CERTIFICATE), 11237),
        (xml(bytes(65537)), 11750),
    ],
)
def test_each_failure_has_its_code(answer: HttpResponse | Failure, code: int):
    async def story() -> None:
        assert await Desk(in_turn(answer)).code_of("http://tenant.example/") == code

    run(story())


@pytest.mark.parametrize(("url", "code"), [("/relative", 11100), ("ftp://x/", 11100), ("http://x/#rc=9", 11243)])
def test_a_url_that_cannot_be_asked_is_not(url: str, code: int):
    async def story() -> None:
        desk = Desk(always(xml()))
        assert await desk.code_of(url) == code
        assert desk.requests == []

    run(story())


def test_the_error_brings_status_body_and_url():
    async def story() -> None:
        desk = Desk(always(xml(b"Traceback", status=500)))
        with pytest.raises(WebhookError, match="HTTP status: 500") as caught:
            await desk.client.fetch(request())
        assert (caught.value.status, caught.value.body, caught.value.url) == (500, b"Traceback", "http://tenant.example/voice")

    run(story())


@pytest.mark.parametrize(
    ("fragment", "failure", "tries"),
    [
        ("", REFUSED, 2),
        ("#rc=0", REFUSED, 1),
        ("#rc=5", REFUSED, 6),
        ("", Failure(Fault.READ_TIMEOUT), 1),
        ("#rp=rt", Failure(Fault.READ_TIMEOUT), 2),
        ("#rp=rt", REFUSED, 1),
        ("#rp=4xx,5xx&rc=3", xml(status=503), 4),
        ("#rp=5xx&rc=3", xml(status=404), 1),
        ("#rp=all&rc=2", xml(status=404), 3),
        ("#rp=all&rc=2", Failure(Fault.FORBIDDEN_HOST), 1),
    ],
)
def test_what_is_tried_how_often(fragment: str, failure: HttpResponse | Failure, tries: int):
    async def story() -> None:
        desk = Desk(in_turn(failure))
        await desk.code_of(f"http://tenant.example/{fragment}")
        assert len(desk.requests) == tries

    run(story())


def test_a_retry_that_succeeds_is_a_success():
    async def story() -> None:
        desk = Desk(in_turn(xml(status=503), REFUSED, xml()))
        assert (await desk.client.fetch(request("http://tenant.example/#rp=all&rc=2"))).status == 200

    run(story())


def slow(seconds: float):
    async def answer(_: HttpRequest) -> HttpResponse:
        await asyncio.sleep(seconds)
        return xml()

    return answer


def test_no_answer_within_15_seconds_is_a_failure_and_just_before_is_not():
    async def story() -> None:
        loop = asyncio.get_running_loop()
        assert (await Desk(slow(14.9)).client.fetch(request())).elapsed_s == pytest.approx(14.9)
        start = loop.time()
        assert await Desk(slow(60)).code_of("http://tenant.example/") == 11203
        assert loop.time() - start == pytest.approx(15)

    run(story())


def test_the_budget_spans_retries_and_redirects():
    async def story() -> None:
        loop = asyncio.get_running_loop()

        async def crawl(sent: HttpRequest) -> HttpResponse:
            await asyncio.sleep(2)
            return xml(b"", ("Location", "/again"), status=302)

        start = loop.time()
        assert await Desk(crawl).code_of("http://tenant.example/#tt=5000") == 11203
        assert loop.time() - start == pytest.approx(5)
        assert await Desk(slow(9)).code_of("http://tenant.example/#rt=1000&rp=rt&rc=5") == 11203
        assert loop.time() - start == pytest.approx(5 + 6)

    run(story())


def test_the_overrides_reach_the_wire():
    async def story() -> None:
        desk = Desk(always(xml()), limits=Limits(document_bytes=1000))
        await desk.client.fetch(request("http://tenant.example/#ct=200&rt=300"))
        (sent,) = desk.requests
        assert (sent.connect_s, sent.read_s, sent.largest_body) == (0.2, 0.3, 1000)

    run(story())


def test_a_fetch_that_is_cancelled_is_cancelled():
    async def story() -> None:
        task = asyncio.create_task(Desk(slow(9)).client.fetch(request()))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(story())


# Cached answers


def test_a_get_answer_is_used_again_while_it_is_fresh_and_a_post_never():
    async def story() -> None:
        desk = Desk(always(xml(b"<Response/>", ("Cache-Control", "max-age=60"))))
        for _ in range(3):
            await desk.client.fetch(request(method="GET"))
        assert len(desk.requests) == 1
        await asyncio.sleep(61)
        await desk.client.fetch(request(method="GET"))
        assert len(desk.requests) == 2
        for _ in range(3):
            await desk.client.fetch(request(method="POST"))
        assert len(desk.requests) == 5

    run(story())


def test_a_stale_answer_is_asked_for_conditionally():
    async def story() -> None:
        def server(sent: HttpRequest) -> HttpResponse:
            return xml(status=304) if header(sent, "If-None-Match") == '"v1"' else xml(b"<Response/>", ("ETag", '"v1"'))

        desk = Desk(server)
        replies = [await desk.client.fetch(request(method="GET")) for _ in range(3)]
        assert {reply.body for reply in replies} == {b"<Response/>"}
        assert {reply.status for reply in replies} == {200}
        assert len(desk.requests) == 3

    run(story())


def test_accounts_and_credentials_do_not_share_answers():
    async def story() -> None:
        desk = Desk(always(xml(b"", ("Cache-Control", "max-age=60"))))
        await desk.client.fetch(request("http://tenant.example/", method="GET"))
        await desk.client.fetch(request("http://u:p@tenant.example/", method="GET"))
        assert len(desk.requests) == 2

    run(story())


def test_closing_closes_the_wire():
    async def story() -> None:
        await Desk(always(xml())).client.close()

    run(story())


def test_an_answer_that_is_audio_may_be_larger_than_any_document() -> None:
    music = HttpResponse(status=200, headers=(("Content-Type", "audio/mpeg"),), body=b"x" * 200_000)
    document = HttpResponse(status=200, headers=(("Content-Type", "text/xml"),), body=b"x" * 200_000)

    async def story() -> None:
        client = WebhookClient(
            transport=MemoryTransport(lambda asked: music if asked.url.endswith("/music") else document), clock=VirtualClock(lambda: 0.0)
        )
        reply = await client.fetch(request("http://tenant.example/music"))
        assert len(reply.body) == 200_000
        with pytest.raises(WebhookError) as caught:
            await client.fetch(request("http://tenant.example/document"))
        assert caught.value.code == 11750

    run(story())
