"""What can go wrong with a write, in two words: ``Conflict`` is about the record, ``StoreUnavailable`` about the disk or the server.

A ``Conflict`` would fail again; the caller answers its peer. A ``StoreUnavailable`` may pass: disk full, database locked, connection lost.
Its ``reason`` is one word of ``REASONS``, for metrics and for those who decide by it.
"""

from __future__ import annotations

from waitline.errors import BridgeError

REASONS = {
    "full": "the disk is full",
    "read-only": "the data cannot be written to",
    "locked": "another process has the database locked",
    "damaged": "the database is damaged",
    "disk": "the disk gives errors",
    "slow": "the disk does not answer",
    "unavailable": "the database is not available",
}


class StoreError(BridgeError):
    """A write or read that the database did not take."""


class Conflict(StoreError):
    """The record breaks a rule of its table, such as a phone number that another account has."""


class StoreUnavailable(StoreError):
    """The database cannot be written or read now; nothing of the awaited write was kept."""

    def __init__(self, message: str, *, reason: str = "unavailable") -> None:
        super().__init__(message)
        self.reason = reason
