"""Parameters: how text becomes values, and what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitline.api.params import Flag, Method, Moment, Param, Pattern, Text, Url, Whole, inert, read, sid_kind
from waitline.api.wire import MAX_PAIRS, parse_pairs
from waitline.errors import ApiError

PARAMS = (
    Param(name="FriendlyName", field="friendly_name", kind=Text(longest=5), required=True, code=20002),
    Param(name="MaxSize", field="max_size", kind=Whole(low=1, high=9)),
    *inert("StatusCallbackEvent"),
)


def test_values_come_by_record_field_and_inert_ones_not_at_all():
    assert read(PARAMS, (("FriendlyName", "a"), ("MaxSize", "3"), ("StatusCallbackEvent", "x"), ("StatusCallbackEvent", "y"))) == {
        "friendly_name": "a",
        "max_size": 3,
    }


@pytest.mark.parametrize(
    ("pairs", "code", "names"),
    [
        ((), 20002, "FriendlyName"),
        ((("FriendlyName", "toolong"),), 20002, "FriendlyName"),
        ((("FriendlyName", "a"), ("FriendlyName", "b")), 20002, "FriendlyName"),
        ((("FriendlyName", "a"), ("MaxSize", "10")), 20422, "MaxSize"),
        ((("FriendlyName", "a"), ("friendlyname", "b")), 20001, "friendlyname"),
    ],
)
def test_each_refusal_names_the_parameter(pairs, code, names):
    with pytest.raises(ApiError, match=names) as refusal:
        read(PARAMS, pairs)
    assert (refusal.value.status, refusal.value.code) == (400, code)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Flag(), "true", True),
        (Flag(), "False", False),
        (Whole(low=-5, high=5), "-5", -5),
        (Method(), "post", "POST"),
        (Url(), "https://[::1]:8080/a?b=c#ct=500", "https://[::1]:8080/a?b=c#ct=500"),
        (Url(clears=True), "", ""),
        (sid_kind("AP", clears=True), "", ""),
        (Moment(), "2024-01-02T00:00:00Z", datetime(2024, 1, 2, tzinfo=UTC)),
        (Moment(), "2024-01-02T01:00:00+01:00", datetime(2024, 1, 2, tzinfo=UTC)),
        (Moment(), "2024-01-02T00:00:00", datetime(2024, 1, 2, tzinfo=UTC)),
        (Moment(), "2024-01-02", date(2024, 1, 2)),
        (Text(), "tab\tand\nline", "tab\tand\nline"),
    ],
)
def test_text_becomes_a_value(kind, text, value):
    assert kind.parse(text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Flag(), ""),
        (Flag(), "1"),
        (Whole(low=0, high=9), "٣"),
        (Whole(low=0, high=9), "9" * 400),
        (Whole(low=0, high=9), " 3"),
        (Method(), "HEAD"),
        (Url(), ""),
        (Url(), "http:///path"),
        (Url(), "http://host:0/"),
        (Url(), "http://host:port/"),
        (Url(), "http://a b/"),
        (Url(), "http://[::1/"),
        (Url(), "javascript:alert(1)"),
        (Url(), "http://host/" + "x" * 4000),
        (Text(), "a\x00"),
        (Text(), "a\x1b[31m"),
        (Pattern(pattern="[0-9]{3}", means="three digits"), "123\n"),
        (sid_kind("AP"), "AP" + "A" * 32),
        (Moment(), "2024-02-30"),
        (Moment(), "1969-12-31"),
        (Moment(), "9999-12-31T00:00:00-14:00"),
        (Moment(), ""),
    ],
)
def test_text_without_that_meaning_is_a_value_error(kind, text):
    with pytest.raises(ValueError, match=r".+"):
        kind.parse(text)


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("", ()),
        ("a=1&b=", (("a", "1"), ("b", ""))),
        ("StartTime%3C=2024-01-02&a=x+y%20z", (("StartTime<", "2024-01-02"), ("a", "x y z"))),
        ("e=1&e=2", (("e", "1"), ("e", "2"))),
        ("u=%C3%BC", (("u", "ü"),)),
        ("a=b=c&&", (("a", "b=c"),)),
    ],
)
def test_a_form_is_read_as_pairs(text, pairs):
    assert parse_pairs(text) == pairs


@pytest.mark.parametrize("text", ["a", "=1", "a=%", "a=%zz", "a=%FF", "a=1&b", "&".join("a=1" for _ in range(MAX_PAIRS + 1)), '{"a": 1}'])
def test_what_is_no_form_is_refused(text):
    with pytest.raises(ApiError) as refusal:
        parse_pairs(text)
    assert (refusal.value.status, refusal.value.code) == (400, 20001)


@given(st.text(max_size=50))
def test_any_text_is_pairs_or_a_refusal(text):
    try:
        pairs = parse_pairs(text)
    except ApiError:
        return
    assert all(isinstance(part, str) for pair in pairs for part in pair)


@given(st.sampled_from([Flag(), Whole(low=0, high=9), Method(), Url(), Moment(), Text(), sid_kind("QU")]), st.text(max_size=60))
def test_any_text_is_a_value_or_a_value_error(kind, text):
    try:
        kind.parse(text)
    except ValueError:
        return
