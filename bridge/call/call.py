"""A call: what verbs act on.

It has state (plain data), a leg (SIP and media), keys, an account, and an ear for interruptions. Verbs ask it to be answered, to play, to
wait for keys; the attendant runs it; the switchboard finds it for REST. It knows nothing of XML.

Interruptions: ``interrupt`` may be called at any time by anybody; the one that runs the call's work does so in ``interruptible``, which
cancels the work and hands the interruption over. An ``Ended`` is final and outranks everything that comes with it.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from waitline.bridge.call import callbacks, interruption, notifications, parameters, webhook_log
from waitline.bridge.call.digits import DigitBuffer
from waitline.bridge.call.interruption import Ended, Interruption, Redirected
from waitline.bridge.call.leg import Leg
from waitline.bridge.call.services import Services
from waitline.bridge.call.sound import Program, Sound
from waitline.bridge.call.state import CallState, CallStatus, Departure, Script, Target
from waitline.bridge.events import MemberLeft
from waitline.bridge.net.endpoint import SipEndpoint
from waitline.bridge.sids import CallSid
from waitline.bridge.sip.flow import Flow
from waitline.bridge.store.records import Account, CallRecord
from waitline.bridge.webhook.client import WebhookReply, WebhookRequest
from waitline.errors import Refused, WebhookError

if TYPE_CHECKING:
    from waitline.bridge.call.conversation import Conversation

Result = TypeVar("Result")

_TOKENS = uuid.UUID("1f0b0d3c-7a38-4d0e-9b39-3f5f0a5c7e11")
"""The namespace of idempotency tokens."""

log = structlog.get_logger(__name__)


class Call:
    """One live call of one account."""

    def __init__(self, state: CallState, services: Services, endpoint: SipEndpoint, flow: Flow) -> None:
        self.state = state
        self.services = services
        self.digits = DigitBuffer()
        self.leg = Leg(state, services, endpoint, flow, on_end=self.interrupt, on_digit=self._on_digit, on_change=self.touch)
        self.offers: asyncio.Queue[Conversation] = asyncio.Queue()
        """Conversations that somebody who dequeued this call offers it."""
        self.revived: Conversation | None = None
        """The conversation it was in when a control process before this one ended."""
        self.interruption: Interruption | None = None
        """What cancelled the work that is being cancelled, for its ``finally``."""
        self.forgotten = False
        """Whether it is kept no more, since it is over."""
        self._work: asyncio.Task[Any] | None = None
        """The task that runs interruptible work, until that is broken off"""
        self._breaker: asyncio.Handle | None = None
        self._limits: dict[str, asyncio.TimerHandle] = {}

    @property
    def sid(self) -> str:
        return self.state.sid

    @property
    def account(self) -> Account:
        """The owner as it is now (a token may have been rotated)."""
        account = self.services.store.image.accounts.get(self.state.account_sid)
        assert account is not None, "an account is closed, never deleted"
        return account

    @property
    def sound(self) -> Sound:
        return self.leg.sound

    @property
    def over(self) -> bool:
        return isinstance(self.interruption, Ended)

    @property
    def left(self) -> Departure | None:
        """How it left the queue it was in last, until its Enqueue has told."""
        return self.state.left

    @left.setter
    def left(self, departure: Departure | MemberLeft | None) -> None:
        self.state.left = (
            None if departure is None else Departure(reason=departure.reason, waited_s=departure.waited_s, resumed=departure.resumed)
        )
        self.touch()

    def answer(self) -> None:
        """Pick up, if nobody has."""
        if not self.leg.answered:
            self._lift("ringing")
            self.leg.answer()
            self.record()

    def interrupt(self, what: Interruption) -> None:
        """End what runs; an end outranks a redirection, and the first end counts. A place in a queue is given up at once.

        What is to happen is kept until it has been heeded.
        """
        if isinstance(self.interruption, Ended):
            return
        self.interruption = what
        self.state.interruption = interruption.to_plain(what)
        self.touch()
        if isinstance(what, Ended):  # now, not when the work has been cancelled: until then an agent could claim it
            self.services.queues.leave(CallSid(self.sid), what.leaves_as, dropped_s=what.dropped_s)
        self._break_off_soon()

    def revive(self, digits: str) -> Ended | None:
        """Take up what a control process before this one kept: keys that nobody took, cookies, a redirection, which is to be heeded now.

        Returns the end that is to be heeded when the queues have been restored.
        """
        for digit in digits:
            self.digits.put(digit)
        self.services.webhooks.restore_cookies(self.sid, self.state.cookies)
        pending = interruption.from_plain(self.state.interruption)
        if isinstance(pending, Redirected):
            self.interrupt(pending)
        return pending if isinstance(pending, Ended) else None

    async def unless_interrupted(self) -> None:
        """Begin nothing where an interruption is about to be heard: it cancels who waits here."""
        if self.interruption is not None:
            await asyncio.Event().wait()

    def go_to(self, here: Target | Script) -> None:
        """Note what runs from now on; an interruption that led here has been heeded by that."""
        self.state.script, self.state.here = (here, None) if isinstance(here, Script) else (None, here)
        self.state.interruption = interruption.to_plain(self.interruption)
        self.touch()

    def limit_ringing(self, seconds: float) -> None:
        """End the call (480) where nobody has answered it in so many seconds."""
        self._limit("ringing", seconds, Ended(status=CallStatus.NO_ANSWER, reason="ringing-timeout", by_peer=False))

    def limit_time(self, seconds: int) -> None:
        """End the call so many seconds after its answer, or after now where nobody has answered. 0: no limit."""
        self._lift("time")
        self.state.time_limit_s = seconds
        self.touch()
        if seconds:
            talked_s = self.state.talked_s(self.services.clock)
            self._limit("time", seconds - talked_s, Ended(status=CallStatus.COMPLETED, reason="time-limit", by_peer=False))

    def lift_limits(self) -> None:
        """The call is over: nothing needs to end it."""
        for name in tuple(self._limits):
            self._lift(name)

    def _limit(self, name: str, seconds: float, end: Ended) -> None:
        self._limits[name] = asyncio.get_running_loop().call_later(max(0.0, seconds), self.interrupt, end)

    def _lift(self, name: str) -> None:
        if (timer := self._limits.pop(name, None)) is not None:
            timer.cancel()

    async def interruptible(self, work: Coroutine[Any, Any, Result], *, begun: bool = False) -> Result | Interruption:
        """Run ``work`` to its end or to an interruption; in both cases it is over when this returns.

        It runs in the caller's task, as under ``asyncio.timeout``: a task of its own, and one more to listen, cost every call more than
        most of its verbs. ``begun``: by a control process before this one, so that it has to be broken off in any case, to settle what it
        left.
        """
        if self.interruption is not None and not begun:  # while nobody listened: what is not begun need not be broken off
            work.close()
            return self._take_interruption()
        task = self._work = asyncio.current_task()
        assert task is not None
        if self.interruption is not None:
            self._break_off_soon()
        try:
            result = await work
        except asyncio.CancelledError:
            if not self._is_broken_off(task):
                raise
        except Refused:
            if not self.over:  # a wait for sound that ends with its lost leg is how the call's end looks from there
                raise
        else:
            if self.interruption is None:
                return result
        finally:
            self._settle_down(task)
        return self._take_interruption()

    def _break_off_soon(self) -> None:
        """Cancel the work, but not from within: what it does in this turn, it may do to its next wait."""
        if self._work is not None and self._breaker is None:
            self._breaker = asyncio.get_running_loop().call_soon(self._break_off, self._work)

    def _break_off(self, work: asyncio.Task[Any]) -> None:
        self._work = None
        work.cancel()

    def _is_broken_off(self, task: asyncio.Task[Any]) -> bool:
        """Whether a cancellation is by an interruption, and by nobody else besides."""
        return self._work is None and self._breaker is not None and task.cancelling() == 1

    def _settle_down(self, task: asyncio.Task[Any]) -> None:
        """No work runs any more."""
        if self._breaker is not None:
            self._breaker.cancel()
            if self._work is None:
                task.uncancel()
        self._work = self._breaker = None

    def _take_interruption(self) -> Interruption:
        what = self.interruption
        assert what is not None
        if isinstance(what, Redirected):
            self.interruption = None
        return what

    # What the outside is told

    def variables(self, extra: parameters.Parameters = (), *, status: CallStatus | None = None) -> parameters.Parameters:
        """The standard parameters and ``extra``."""
        return parameters.standard(self.state, status=status) + extra

    def tokened(self, target: Target) -> Target:
        """The target with a token, by which the tenant can tell a repetition.

        It follows from the call and the number of its requests: a control process that goes on from before the request, because that was
        not kept yet, makes the same again.
        """
        self.state.requests += 1
        self.touch()
        return replace(target, token=str(uuid.uuid5(_TOKENS, f"{self.sid} {self.state.requests} {target.url}")))

    def _keep_cookies(self) -> None:
        cookies = self.services.webhooks.cookies_to_plain(self.sid)
        if cookies != self.state.cookies:
            self.state.cookies = cookies
            self.touch()

    def _on_digit(self, digit: str) -> None:
        self.digits.put(digit)
        self.touch()

    async def ask(self, target: Target, *, status: CallStatus | None = None) -> WebhookReply:
        """Request a URL of the tenant's with the standard parameters and the target's own, and log it. Raises WebhookError."""
        account, clock = self.account, self.services.clock
        request = WebhookRequest(
            url=target.url,
            method=target.method,
            params=self.variables(target.params, status=status),
            account_sid=account.sid,
            auth_token=account.auth_token,
            call_sid=self.sid,
            token=target.token or self.tokened(target).token,
        )
        await self.kept()  # what led here, and the token: else a later control could ask the same under another one
        begun = clock.now()
        try:
            reply = await self.services.webhooks.fetch(request)
            self._keep_cookies()
        except WebhookError as error:
            webhook_log.failed(self.services, request, error, clock.now() - begun)
            raise
        webhook_log.answered(self.services, request, reply)
        return reply

    def notify_later(self, target: Target, *, status: CallStatus | None = None) -> None:
        """Request a URL whose reply nobody needs (an action of a call that is gone), in the background, at least once."""
        full = replace(target if target.token else self.tokened(target), params=self.variables(target.params, status=status))
        callbacks.send(self.services, account_sid=self.state.account_sid, call_sid=self.sid, target=full)

    def problem(self, code: int, message: str, *, log: int = notifications.ERROR, target: Target | None = None, body: str = "") -> None:
        """Write a Notification about this call."""
        notifications.write(
            self.services,
            account_sid=self.state.account_sid,
            call_sid=self.sid,
            code=code,
            message=message,
            log=log,
            url=target.url if target else "",
            method=target.method if target else "",
            variables=self.variables(target.params) if target else (),
            response_body=body,
        )

    def warning(self, code: int, message: str, *, target: Target | None = None) -> None:
        self.problem(code, message, log=notifications.WARNING, target=target)

    def touch(self) -> None:
        """Something changed that is needed to go on with the call: keep it."""
        self.services.keeper.touch(self)

    def record(self) -> None:
        """Write the call's row as it stands; durable with the next group of writes."""
        self.touch()
        self.services.store.append(record_of(self.state, self.services))

    async def kept(self) -> None:
        """Wait until what was written so far survives; a store that cannot now has it, tries again, and must not cost a caller its call."""
        await self.services.keeper.kept()

    # Sound

    async def play(self, program: Program) -> None:
        """Play a program to its end."""
        await self.sound.through(self.sound.start(program))


def record_of(state: CallState, services: Services) -> CallRecord:
    """The row that REST shows for a call in that state."""
    duration = round(state.talked_s(services.clock)) if state.ended_at else None
    return CallRecord(
        sid=state.sid,
        account_sid=state.account_sid,
        parent_call_sid=state.parent_call_sid,
        to=state.to,
        from_=state.from_,
        phone_number_sid=state.phone_number_sid,
        status=state.status.value,
        direction=state.direction,
        start_time=state.answered_at or state.created_at,
        end_time=state.ended_at,
        duration_s=duration,
        end_reason=state.end_reason,
        forwarded_from=state.forwarded_from,
        caller_name=state.caller_name,
        sip_call_id=state.sip.call_id,
        date_created=state.created_at,
        date_updated=services.clock.utc(),
    )
