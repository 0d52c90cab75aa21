"""The wait-state application: what one caller hears while it waits, decided by its tenant document by document.

The loop asks ``waitUrl``, runs what it says, and when that runs out asks again, for as long as the caller waits. A Redirect or a Gather's
action chains documents; when the chain ends, control returns to ``waitUrl``. Only three things end it: Leave, Hangup, and an application
that failed for longer than it may. Being dequeued cancels it from outside at any await.

Nobody hears silence by accident. Every sound is given a *tail* that the media worker plays when it has ended and nothing new has come:
after music the last two seconds of it again, after speech at most 200 ms of silence, then the platform's own music. So neither a slow
answer, nor a dead tenant, nor a busy control process can mute a caller. Music that once began for longer than a moment is given four
seconds.

Documents of sound are asked for ahead, so that their first sound is joined to the last one of the document before it: one second plus
what a fetch took lately before the end, with the values of that moment. Never past a Redirect, a Gather or a Leave.

Progress: ``begun`` once there is sound; ``script`` the document that runs, ``target`` the one it leads to where that is not ``waitUrl``;
``ahead`` the one asked for ahead; ``asking`` the URL and token of a request that is under way; ``fetched_at`` when the last
one was made; ``outage`` while the application fails:
``since`` (seconds, monotonic), the ``url`` that failed first, whether it ``fell_back``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from waitline.bridge.call.call import Call
from waitline.bridge.call.parameters import Parameters
from waitline.bridge.call.race import stop
from waitline.bridge.call.sound import FRAME_S, Program
from waitline.bridge.call.state import Progress, Script, Target
from waitline.bridge.instructions import fetching
from waitline.bridge.instructions.contexts import Context
from waitline.bridge.instructions.document import Document
from waitline.bridge.instructions.fetching import DocumentFailure
from waitline.bridge.instructions.interpreter import SOUNDS
from waitline.bridge.instructions.main_loop import fallback_target
from waitline.bridge.instructions.outcomes import GoTo, HangUp, LeaveQueue
from waitline.bridge.instructions.scope import Engine, Playing, Scope
from waitline.bridge.instructions.verbs import Gather, Redirect
from waitline.media.clips import silence
from waitline.media.messages import Segment

QUIET_S = 0.2  # longer silence sounds like a dead line
TAIL_S = 2.0
MUSIC_AT_LEAST_S = 4.0
AHEAD_S = 1.0


class WaitApplicationLost(Exception):
    """The application failed for longer than ``wait_retry_s``."""


@dataclass(slots=True)
class Pace:
    """How long fetches of this caller's documents took lately: an upper estimate for asking ahead."""

    recent_s: float = 0.0

    def took(self, seconds: float) -> None:
        self.recent_s = max(seconds, self.recent_s * 0.9)


class WaitState:
    """One caller's wait. ``variables`` gives the queue parameters as they are now; ``progress`` is Enqueue's own record."""

    def __init__(
        self, call: Call, interpreter: Engine, wait: Target, variables: Callable[[], Parameters], progress: Progress, retry_s: float
    ) -> None:
        self._call = call
        self._interpreter = interpreter
        self._wait = wait
        self._variables = variables
        self._progress = progress
        self._retry_s = retry_s
        self._clock = call.services.clock
        self._pace = Pace()
        self._sound_ended_at = self._clock.now()
        self._ahead: asyncio.Task[None] | None = None

    async def run(self) -> LeaveQueue | HangUp:
        """Run documents until the tenant says otherwise. Raises WaitApplicationLost."""
        if not self._progress.get("begun"):  # else a sound, or its tail, goes on since before this control process
            self._progress["begun"] = True
            self.cover()
        try:
            return await self._loop()
        finally:
            if self._ahead is not None:
                await stop(self._ahead)

    async def _loop(self) -> LeaveQueue | HangUp:
        target, script = self._stored_target(), self._stored("script")
        while True:
            script = script or await self._next_script(target)
            self._progress["script"] = script
            outcome = await self._interpreter.run(self._call, script, self._scope(script))
            if isinstance(outcome, LeaveQueue | HangUp):
                return outcome  # the script stays: whoever goes on from here comes to the same end
            self._progress.pop("script", None)
            script = None
            match outcome:
                case GoTo():
                    target = outcome.target
                case _:
                    target = self._wait
            self._progress["target"] = None if target is self._wait else target.to_plain()

    def _stored(self, name: str) -> Script | None:
        stored = self._progress.get(name)  # a plain record where another control process wrote it
        return Script.from_plain(stored) if isinstance(stored, dict) else stored

    def _stored_target(self) -> Target:
        stored = self._progress.get("target")
        return Target.from_plain(stored) if stored else self._wait

    def _scope(self, script: Script) -> Scope:
        return Scope(
            interpreter=self._interpreter,
            context=Context.WAIT,
            url=script.url,
            tail=self._tail,
            before_last_ends=self._think_ahead,
            before_sound=self._let_music_breathe,
            sound_ended=self._note_end_of_sound,
        )

    # What is heard between documents

    def cover(self) -> None:
        """Sound for a caller who hears nothing yet: a moment of quiet for the first document to come, then music."""
        self._call.sound.start(Program(segments=self._rest(), report_after=0))

    def _rest(self) -> tuple[Segment, ...]:
        return (silence(QUIET_S), self._call.services.clips.default_music.segment(0))

    def _tail(self, program: Program, music: bool, /) -> tuple[Segment, ...]:
        if not music or not program.segments:
            return self._rest()
        start, frames, _ = program.segments[program.report_after - 1]
        again = min(frames, int(TAIL_S / FRAME_S))
        repeats = max(1, round(TAIL_S / FRAME_S / again)) if again else 1
        return ((start + frames - again, again, repeats), self._call.services.clips.default_music.segment(0))

    def _note_end_of_sound(self) -> None:
        self._sound_ended_at = self._clock.now()

    async def _let_music_breathe(self) -> None:
        """Default music that has been heard for longer than a moment is not cut before four seconds of it are over."""
        music_since = self._sound_ended_at + TAIL_S
        now = self._clock.now()
        if now > music_since:
            await asyncio.sleep(max(0.0, music_since + MUSIC_AT_LEAST_S - now))

    # Fetching

    async def _next_script(self, target: Target) -> Script:
        """The document that was asked for ahead, or a new one."""
        return await self._take_ahead(target) or await self._fetch_until_it_works(target)

    async def _take_ahead(self, target: Target) -> Script | None:
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            await self._finish(ahead, wanted=target is self._wait)
        script = self._stored("ahead")
        self._progress.pop("ahead", None)
        return script if target is self._wait else None

    async def _finish(self, ahead: asyncio.Task[None], *, wanted: bool) -> None:
        if not wanted:
            await stop(ahead)
            return
        with contextlib.suppress(DocumentFailure):  # asked for again, with retries, by who needs it now
            await ahead

    async def _fetch_until_it_works(self, target: Target) -> Script:
        """Retry with back-off for as long as the caller waits, and the queue allows. Raises WaitApplicationLost."""
        pause_s = 1.0
        while True:
            try:
                return await self._attempt(target)
            except DocumentFailure as failure:
                script = await self._fall_back(failure)
                if script is not None:
                    return script
                if self._retry_s and self._clock.now() - self._progress["outage"]["since"] >= self._retry_s:
                    raise WaitApplicationLost(str(failure)) from failure
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, self._call.services.config.wait_backoff_max_s)
            target = self._wait

    async def _attempt(self, target: Target) -> Script:
        """Ask once. The first failure begins an outage and is told; what failed, or a document that goes nowhere else, ends it."""
        outage = self._progress.get("outage")
        try:
            script = await self._fetch(target)
        except DocumentFailure as failure:
            if outage is None:
                self._progress["outage"] = {"since": self._clock.now(), "url": target.url, "fell_back": False}
                fetching.tell(self._call, failure)
            raise
        if outage is not None and (target.url == outage["url"] or not _leads_on(script)):
            del self._progress["outage"]
        return script

    async def _fall_back(self, failure: DocumentFailure) -> Script | None:
        """The fallback's document, once an outage; it ends no outage."""
        url, outage = self._call.state.application.fallback_url, self._progress["outage"]
        if not url or outage["fell_back"]:
            return None
        outage["fell_back"] = True
        try:
            return await self._fetch(fallback_target(self._call, failure, url))
        except DocumentFailure as second:
            fetching.tell(self._call, second)
            return None

    async def _fetch(self, target: Target) -> Script:
        """One request, no sooner than a second after the one before, with the queue's values of this moment."""
        now, interval_s = self._clock.now(), self._call.services.config.min_fetch_interval_s
        wait_s = self._progress.get("fetched_at", now - interval_s) + interval_s - now
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        begun = self._clock.now()
        values = self._variables()
        names = {name for name, _ in values}  # a fallback's request repeats the failed one's, which had values of its moment
        kept = (pair for pair in target.params if pair[0] not in names)
        with_values = Target(url=target.url, method=target.method, params=(*kept, *values), token=self._token(target))
        try:
            script = await fetching.fetch(self._call, with_values, Context.WAIT)
        except DocumentFailure:
            self._answered(begun)
            raise
        self._answered(begun)
        self._pace.took(self._clock.now() - begun)
        return script

    def _answered(self, begun: float) -> None:
        self._progress["asking"] = None
        self._progress["fetched_at"] = begun

    def _token(self, target: Target) -> str:
        """The request's token: the one it had where a control process before this one ended while it was under way."""
        url, token = self._progress.get("asking") or ("", "")
        if url != target.url:
            token = self._call.tokened(target).token
            self._progress["asking"] = [target.url, token]
        return str(token)

    # Asking ahead

    def _think_ahead(self, playing: Playing) -> None:
        if playing.ends_at is not None and self._ahead is None:
            self._ahead = asyncio.create_task(self._ask_ahead(playing), name=f"wait document of {self._call.sid}, ahead")

    async def _ask_ahead(self, playing: Playing) -> None:
        assert playing.ends_at is not None
        script = self._stored("ahead")  # as far as a control process before this one came with it
        if script is None:
            await asyncio.sleep(max(0.0, playing.ends_at - AHEAD_S - self._pace.recent_s - self._clock.now()))
            script = await self._attempt(self._wait)
        self._progress["ahead"] = script
        self._call.touch()
        verbs = Document.from_plain(script.document).verbs
        if verbs and isinstance(verbs[0], SOUNDS) and "token" not in script.progress:
            scope = self._scope(script)
            scope.playing = playing
            await self._interpreter.make_ready(verbs[0], self._call, scope, script.progress)


def _leads_on(script: Script) -> bool:
    """Whether a document may chain to another one, which may fail in its turn."""
    return any(isinstance(verb, Redirect | Gather) for verb in Document.from_plain(script.document).verbs)
