from __future__ import annotations

import asyncio

import pytest
from harness.virtual_time import run
from unit.webhook.kit import TOKEN, Desk, always, header, in_turn

from waitline.bridge.webhook.client import Limits, WebhookRequest
from waitline.bridge.webhook.exchange import HttpRequest, HttpResponse
from waitline.bridge.webhook.faults import Failure, Fault
from waitline.errors import AudioError, WebhookError

URL = "http://tenant.example/music.wav?take=1"


def wav(*headers: tuple[str, str], body: bytes = b"RIFF", kind: str = "audio/wav") -> HttpResponse:
    return HttpResponse(status=200, headers=(("Content-Type", kind), *headers), body=body)


def test_a_file_is_asked_for_without_a_calls_parameters():
    async def story() -> None:
        desk = Desk(always(wav(("ETag", '"v1"'))))
        reply = await desk.client.fetch_audio(URL)
        (sent,) = desk.requests
        assert (sent.method, sent.url, sent.body) == ("GET", URL, b"")
        assert header(sent, "X-Twilio-Signature") is None
        assert (reply.data, reply.content_type, reply.etag, reply.url) == (b"RIFF", "audio/wav", '"v1"', URL)

    run(story())


def test_a_file_is_signed_where_a_token_is_given():
    async def story() -> None:
        desk = Desk(always(wav()))
        await desk.client.fetch_audio(URL, account_sid="AC1", auth_token=TOKEN)
        assert header(desk.requests[0], "X-Twilio-Signature")

    run(story())


@pytest.mark.parametrize(
    "kind", ["audio/mpeg", "AUDIO/X-WAV; rate=8000", "audio/ogg", "audio/flac", "audio/ulaw", "audio/gsm", "application/octet-stream", ""]
)
def test_what_is_audio(kind: str):
    async def story() -> None:
        assert (await Desk(always(wav(kind=kind))).client.fetch_audio(URL)).data == b"RIFF"

    run(story())


@pytest.mark.parametrize("kind", ["text/html", "text/xml", "video/mp4", "audio/midi", "application/json"])
def test_what_is_not(kind: str):
    async def story() -> None:
        with pytest.raises(AudioError, match=kind) as caught:
            await Desk(always(wav(kind=kind))).client.fetch_audio(URL)
        assert caught.value.code == 13420

    run(story())


def test_five_hundred_callers_ask_once():
    async def story() -> None:
        async def server(_: HttpRequest) -> HttpResponse:
            await asyncio.sleep(2)
            return wav(("Cache-Control", "max-age=60"))

        desk = Desk(server)
        replies = await asyncio.gather(*(desk.client.fetch_audio(URL) for _ in range(500)))
        await desk.client.fetch_audio(URL)
        assert len(desk.requests) == 1
        assert len({reply.key for reply in replies}) == 1

    run(story())


@pytest.mark.parametrize("answer", [Failure(Fault.CONNECTION_REFUSED), wav(kind="text/html")])
def test_a_shared_failure_is_raised_fresh_for_each(answer: Failure | HttpResponse):
    async def story() -> None:
        async def server(_: HttpRequest) -> HttpResponse:
            await asyncio.sleep(1)
            return in_turn(answer)(_)

        desk = Desk(server)
        asking = (desk.client.fetch_audio(f"{URL}#rc=0") for _ in range(3))
        errors = await asyncio.gather(*asking, return_exceptions=True)
        assert len({id(error) for error in errors}) == 3
        assert {(type(error), error.code) for error in errors if isinstance(error, WebhookError | AudioError)} in (
            {(WebhookError, 11202)},
            {(AudioError, 13420)},
        )
        assert len(desk.requests) == 1

    run(story())


def test_a_hang_up_of_the_first_who_asked_does_not_fail_the_others():
    async def story() -> None:
        async def server(_: HttpRequest) -> HttpResponse:
            await asyncio.sleep(2)
            return wav()

        desk = Desk(server)
        first, second, third = (asyncio.create_task(desk.client.fetch_audio(URL)) for _ in range(3))
        await asyncio.sleep(1)
        first.cancel()
        second.cancel()
        assert (await third).data == b"RIFF"
        assert (first.cancelled(), second.cancelled()) == (True, True)

    run(story())


def test_the_key_follows_the_content():
    async def story() -> None:
        desk = Desk(in_turn(wav(), wav(), wav(body=b"new")))
        keys = [(await desk.client.fetch_audio(URL)).key for _ in range(3)]
        assert keys[0] == keys[1] != keys[2]

    run(story())


def test_a_large_file_is_taken_and_a_larger_one_is_not():
    async def story() -> None:
        limits = Limits(audio_bytes=2_000_000)
        assert (await Desk(always(wav(body=bytes(2_000_000))), limits=limits).client.fetch_audio(URL)).key
        with pytest.raises(WebhookError) as caught:
            await Desk(always(wav(body=bytes(2_000_001))), limits=limits).client.fetch_audio(URL)
        assert caught.value.code == 11750

    run(story())


def test_while_the_server_fails_the_old_copy_plays_on():
    async def story() -> None:
        desk = Desk(in_turn(wav(("ETag", '"v1"')), Failure(Fault.CONNECTION_REFUSED)))
        first = await desk.client.fetch_audio(URL)
        assert await desk.client.fetch_audio(URL) == first
        with pytest.raises(WebhookError):
            await desk.client.fetch_audio("http://tenant.example/other.wav")

    run(story())


def test_audio_that_was_kept_may_be_a_documents_answer_whatever_its_size():
    async def story() -> None:
        desk = Desk(always(wav(("Cache-Control", "max-age=60"), body=bytes(100_000))))
        await desk.client.fetch_audio("http://tenant.example/x")
        reply = await desk.client.fetch(WebhookRequest(url="http://tenant.example/x", method="GET"))
        assert len(reply.body) == 100_000
        assert len(desk.requests) == 1

    run(story())
