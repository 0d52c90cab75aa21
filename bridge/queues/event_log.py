"""Queue events as rows of the append-only log that statistics are derived from."""

from __future__ import annotations

from typing import Any

from waitline.bridge.events import MemberClaimed, MemberJoined, MemberLeft, MemberReleased, MemberResumed, QueueEvent
from waitline.bridge.store.records import QueueEventRecord


def as_record(event: QueueEvent) -> QueueEventRecord:
    """The row of an event; ``detail`` holds what only its kind has."""
    kind, detail = _kind_and_detail(event)
    return QueueEventRecord(account_sid=event.account, queue_sid=event.queue, call_sid=event.call, at=event.at, kind=kind, detail=detail)


def _kind_and_detail(event: QueueEvent) -> tuple[str, dict[str, Any]]:
    match event:
        case MemberJoined():
            return "joined", {"position": event.position}
        case MemberResumed():
            return "resumed", {"of": event.of, "position": event.position}
        case MemberClaimed():
            return "claimed", {"claim": event.claim, "by": event.by}
        case MemberReleased():
            return "released", {"claim": event.claim, "by": event.by, "reason": event.reason.value}
        case MemberLeft():
            return "left", {"reason": event.reason.value, "waited_s": event.waited_s, "claim": event.claim, "by": event.by}
