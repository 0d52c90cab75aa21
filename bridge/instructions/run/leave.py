"""<Leave>: out of the queue without hanging up. Outside of a wait document there is no queue to leave: it is passed over. No progress."""

from __future__ import annotations

from waitline.bridge.call.call import Call
from waitline.bridge.call.state import Progress
from waitline.bridge.instructions.contexts import Context
from waitline.bridge.instructions.outcomes import Continue, LeaveQueue, Next
from waitline.bridge.instructions.scope import Scope
from waitline.bridge.instructions.verbs import Leave


async def run(_verb: Leave, call: Call, _progress: Progress, scope: Scope) -> Next:
    if scope.context is Context.WAIT:
        return LeaveQueue()
    call.warning(12200, "<Leave> outside of a wait document has no queue to leave")
    return Continue()
