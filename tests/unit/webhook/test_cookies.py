from __future__ import annotations

import json

import pytest

from waitline.bridge.webhook.cookies import COOKIES_PER_CALL, CookieJars
from waitline.clock import VirtualClock

URL = "http://tenant.example/app/voice"


class Time:
    now = 0.0


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def jars(time: Time) -> CookieJars:
    return CookieJars(VirtualClock(lambda: time.now))


def test_a_cookie_comes_back_to_its_host_in_its_call_only(jars: CookieJars):
    jars.keep("CA1", URL, ["session=abc; Path=/; HttpOnly"])
    assert jars.header("CA1", "http://tenant.example:8080/next") == "session=abc"
    assert jars.header("CA2", URL) is None
    assert jars.header("CA1", "http://other.example/") is None
    assert jars.header("CA1", "http://sub.tenant.example/") is None


def test_a_domain_attribute_widens_nothing(jars: CookieJars):
    jars.keep("CA1", URL, ["a=1; Domain=example; Path=/"])
    assert jars.header("CA1", "http://victim.example/") is None


def test_paths_count_and_longer_ones_go_first(jars: CookieJars):
    jars.keep("CA1", URL, ["root=1; Path=/", "app=2", "deep=3; Path=/app/voice"])
    assert jars.header("CA1", URL) == "deep=3; app=2; root=1"
    assert jars.header("CA1", "http://tenant.example/app/voice/x") == "deep=3; app=2; root=1"
    assert jars.header("CA1", "http://tenant.example/application") == "root=1"


def test_a_secure_cookie_needs_https(jars: CookieJars):
    jars.keep("CA1", "https://tenant.example/", ["s=1; Secure"])
    assert jars.header("CA1", "http://tenant.example/") is None
    assert jars.header("CA1", "https://tenant.example/") == "s=1"


@pytest.mark.parametrize("attribute", ["Max-Age=60", "Expires=Thu, 01 Jan 2026 00:01:00 GMT"])
def test_a_cookie_ends_when_it_says(jars: CookieJars, time: Time, attribute: str):
    jars.keep("CA1", URL, [f"a=1; {attribute}"])
    assert jars.header("CA1", URL) == "a=1"
    time.now = 61
    assert jars.header("CA1", URL) is None


@pytest.mark.parametrize("attribute", ["Max-Age=0", "Max-Age=-5", "Expires=Thu, 01 Jan 1970 00:00:00 GMT"])
def test_a_server_can_take_a_cookie_back(jars: CookieJars, attribute: str):
    jars.keep("CA1", URL, ["a=1"])
    jars.keep("CA1", URL, [f"a=; {attribute}"])
    assert jars.header("CA1", URL) is None


@pytest.mark.parametrize("text", ["", "novalue", "=x", "a=b\r\nX-Evil: 1", "a=" + "x" * 5000])
def test_what_is_no_cookie_is_left_out(jars: CookieJars, text: str):
    jars.keep("CA1", URL, [text])
    assert jars.header("CA1", URL) is None


def test_an_unreadable_date_makes_a_session_cookie(jars: CookieJars):
    jars.keep("CA1", URL, ["a=1; Expires=never"])
    assert jars.header("CA1", URL) == "a=1"


def test_a_calls_cookies_are_bounded_and_end_with_it(jars: CookieJars):
    jars.keep("CA1", URL, [f"c{number}=x" for number in range(COOKIES_PER_CALL + 5)])
    header = jars.header("CA1", URL)
    assert header is not None
    assert header.count("=") == COOKIES_PER_CALL
    assert "c0=" not in header
    jars.forget("CA1")
    assert jars.header("CA1", URL) is None


def test_cookies_survive_as_plain_data(jars: CookieJars):
    jars.keep("CA1", URL, ["a=1; Max-Age=60", "b=2; Secure"])
    other = CookieJars(VirtualClock(lambda: 0))
    other.restore("CA1", json.loads(json.dumps(jars.to_plain("CA1"))))
    assert other.header("CA1", URL) == "a=1"
    assert other.to_plain("CA1") == jars.to_plain("CA1")
