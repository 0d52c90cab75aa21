"""Sending those who wait elsewhere while the platform drains.

A drain waits for calls to end, and a caller who waits in a queue may wait long. A queue, or the operator for all queues, may name a
document for that case: its members leave with QueueResult ``redirected`` and run it (an apology, an offer to call back). Whoever joins, or
comes back to its place, while the platform drains goes the same way. Each call is sent once, so that the document may enqueue it again.

One who is claimed is about to talk and stays; many who wait are sent a few at a time, so that neither the tenant's server nor the other
calls feel it.
"""

from __future__ import annotations

import asyncio

import structlog

from waitline.bridge.call.call import Call
from waitline.bridge.call.interruption import Redirected
from waitline.bridge.call.services import Services
from waitline.bridge.call.state import Target
from waitline.bridge.call.switchboard import Switchboard
from waitline.bridge.events import LeaveReason, MemberJoined, MemberReleased, QueueEvent
from waitline.bridge.sids import CallSid

AT_ONCE = 20
PAUSE_S = 0.1

log = structlog.get_logger(__name__)


class Evacuation:
    """See the module; does nothing until it has begun."""

    def __init__(self, services: Services, switchboard: Switchboard) -> None:
        self._services = services
        self._switchboard = switchboard
        self._begun = False

    async def begin(self) -> None:
        """Send all who wait, and from now on all who come to wait."""
        if self._begun:
            return
        self._begun = True
        sent = 0
        for call in self._switchboard:
            sent += self._send(call)
            if sent and sent % AT_ONCE == 0:
                await asyncio.sleep(PAUSE_S)
        log.info("sent callers elsewhere", calls=sent)

    def on_queue_event(self, event: QueueEvent) -> None:
        """Look at who comes to wait; after the turn, for its Enqueue is still at it."""
        if self._begun and isinstance(event, MemberJoined | MemberReleased):
            asyncio.get_running_loop().call_soon(self._send_if_live, event.call)

    def _send_if_live(self, call_sid: str) -> None:
        call = self._switchboard.live(call_sid)
        if call is not None:
            self._send(call)

    def _send(self, call: Call) -> bool:
        """Redirect a call that waits and has not been sent yet; tells whether it was."""
        url = self._url_for(call)
        if call.over or not url:
            return False
        call.state.evacuated = True
        self._services.queues.leave(CallSid(call.sid), LeaveReason.REDIRECTED)
        call.interrupt(Redirected(target=Target(url=url)))
        return True

    def _url_for(self, call: Call) -> str:
        member = self._services.queues.member(CallSid(call.sid))
        if member is None or member.hold is not None or call.state.evacuated:
            return ""
        queue = self._services.store.image.queues.get(member.queue)
        return (queue.drain_url if queue is not None else "") or self._services.config.drain_url
