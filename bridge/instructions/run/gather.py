"""<Gather>: keys from the caller, with sounds that the first key cuts off (platform contract 3.2).

Keys count from the moment the verb begins, sounds or no sounds; ``timeout`` runs from the end of the sounds and anew from each key. What
finishes it: ``numDigits`` keys, a key of ``finishOnKey`` (which is not part of Digits), or the timeout. With keys, or where an empty
result is wanted, the action is asked; without, the document goes on.

Progress: ``digits`` so far; ``child`` the index of the sound that plays and ``sound`` its own progress; ``done`` when no more are awaited.
"""

from __future__ import annotations

import asyncio

from waitline.bridge.call.call import Call
from waitline.bridge.call.race import first_of
from waitline.bridge.call.state import Progress
from waitline.bridge.instructions.outcomes import Continue, GoTo, Next
from waitline.bridge.instructions.scope import Scope
from waitline.bridge.instructions.verbs import Gather

NO_RECOGNISER = 13335


async def run(verb: Gather, call: Call, progress: Progress, scope: Scope) -> Next:
    call.answer()
    if "dtmf" not in verb.input:
        call.warning(NO_RECOGNISER, "<Gather>: speech is not available here; keys are taken")
    progress.setdefault("digits", "")
    if not progress.get("done"):
        await _collect(verb, call, progress, scope)
        progress["done"] = True
    digits = progress["digits"]
    if not digits and not verb.action_on_empty_result:
        return Continue()
    return GoTo(scope.target(verb.action, verb.method, ("Digits", digits)))


async def _collect(verb: Gather, call: Call, progress: Progress, scope: Scope) -> None:
    if not progress["digits"]:
        winner, first = await first_of(call.digits.get(), _sounds(verb, call, progress, scope))
        if winner == 0:
            scope.hush(call)
            if _finished_by(verb, call, progress, first):
                return
    while True:
        try:
            async with asyncio.timeout(verb.timeout_s):
                key = await call.digits.get()
        except TimeoutError:
            return
        if _finished_by(verb, call, progress, key):
            return


def _finished_by(verb: Gather, call: Call, progress: Progress, key: str) -> bool:
    """Take a key; True where it was the last."""
    if key in verb.finish_on_key:
        return True
    progress["digits"] += key
    call.touch()
    return bool(verb.num_digits) and len(progress["digits"]) >= verb.num_digits


async def _sounds(verb: Gather, call: Call, progress: Progress, scope: Scope) -> None:
    """Play what is nested, one after the other."""
    for index in range(progress.get("child", 0), len(verb.children)):
        progress["child"] = index
        await scope.interpreter.run_verb(verb.children[index], call, progress.setdefault("sound", {}), scope)
        progress["sound"] = {}
    progress["child"] = len(verb.children)
