"""Identifiers: two letters that name the kind, then 32 lower-case hexadecimal digits.

The wire contract fixes the form (``^QU[0-9a-f]{32}$``); the digits are random, from the source the factory is given, so that a test
with a seed sees the same identifiers each time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NewType

AccountSid = NewType("AccountSid", str)
CallSid = NewType("CallSid", str)
QueueSid = NewType("QueueSid", str)

SID_PATTERN = re.compile(r"[A-Z]{2}[0-9a-f]{32}")
QUEUE_SID_PATTERN = re.compile(r"QU[0-9a-fA-F]{32}")


class SidFactory:
    """Makes identifiers from ``random_bytes(n)``: ``os.urandom`` in service, a seeded source in tests."""

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._random_bytes = random_bytes

    def new(self, prefix: str) -> str:
        """Return a new identifier such as ``CA0123…``; ``prefix`` is its two letters."""
        return prefix + self._random_bytes(16).hex()

    def account(self) -> AccountSid:
        return AccountSid(self.new("AC"))

    def call(self) -> CallSid:
        return CallSid(self.new("CA"))

    def queue(self) -> QueueSid:
        return QueueSid(self.new("QU"))


def is_sid(text: str, prefix: str) -> bool:
    """Tell whether ``text`` is a well-formed identifier of that kind."""
    return text.startswith(prefix) and SID_PATTERN.fullmatch(text) is not None
