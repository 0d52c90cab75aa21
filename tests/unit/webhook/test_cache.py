from __future__ import annotations

import pytest

from waitline.bridge.webhook.cache import ResponseCache
from waitline.bridge.webhook.exchange import HttpResponse
from waitline.clock import VirtualClock

KEY = ("AC1", "http://tenant.example/music.wav", "")
ETAG = ("ETag", '"v1"')


class Time:
    now = 100.0


def cache(capacity: int = 1000) -> tuple[ResponseCache, Time]:
    time = Time()
    return ResponseCache(clock=VirtualClock(lambda: time.now), capacity=capacity), time


def answer(*headers: tuple[str, str], body: bytes = b"sound", status: int = 200) -> HttpResponse:
    return HttpResponse(status=status, headers=headers, body=body)


@pytest.mark.parametrize(
    ("headers", "fresh_s"),
    [
        ([("Cache-Control", "max-age=60")], 60),
        ([("Cache-Control", "public, MAX-AGE=60"), ("Age", "20")], 40),
        ([("Expires", "Thu, 01 Jan 2026 00:01:00 GMT"), ("Date", "Thu, 01 Jan 2026 00:00:00 GMT")], 60),
        ([("Cache-Control", "no-cache, max-age=60"), ETAG], 0),
        ([("Expires", "0"), ETAG], 0),
        ([ETAG], 0),
    ],
)
def test_how_long_an_answer_is_fresh(headers: list[tuple[str, str]], fresh_s: float):
    kept, time = cache()
    kept.offer(KEY, answer(*headers))
    entry = kept.find(KEY)
    assert entry is not None
    assert entry.fresh_until == 100 + fresh_s
    time.now = 100 + fresh_s
    assert not kept.is_fresh(entry)


@pytest.mark.parametrize(
    "response",
    [
        answer(),
        answer(("Cache-Control", "no-store, max-age=60"), ETAG),
        answer(("Cache-Control", "max-age=60"), ("Set-Cookie", "a=1")),
        answer(("Cache-Control", "max-age=60"), ("Vary", "Cookie")),
        answer(("Cache-Control", "max-age=60"), ("Vary", "*")),
        answer(("Cache-Control", "max-age=60"), status=404),
        answer(("Cache-Control", "max-age=-1")),
    ],
)
def test_what_is_not_kept(response: HttpResponse):
    kept, _ = cache()
    kept.offer(KEY, answer(ETAG))
    kept.offer(KEY, response)
    assert kept.find(KEY) is None


def test_varying_on_what_is_the_same_for_all_our_requests_does_not_matter():
    kept, _ = cache()
    kept.offer(KEY, answer(("Vary", "Accept-Encoding"), ETAG))
    assert kept.find(KEY) is not None


def test_a_confirmed_answer_is_fresh_again_with_the_newer_headers():
    kept, time = cache()
    kept.offer(KEY, answer(("Cache-Control", "max-age=10"), ("Content-Type", "audio/wav"), ETAG))
    time.now = 200
    entry = kept.find(KEY)
    assert entry is not None
    assert entry.conditions == (("If-None-Match", '"v1"'),)
    response = kept.confirm(KEY, entry, answer(("Cache-Control", "max-age=30"), ("Content-Type", "text/plain"), status=304, body=b""))
    assert (response.body, response.content_type, response.header("Cache-Control")) == (b"sound", "audio/wav", "max-age=30")
    renewed = kept.find(KEY)
    assert renewed is not None
    assert renewed.fresh_until == 230


def test_the_longest_unused_gives_way_when_the_budget_is_spent():
    kept, _ = cache(capacity=25)
    keys = [("AC1", name, "") for name in "abc"]
    kept.offer(keys[0], answer(ETAG, body=bytes(10)))
    kept.offer(keys[1], answer(ETAG, body=bytes(10)))
    kept.find(keys[0])
    kept.offer(keys[2], answer(ETAG, body=bytes(10)))
    assert [kept.find(key) is not None for key in keys] == [True, False, True]
    kept.offer(keys[1], answer(ETAG, body=bytes(26)))
    assert [kept.find(key) for key in keys] == [None, None, None]


def test_the_digest_names_type_and_content():
    wav, mp3 = answer(("Content-Type", "audio/wav")), answer(("Content-Type", "audio/mpeg"))
    assert wav.digest != mp3.digest
    assert wav.digest == answer(("content-type", "Audio/Wav; x=y")).digest
