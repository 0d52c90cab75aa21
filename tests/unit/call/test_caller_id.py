"""Which callers do not say who they are."""

from __future__ import annotations

import pytest

from waitline.bridge.call.caller_id import is_withheld


@pytest.mark.parametrize(
    "sender",
    [
        "sip:anonymous@anonymous.invalid", "sip:Anonymous@198.51.100.7", "sip:alice@anonymous.invalid", "sip:restricted@gw", "+266696687",
        "266696687", "+7378742833", "sip:198.51.100.7", "",
    ],
)  # fmt: skip
def test_these_are_nobody(sender: str) -> None:
    assert is_withheld(sender)


@pytest.mark.parametrize("sender", ["+15550100", "12", "sip:alice@198.51.100.7", "sip:alice@example.com", "sipgate", "*21#"])
def test_these_are_somebody(sender: str) -> None:
    assert not is_withheld(sender)
