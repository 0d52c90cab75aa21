"""One queue: who is in it, in which order, and the figures a tenant may ask for. Plain data and arithmetic, no clock of its own.

Theory. A member has an order key ``(priority, sequence)``, low first, that it keeps for as long as it is in the queue. It is WAITING, or
CLAIMED by one agent who is about to talk to it. A claim takes it out of sight but not out of the queue:

=====================  =======  =======
counted for            WAITING  CLAIMED
=====================  =======  =======
seats (MaxSize, empty)   yes      yes
current_size             yes      no
positions, list, front   yes      no
average wait             yes      no
=====================  =======  =======

so a claim that comes to nothing puts the member back exactly where it was. The waiting keys lie in a sorted list: joining, leaving and
asking for a position cost O(log n). The average wait is kept as a running sum of joining times in whole microseconds (integers, because
a running sum of floats drifts), so asking for it costs O(1).

Time is an argument everywhere: ``now`` and ``joined_at`` are seconds of one monotonic clock. Who may change what, and who is told, is
``authority``'s affair.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from itertools import islice
from typing import NamedTuple

from sortedcontainers import SortedList

from waitline.bridge.sids import AccountSid, CallSid, QueueSid
from waitline.errors import BridgeError


class MemberState(Enum):
    WAITING = "waiting"
    CLAIMED = "claimed"


class OrderKey(NamedTuple):
    """Where a member stands: low priority first, then by arrival. The sequence is durable and never given twice in a queue."""

    priority: int
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """What an agent has on a member: a claim, as plain data."""

    claim: str
    by: CallSid
    """The dialling call."""
    ticket: int
    """The agent's own place among the waiting agents, for when this claim comes to nothing."""
    bridging: bool = False
    """The bridge command has been given to the media, and has not been confirmed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """By what a caller is known when it calls again, and for how long its place is then kept (see ``places``)."""

    number: str
    """Its caller id"""
    dialled: str
    username: str
    """Whom it has proved to be; "" where no credentials were asked for"""
    called_at: datetime
    window_s: float
    """0: its place is not kept"""

    @property
    def identity(self) -> tuple[str, str, str]:
        return self.number, self.dialled, self.username


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A call in a queue. A value: a claim or a release makes a new one, so ask again after a wait."""

    queue: QueueSid
    account: AccountSid
    call: CallSid
    key: OrderKey
    enqueued_at: datetime
    """UTC, for people and for who restores this member on another clock."""
    joined_at: float
    """Seconds, monotonic: every wait is measured from here."""
    hold: Hold | None = None
    caller: Caller | None = None
    """None: nobody who could be known again"""
    resumed: bool = False
    """It has the place of an earlier call, and waits since that one came."""

    @property
    def state(self) -> MemberState:
        return MemberState.WAITING if self.hold is None else MemberState.CLAIMED

    def waited_s(self, now: float) -> float:
        """Seconds since it joined; whispers and failed claims count as waiting."""
        return max(0.0, now - self.joined_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberView:
    """One line of the member list, at one moment."""

    member: Member
    position: int
    """1 is the front; 0 is a member that is CLAIMED and so has no position."""
    wait_s: float


class CallQueue:
    """The members of one queue. Refuses what would break the order; MaxSize is a question for whoever lets members in."""

    def __init__(self, sid: QueueSid) -> None:
        self.sid = sid
        self._members: dict[CallSid, Member] = {}
        self._waiting: dict[OrderKey, CallSid] = {}
        self._order: SortedList = SortedList()
        self._joined_us = 0  # sum over the WAITING

    def add(self, member: Member) -> None:
        """Let a member in, in the state it says (CLAIMED when restored)."""
        if member.queue != self.sid or member.call in self._members or member.key in self._waiting:
            raise BridgeError(f"{member.call} with key {tuple(member.key)} cannot join queue {self.sid}: it or its key is there")
        self._members[member.call] = member
        if member.hold is None:
            self._line_up(member)

    def remove(self, call: CallSid) -> Member:
        """Take a member out, WAITING or CLAIMED, and return it as it was."""
        member = self._members.pop(call)
        if member.hold is None:
            self._step_out(member)
        return member

    def claim(self, call: CallSid, hold: Hold) -> Member:
        """Turn a WAITING member CLAIMED; it keeps its key and its seat."""
        member = self._members[call]
        if member.hold is not None:
            raise BridgeError(f"{call} is claimed already, by {member.hold.claim}")
        self._step_out(member)
        return self._put(replace(member, hold=hold))

    def release(self, call: CallSid) -> Member:
        """Turn a CLAIMED member WAITING again, at its own key."""
        member = self._held(call)
        released = self._put(replace(member, hold=None))
        self._line_up(released)
        return released

    def mark_bridging(self, call: CallSid) -> Member:
        """Note that the bridge command of this member's claim has been given."""
        member = self._held(call)
        assert member.hold is not None  # _held saw it
        return self._put(replace(member, hold=replace(member.hold, bridging=True)))

    def move(self, call: CallSid, *, key: OrderKey, enqueued_at: datetime, joined_at: float) -> Member:
        """Give a member the place of one that has left, and its time; the key must be nobody's."""
        if key in self._waiting:
            raise BridgeError(f"{call} cannot move to key {tuple(key)} of queue {self.sid}: it is {self._waiting[key]}'s")
        member = self._members[call]
        moved = replace(member, key=key, enqueued_at=enqueued_at, joined_at=joined_at, resumed=True)
        if member.hold is None:
            self._step_out(member)
            self._line_up(moved)
        return self._put(moved)

    def get(self, call: CallSid) -> Member | None:
        return self._members.get(call)

    def front(self) -> Member | None:
        """The WAITING member that is next, or None."""
        return self._members[self._waiting[self._order[0]]] if self._order else None

    def position(self, call: CallSid) -> int:
        """1 for the front; 0 for a call that is CLAIMED or not here."""
        member = self._members.get(call)
        if member is None or member.hold is not None:
            return 0
        return int(self._order.index(member.key)) + 1

    def list_waiting(self, *, now: float, after: OrderKey | None = None, limit: int | None = None) -> list[MemberView]:
        """A page of the WAITING from the front, or from behind the key ``after`` (which need not be there any more)."""
        start = 0 if after is None else int(self._order.bisect_right(after))
        keys: Iterator[OrderKey] = self._order.islice(start)
        members = (self._members[self._waiting[key]] for key in islice(keys, limit))
        return [
            MemberView(member=member, position=position, wait_s=member.waited_s(now)) for position, member in enumerate(members, start + 1)
        ]

    def members(self) -> Iterator[Member]:
        """All of them, CLAIMED too, in no particular order."""
        return iter(self._members.values())

    @property
    def current_size(self) -> int:
        """How many are WAITING: what the tenant is told."""
        return len(self._order)

    @property
    def seats(self) -> int:
        """WAITING and CLAIMED: what MaxSize limits, and what must be 0 for the queue to be deleted."""
        return len(self._members)

    def average_wait_s(self, now: float) -> float:
        """Mean seconds that the WAITING have waited so far; 0 when there are none."""
        if not self._order:
            return 0.0
        return max(0.0, now - self._joined_us / 1e6 / len(self._order))

    def _held(self, call: CallSid) -> Member:
        member = self._members[call]
        if member.hold is None:
            raise BridgeError(f"{call} is not claimed")
        return member

    def _put(self, member: Member) -> Member:
        self._members[member.call] = member
        return member

    def _line_up(self, member: Member) -> None:
        self._order.add(member.key)
        self._waiting[member.key] = member.call
        self._joined_us += round(member.joined_at * 1e6)

    def _step_out(self, member: Member) -> None:
        self._order.remove(member.key)
        del self._waiting[member.key]
        self._joined_us -= round(member.joined_at * 1e6)
