"""<Hangup>: end the call, answering it first if nobody has (only Reject leaves a call unanswered). No progress."""

from __future__ import annotations

from waitline.bridge.call.call import Call
from waitline.bridge.call.state import Progress
from waitline.bridge.instructions.outcomes import HangUp, Next
from waitline.bridge.instructions.scope import Scope
from waitline.bridge.instructions.verbs import Hangup


async def run(_verb: Hangup, call: Call, _progress: Progress, _scope: Scope) -> Next:
    call.answer()
    return HangUp()
