"""<Dial> with a Queue: this call takes the first caller of a queue, waiting for one to come, and talks to it (platform contract 2.4).

The place of the caller is claimed, not taken: it is the caller's until the worker reports the bridge. If the caller is gone before that,
this call waits on for the next one with the ticket it has, at its own place among the waiting agents, within the same timeout.

Progress: ``queue``; ``ticket`` among the waiting agents; ``until`` (seconds, monotonic) when it gives up; ``rings`` while the ringing tone
is heard; then what the action is told: ``result``, ``status``, ``caller``, ``caller_waited_s``, ``talked_s``; ``told`` where it has been
told, as the call was interrupted.
"""

from __future__ import annotations

import asyncio

from waitline.bridge.call.call import Call
from waitline.bridge.call.conversation import Conversation, Why
from waitline.bridge.call.interruption import Ended
from waitline.bridge.call.parameters import Parameters
from waitline.bridge.call.race import first_of
from waitline.bridge.call.sound import Program
from waitline.bridge.call.state import CallStatus, Progress, Target
from waitline.bridge.events import LeaveReason
from waitline.bridge.instructions.outcomes import Continue, GoTo, Next
from waitline.bridge.instructions.run.waiting import hold_on
from waitline.bridge.instructions.scope import Scope
from waitline.bridge.instructions.verbs import Dial, QueueNoun
from waitline.bridge.queues.authority import Claim, QueueDeleted
from waitline.bridge.sids import CallSid, QueueSid

NOT_AVAILABLE = 13223


async def run(verb: Dial, call: Call, progress: Progress, scope: Scope) -> Next:
    if not verb.answer_on_bridge:
        call.answer()
    if "result" not in progress:
        await _dial(verb, call, progress)
    if progress.get("told"):
        await call.unless_interrupted()
    call.answer()  # answerOnBridge and nobody came: what follows wants to be heard
    if verb.action is None:
        return Continue()
    if progress.get("caller"):
        hold_on(call)
    return GoTo(_action(verb, progress))


async def _dial(verb: Dial, call: Call, progress: Progress) -> None:
    if verb.queue is None:
        call.problem(NOT_AVAILABLE, "<Dial>: only <Queue> can be dialled")
        _settle(progress, "", "failed")
        return
    if verb.fault or verb.queue.fault:
        _settle(progress, "queue-not-found", "failed")
        return
    queue = call.services.directory.find(call.state.account_sid, verb.queue.queue)
    if queue is None:
        call.warning(14212, f"<Dial><Queue>: this account has no queue {verb.queue.queue}")
        _settle(progress, "queue-not-found", "failed")
        return
    progress["queue"] = queue.sid
    await _take_from_queue(verb, verb.queue, call, progress)


async def _take_from_queue(verb: Dial, noun: QueueNoun, call: Call, progress: Progress) -> None:
    now = call.services.clock.now()
    progress.setdefault("ticket", call.services.queues.new_ticket())
    progress.setdefault("until", now + verb.timeout_s)
    call.touch()
    conversation: Conversation | None = None
    try:
        while True:
            conversation, call.revived = call.revived, None
            await call.unless_interrupted()
            if conversation is None:
                _ring(verb, call, progress)
                conversation = await _claim(noun, call, progress)
            if conversation is None:
                return
            progress.pop("rings", None)
            await _talk(verb, call, conversation)
            if conversation.was_bridged:
                _keep(progress, conversation)
                return
    except asyncio.CancelledError:
        _cut_short(verb, call, progress, conversation)
        raise


async def _claim(noun: QueueNoun, call: Call, progress: Progress) -> Conversation | None:
    """Wait for a caller; None when the time is over or the queue is gone."""
    queues = call.services.queues
    left_s = progress["until"] - call.services.clock.now()
    try:
        async with asyncio.timeout(left_s):
            while left_s > 0:  # else a caller who is there would be claimed before the deadline is looked at
                claim = await queues.claim(QueueSid(progress["queue"]), by=CallSid(call.sid), ticket=progress["ticket"])
                conversation = _offer(noun, call, claim)
                if conversation is not None:
                    return conversation
    except TimeoutError:
        pass  # nobody came
    except QueueDeleted:
        _settle(progress, "queue-not-found", "failed")
        return None
    _settle(progress, "queue-empty", "no-answer")
    return None


def _offer(noun: QueueNoun, call: Call, claim: Claim) -> Conversation | None:
    caller = call.services.calls.live(claim.call)
    if caller is None:  # cannot be; given back it would be claimed again at once, for ever
        call.services.queues.leave(claim.call, LeaveReason.SYSTEM_ERROR)
        return None
    whisper = Target(url=noun.url, method=noun.method) if noun.url else None
    conversation = Conversation(claim=claim, agent=call, caller=caller, whisper=whisper)
    caller.offers.put_nowait(conversation)
    return conversation


async def _talk(verb: Dial, call: Call, conversation: Conversation) -> None:
    """Until the conversation is over, by whichever side, the star key or the time limit."""
    if conversation.times.bridged_at is None and not await _join_up(call, conversation):
        return
    talked_s = call.services.clock.now() - (conversation.times.bridged_at or 0.0)
    try:
        async with asyncio.timeout(max(0.0, verb.time_limit_s - talked_s)):
            winner, _ = await first_of(conversation.wait_over(), _star(call, wanted=verb.hangup_on_star))
    except TimeoutError:
        conversation.end(Why.TIME_LIMIT)
        return
    if winner == 1:
        conversation.end(Why.STAR)


async def _join_up(call: Call, conversation: Conversation) -> bool:
    """From the claim to the bridge; False where it did not come to that."""
    if not await conversation.wait_ready():
        return False
    call.answer()
    if not await conversation.bridge():
        return False
    await call.kept()
    return True


async def _star(call: Call, *, wanted: bool) -> None:
    while await call.digits.get() != "*" or not wanted:
        pass  # other keys belong to nobody here


def _ring(verb: Dial, call: Call, progress: Progress) -> None:
    """The ringing tone that the one who dials hears until the bridge; it goes on by itself."""
    if call.leg.answered and not progress.get("rings"):
        progress["rings"] = True
        call.touch()
        call.sound.start(Program(segments=(call.services.clips.ringing(verb.ring_tone).segment(0),), report_after=0))


def _settle(progress: Progress, result: str, status: str) -> None:
    progress["result"], progress["status"] = result, status


def _keep(progress: Progress, conversation: Conversation) -> None:
    """Keep for the action whom it got and for how long."""
    _settle(progress, "bridged", "completed")
    progress["caller"] = conversation.caller.sid
    progress["caller_waited_s"] = int(conversation.waited_s)
    progress["talked_s"] = conversation.times.talked_s


def _cut_short(verb: Dial, call: Call, progress: Progress, conversation: Conversation | None) -> None:
    """The dialling call was interrupted: give the caller back or end the talk; where it hung up, its action is asked all the same."""
    if call.interruption is None:
        return  # the process ends, not the call
    _settle(progress, "hangup", "canceled")
    if conversation is not None:
        conversation.end(Why.AGENT_GONE if isinstance(call.interruption, Ended) else Why.AGENT_REDIRECTED)
        if conversation.was_bridged:
            _keep(progress, conversation)
    progress["told"] = True
    if verb.action is not None and isinstance(call.interruption, Ended):
        call.notify_later(_action(verb, progress), status=CallStatus.COMPLETED)


def _action(verb: Dial, progress: Progress) -> Target:
    assert verb.action is not None
    return Target(url=verb.action, method=verb.method, params=_results(progress), owed=True)


def _results(progress: Progress) -> Parameters:
    pairs: list[tuple[str, str]] = [("DialCallStatus", progress.get("status", "canceled"))]
    if progress.get("caller"):
        pairs += [
            ("DialCallSid", progress["caller"]),
            ("DialCallDuration", str(progress["talked_s"])),
            ("DequeuedCallSid", progress["caller"]),
            ("DequeuedCallQueueTime", str(progress["caller_waited_s"])),
            ("DequeuedCallDuration", str(progress["talked_s"])),
        ]
    pairs.append(("DialBridged", "true" if progress.get("caller") else "false"))
    if progress.get("queue"):
        pairs.append(("QueueSid", progress["queue"]))
    if progress["result"]:
        pairs.append(("DequeueResult", progress["result"]))
    return tuple(pairs)
