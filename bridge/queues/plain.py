"""A member as plain data, for the control process that takes over.

The moment of joining travels as UTC: monotonic seconds mean nothing on another machine, or on a test's other clock. Taking a member over
thus measures its wait by the two machines' idea of UTC; within one control process it is monotonic.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from waitline.bridge.queues.queue import Caller, Hold, Member, OrderKey
from waitline.clock import Clock


def member_to_plain(member: Member) -> dict[str, Any]:
    """JSON-able: strings, numbers, null."""
    return {
        "queue": member.queue, "account": member.account, "call": member.call,
        "priority": member.key.priority, "sequence": member.key.sequence, "enqueued_at": member.enqueued_at.isoformat(),
        "joined_at": member.joined_at,
        "hold": None if member.hold is None else asdict(member.hold),
        "caller": None if member.caller is None else _caller_to_plain(member.caller), "resumed": member.resumed,
    }  # fmt: skip


def member_from_plain(plain: dict[str, Any], *, clock: Clock) -> Member:
    enqueued_at = datetime.fromisoformat(plain["enqueued_at"])
    joined_at = plain.get("joined_at")
    if joined_at is None or joined_at > clock.now():  # of an earlier version, or of an earlier boot: the wall clock is what there is
        joined_at = clock.now() - max(0.0, (clock.utc() - enqueued_at).total_seconds())
    return Member(
        queue=plain["queue"], account=plain["account"], call=plain["call"], key=OrderKey(plain["priority"], plain["sequence"]),
        enqueued_at=enqueued_at, joined_at=joined_at,
        hold=None if plain["hold"] is None else Hold(**plain["hold"]),
        caller=_caller_from_plain(plain.get("caller")), resumed=plain.get("resumed", False),
    )  # fmt: skip


def _caller_to_plain(caller: Caller) -> dict[str, Any]:
    return asdict(caller) | {"called_at": caller.called_at.isoformat()}


def _caller_from_plain(plain: dict[str, Any] | None) -> Caller | None:
    return None if plain is None else Caller(**(plain | {"called_at": datetime.fromisoformat(plain["called_at"])}))
