from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from waitline.bridge.webhook.signature import sign

TOKEN = "12345"
VECTORS = [
    (
        "https://mycompany.com/myapp.php?foo=1&bar=2",
        (
            ("CallSid", "CA1234567890ABCDE"),
            ("Caller", "+14158675310"),
            ("Digits", "1234"),
            ("From", "+14158675310"),
            ("To", "+18005551212"),
        ),
        "GvWf1cFY/Q7PnoempGyD5oXAezc=",
    ),
    ("http://127.0.0.1:9000/voice?x=1", (), "OW/p7rO2R6Xcxia7Qk0+IXJ186k="),
    (
        "http://127.0.0.1:9000/voice",
        (("AccountSid", "AC" + "0" * 32), ("CallSid", "CA" + "1" * 32), ("QueuePosition", "1")),
        "7YVzuD9CCq+hBSqGeJbiwlGFxBg=",
    ),
]


@pytest.mark.parametrize(("url", "params", "signature"), VECTORS)
def test_the_contracts_vectors(url: str, params: tuple[tuple[str, str], ...], signature: str):
    assert sign(url, params, auth_token=TOKEN) == signature


def test_the_fragment_is_not_signed():
    assert sign("http://h/p#rc=2", auth_token=TOKEN) == sign("http://h/p", auth_token=TOKEN)


def test_each_distinct_value_of_a_name_counts_once_in_order():
    repeated = (("Event", "ringing"), ("Event", "answered"), ("Event", "ringing"))
    assert sign("http://h/p", repeated, auth_token=TOKEN) == sign(
        "http://h/p", (("Event", "answered"), ("Event", "ringing")), auth_token=TOKEN
    )


def test_another_accounts_token_makes_another_signature():
    assert sign("http://h/p", auth_token="of the parent") != sign("http://h/p", auth_token="of the sub-account")


@pytest.mark.parametrize("sent", ["http://h.example/p", "http://h.example:80/p", "http://h.example:9000/p", "https://h.example:443/p?a=b"])
def test_a_tenant_who_sees_the_url_with_or_without_port_accepts_it(sent: str):
    signature = sign(sent, (("a", "1"),), auth_token=TOKEN)
    validator = RequestValidator(TOKEN)
    assert validator.validate(sent, {"a": "1"}, signature)
    if sent.startswith("http://h.example:80/"):
        assert validator.validate("http://h.example/p", {"a": "1"}, signature)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.dictionaries(texts, st.lists(texts, min_size=1, max_size=3), max_size=5))
def test_the_official_validator_accepts_whatever_is_signed(form: dict[str, list[str]]):
    class Form(dict[str, list[str]]):
        def getlist(self, name: str) -> list[str]:
            return self[name]

    pairs = [(name, value) for name, values in form.items() for value in values]
    signature = sign("https://tenant.example/voice?x=1", pairs, auth_token=TOKEN)
    assert RequestValidator(TOKEN).validate("https://tenant.example/voice?x=1", Form(form), signature)
