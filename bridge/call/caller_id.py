"""Who a caller says it is, and whether it says so at all.

A withheld caller id comes in many forms: the URI of RFC 3323, a word in the place of the user, or the word spelt on a telephone's keys,
which networks send that carry digits only.
"""

from __future__ import annotations

_WORDS = frozenset({"anonymous", "restricted", "unavailable", "unknown", "private", "withheld", "blocked"})
_SPELT = frozenset({"266696687", "7378742833", "86282452253", "8656696", "2562533"})
"""ANONYMOUS, RESTRICTED, UNAVAILABLE, UNKNOWN, BLOCKED"""


def is_withheld(sender: str) -> bool:
    """Whether a call's From says nobody: a number, or ``sip:user@host``."""
    user, at, host = sender.removeprefix("sips:").removeprefix("sip:").partition("@")
    if not at and sender.startswith(("sip:", "sips:")):
        return True  # a host and no user: everybody behind it
    return user.lower() in _WORDS or user.lstrip("+") in _SPELT or not user or host.lower().endswith(".invalid")
