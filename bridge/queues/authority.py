"""The one place where queues change: who joins, who is claimed by whom, who leaves and why.

A claim is two-phased, so that nobody loses their place: ``claim`` (the member is the agent's, still seated), then ``confirm`` once the
media says the two are bridged, or ``release`` back to the member's own place. Between the two the tenant, or the caller by hanging up,
may take the member away with ``leave``: that wins over the claim, ``Claim.ended`` tells the agent why, and the agent asks again with the
ticket of its first request, at its own place among the waiting agents.

::

    join ──► WAITING ──claim──► CLAIMED ──confirm──► gone (bridged)
                ▲ │               │  │
                │ └────leave────► gone ◄──leave (wins)
                └────release──────┘

Agents wait for members, in the order of their tickets, and are woken by the ``join`` or ``release`` that brings one; nothing polls. There
are never both a WAITING member and a waiting agent. A request that is cancelled (a Dial's timeout, a hang-up) at the very moment it is
granted gives the member back, which may wake the next agent.

Every change is synchronous and complete before anybody hears of it. Each is one event: first ``log(event)`` (kept durably), then
``notify(event)``, in order; a listener that changes a queue from within ``notify`` has its events told after the ones before it.

A member whose line drops leaves like any other; its place is kept for its caller (``places``), who gets it back with its own order key.

All state is plain (``to_plain``, ``restore``; the places have their own). What is not in it are the agents' requests: a request is a
coroutine of its call, which makes it again, by the ticket in its own progress, and finds a claim it already has by ``claim_of``.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from sortedcontainers import SortedDict

from waitline.bridge.events import (
    LeaveReason,
    MemberClaimed,
    MemberJoined,
    MemberLeft,
    MemberReleased,
    MemberResumed,
    QueueEvent,
    ReleaseReason,
)
from waitline.bridge.queues.places import KeptPlaces
from waitline.bridge.queues.plain import member_from_plain, member_to_plain
from waitline.bridge.queues.queue import Caller, CallQueue, Hold, Member, MemberView, OrderKey
from waitline.bridge.sids import AccountSid, CallSid, QueueSid
from waitline.clock import Clock
from waitline.errors import BridgeError, QueueFull, Refused


class QueueDeleted(Refused):
    """The queue was deleted before, or while, somebody wanted to join or claim in it."""


@dataclass(slots=True, kw_only=True, eq=False)
class Claim:
    """A member that is an agent's for now. ``ended`` resolves once: LeaveReason when the member left (BRIDGED by ``confirm``, otherwise
    somebody else's will), ReleaseReason when the claim was given back. Wait for it by ``until_ended`` or ``asyncio.wait``: awaiting the
    future itself would cancel it together with the awaiting task.
    """

    id: str
    queue: QueueSid
    call: CallSid
    """The member."""
    by: CallSid
    ticket: int
    """For asking again at the same place among the agents."""
    member: Member
    """As it was when it was granted."""
    ended: asyncio.Future[LeaveReason | ReleaseReason] = field(repr=False)

    async def until_ended(self) -> LeaveReason | ReleaseReason:
        """Wait for the end; cancelling the wait does no harm."""
        return await asyncio.shield(self.ended)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueView:
    """A queue's figures at one moment, and as much of its list as was asked for."""

    current_size: int
    seats: int
    average_wait_s: float
    members: tuple[MemberView, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Members of all queues."""

    waiting: int
    claimed: int


@dataclass(slots=True, kw_only=True)
class _Desk:
    """One queue with the agents that wait at it, by ticket. Either it has WAITING members or waiting agents, never both."""

    queue: CallQueue
    agents: SortedDict = field(default_factory=SortedDict)  # ticket → _Request


@dataclass(slots=True, kw_only=True, eq=False)
class _Request:
    by: CallSid
    ticket: int
    granted: asyncio.Future[Claim]


class QueueAuthority:
    """See the module. ``next_sequence(queue)`` is durable and rising; ``new_claim()`` makes an identifier never used before.

    ``places`` None: those of callers whose line drops are kept in memory.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        next_sequence: Callable[[str], int],
        new_claim: Callable[[], str],
        log: Callable[[QueueEvent], None],
        notify: Callable[[QueueEvent], None],
        places: KeptPlaces | None = None,
    ) -> None:
        self._clock = clock
        self._places = KeptPlaces(clock) if places is None else places
        self._next_sequence = next_sequence
        self._new_claim = new_claim
        self._log = log
        self._notify = notify
        self._desks: dict[QueueSid, _Desk] = {}
        self._where: dict[CallSid, QueueSid] = {}
        self._accounts: Counter[AccountSid] = Counter()
        self._claims: dict[str, Claim] = {}
        self._deleted: set[QueueSid] = set()
        self._last_ticket = 0
        self._outbox: deque[QueueEvent] = deque()
        self._telling = False

    # Members

    def join(
        self,
        queue_sid: QueueSid,
        call_sid: CallSid,
        *,
        account: AccountSid,
        max_size: int,
        priority: int = 0,
        caller: Caller | None = None,
    ) -> Member:
        """Seat a call at the end of its priority, or where its ``caller`` was before its line dropped.

        Raises QueueFull, or QueueDeleted; a call that is in a queue already is a bug.
        """
        if call_sid in self._where:
            raise BridgeError(f"{call_sid} is in queue {self._where[call_sid]} already")
        desk = self._desk(queue_sid)
        if desk.queue.seats >= max_size:
            raise QueueFull(f"queue {queue_sid} holds {desk.queue.seats} of {max_size}")
        member = Member(
            queue=queue_sid, account=account, call=call_sid, key=OrderKey(priority, self._next_sequence(queue_sid)),
            enqueued_at=self._clock.utc(), joined_at=self._clock.now(), caller=caller,
        )  # fmt: skip
        desk.queue.add(member)
        self._where[call_sid] = queue_sid
        self._accounts[account] += 1
        self._places.arrived(member)
        self._record(_joined(member, desk.queue.position(call_sid)))
        if (former := self._places.take(member)) is not None:
            self._resume(desk, member, former)
        self._serve(desk)
        seated = self._member_of(call_sid)  # before anybody is told: a listener may take it out again
        self._tell()
        return seated

    def leave(self, call_sid: CallSid, reason: LeaveReason, *, dropped_s: float | None = None) -> MemberLeft | None:
        """Take a call out of its queue, whoever has claimed it; None if it was in none, so it may be said twice.

        A call redirected or failed after its bridge command and before the confirmation has left as ``bridging-in-process``.
        ``dropped_s``: its line dropped, so many seconds ago; None: it did not, so that no place is kept for its caller.
        """
        if call_sid not in self._where:
            return None
        member = self._member_of(call_sid)
        if member.hold is not None and member.hold.bridging and reason in _CUTS_A_BRIDGE:
            reason = LeaveReason.BRIDGING_IN_PROCESS
        left = self._take_out(call_sid, reason)
        if dropped_s is not None:
            self._keep_place(member, dropped_s)
        self._tell()
        return left

    def members_of(self, account: AccountSid) -> int:
        """How many members all queues of an account have."""
        return self._accounts.get(account, 0)

    def member(self, call_sid: CallSid) -> Member | None:
        return None if call_sid not in self._where else self._member_of(call_sid)

    def position(self, call_sid: CallSid) -> int:
        """1 is the front; 0 for a call that is CLAIMED or in no queue."""
        queue_sid = self._where.get(call_sid)
        return 0 if queue_sid is None else self._desks[queue_sid].queue.position(call_sid)

    def view(self, call_sid: CallSid) -> MemberView | None:
        """A member with its position (0 while CLAIMED) and wait; None for a call in no queue."""
        member = self.member(call_sid)
        if member is None:
            return None
        return MemberView(member=member, position=self.position(call_sid), wait_s=member.waited_s(self._clock.now()))

    # Claims

    def new_ticket(self) -> int:
        """A place among the agents, for a request that has to be repeatable: later tickets are served later."""
        self._last_ticket += 1
        return self._last_ticket

    async def claim(self, queue_sid: QueueSid, *, by: CallSid, ticket: int | None = None) -> Claim:
        """Wait for the front member. The caller sets the deadline and, once granted, owes a ``confirm`` or a ``release``.

        Raises QueueDeleted. A claim that ended before the agent's task ran is not handed over: the agent waits on, at its place.
        """
        ticket = self.new_ticket() if ticket is None else ticket
        while True:
            claim = await self._request(queue_sid, by, ticket)
            if not claim.ended.done():
                return claim

    def bridging(self, claim_id: str) -> bool:
        """Note that the bridge command is about to be given; False if the claim has ended, and then do not give it."""
        claim = self._claims.get(claim_id)
        if claim is None:
            return False
        self._desks[claim.queue].queue.mark_bridging(claim.call)
        return True

    def confirm(self, claim_id: str) -> MemberLeft | None:
        """The media reports the bridge: the member has left as bridged. None if the claim had ended before: then undo the bridge."""
        claim = self._claims.get(claim_id)
        if claim is None:
            return None
        left = self._take_out(claim.call, LeaveReason.BRIDGED)
        self._tell()
        return left

    def release(self, claim_id: str, reason: ReleaseReason) -> bool:
        """Give the member back to its own place, where a waiting agent may get it at once; False if the claim had ended before.

        For an agent who is gone or a bridge that failed. A caller who is gone has to ``leave``, which ends the claim too.
        """
        claim = self._claims.get(claim_id)
        if claim is None:
            return False
        self._give_back(claim, reason)
        self._tell()
        return True

    def claim_of(self, claim_id: str) -> Claim | None:
        """A claim in progress; None if it has ended."""
        return self._claims.get(claim_id)

    def claims_by(self, call_sid: CallSid) -> list[Claim]:
        """The claims that an agent has in progress: what its end has to give back."""
        return [claim for claim in self._claims.values() if claim.by == call_sid]

    # Queues

    def snapshot(self, queue_sid: QueueSid, *, limit: int = 0, after: OrderKey | None = None) -> QueueView:
        """The figures in O(1), with up to ``limit`` members from the front or from behind the order key ``after``."""
        desk = self._desks.get(queue_sid)
        if desk is None:
            return QueueView(current_size=0, seats=0, average_wait_s=0.0)
        now, queue = self._clock.now(), desk.queue
        members = tuple(queue.list_waiting(now=now, after=after, limit=limit)) if limit else ()
        return QueueView(
            current_size=queue.current_size, seats=queue.seats, average_wait_s=queue.average_wait_s(now), members=members
        )  # fmt: skip

    def front(self, queue_sid: QueueSid) -> MemberView | None:
        """The WAITING member that is next, or None."""
        return next(iter(self.snapshot(queue_sid, limit=1).members), None)

    def seats(self, queue_sid: QueueSid) -> int:
        """WAITING and CLAIMED."""
        desk = self._desks.get(queue_sid)
        return 0 if desk is None else desk.queue.seats

    def totals(self) -> Totals:
        """Members of all queues, counted for the metrics."""
        return Totals(waiting=len(self._where) - len(self._claims), claimed=len(self._claims))

    def forget(self, queue_sid: QueueSid) -> bool:
        """The queue is being deleted: nobody joins any more, and waiting agents get QueueDeleted. False (nothing done) if it has seats."""
        if self.seats(queue_sid):
            return False
        self._deleted.add(queue_sid)
        desk = self._desks.pop(queue_sid, None)
        for request in [] if desk is None else desk.agents.values():
            if not request.granted.done():
                request.granted.set_exception(QueueDeleted(queue_sid))
        return True

    def remember(self, queue_sid: QueueSid) -> None:
        """The deletion did not happen after all."""
        self._deleted.discard(queue_sid)

    # The whole as plain data

    def to_plain(self) -> dict[str, Any]:
        """Every member with its claim, and the last ticket; JSON-able."""
        members = [member_to_plain(member) for desk in self._desks.values() for member in desk.queue.members()]
        return {"members": members, "last_ticket": self._last_ticket}

    def restore(self, plain: dict[str, Any]) -> None:
        """Take over what ``to_plain`` said, into an authority that has no members; no event, nobody has moved. Needs a running loop."""
        if self._where:
            raise BridgeError("an authority that has members cannot be restored")
        self._last_ticket = plain["last_ticket"]
        self._seat(member_from_plain(entry, clock=self._clock) for entry in plain["members"])

    # Steps

    def _seat(self, members: Iterable[Member]) -> None:
        for member in members:
            self._desk(member.queue).queue.add(member)
            self._where[member.call] = member.queue
            self._accounts[member.account] += 1
            self._places.arrived(member)
            if member.hold is not None:
                self._claims[member.hold.claim] = _claim(member, member.hold, asyncio.get_running_loop())

    def _desk(self, queue_sid: QueueSid) -> _Desk:
        if queue_sid in self._deleted:
            raise QueueDeleted(queue_sid)
        desk = self._desks.get(queue_sid)
        if desk is None:
            desk = self._desks[queue_sid] = _Desk(queue=CallQueue(queue_sid))
        return desk

    def _member_of(self, call_sid: CallSid) -> Member:
        member = self._desks[self._where[call_sid]].queue.get(call_sid)
        assert member is not None  # _where and the queues change together
        return member

    async def _request(self, queue_sid: QueueSid, by: CallSid, ticket: int) -> Claim:
        desk = self._desk(queue_sid)
        if ticket in desk.agents:
            raise BridgeError(f"ticket {ticket} is waiting at queue {queue_sid} already")
        request = _Request(by=by, ticket=ticket, granted=asyncio.get_running_loop().create_future())
        desk.agents[ticket] = request
        self._serve(desk)
        self._tell()
        try:
            return await request.granted
        except asyncio.CancelledError:
            self._withdraw(request)
            raise
        finally:
            desk.agents.pop(ticket, None)

    def _withdraw(self, request: _Request) -> None:
        """A cancelled request that was granted in the meantime gives its member back."""
        granted = request.granted
        if granted.done() and not granted.cancelled() and granted.exception() is None:
            self.release(granted.result().id, ReleaseReason.AGENT_GONE)

    def _serve(self, desk: _Desk) -> None:
        """Match the front members with the first agents until one side is empty."""
        while desk.agents and (member := desk.queue.front()) is not None:
            request: _Request = desk.agents.popitem(0)[1]
            if not request.granted.done():  # a request whose task is being cancelled is passed over
                request.granted.set_result(self._grant(desk.queue, member, request))

    def _grant(self, queue: CallQueue, member: Member, request: _Request) -> Claim:
        hold = Hold(claim=self._new_claim(), by=request.by, ticket=request.ticket)
        claim = _claim(queue.claim(member.call, hold), hold, request.granted.get_loop())
        self._claims[claim.id] = claim
        self._record(
            MemberClaimed(account=member.account, queue=queue.sid, call=member.call, at=self._clock.utc(), claim=claim.id, by=claim.by)
        )
        return claim

    def _keep_place(self, member: Member, dropped_s: float) -> None:
        """Keep it for its caller, or give it to the call by which that caller has come back before we knew that it had gone."""
        heir = self._places.keep(member, dropped_s=dropped_s)
        if heir is not None:
            desk = self._desks[member.queue]
            self._resume(desk, self._member_of(heir), member)
            self._serve(desk)

    def _resume(self, desk: _Desk, member: Member, former: Member) -> None:
        """Give a member the place and the time that its caller had. The priority is the new one: that is the tenant's word."""
        key = OrderKey(member.key.priority, former.key.sequence)
        desk.queue.move(member.call, key=key, enqueued_at=former.enqueued_at, joined_at=former.joined_at)
        position = desk.queue.position(member.call)
        self._record(
            MemberResumed(
                account=member.account, queue=member.queue, call=member.call, at=self._clock.utc(), of=former.call, position=position
            )
        )

    def _take_out(self, call_sid: CallSid, reason: LeaveReason) -> MemberLeft:
        member = self._desks[self._where.pop(call_sid)].queue.remove(call_sid)
        self._accounts[member.account] -= 1
        self._places.left(member)
        hold = member.hold
        left = MemberLeft(
            account=member.account, queue=member.queue, call=call_sid, at=self._clock.utc(), reason=reason,
            waited_s=member.waited_s(self._clock.now()),
            claim=None if hold is None else hold.claim, by=None if hold is None else hold.by, resumed=member.resumed,
        )  # fmt: skip
        self._record(left)
        if hold is not None:
            self._end(self._claims.pop(hold.claim), reason)
        return left

    def _give_back(self, claim: Claim, reason: ReleaseReason) -> None:
        desk = self._desks[claim.queue]
        member = desk.queue.release(claim.call)
        self._end(self._claims.pop(claim.id), reason)
        self._record(
            MemberReleased(
                account=member.account, queue=claim.queue, call=claim.call, at=self._clock.utc(), claim=claim.id, by=claim.by, reason=reason
            )
        )
        self._serve(desk)

    def _end(self, claim: Claim, outcome: LeaveReason | ReleaseReason) -> None:
        if not claim.ended.done():  # an awaiting agent that is cancelled cancels the future with it
            claim.ended.set_result(outcome)

    def _record(self, event: QueueEvent) -> None:
        self._log(event)
        self._outbox.append(event)

    def _tell(self) -> None:
        if self._telling:
            return
        self._telling = True
        try:
            while self._outbox:
                self._notify(self._outbox.popleft())
        finally:
            self._telling = False


_CUTS_A_BRIDGE = frozenset({LeaveReason.REDIRECTED, LeaveReason.ERROR, LeaveReason.SYSTEM_ERROR})


def _claim(member: Member, hold: Hold, loop: asyncio.AbstractEventLoop) -> Claim:
    ended: asyncio.Future[LeaveReason | ReleaseReason] = loop.create_future()
    return Claim(
        id=hold.claim, queue=member.queue, call=member.call, by=hold.by, ticket=hold.ticket, member=replace(member, hold=None), ended=ended
    )  # fmt: skip


def _joined(member: Member, position: int) -> MemberJoined:
    return MemberJoined(account=member.account, queue=member.queue, call=member.call, at=member.enqueued_at, position=position)
