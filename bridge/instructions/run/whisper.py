"""The whisper: a short document of the one who dequeues, heard by the caller alone before the bridge (platform contract 2.4).

It must not cost anybody the conversation: a whisper that cannot be had within ``whisper_timeout_s`` is left out, and the tenant told.
"""

from __future__ import annotations

import asyncio

from waitline.bridge.call.call import Call
from waitline.bridge.call.conversation import Conversation
from waitline.bridge.call.state import Script, Target
from waitline.bridge.instructions import fetching
from waitline.bridge.instructions.contexts import Context
from waitline.bridge.instructions.fetching import DocumentFailure
from waitline.bridge.instructions.outcomes import GoTo
from waitline.bridge.instructions.scope import Engine, Scope

READ_TIMEOUT = 11200


async def hear_whisper(call: Call, conversation: Conversation, interpreter: Engine) -> None:
    """Run the whisper document and those it redirects to, to the end of the last."""
    target = conversation.whisper
    while target is not None:
        script = await _fetch(call, conversation, target)
        if script is None:
            return
        outcome = await interpreter.run(call, script, Scope(interpreter=interpreter, context=Context.WHISPER, url=script.url))
        target = outcome.target if isinstance(outcome, GoTo) else None


async def _fetch(call: Call, conversation: Conversation, target: Target) -> Script | None:
    asked = Target(url=target.url, method=target.method, params=(*target.params, *_values(call, conversation)))
    limit_s = call.services.config.whisper_timeout_s
    try:
        async with asyncio.timeout(limit_s):
            return await fetching.fetch(call, asked, Context.WHISPER)
    except DocumentFailure as failure:
        fetching.tell(call, failure)
    except TimeoutError:
        call.problem(READ_TIMEOUT, f"the whisper did not come within {limit_s:g} s; bridged without it", target=asked)
    return None


def _values(call: Call, conversation: Conversation) -> tuple[tuple[str, str], ...]:
    waited_s = conversation.claim.member.waited_s(call.services.clock.now())
    return (
        ("QueueSid", conversation.claim.queue),
        ("QueueTime", str(int(waited_s))),
        ("DequeingCallSid", conversation.agent.sid),
    )
