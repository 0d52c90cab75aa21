"""<Say>: speech, made in a clip worker and then played like any clip. Progress: see sound.py."""

from __future__ import annotations

from waitline.bridge.call.call import Call
from waitline.bridge.call.sound import Program
from waitline.bridge.call.state import Progress
from waitline.bridge.instructions.outcomes import Next
from waitline.bridge.instructions.run.sound import play_through
from waitline.bridge.instructions.scope import Scope
from waitline.bridge.instructions.verbs import Say
from waitline.errors import AudioError, MediaUnavailable

CANNOT_SAY = 13520


async def run(verb: Say, call: Call, progress: Progress, scope: Scope) -> Next:
    return await play_through(verb, call, progress, scope)


async def render(verb: Say, call: Call) -> Program | None:
    """Speech as a program; None where there is nothing to say or it could not be said."""
    if not verb.text.strip():
        return None
    limit = call.services.config.say_limit
    if len(verb.text) > limit:
        call.warning(CANNOT_SAY, f"<Say> has {len(verb.text)} characters; the first {limit} are spoken")
    try:
        clip = await call.services.clips.from_speech(verb.text[:limit], voice=verb.voice, language=verb.language)
    except (AudioError, MediaUnavailable) as error:
        call.problem(CANNOT_SAY, f"<Say> could not be spoken: {error}")
        return None
    if clip.warning:
        call.warning(clip.warning.code, clip.warning.message)
    return Program(segments=(clip.segment(verb.loop),), report_after=1, clips=(clip,)) if clip.frames else None
