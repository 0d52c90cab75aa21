"""What the REST interface is given: the store, the queues, and the live calls behind a protocol.

``Services`` is built once by the composition root, or by a test. The live calls are a protocol, because the interface needs five words of
them and must not know how a call runs.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from prometheus_client import CollectorRegistry

from waitline.bridge.queues.authority import QueueAuthority
from waitline.bridge.queues.directory import QueueDirectory
from waitline.bridge.queues.queue import MemberView
from waitline.bridge.sids import SidFactory
from waitline.bridge.store.store import Store
from waitline.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class CallChanges:
    """What a tenant may change of a live call beside its document; None leaves it."""

    fallback_url: str | None = None
    fallback_method: str | None = None
    status_callback: str | None = None
    status_callback_method: str | None = None
    time_limit_s: int | None = None


class Switchboard(Protocol):
    """The live calls, by sid. What cannot be done to a call (any more) is an ApiError."""

    def live(self, call_sid: str, /) -> object | None:
        """The call, while it is not over."""
        ...

    async def redirect(self, call_sid: str, *, url: str, method: str) -> None:
        """Make the call run the document at ``url``; it leaves its queue as ``redirected``."""
        ...

    async def run_document(self, call_sid: str, twiml: str, /) -> None:
        """Make the call run this document. DocumentError if it cannot be run."""
        ...

    async def adjust(self, call_sid: str, changes: CallChanges, /) -> None:
        """Change what outlives the call's document."""
        ...

    async def hangup(self, call_sid: str, /) -> None: ...

    async def dequeue(self, queue_sid: str, call_sid: str, *, url: str, method: str) -> MemberView:
        """Take the call (or ``Front``) out of the queue and make it run ``url``; the member as it was."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything handlers may use."""

    store: Store
    authority: QueueAuthority
    directory: QueueDirectory
    switchboard: Switchboard
    clock: Clock
    sids: SidFactory
    realm: str
    """The platform's one SIP realm: HA1 is stored for it."""
    registry: CollectorRegistry
    refresh_metrics: Callable[[], Awaitable[None]] | None = None
    """Brings figures up to date that are not counted in this process, before each scrape"""
    not_ready: Callable[[], Sequence[str]] = tuple
    """Why no new work can be taken, one line each; empty when ready."""
    degraded: Callable[[], Sequence[str]] = tuple
    """What is promised for less than always at the moment, one line each; empty when all is well."""
    random_bytes: Callable[[int], bytes] = field(default=os.urandom, repr=False)
    requests_per_s: float = 0.0
    """Of one account; 0: no limit"""
    records: int = 0
    """Of one account, all kinds together; 0: no limit"""
    own_hosts: frozenset[str] = frozenset({"localhost"})
    """Host names of the platform itself, lower case: no tenant's SIP domain may be called so."""
