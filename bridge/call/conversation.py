"""A conversation: a claimed caller and the one who claimed it, from the claim to the end of their talk.

::

    WHISPERING ──caller ready──► BRIDGING ──worker: bridged(claim)──► TALKING ──► OVER
        └──────────── either side gone ────────────┴────────────────────────────────┘

Both calls run their own verb meanwhile (the caller its Enqueue, the other its Dial) and both wait for ``over``. Whoever ends it says why;
the first reason counts. Until TALKING the caller's place is only claimed: the one who claimed it gives it back when it ends early.
Only the worker's report confirms the claim (design 5), so a recovering control can tell a bridge that happened from one that did not.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from waitline.bridge.call.keeping import CONVERSATION
from waitline.bridge.call.race import first_of
from waitline.bridge.call.state import Target
from waitline.bridge.events import ReleaseReason
from waitline.bridge.queues.authority import Claim
from waitline.errors import MediaUnavailable

if TYPE_CHECKING:
    from waitline.bridge.call.call import Call


class Phase(Enum):
    WHISPERING = "whispering"
    BRIDGING = "bridging"
    TALKING = "talking"
    OVER = "over"


class Why(Enum):
    """Why a conversation is over; the first that is said counts."""

    CALLER_GONE = "caller-gone"
    CALLER_REDIRECTED = "caller-redirected"
    AGENT_GONE = "agent-gone"
    AGENT_REDIRECTED = "agent-redirected"
    STAR = "star"
    TIME_LIMIT = "time-limit"
    BRIDGE_FAILED = "bridge-failed"


_RELEASES = {
    Why.CALLER_GONE: ReleaseReason.CALLER_GONE,
    Why.CALLER_REDIRECTED: ReleaseReason.REDIRECTED,
    Why.AGENT_GONE: ReleaseReason.AGENT_GONE,
    Why.AGENT_REDIRECTED: ReleaseReason.AGENT_GONE,
    Why.STAR: ReleaseReason.AGENT_GONE,
    Why.TIME_LIMIT: ReleaseReason.AGENT_GONE,
    Why.BRIDGE_FAILED: ReleaseReason.BRIDGE_FAILED,
}


@dataclass(slots=True)
class Times:
    """Seconds, monotonic."""

    bridged_at: float | None = None
    over_at: float | None = None

    @property
    def talked_s(self) -> int:
        return round(self.over_at - self.bridged_at) if self.bridged_at is not None and self.over_at is not None else 0


class Conversation:
    """What joins two calls. Made by the one who claimed, offered to the caller."""

    def __init__(self, *, claim: Claim, agent: Call, caller: Call, whisper: Target | None) -> None:
        self.claim = claim
        self.agent = agent
        self.caller = caller
        self.whisper = whisper
        self.phase = Phase.WHISPERING
        self.why: Why | None = None
        self.times = Times()
        self.waited_s = 0.0
        """How long the caller had waited when it was bridged."""
        self._ready = asyncio.Event()
        self._over = asyncio.Event()

    @property
    def was_bridged(self) -> bool:
        return self.times.bridged_at is not None

    def caller_is_ready(self) -> None:
        """The whisper has been heard, or there is none."""
        self._ready.set()

    async def wait_ready(self) -> bool:
        """Wait until the caller may be bridged; False where it is over before."""
        await first_of(self._ready.wait(), self._over.wait())
        return not self._over.is_set()

    async def wait_over(self) -> None:
        await self._over.wait()

    async def bridge(self) -> bool:
        """Join the two and confirm the claim when the worker says so; False where it did not come to that."""
        if self._over.is_set():
            return False
        self.phase = Phase.BRIDGING
        services, claim_id = self.agent.services, self.claim.id
        if not services.queues.bridging(claim_id):
            self.end(Why.CALLER_GONE)
            return False
        try:
            await services.plane.bridge(self.agent.leg.media, self.caller.leg.media, claim_id)
        except MediaUnavailable:
            self.end(Why.BRIDGE_FAILED)
            return False
        return self._confirm()

    def _confirm(self) -> bool:
        if self._over.is_set():
            return False
        services = self.agent.services
        left = services.queues.confirm(self.claim.id)
        if left is None:
            self.end(Why.CALLER_GONE)
            return False
        self.phase = Phase.TALKING
        self.waited_s = left.waited_s
        self.times.bridged_at = services.clock.now()
        services.keeper.keep(CONVERSATION, self.claim.id, self.to_plain())
        return True

    def to_plain(self) -> dict[str, Any]:
        """What a later control process needs to go on with a talk."""
        return {
            "agent": self.agent.sid,
            "caller": self.caller.sid,
            "bridged_at": self.times.bridged_at,
            "waited_s": self.waited_s,
            "ticket": self.claim.ticket,
            "queue": self.claim.queue,
        }

    def go_on(self, *, bridged_at: float, waited_s: float) -> None:
        """It is a talk that a control process before this one bridged."""
        self.phase = Phase.TALKING
        self.times.bridged_at = bridged_at
        self.waited_s = waited_s

    def end(self, why: Why) -> None:
        """It is over; the relay ends, and a place that is only claimed goes back to the caller."""
        if self._over.is_set():
            return
        bridging = self.phase in (Phase.BRIDGING, Phase.TALKING)
        self.why = why
        self.times.over_at = self.agent.services.clock.now()
        if not self.was_bridged:
            self.agent.services.queues.release(self.claim.id, _RELEASES[why])
        else:
            self.agent.services.keeper.drop(CONVERSATION, self.claim.id)
        self.phase = Phase.OVER
        self._over.set()
        if bridging:
            self._unbridge()

    def _unbridge(self) -> None:
        for call in (self.agent, self.caller):
            if call.leg.has_media:
                self.agent.services.plane.unbridge(call.leg.media)
                return
