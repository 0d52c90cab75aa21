from __future__ import annotations

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitline.bridge.webhook import urls
from waitline.bridge.webhook.faults import Failure, Fault


@pytest.mark.parametrize(
    ("written", "requested"),
    [
        ("http://h.example/voice", "http://h.example/voice"),
        ("  https://h.example/voice#rc=2\n", "https://h.example/voice"),
        ("HTTP://H.Example:8080/a b?q=é", "http://h.example:8080/a%20b?q=%C3%A9"),
        ("http://user:secret@h.example/", "http://h.example/"),
        ("http://bücher.example/", "http://xn--bcher-kva.example/"),
        ("http://h.example/?x=%2B1%26&y=sip%3Aa%40b", "http://h.example/?x=%2B1%26&y=sip:a@b"),
        ("http://[2001:db8::1]:8080/x", "http://[2001:db8::1]:8080/x"),
    ],
)
def test_the_canonical_form(written: str, requested: str):
    assert urls.parse(written).url == requested


@pytest.mark.parametrize(
    "written", ["", "voice", "/voice", "ftp://h/x", "mailto:a@b", "http://", "http://h:99999/", "javascript:alert(1)", "http://[::1"]
)
def test_what_is_no_absolute_web_url_is_refused(written: str):
    with pytest.raises(Failure) as caught:
        urls.parse(written)
    assert caught.value.fault is Fault.BAD_URL


def test_credentials_become_a_header():
    parsed = urls.parse("https://us%40er:p%C3%A4ss@h.example/x")
    assert parsed.authorization == "Basic dXNAZXI6cMOkc3M="
    assert parsed.named == "https://us%40er:p%C3%A4ss@h.example/x"
    assert "p" not in repr(parsed).partition("url=")[0]


def test_parameters_follow_the_urls_own_query():
    assert urls.with_query("http://h/p?x=1", (("From", "+1555"), ("B", "a b&c"))) == "http://h/p?x=1&From=%2B1555&B=a+b%26c"
    assert urls.with_query("http://h/p", (("a", "1"),)) == "http://h/p?a=1"
    assert urls.with_query("http://h/p?", (("a", "1"),)) == "http://h/p?a=1"
    assert urls.with_query("http://h/p?x=1", ()) == "http://h/p?x=1"


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/b", "http://h.example/b"),
        ("c?d=1#top", "http://h.example/a/c?d=1"),
        ("//other.example/x", "http://other.example/x"),
        ("?y", "http://h.example/a/b?y"),
    ],
)
def test_where_a_redirect_leads(location: str, target: str):
    assert urls.redirected(urls.parse("http://h.example/a/b"), location).url == target


def test_credentials_stay_with_their_origin():
    base = urls.parse("http://u:p@h.example/a")
    assert urls.redirected(base, "/b").named == "http://u:p@h.example/b"
    for elsewhere in ("http://other.example/b", "https://h.example/b", "http://h.example:81/b"):
        assert urls.redirected(base, elsewhere).authorization is None
    assert urls.redirected(base, "http://x:y@h.example/b").named == "http://x:y@h.example/b"


@pytest.mark.parametrize("location", ["ftp://h/x", "http://[bad", "file:///etc/passwd"])
def test_a_redirect_that_leads_out_of_the_web_is_refused(location: str):
    with pytest.raises(Failure) as caught:
        urls.redirected(urls.parse("http://h.example/"), location)
    assert caught.value.fault is Fault.BAD_REDIRECT


@given(st.lists(st.tuples(st.text(), st.text().filter(lambda text: text.isprintable()))))
def test_a_form_is_escaped_as_the_standard_library_escapes_it(params: list[tuple[str, str]]):
    params = [(name.encode("utf-8", "replace").decode(), value) for name, value in params]
    assert urls.form(params) == urlencode(params).encode()
