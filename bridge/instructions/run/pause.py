"""<Pause>: so many seconds of silence, asked for. As the first verb of a call it waits before picking up (platform contract 3.1).

Progress: see sound.py; ``rings_until`` while a call is not picked up yet.
"""

from __future__ import annotations

import asyncio

from waitline.bridge.call.call import Call
from waitline.bridge.call.sound import Program
from waitline.bridge.call.state import Progress
from waitline.bridge.instructions.outcomes import Continue, Next
from waitline.bridge.instructions.run.sound import play_through
from waitline.bridge.instructions.scope import Scope
from waitline.bridge.instructions.verbs import Pause
from waitline.media.clips import silence


async def run(verb: Pause, call: Call, progress: Progress, scope: Scope) -> Next:
    if call.leg.answered:
        return await play_through(verb, call, progress, scope)
    now = call.services.clock.now()
    until = progress.setdefault("rings_until", now + verb.length_s)
    scope.begin(None)
    await asyncio.sleep(max(0.0, until - now))
    return Continue()


def render(verb: Pause, _call: Call) -> Program | None:
    """Silence."""
    return Program(segments=(silence(verb.length_s),), report_after=1) if verb.length_s else None
