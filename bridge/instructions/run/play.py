"""<Play>: audio from a URL, keys, or keys and then audio. Progress: see sound.py.

Audio is fetched and decoded once and then shared by all who play it, until its own caching headers or the size of the store say otherwise.
"""

from __future__ import annotations

from waitline.bridge.call.call import Call
from waitline.bridge.call.sound import Program
from waitline.bridge.call.state import Progress
from waitline.bridge.instructions.fetching import NO_AUDIO
from waitline.bridge.instructions.outcomes import Next
from waitline.bridge.instructions.run.sound import play_through
from waitline.bridge.instructions.scope import Scope
from waitline.bridge.instructions.verbs import Play
from waitline.errors import AudioError, MediaUnavailable, WebhookError
from waitline.media.clips import Clip


async def run(verb: Play, call: Call, progress: Progress, scope: Scope) -> Next:
    return await play_through(verb, call, progress, scope)


async def render(verb: Play, call: Call) -> Program | None:
    """Keys, the audio, or both as a program; None where there is nothing to be had (the tenant is told)."""
    if verb.fault:
        return None
    clip = await _clip_or_none(verb, call) if verb.url else None
    if clip is not None:
        return Program(segments=(clip.segment(verb.loop),), report_after=1, clips=(clip,), digits=verb.digits)
    return Program(segments=(), report_after=0, digits=verb.digits) if verb.digits else None


async def _clip_or_none(verb: Play, call: Call) -> Clip | None:
    try:
        return await _clip(verb, call)
    except MediaUnavailable as error:  # no room for it, or nobody to decode it
        call.problem(NO_AUDIO, f"<Play> {verb.url}: {error}")
    except (AudioError, WebhookError) as error:
        call.problem(error.code, f"<Play> {verb.url}: {error}")
    return None


async def _clip(verb: Play, call: Call) -> Clip:
    services = call.services
    if verb.audio_key:
        kept = services.clips.cached(verb.audio_key)
        if kept is not None:
            return kept
    account = call.account
    reply = await services.webhooks.fetch_audio(verb.url, account_sid=account.sid, auth_token=account.auth_token)
    return await services.clips.from_audio(reply.key, reply.data, reply.content_type)
