"""A call's own documents, one after the other, from the voice URL (or wherever it is) until the call shall end.

A document that cannot be had is asked for once more at the fallback URL, with ErrorCode and ErrorUrl; where that fails too the caller hears
that there was an error, and the call ends (platform contract 4.5).
"""

from __future__ import annotations

import asyncio

import structlog

from waitline.bridge.call.call import Call
from waitline.bridge.call.sound import Program
from waitline.bridge.call.state import CallStatus, Script, Target
from waitline.bridge.instructions import fetching
from waitline.bridge.instructions.contexts import Context
from waitline.bridge.instructions.fetching import DocumentFailure
from waitline.bridge.instructions.interpreter import Interpreter
from waitline.bridge.instructions.outcomes import GoTo, HangUp
from waitline.bridge.instructions.scope import Scope
from waitline.errors import AudioError, MediaUnavailable

APOLOGY = "We are sorry. An application error has occurred. Goodbye."

log = structlog.get_logger(__name__)


async def run(call: Call, start: Target | Script | DocumentFailure, interpreter: Interpreter) -> HangUp:
    """Run documents until one says, or its end means, that the call is to end. A failure as a start is a case for the fallback."""
    here = start
    while True:
        try:
            script = await _script(call, here)
        except DocumentFailure as failure:
            return await _apologise(call, failure)
        call.go_to(script)
        outcome = await interpreter.run(call, script, Scope(interpreter=interpreter, context=Context.MAIN, url=script.url))
        match outcome:
            case GoTo():
                here = outcome.target
            case HangUp():
                return outcome
            case _:
                return HangUp(reason="document-ended")


async def _script(call: Call, here: Target | Script | DocumentFailure) -> Script:
    """The document to run. Raises DocumentFailure when it could not be had, not at the fallback's either, and the tenant has been told."""
    match here:
        case Script():
            return here
        case Target():
            try:
                return await _ask(call, here)
            except DocumentFailure as failure:
                return await _fall_back(call, failure)
        case _:
            return await _fall_back(call, here)


async def _fall_back(call: Call, failure: DocumentFailure) -> Script:
    fetching.tell(call, failure)
    url = call.state.application.fallback_url
    if not url:
        raise failure
    try:
        return await _ask(call, fallback_target(call, failure, url))
    except DocumentFailure as second:
        fetching.tell(call, second)
        raise


async def _ask(call: Call, target: Target) -> Script:
    target = target if target.token else call.tokened(target)
    call.go_to(target)
    try:
        return await fetching.fetch(call, target, Context.MAIN)
    except asyncio.CancelledError:
        if target.owed and call.over:  # whether the tenant has been told is not known: it is told again, with the same token
            call.notify_later(target, status=CallStatus.COMPLETED)
        raise


def fallback_target(call: Call, failure: DocumentFailure, url: str) -> Target:
    """The fallback's request: what the failed one was, and how it failed."""
    params = (*failure.target.params, ("ErrorCode", str(failure.code)))
    if failure.target.url:  # a document given inline has none
        params = (*params, ("ErrorUrl", failure.target.url))
    return Target(url=url, method=call.state.application.fallback_method, params=params)


async def _apologise(call: Call, failure: DocumentFailure) -> HangUp:
    call.answer()
    try:
        clip = await call.services.clips.from_speech(APOLOGY, voice="man", language="en-US")
        await call.play(Program(segments=(clip.segment(),), report_after=1, clips=(clip,)))
    except (AudioError, MediaUnavailable) as error:
        log.warning("no apology", why=str(error))
    return HangUp(reason=f"document-failed-{failure.code}")
