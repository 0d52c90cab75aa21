"""<Gather>: keys from the caller, with sounds that the first key cuts off (platform contract 3.2).

Keys count from the moment the verb begins, sounds or no sounds; ``timeout`` runs from the end of the sounds and anew from each key. What
finishes it: ``numDigits`` keys, a key of ``finishOnKey`` (which is not part of Digits), or the timeout. With keys, or where an empty
result is wanted, the action is asked; without, the document goes on.

Progress: ``sounds`` the nested verbs as a script of their own; ``digits`` so far; ``until`` (seconds, monotonic) the next key is awaited;
``done`` when no more are.
"""

from __future__ import annotations

import asyncio

from waitline.bridge.call.call import Call
from waitline.bridge.call.race import first_of
from waitline.bridge.call.state import Progress, Script
from waitline.bridge.instructions.contexts import Context
from waitline.bridge.instructions.document import Document
from waitline.bridge.instructions.outcomes import Continue, GoTo, Next
from waitline.bridge.instructions.scope import Scope
from waitline.bridge.instructions.verbs import Gather


async def run(verb: Gather, call: Call, progress: Progress, scope: Scope) -> Next:
    call.answer()
    progress.setdefault("digits", "")
    if not progress.get("done"):
        await _collect(verb, call, progress, scope)
        progress["done"] = True
    digits = progress["digits"]
    if not digits and not verb.action_on_empty_result:
        return Continue()
    return GoTo(scope.target(verb.action, verb.method, ("Digits", digits)))


async def _collect(verb: Gather, call: Call, progress: Progress, scope: Scope) -> None:
    if "until" not in progress:
        await _hear_or_be_interrupted(verb, call, progress, scope)
    while await _key_in_time(call, progress["until"]):
        key = call.digits.take()
        if key in verb.finish_on_key:
            return
        progress["digits"] += key
        _await_next(verb, call, progress)
        if verb.num_digits and len(progress["digits"]) >= verb.num_digits:
            return


async def _hear_or_be_interrupted(verb: Gather, call: Call, progress: Progress, scope: Scope) -> None:
    """The nested sounds, to their end or to the first key."""
    if verb.children:
        winner, _ = await first_of(call.digits.arrived(), _sounds(verb, call, progress, scope))
        if winner == 0:
            scope.hush(call)
    elif scope.context is Context.MAIN:  # a queue's music may go on; what a redirected call heard before may not
        call.sound.stop()
    _await_next(verb, call, progress)


def _await_next(verb: Gather, call: Call, progress: Progress) -> None:
    progress["until"] = call.services.clock.now() + verb.timeout_s
    call.touch()


async def _key_in_time(call: Call, until: float) -> bool:
    try:
        async with asyncio.timeout(max(0.0, until - call.services.clock.now())):
            await call.digits.arrived()
    except TimeoutError:
        return False
    return True


async def _sounds(verb: Gather, call: Call, progress: Progress, scope: Scope) -> None:
    """Play what is nested, one after the other."""
    nested = progress.setdefault("sounds", Script(document=Document(verbs=verb.children, url=scope.url).to_plain(), url=scope.url))
    if isinstance(nested, dict):  # a plain record where another control process wrote it
        nested = progress["sounds"] = Script.from_plain(nested)
    await scope.interpreter.run(call, nested, scope.within())
