"""Where a verb runs: which document, in which context, and what is to be heard when a sound has ended.

One Scope is made for each run of a document and handed to the runners of its verbs. Nothing in it is stored: what it says follows from the
script and the context, and a sound that was made ready ahead is simply made again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from waitline.bridge.call.call import Call
from waitline.bridge.call.sound import Program
from waitline.bridge.call.state import Progress, Script, Target
from waitline.bridge.instructions.contexts import Context
from waitline.bridge.instructions.outcomes import Next
from waitline.bridge.instructions.verbs import Play, Verb
from waitline.media.messages import Segment

Runner = Callable[[Any, Call, Progress, "Scope"], Awaitable[Next]]
"""Runs one verb from any stored progress to its outcome; keeps in ``progress`` whatever is needed after an await."""
RunnerTable = Mapping[str, Runner]

Tail = Callable[[Program, bool], tuple[Segment, ...]]
"""(program, is it music) → what follows its end until the next command"""


class Renderer(Protocol):
    """Makes a program of a Say, Play or Pause; None where there is nothing to hear (the tenant has been told why)."""

    async def __call__(self, verb: Verb, call: Call, /) -> Program | None: ...


class Engine(Protocol):
    """What a runner may ask of the interpreter."""

    async def run(self, call: Call, script: Script, scope: Scope, /) -> Next: ...
    async def render(self, verb: Verb, call: Call, /) -> Program | None: ...
    async def make_ready(self, verb: Verb, call: Call, scope: Scope, progress: Progress, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Playing:
    """A sound that runs."""

    token: int
    ends_at: float | None
    """Seconds, monotonic; None: never"""


def no_tail(_program: Program, _music: bool, /) -> tuple[Segment, ...]:
    """Silence frames, which a leg plays of its own."""
    return ()


def _nothing() -> None:
    """Nobody cares."""


async def _at_once() -> None:
    """No reason to wait."""


NO_SOUND = Program(segments=(), report_after=0)


@dataclass(slots=True, kw_only=True)
class Scope:
    interpreter: Engine
    context: Context
    url: str
    """Of the current document; "" where it was given inline"""
    tail: Tail = no_tail
    before_last_ends: Callable[[Playing], None] | None = None
    """Told when the last verb of the document plays, if that is a sound: the moment to think of the next document"""
    before_sound: Callable[[], Awaitable[None]] = _at_once
    """Awaited before a sound begins that is not joined to the one before it"""
    sound_ended: Callable[[], None] = _nothing
    """Told when a sound has come to its end, or was broken off"""
    takes_keys: bool = False
    """Somebody waits for keys while this document runs: its sounds do not drop them"""
    playing: Playing | None = None
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    prepared: tuple[Program | None] | None = None
    """What the next sound was made into, where it could not be joined to the one before"""

    def within(self) -> Scope:
        """The scope of verbs nested in one of this document's that takes keys."""
        return replace(self, before_last_ends=None, takes_keys=True, playing=None, begun=asyncio.Event(), prepared=None)

    def target(self, url: str | None, method: str, *params: tuple[str, str]) -> Target:
        """The request of a verb's URL; None means the current document's."""
        return Target(url=url if url is not None else self.url, method=method, params=tuple(params))

    def begin(self, playing: Playing | None) -> None:
        """A sound has begun, or there was nothing to hear."""
        self.playing = playing
        self.begun.set()

    async def program_of(self, verb: Verb, call: Call) -> Program | None:
        """The verb's program: the one made ahead, or a new one."""
        if self.prepared is not None:
            (program,), self.prepared = self.prepared, None
            return program
        return await self.interpreter.render(verb, call)

    def hush(self, call: Call) -> None:
        """Break off what is heard: what follows a sound here follows at once."""
        call.sound.start(Program(segments=self.tail(NO_SOUND, False), report_after=0))
        self.sound_ended()

    def with_tail(self, verb: Verb, program: Program) -> Program:
        return program.with_tail(self.tail(program, isinstance(verb, Play)))
