"""One frozen dataclass per fact about queues and calls, past tense.

The authority and the calls emit them; the event log, the metrics and the calls concerned receive them. Facts of the SIP wire are in
``bridge.sip.events``: they carry messages, and this module knows none.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from waitline.bridge.sids import AccountSid, CallSid, QueueSid


class LeaveReason(Enum):
    """Why a member left its queue; the value is the QueueResult the tenant is told (platform contract 2.2)."""

    BRIDGED = "bridged"
    BRIDGING_IN_PROCESS = "bridging-in-process"
    ERROR = "error"
    HANGUP = "hangup"
    LEAVE = "leave"
    REDIRECTED = "redirected"
    REDIRECTED_FROM_BRIDGED = "redirected-from-bridged"
    QUEUE_FULL = "queue-full"
    SYSTEM_ERROR = "system-error"
    TIMEOUT = "timeout"
    """An extension: the wait was longer than the enqueue's maxWaitTime."""


class ReleaseReason(Enum):
    """Why a claim ended without a bridge."""

    AGENT_GONE = "agent-gone"
    CALLER_GONE = "caller-gone"
    REDIRECTED = "redirected"
    BRIDGE_FAILED = "bridge-failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberJoined:
    account: AccountSid
    queue: QueueSid
    call: CallSid
    at: datetime
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberResumed:
    """It has got the place of an earlier call, whose line had dropped, and that call's time."""

    account: AccountSid
    queue: QueueSid
    call: CallSid
    at: datetime
    of: CallSid
    """The earlier call"""
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberClaimed:
    account: AccountSid
    queue: QueueSid
    call: CallSid
    at: datetime
    claim: str
    by: CallSid
    """The dialling call: whoever will be bridged to the member."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberReleased:
    """A claim ended without a bridge and without the member leaving: it is WAITING again at its own order key."""

    account: AccountSid
    queue: QueueSid
    call: CallSid
    at: datetime
    claim: str
    by: CallSid
    reason: ReleaseReason


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberLeft:
    account: AccountSid
    queue: QueueSid
    call: CallSid
    at: datetime
    reason: LeaveReason
    waited_s: float
    claim: str | None = None
    """The claim that was in progress, if the member left while CLAIMED."""
    by: CallSid | None = None
    resumed: bool = False
    """It had the place of an earlier call."""


QueueEvent = MemberJoined | MemberResumed | MemberClaimed | MemberReleased | MemberLeft
