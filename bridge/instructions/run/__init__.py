"""One runner for each verb, one verb a file. ``RUNNERS`` is the table the interpreter is given.

A runner is ``async run(verb, call, progress, scope) -> Next``. It starts from any progress it has stored itself, so a control process that
takes a call over calls it again with the progress it finds; each module says what its keys mean.
"""

from __future__ import annotations

from waitline.bridge.call.call import Call
from waitline.bridge.call.sound import Program
from waitline.bridge.instructions.run import dial, enqueue, gather, hangup, leave, pause, play, redirect, reject, say
from waitline.bridge.instructions.scope import RunnerTable
from waitline.bridge.instructions.verbs import Pause, Play, Say, Verb

RUNNERS: RunnerTable = {
    "Say": say.run,
    "Play": play.run,
    "Pause": pause.run,
    "Gather": gather.run,
    "Redirect": redirect.run,
    "Hangup": hangup.run,
    "Reject": reject.run,
    "Enqueue": enqueue.run,
    "Leave": leave.run,
    "Dial": dial.run,
}


async def render(verb: Verb, call: Call) -> Program | None:
    """Make the program of a sound; None where there is nothing to hear."""
    match verb:
        case Say():
            return await say.render(verb, call)
        case Play():
            return await play.render(verb, call)
        case Pause():
            return pause.render(verb, call)
        case _:
            return None
