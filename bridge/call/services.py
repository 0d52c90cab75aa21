"""What every call is given: the ports through which verbs reach the rest of the platform.

One object, built once by the composition root, so that a verb's runner needs only the call it acts on. Nothing in it belongs to one call.
"""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

from waitline.bridge.call.keeping import Keeper
from waitline.bridge.config import Config
from waitline.bridge.queues.authority import QueueAuthority
from waitline.bridge.queues.directory import QueueDirectory
from waitline.bridge.sids import SidFactory
from waitline.bridge.store.store import Store
from waitline.bridge.webhook.client import WebhookClient
from waitline.clock import Clock
from waitline.media.clips import ClipLibrary
from waitline.media.plane import MediaPlane

if TYPE_CHECKING:
    from waitline.bridge.call.call import Call


class Background(Protocol):
    """The owner of work that outlives the verb that asked for it: callbacks, requests whose reply is ignored."""

    def spawn(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        """Run ``work`` in a task of the owner's; an error in it is logged and ends nothing else."""
        ...


class Metrics(Protocol):
    """What calls count. A name is a metric of ``/metrics`` without its prefix."""

    def count(self, name: str, **labels: str) -> None: ...
    def observe(self, name: str, value: float, **labels: str) -> None: ...


class Calls(Protocol):
    """Where a call finds another one."""

    def live(self, call_sid: str) -> Call | None:
        """The call, while it can still be acted on."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    clock: Clock
    config: Config
    sids: SidFactory
    random: Random
    store: Store
    queues: QueueAuthority
    directory: QueueDirectory
    webhooks: WebhookClient
    clips: ClipLibrary
    plane: MediaPlane
    calls: Calls
    background: Background
    metrics: Metrics
    keeper: Keeper
