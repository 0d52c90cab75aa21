"""What the tests of the queues share: a world with a settable clock, and a store of dictionaries."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime
from itertools import count
from typing import Any

from waitline.bridge.events import MemberClaimed, MemberJoined, MemberLeft, MemberReleased, MemberResumed, QueueEvent
from waitline.bridge.queues.authority import QueueAuthority
from waitline.bridge.queues.plain import member_to_plain
from waitline.bridge.queues.queue import Caller
from waitline.bridge.sids import AccountSid, CallSid, QueueSid
from waitline.bridge.store.records import Queue
from waitline.clock import VirtualClock

ACCOUNT = AccountSid("AC" + "0" * 32)
OTHER_ACCOUNT = AccountSid("AC" + "1" * 32)
QUEUE = QueueSid("QU" + "0" * 32)
AGENT = CallSid("CAagent")
KINDS = {MemberJoined: "joined", MemberResumed: "resumed", MemberClaimed: "claimed", MemberReleased: "released", MemberLeft: "left"}


class World:
    """An authority whose time, log and listener the test owns."""

    def __init__(self, sequences: Counter[str] | None = None) -> None:
        self.now = 0.0
        self.clock = VirtualClock(lambda: self.now)
        self.logged: list[QueueEvent] = []
        self.told: list[QueueEvent] = []
        self.sequences = Counter() if sequences is None else sequences
        self.kept: dict[str, dict[str, Any]] = {}
        """Each member as control keeps it: as it was at its newest event"""
        self._claims = count(1)
        self._authorities = 0
        self.authority = self.new_authority()

    def new_authority(self) -> QueueAuthority:
        """One that is listened to from now on; what the one before still says is the word of a dead process."""
        self._authorities += 1
        number = self._authorities
        return QueueAuthority(
            clock=self.clock, next_sequence=self.next_sequence, new_claim=lambda: f"claim-{next(self._claims)}",
            log=lambda event: self._log(event, number), notify=lambda event: self._tell(event, number),
        )  # fmt: skip

    def _log(self, event: QueueEvent, authority: int) -> None:
        if authority != self._authorities:
            return
        self.logged.append(event)
        if isinstance(event, MemberLeft):
            self.kept.pop(event.call, None)
        else:
            member = self.authority.member(event.call)
            assert member is not None
            self.kept[event.call] = member_to_plain(member)

    def _tell(self, event: QueueEvent, authority: int) -> None:
        if authority == self._authorities:
            self.told.append(event)

    def next_sequence(self, queue_sid: str) -> int:
        self.sequences[queue_sid] += 1
        return self.sequences[queue_sid]

    def join(self, *names: str, priority: int = 0, max_size: int = 1000, queue: QueueSid = QUEUE, caller: Caller | None = None) -> None:
        for name in names:
            self.authority.join(queue, CallSid(name), account=ACCOUNT, priority=priority, max_size=max_size, caller=caller)

    def caller(self, number: str, *, window_s: float = 60.0, called_at: datetime | None = None) -> Caller:
        """Somebody who calls now."""
        called_at = self.clock.utc() if called_at is None else called_at
        return Caller(number=number, dialled="+15550100", username="", called_at=called_at, window_s=window_s)

    def waiting(self, queue: QueueSid = QUEUE) -> list[str]:
        return [view.member.call for view in self.authority.snapshot(queue, limit=1000).members]

    def story(self) -> list[str]:
        """The events told so far, as ``kind call`` lines."""
        return [f"{KINDS[type(event)]} {event.call}" for event in self.told]


class MemoryQueues:
    def __init__(self) -> None:
        self.by_sid: dict[str, Queue] = {}

    def get(self, sid: str) -> Queue | None:
        return self.by_sid.get(sid)

    def by_name(self, account_sid: str, name: str) -> Queue | None:
        return next((q for q in self.by_sid.values() if (q.account_sid, q.friendly_name) == (account_sid, name)), None)


class MemoryImage:
    def __init__(self) -> None:
        self.queues = MemoryQueues()


class MemoryStore:
    """Durable after one tick of 20 ms, like the real one; ``failure`` makes the next write fail."""

    def __init__(self) -> None:
        self.image = MemoryImage()
        self.failure: Exception | None = None

    async def put(self, record: Queue) -> None:
        await self._tick()
        self.image.queues.by_sid[record.sid] = record

    def adopt(self, record: Queue) -> None:
        self.image.queues.by_sid[record.sid] = record

    async def delete(self, record: Queue) -> None:
        await self._tick()
        del self.image.queues.by_sid[record.sid]

    async def _tick(self) -> None:
        await asyncio.sleep(0.02)
        if self.failure is not None:
            raise self.failure
