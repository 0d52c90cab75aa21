"""Why a BYE was sent: the Reason header field of RFC 3326."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitline.bridge.sip.reason import is_failure


@pytest.mark.parametrize(
    "field",
    [
        "Q.850;cause=41",
        'Q.850 ;cause=102 ;text="Recovery on timer expiry"',
        'q.850; CAUSE=38; text="a, b; c"',
        'SIP;cause=408;text="RTP timeout"',
        'SIP;cause=200;text="done", Q.850;cause=27',
    ],
)
def test_a_failure_of_the_network_is_one(field: str) -> None:
    assert is_failure([field])
    assert is_failure(["Q.850;cause=16", field])


@pytest.mark.parametrize(
    "field",
    [
        "Q.850;cause=16",
        "Q.850;cause=31",
        "SIP;cause=200",
        "SIP",
        "Q.850;cause=",
        "Q.850;cause=x41",
        "X.25;cause=41",
        'Q.850;cause=41;text="',
        "",
    ],
)
def test_a_normal_end_or_what_cannot_be_read_is_none(field: str) -> None:
    assert not is_failure([field])
    assert not is_failure([])


@given(st.text(max_size=60))
def test_any_text_is_judged(text: str) -> None:
    assert is_failure([text]) in (True, False)
