"""What is told of secrets in logs and to tenants: nothing, in whatever form they come; and nothing else is lost."""

from __future__ import annotations

import io
import json
import logging
import time

import pytest
import structlog

from waitline import logs
from waitline.redaction import redacted

S = "S3cret-Canary-7"
B64 = "QUMxMjM6dG9rZW4="


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET https://user:S3cret@t.test/x?y=1", "GET https://***@t.test/x?y=1"),
        ("http://S3cret@t.test", "http://***@t.test"),
        ("https://u:S3@cret@t.test/a@b", "https://***@t.test/a@b"),
        ("<sip:alice:S3cret@t.test;transport=tls>", "<sip:alice:***@t.test;transport=tls>"),
        ("Authorization: Basic QUMxMjM6dG9rZW4=\r\nHost: x", "Authorization: ***\r\nHost: x"),
        ("{'Authorization': 'Basic QUMxMjM6dG9rZW4='}", "{'Authorization': ***"),
        ("sent Basic QUMxMjM6dG9rZW4= to it", "sent Basic *** to it"),
        ('Digest username="a", response="0123abc", uri="x"', 'Digest username="a", response="***", uri="x"'),
        ("<Sip username='a' password='S3 cret'>x</Sip>", "<Sip username='a' password='***'>x</Sip>"),
        ('{"auth_token": "S3cret", "sid": "AC1"}', '{"auth_token": "***", "sid": "AC1"}'),
        ("?Password=S3cret&Username=a", "?Password=***&Username=a"),
        ("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:a2V5/+k=|2^20", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:***^20"),
    ],
)
def test_a_secret_is_taken_out_and_the_rest_stays(text: str, shown: str) -> None:
    assert redacted(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "sip:alice@t.test:5060 calls sip:support@t.test", "https://t.test/voice?mail=a@b.test", "call ended reason=caller-hung-up",
        "HTTP status: 500 (https://t.test/voice)", "<Response><Say>Your password is required</Say></Response>",
        "Basic authentication is required", "response_code: 200", "an outline: nothing", "wss://t.test/stream", "sip:10.0.0.1:5060",
    ],
)  # fmt: skip
def test_what_is_no_secret_stays_as_it_is(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize("form", ["json", "console"])
def test_nothing_that_is_logged_by_whatever_way_holds_a_secret(form: str) -> None:
    out = io.StringIO()
    root = logging.getLogger()
    before, root.handlers = root.handlers, []
    try:
        logs.set_up("info", form, out)
        log = structlog.get_logger("x")
        log.info("asked", url=f"https://u:{S}@t.test/", header=f'Authorization: Digest username="a", response="{S}"')
        log.info("made", auth_token=S, detail={"password": S})
        logging.getLogger("library").error("it said: %s", f"Authorization: Basic {B64}")
        token = S  # a traceback must not show local variables
        try:
            raise ValueError(f"cannot reach https://u:{token}@t.test/")
        except ValueError:
            log.exception("failed")
    finally:
        root.handlers = before
        structlog.reset_defaults()
    text = out.getvalue()
    assert S not in text
    assert B64 not in text
    assert text.count("t.test") >= 2
    if form == "json":
        lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        assert [line["event"] for line in lines] == ["asked", "made", "failed"]


@pytest.mark.parametrize("piece", ["sip:", "://", "password=", 'response="', "inline:", "Basic A1", "a@", '\\"'])
def test_long_text_of_any_kind_takes_no_time(piece: str) -> None:
    """64 kB is the largest document: 100 times the usual would show here."""
    text = piece * (65_536 // len(piece))
    began = time.process_time()
    redacted(text)
    assert time.process_time() - began < 2.0
