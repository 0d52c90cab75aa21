"""What can go wrong with a write, in two words: ``Conflict`` is about the record, ``StoreUnavailable`` about the disk or the server.

A ``Conflict`` would fail again; the caller answers its peer. A ``StoreUnavailable`` may pass: disk full, database locked, connection lost.
"""

from __future__ import annotations

from waitline.errors import BridgeError


class StoreError(BridgeError):
    """A write or read that the database did not take."""


class Conflict(StoreError):
    """The record breaks a rule of its table, such as a phone number that another account has."""


class StoreUnavailable(StoreError):
    """The database cannot be written or read now; nothing of the awaited write was kept."""
