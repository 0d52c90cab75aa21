"""<Enqueue>: the heart. The call takes a place in a queue and hears its wait application until somebody dequeues it.

::

    join ─► wait ──offered a conversation──► whisper ─► bridged ─► over
     │       ▲ │                                │
     │       └─┼──── the other side is gone ────┘      (same place, same time)
     │         └── Leave, Hangup, application lost, waited too long
     └── full, faulty, unknown

Whatever ends it has one QueueResult, which ``action`` is told; where the call is gone or runs something else already, the action is asked
all the same and its reply ignored (platform contract 2.2). A cancellation (hang-up, REST) is judged by what interrupted the call.

A caller whose line dropped while it waited, and who called again in time, gets the place it had, with its time (``queues.places``):
position, QueueTime and maxWaitTime go on from there, and the tenant is told ``QueueResumed``.

Progress: ``queue`` the queue's sid once joined; ``wait`` the wait state's own progress; ``result``, ``waited_s`` and ``resumed`` when it
is decided; ``told`` where the action was told of that although something else came between.
"""

from __future__ import annotations

import asyncio

import structlog

from waitline.bridge.call.call import Call
from waitline.bridge.call.caller_id import is_withheld
from waitline.bridge.call.conversation import Conversation, Why
from waitline.bridge.call.interruption import Interruption, Redirected
from waitline.bridge.call.parameters import Parameters
from waitline.bridge.call.race import first_of
from waitline.bridge.call.state import CallStatus, Progress, Target
from waitline.bridge.events import LeaveReason
from waitline.bridge.instructions.outcomes import Continue, GoTo, HangUp, LeaveQueue, Next
from waitline.bridge.instructions.run.waiting import hold_on, queue_values, wait_forever
from waitline.bridge.instructions.run.whisper import hear_whisper
from waitline.bridge.instructions.scope import Scope
from waitline.bridge.instructions.verbs import Enqueue
from waitline.bridge.instructions.wait_state import WaitApplicationLost, WaitState
from waitline.bridge.queues.authority import QueueDeleted
from waitline.bridge.queues.directory import QueueNotFound
from waitline.bridge.queues.queue import Caller
from waitline.bridge.sids import AccountSid, CallSid, QueueSid
from waitline.bridge.store.errors import StoreError
from waitline.bridge.store.records import Queue
from waitline.errors import DocumentError, QueueFull

QUEUE_FULL = 14207
UNKNOWN_QUEUE = 14204

log = structlog.get_logger(__name__)


async def run(verb: Enqueue, call: Call, progress: Progress, scope: Scope) -> Next:
    call.answer()
    try:
        if "result" not in progress:
            _decide(call, progress, await _join_and_wait(verb, call, progress, scope))
            await call.kept()
        await call.unless_interrupted()
    except asyncio.CancelledError:
        _cut_short(verb, call, progress)
        raise
    return _outcome(verb, progress, call)


async def _join_and_wait(verb: Enqueue, call: Call, progress: Progress, scope: Scope) -> LeaveReason:
    if "queue" not in progress:
        refusal = await _join(verb, call, progress)
        if refusal is not None:
            return refusal
    while True:
        reason, conversation = await _wait_or_go_on(verb, call, progress, scope)
        if conversation is None:
            return reason
        progress["conversation"] = conversation.claim.id
        call.touch()
        try:
            await _converse(call, conversation, scope)
        except asyncio.CancelledError:
            conversation.end(Why.CALLER_REDIRECTED if isinstance(call.interruption, Redirected) else Why.CALLER_GONE)
            progress["was_bridged"] = conversation.was_bridged
            raise
        if conversation.was_bridged:
            return LeaveReason.BRIDGED
        progress.pop("conversation")


async def _wait_or_go_on(verb: Enqueue, call: Call, progress: Progress, scope: Scope) -> tuple[LeaveReason, Conversation | None]:
    """Wait, unless the call was in a conversation when an earlier control process ended."""
    revived, call.revived = call.revived, None
    if revived is not None:
        return LeaveReason.BRIDGED, revived
    await call.unless_interrupted()
    if call.services.queues.member(CallSid(call.sid)) is None:
        # Taken out by an interruption that is about to be heard; whatever it was, the call must not wait for ever.
        return call.left.reason if call.left else LeaveReason.SYSTEM_ERROR, None
    return await _wait(verb, call, progress, scope)


async def _join(verb: Enqueue, call: Call, progress: Progress) -> LeaveReason | None:
    """Take a place; the reason where there is none to take."""
    if verb.fault:
        return LeaveReason.ERROR
    await call.unless_interrupted()
    services = call.services
    try:
        queue = await services.directory.resolve(call.state.account_sid, verb.queue, max_size=verb.max_queue_size or None)
        _check_limit(call)
        services.queues.join(
            QueueSid(queue.sid),
            CallSid(call.sid),
            account=AccountSid(call.state.account_sid),
            max_size=queue.max_size,
            priority=verb.priority,
            caller=_caller(call, queue.resume_window_s if verb.resume_window_s is None else verb.resume_window_s),
        )
    except QueueFull as error:
        call.warning(QUEUE_FULL, f"<Enqueue> {verb.queue}: {error}")
        return LeaveReason.QUEUE_FULL
    except DocumentError as error:
        call.problem(error.code, f"<Enqueue>: {error}")
        return LeaveReason.ERROR
    except StoreError as error:
        log.error("a caller could not be enqueued", queue=verb.queue, why=str(error))
        return LeaveReason.SYSTEM_ERROR
    except (QueueNotFound, QueueDeleted) as error:
        call.problem(UNKNOWN_QUEUE, f"<Enqueue> {verb.queue}: {error}")
        return LeaveReason.ERROR
    progress["queue"] = queue.sid
    call.touch()  # the place and the call that knows of it become durable together
    await call.kept()
    return None


def _check_limit(call: Call) -> None:
    """Raise QueueFull where the account has as many members as the operator lets it have."""
    limit = call.services.config.account_members
    if limit and call.services.queues.members_of(AccountSid(call.state.account_sid)) >= limit:
        raise QueueFull(f"all queues of the account together hold the {limit} callers they may")


def _caller(call: Call, window_s: float) -> Caller | None:
    """By what its caller will be known again; None for one who does not say who it is, or whom we have called."""
    state = call.state
    if state.direction != "inbound" or is_withheld(state.from_):
        return None
    return Caller(number=state.from_, dialled=state.to, username=state.sip.username, called_at=state.created_at, window_s=window_s)


async def _wait(verb: Enqueue, call: Call, progress: Progress, scope: Scope) -> tuple[LeaveReason, Conversation | None]:
    """Wait in the queue until somebody offers a conversation, or the wait ends otherwise."""
    try:
        async with asyncio.timeout(_patience(verb, call)):
            winner, result = await first_of(call.offers.get(), _hear(verb, call, progress, scope))
    except TimeoutError:
        return LeaveReason.TIMEOUT, None
    except WaitApplicationLost:
        return LeaveReason.ERROR, None
    if winner == 0:
        progress.pop("wait", None)
        return LeaveReason.BRIDGED, result
    if isinstance(result, HangUp):
        progress["hang_up"] = True
        return LeaveReason.HANGUP, None
    return LeaveReason.LEAVE, None


def _patience(verb: Enqueue, call: Call) -> float | None:
    view = call.services.queues.view(CallSid(call.sid))
    return max(0.0, verb.max_wait_s - view.wait_s) if verb.max_wait_s and view else None


async def _hear(verb: Enqueue, call: Call, progress: Progress, scope: Scope) -> LeaveQueue | HangUp:
    """The wait application; the platform's own music, or silence, where the tenant wants none."""
    if not verb.wait_url:
        return await wait_forever(call, progress.setdefault("wait", {}), silent=verb.wait_url == "")
    queue = _queue(call, progress)
    retry_s = queue.wait_retry_s or call.services.config.wait_retry_s
    wait = Target(url=verb.wait_url, method=verb.wait_url_method)
    state = WaitState(
        call, scope.interpreter, wait, lambda: queue_values(call, _queue(call, progress)), progress.setdefault("wait", {}), retry_s
    )
    return await state.run()


async def _converse(call: Call, conversation: Conversation, scope: Scope) -> None:
    """From the claim to the end: a whisper if the other side wants one, the bridge, the talk."""
    if conversation.whisper is not None:
        await first_of(hear_whisper(call, conversation, scope.interpreter), conversation.wait_over())
    conversation.caller_is_ready()
    await conversation.wait_over()


def _queue(call: Call, progress: Progress) -> Queue:
    queue = call.services.store.image.queues.get(progress["queue"])
    assert queue is not None, "a queue with seats is never deleted"
    return queue


# The end


def _cut_short(verb: Enqueue, call: Call, progress: Progress) -> None:
    """The call was interrupted: settle the place, and tell the action URL without using its reply."""
    if call.interruption is None or progress.get("told"):
        return  # the process ends, not the call; or one before this one came as far
    if "result" not in progress:
        _decide(call, progress, _reason_cut_short(progress, call.interruption))
    progress["told"] = True
    if verb.action is not None:
        call.notify_later(_action(verb, progress), status=None if isinstance(call.interruption, Redirected) else CallStatus.COMPLETED)


def _reason_cut_short(progress: Progress, interruption: Interruption) -> LeaveReason:
    if "queue" not in progress:
        return LeaveReason.SYSTEM_ERROR  # it was on its way in
    was_bridged = progress.pop("was_bridged", False)
    if isinstance(interruption, Redirected):
        return LeaveReason.REDIRECTED_FROM_BRIDGED if was_bridged else LeaveReason.REDIRECTED
    return LeaveReason.BRIDGED if was_bridged else interruption.leaves_as


def _decide(call: Call, progress: Progress, reason: LeaveReason) -> None:
    """Leave the queue, unless that has happened, and keep result and wait for the action."""
    left = call.services.queues.leave(CallSid(call.sid), reason) or call.left
    if left is not None and "queue" in progress:
        progress["waited_s"], progress["resumed"] = left.waited_s, left.resumed
        if left.reason is LeaveReason.BRIDGING_IN_PROCESS:
            reason = left.reason
    progress["result"] = reason.value
    call.left = None


def _action(verb: Enqueue, progress: Progress) -> Target:
    assert verb.action is not None
    return Target(url=verb.action, method=verb.method, params=_results(progress), owed=True)


def _results(progress: Progress) -> Parameters:
    result: Parameters = (("QueueResult", progress["result"]),)
    if "queue" not in progress:
        return result
    resumed = (("QueueResumed", "true"),) if progress.get("resumed") else ()
    return (*result, ("QueueSid", progress["queue"]), ("QueueTime", str(int(progress.get("waited_s", 0)))), *resumed)


def _outcome(verb: Enqueue, progress: Progress, call: Call) -> Next:
    if progress.get("hang_up"):
        progress["told"] = True
        if verb.action is not None:
            call.notify_later(_action(verb, progress), status=CallStatus.COMPLETED)
        return HangUp(reason="wait-document-said-hangup")
    if verb.action is None:
        return Continue()
    if progress["result"] == LeaveReason.BRIDGED.value:
        hold_on(call)
    return GoTo(_action(verb, progress))
