"""What may end the verb that runs, from outside of it.

A call runs one verb at a time in one task. The caller's BYE, a REST update, a dead media path or the end of the process do not ask that
verb: they interrupt it. The task is cancelled, its ``finally`` puts things right with the interruption at hand (which reason to leave a
queue with, whether to ask an action URL), and the call goes on with what the interruption says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from waitline.bridge.call.state import CallStatus, Target
from waitline.bridge.events import LeaveReason

LINE_DROPPED = frozenset(
    {
        "ack-never-came",
        "connection-lost",
        "dialog-lost",
        "drain-deadline",
        "internal-error",
        "line-dropped",
        "media-lost",
        "media-timeout",
        "peer-gone",
        "platform-ends",
        "session-expired",
    }
)
"""Ends that neither the caller nor the tenant wanted: the peer fell silent, its network hung up for it, or the fault is ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The call is over: nothing can be heard any more."""

    status: CallStatus
    reason: str
    """One word for people and the call's record: caller-hung-up, media-timeout, ended-by-tenant …"""
    by_peer: bool
    """True: the dialog is gone already; False: we say BYE"""
    silent_s: float = 0.0
    """For how long the peer had been silent when it turned out to be gone"""

    @property
    def dropped_s(self) -> float | None:
        """How long ago the line dropped; None where somebody ended the call."""
        return self.silent_s if self.reason in LINE_DROPPED else None

    @property
    def leaves_as(self) -> LeaveReason:
        """How a member leaves its queue by this end: a fault of the call is not the caller's word."""
        return LeaveReason.SYSTEM_ERROR if self.status is CallStatus.FAILED else LeaveReason.HANGUP


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirected:
    """The tenant wants another document to be run: from a URL, or given inline."""

    target: Target | None = None
    inline: str = ""
    """The document's text, where no target is given"""


Interruption = Ended | Redirected


def to_plain(interruption: Interruption | None) -> dict[str, Any] | None:
    """An interruption that has not been heeded yet, JSON-able."""
    match interruption:
        case Ended():
            return {"status": interruption.status.value, "reason": interruption.reason, "by_peer": interruption.by_peer}
        case Redirected():
            return {"target": interruption.target.to_plain() if interruption.target else None, "inline": interruption.inline}
    return None


def from_plain(plain: dict[str, Any] | None) -> Interruption | None:
    """The inverse of ``to_plain``."""
    if plain is None:
        return None
    if "status" in plain:
        return Ended(status=CallStatus(plain["status"]), reason=plain["reason"], by_peer=plain["by_peer"])
    return Redirected(target=Target.from_plain(plain["target"]) if plain["target"] else None, inline=plain["inline"])
