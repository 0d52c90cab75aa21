"""What running a verb, or a whole document, leads to. A total set: every runner returns one of these."""

from __future__ import annotations

from dataclasses import dataclass

from waitline.bridge.call.state import Target


@dataclass(frozen=True, slots=True)
class Continue:
    """On to the next verb."""


@dataclass(frozen=True, slots=True)
class GoTo:
    """Ask this URL for the next document; what follows the verb is unreachable."""

    target: Target


@dataclass(frozen=True, slots=True)
class HangUp:
    """The tenant wants the call to end. ``reject`` is the SIP status where it was never answered, 0 to answer first."""

    reason: str = "document-said-hangup"
    reject: int = 0


@dataclass(frozen=True, slots=True)
class LeaveQueue:
    """Out of the queue, on with what follows the Enqueue."""


@dataclass(frozen=True, slots=True)
class DocumentEnded:
    """The document ran out of verbs."""


Next = Continue | GoTo | HangUp | LeaveQueue | DocumentEnded
