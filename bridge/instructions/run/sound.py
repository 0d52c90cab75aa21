"""What Say, Play and Pause have in common: a program is played to its end.

Progress: ``token`` the media worker's name for the program (so a later control process waits for the very sound that plays), ``ends_at``
when it will have ended (seconds, monotonic; null: never). Without a token the sound begins from its start.
"""

from __future__ import annotations

from waitline.bridge.call.call import Call
from waitline.bridge.call.state import Progress
from waitline.bridge.instructions.outcomes import Continue, Next
from waitline.bridge.instructions.scope import Playing, Scope
from waitline.bridge.instructions.verbs import Verb


async def play_through(verb: Verb, call: Call, progress: Progress, scope: Scope) -> Next:
    """Make the program unless it was made ahead, answer, play."""
    if "token" not in progress and not await _start(verb, call, progress, scope):
        scope.begin(None)
        return Continue()
    scope.begin(Playing(progress["token"], progress["ends_at"]))
    await call.sound.through(progress["token"])
    scope.sound_ended()
    return Continue()


async def _start(verb: Verb, call: Call, progress: Progress, scope: Scope) -> bool:
    program = await scope.program_of(verb, call)
    call.answer()
    if program is None:
        return False
    await scope.before_sound()
    progress["token"] = call.sound.start(scope.with_tail(verb, program))
    progress["ends_at"] = None if program.seconds is None else call.services.clock.now() + program.seconds
    call.touch()
    return True
