"""<Redirect>: go on with another document; an empty one means the current document again. No progress."""

from __future__ import annotations

from waitline.bridge.call.call import Call
from waitline.bridge.call.state import Progress
from waitline.bridge.instructions.outcomes import GoTo, Next
from waitline.bridge.instructions.scope import Scope
from waitline.bridge.instructions.verbs import Redirect


async def run(verb: Redirect, _call: Call, _progress: Progress, scope: Scope) -> Next:
    return GoTo(scope.target(verb.url, verb.method))
