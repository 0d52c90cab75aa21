"""Where a verb may stand.

The same XML is read in three places, and not every verb makes sense in each: a caller who waits in a queue cannot enqueue again from its
wait document, and a whisper is over too soon to ask for digits. ``ALLOWED`` is total: a verb without a row is a failing test.

A document that holds one forbidden verb fails as a whole (the tenant sees 12200 and the caller hears what follows from a failed
document there). That includes a verb nobody knows or nobody built: in the main document those are passed over with a warning, but a wait
document that asked for something and silently did less would leave its tenant guessing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Protocol


class Context(Enum):
    """Who asked for the document."""

    MAIN = "main"
    """A call's own application: its voice URL, the action of a verb, a redirect"""
    WAIT = "wait"
    """The wait application of a queue member"""
    WHISPER = "whisper"
    """What a dequeued caller hears before the bridge"""


class _Named(Protocol):
    @property
    def name(self) -> str: ...


class Verbs(Protocol):
    """What this module needs to know of a document."""

    @property
    def verbs(self) -> Sequence[_Named]: ...
    @property
    def dropped(self) -> tuple[str, ...]: ...


_MAIN_ONLY = frozenset({Context.MAIN})
_ANYWHERE = frozenset(Context)
_NOT_IN_A_WHISPER = frozenset({Context.MAIN, Context.WAIT})

ALLOWED: Mapping[str, frozenset[Context]] = {
    "Say": _ANYWHERE,
    "Play": _ANYWHERE,
    "Pause": _ANYWHERE,
    "Redirect": _ANYWHERE,
    "Gather": _NOT_IN_A_WHISPER,
    "Hangup": _NOT_IN_A_WHISPER,
    "Leave": _NOT_IN_A_WHISPER,
    "Reject": _MAIN_ONLY,
    "Enqueue": _MAIN_ONLY,
    "Dial": _MAIN_ONLY,
}
"""Verb → contexts it may stand in."""


def forbidden(document: Verbs, context: Context) -> str | None:
    """Name of a verb that must not stand in this document here, or None. Nothing that was dropped at parsing is allowed outside MAIN."""
    if context is not Context.MAIN and document.dropped:
        return document.dropped[0]
    return next((verb.name for verb in document.verbs if context not in ALLOWED[verb.name]), None)
