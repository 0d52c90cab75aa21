"""<Reject>: refuse a call that was never answered (busy 486, rejected 404); one that was is hung up. No progress."""

from __future__ import annotations

from waitline.bridge.call.call import Call
from waitline.bridge.call.state import Progress
from waitline.bridge.instructions.outcomes import HangUp, Next
from waitline.bridge.instructions.scope import Scope
from waitline.bridge.instructions.verbs import Reject

STATUSES = {"busy": 486, "rejected": 404}


async def run(verb: Reject, _call: Call, _progress: Progress, _scope: Scope) -> Next:
    return HangUp(reason=f"rejected-{verb.reason}", reject=STATUSES[verb.reason])
