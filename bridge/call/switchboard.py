"""All live calls by identifier, and what REST may do to one.

Nothing here waits for a call: an operation decides at once (is it live, is it the front of its queue), interrupts the call, and returns
when that is kept, so that a control process that goes on does it too; what the interruption sets in motion is the call's own business.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Literal, Protocol

from waitline.bridge.call.call import Call
from waitline.bridge.call.interruption import Ended, Interruption, Redirected
from waitline.bridge.call.state import CallStatus, Target
from waitline.bridge.events import LeaveReason, MemberLeft, QueueEvent
from waitline.bridge.queues.authority import QueueAuthority
from waitline.bridge.queues.queue import MemberView
from waitline.bridge.sids import CallSid, QueueSid
from waitline.errors import ApiError


class Changes(Protocol):
    """What a tenant may change of a live call beside its document; None leaves it."""

    @property
    def fallback_url(self) -> str | None: ...
    @property
    def fallback_method(self) -> str | None: ...
    @property
    def status_callback(self) -> str | None: ...
    @property
    def status_callback_method(self) -> str | None: ...
    @property
    def time_limit_s(self) -> int | None: ...


class Switchboard:
    """The registry of live calls."""

    def __init__(self, queues: QueueAuthority, *, check: Callable[[str], None]) -> None:
        self._queues = queues
        self._check = check  # raises DocumentError for an inline document that cannot be run
        self._calls: dict[str, Call] = {}
        self._dialogs: dict[str, Call] = {}
        self._accounts: Counter[str] = Counter()

    def add(self, call: Call) -> None:
        self._calls[call.sid] = call
        self._accounts[call.state.account_sid] += 1
        self._dialogs[call.state.sip.dialog] = call

    def remove(self, call: Call) -> None:
        if self._calls.pop(call.sid, None) is not None:
            self._accounts[call.state.account_sid] -= 1
        self._dialogs.pop(call.state.sip.dialog, None)

    def count_of(self, account_sid: str) -> int:
        """How many calls of an account there are, live or ending."""
        return self._accounts.get(account_sid, 0)

    def of_sid(self, call_sid: str) -> Call | None:
        """The call, live or ending."""
        return self._calls.get(call_sid)

    def of_dialog(self, dialog: str) -> Call | None:
        """The call whose leg has that dialog."""
        return self._dialogs.get(dialog)

    def live(self, call_sid: str) -> Call | None:
        """The call, while it can still be acted on."""
        call = self._calls.get(call_sid)
        return None if call is None or call.over else call

    def on_queue_event(self, event: QueueEvent) -> None:
        """Keep for a call that left its queue how it left: its Enqueue tells the tenant."""
        call = self._calls.get(event.call)
        if call is not None and isinstance(event, MemberLeft):
            call.left = event

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[Call]:
        return iter(list(self._calls.values()))

    async def redirect(self, call_sid: str, *, url: str, method: str) -> None:
        """Run the document at ``url`` on the call. Raises ApiError 21220 where it is not in progress."""
        await self._interrupt(call_sid, Redirected(target=Target(url=url, method=method)))

    async def run_document(self, call_sid: str, twiml: str) -> None:
        """Run an inline document on the call. Raises DocumentError where it cannot be run, ApiError 21220 where the call is not live."""
        self._check(twiml)
        await self._interrupt(call_sid, Redirected(inline=twiml))

    async def adjust(self, call_sid: str, changes: Changes) -> None:
        """Change what outlives the call's document. Raises ApiError 21220 where it is not live."""
        call = self.live(call_sid)
        if call is None:
            raise not_in_progress()
        application = call.state.application
        application.fallback_url = application.fallback_url if changes.fallback_url is None else changes.fallback_url
        application.fallback_method = changes.fallback_method or application.fallback_method
        application.status_callback = application.status_callback if changes.status_callback is None else changes.status_callback
        application.status_callback_method = changes.status_callback_method or application.status_callback_method
        if changes.time_limit_s is not None:
            call.limit_time(changes.time_limit_s)
        call.touch()
        await call.kept()

    async def hangup(self, call_sid: str) -> None:
        """End the call. Raises ApiError 21220 where it is not live."""
        await self._interrupt(call_sid, Ended(status=CallStatus.COMPLETED, reason="ended-by-tenant", by_peer=False))

    async def dequeue(self, queue_sid: str, call_sid: str | Literal["Front"], *, url: str, method: str) -> MemberView:
        """Take a member out of its queue and run ``url`` on its call; returns the member as it was. Raises ApiError 20404."""
        view = self.member(queue_sid, call_sid)
        await self.redirect(view.member.call, url=url, method=method)
        return view

    def member(self, queue_sid: str, call_sid: str | Literal["Front"]) -> MemberView:
        """The member as it is now; a CLAIMED one is found by its CallSid, with position 0. Raises ApiError 20404."""
        found = self._queues.front(QueueSid(queue_sid)) if call_sid == "Front" else self._queues.view(CallSid(call_sid))
        if found is None or found.member.queue != queue_sid:
            raise ApiError(f"No member {call_sid} is waiting in queue {queue_sid}", status=404, code=20404)
        return found

    async def _interrupt(self, call_sid: str, interruption: Interruption) -> None:
        call = self.live(call_sid)
        if call is None:
            raise not_in_progress()
        # The place is given up now, not when the call's task has run: the next REST request must already see it.
        reason = LeaveReason.HANGUP if isinstance(interruption, Ended) else LeaveReason.REDIRECTED
        self._queues.leave(CallSid(call_sid), reason)
        call.interrupt(interruption)
        await call.kept()


def not_in_progress() -> ApiError:
    return ApiError("Call is not in-progress. Cannot redirect.", status=400, code=21220)
