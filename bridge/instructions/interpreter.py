"""Runs the verbs of one document, top to bottom, until one passes control on.

The interpreter is given its verb → runner table and knows no verb by name, but for one thing: sounds. While a Say, Play or Pause is heard
the one after it is made ready, and joined to it inside the media worker with no frame between; and while the last sound of a document
plays, whoever runs the document may fetch the next (``Scope.before_last_ends``).

The index and the progress of the verb, and what was made ready of the one after it, are in the script, so a run can be taken up at any
await: a verb is begun again, or goes on, by its runner's own rule.
"""

from __future__ import annotations

import asyncio

from waitline.bridge.call.call import Call
from waitline.bridge.call.race import stop
from waitline.bridge.call.sound import Program
from waitline.bridge.call.state import Progress, Script
from waitline.bridge.instructions.document import Document
from waitline.bridge.instructions.outcomes import Continue, DocumentEnded, Next
from waitline.bridge.instructions.scope import Renderer, RunnerTable, Scope
from waitline.bridge.instructions.verbs import Gather, Pause, Play, Redirect, Say, Verb

SOUNDS = (Say, Play, Pause)
KEEPS_KEYS = (Gather, Redirect)
"""Between these, a caller may type ahead."""


class Interpreter:
    """See the module."""

    def __init__(self, runners: RunnerTable, render: Renderer) -> None:
        self._runners = runners
        self._render = render

    async def run(self, call: Call, script: Script, scope: Scope) -> Next:
        """Run a script from where it is; returns what passed control on, or DocumentEnded."""
        verbs = Document.from_plain(script.document).verbs
        while script.index < len(verbs):
            call.touch()
            outcome = await self._step(call, verbs, script, scope)
            if not isinstance(outcome, Continue):
                return outcome
            script.index += 1
            script.progress, script.following = script.following, {}
        return DocumentEnded()

    async def render(self, verb: Verb, call: Call) -> Program | None:
        """Make the program of a sound."""
        return await self._render(verb, call)

    async def _step(self, call: Call, verbs: tuple[Verb, ...], script: Script, scope: Scope) -> Next:
        """Run the verb at the index; keys pressed meanwhile are nobody's, unless somebody waits for them."""
        verb = verbs[script.index]
        if scope.takes_keys or isinstance(verb, KEEPS_KEYS):
            return await self._run_verb(call, verbs, script, scope)
        if not script.progress:  # else it goes on: what has been pressed may be for a verb within
            call.digits.clear()
        outcome = await self._run_verb(call, verbs, script, scope)
        call.digits.clear()
        return outcome

    async def _run_verb(self, call: Call, verbs: tuple[Verb, ...], script: Script, scope: Scope) -> Next:
        """Run the verb at the index; while a sound is heard, look ahead."""
        verb = verbs[script.index]
        running = self._runners[verb.name](verb, call, script.progress, scope)
        if not isinstance(verb, SOUNDS):
            return await running
        scope.begun.clear()
        ahead = asyncio.ensure_future(self._look_ahead(call, verbs[script.index + 1 :], scope, script.following))
        try:
            outcome = await running
            await ahead  # the next verb starts with what this made ready
            return outcome
        finally:
            await stop(ahead)

    async def _look_ahead(self, call: Call, rest: tuple[Verb, ...], scope: Scope, following: Progress) -> None:
        await scope.begun.wait()
        scope.begun.clear()
        if not rest:
            if scope.before_last_ends is not None and scope.playing is not None:
                scope.before_last_ends(scope.playing)
        elif isinstance(rest[0], SOUNDS) and "token" not in following:
            await self.make_ready(rest[0], call, scope, following)

    async def make_ready(self, verb: Verb, call: Call, scope: Scope, progress: Progress) -> None:
        """Make the program of a sound that comes next, and join it to the one that plays, if that still does."""
        program = await self._render(verb, call)
        playing = scope.playing
        if program is None or program.digits or playing is None or call.sound.is_through(playing.token):
            scope.prepared = (program,)
            return
        progress["token"] = call.sound.follow(scope.with_tail(verb, program))
        progress["ends_at"] = None if playing.ends_at is None or program.seconds is None else playing.ends_at + program.seconds
        call.touch()
