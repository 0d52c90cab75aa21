"""The store: what survives a restart, behind one object.

Three ways in, by what the caller needs:

- ``image``: configuration in memory, for every read on a call's path;
- ``append``: a call-path write (calls, queue events, notifications, webhook log); returns at once, grouped with others into one
  transaction; ``durable()`` waits until all appended so far survives SIGKILL;
- ``put`` and ``delete``: configuration; durable when they return, and only then visible in the image.

``page`` and ``get`` read history from disk and see everything appended before them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from waitline.bridge.store.image import Image
from waitline.bridge.store.records import CallEvent, CallRecord, Notification, QueueEventRecord
from waitline.clock import Clock

R = TypeVar("R")
Appendable = CallRecord | QueueEventRecord | Notification | CallEvent


class Filter(NamedTuple):
    """A condition of ``page``: ``Filter("status", "=", "completed")``, ``Filter("start_time", ">=", utc)``."""

    field: str
    op: str
    """= < <= > >="""
    value: str | int | datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFailure:
    """Told to ``on_failure``: a transaction failed. ``kept`` rows will be retried; ``lost`` rows never will."""

    error: Exception
    kept: int
    lost: int


class Store:
    """Accounts, numbers, queues and the history of calls."""

    image: Image
    epoch: int
    """How often a server has opened this data; larger after each start."""

    @classmethod
    async def open(
        cls,
        database: str | Path,
        *,
        clock: Clock,
        key: str | None = None,
        serve: bool = False,
        inline: bool = False,
        refresh_s: float | None = 0.5,
        on_failure: Callable[[StoreFailure], None] | None = None,
    ) -> Store:
        """Open a data folder, ``:memory:`` or a ``postgresql://`` URL; create or migrate what is not there or old.

        ``key`` is WAITLINE_KEY (None: the key file beside the data). ``serve`` takes the data exclusively (among servers) and closes calls
        that a dead process left live. ``inline`` writes on the loop's thread: for virtual time. Raises ConfigError.
        """
        raise NotImplementedError

    async def close(self) -> None:
        """Write what was appended and let go of the data."""
        raise NotImplementedError

    async def put(self, *records: Any) -> None:
        """Insert or replace, all or nothing; durable and in the image when it returns. Raises Conflict, StoreUnavailable."""
        raise NotImplementedError

    async def delete(self, *records: Any) -> None:
        """Delete, all or nothing; gone from disk and image when it returns. What is not there is no error. Raises StoreUnavailable."""
        raise NotImplementedError

    def append(self, record: Appendable) -> None:
        """Write soon, in the order of the calls; a CallRecord replaces the one with its sid."""
        raise NotImplementedError

    async def durable(self) -> None:
        """Return when all that was appended survives SIGKILL. Raises StoreUnavailable (the rows are kept and tried again)."""
        raise NotImplementedError

    async def get(self, kind: type[R], sid: str) -> R | None:
        """Read one record from disk by its sid."""
        raise NotImplementedError

    async def page(
        self, kind: type[R], *, account_sid: str, filters: Sequence[Filter] = (), limit: int = 50, before: str | None = None
    ) -> tuple[list[R], str | None]:
        """Read a page of history, the newest first, and the token of the next page (None: the last).

        Stable under inserts: a record is on exactly one page. Raises ApiError (400) for a token that is not ours.
        """
        raise NotImplementedError

    async def refresh(self) -> None:
        """See what other processes wrote, now: for an unknown account or key, before it is refused."""
        raise NotImplementedError

    def next_sequence(self, queue_sid: str) -> int:
        """Return a number larger than any before it, also after SIGKILL: the order key of a queue's next member."""
        raise NotImplementedError

    async def setting(self, name: str, default: str) -> str:
        """Return the platform's setting; the first call for a name fixes ``default`` for good."""
        raise NotImplementedError

    async def count(self, name: str, *, by: int = 1) -> int:
        """Add to a platform counter and return its new value; durable."""
        raise NotImplementedError
