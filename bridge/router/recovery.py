"""Going on where the control process before this one ended.

It left two truths: what it kept (calls, members, conversations, callbacks) and what the media workers really have. This module compares
them, and settles every difference by a rule that has a name, with a line in the log:

==========================  ==========================================================================================
``call-goes-on``            kept and its leg is there: its documents run on from where they were
``leg-without-call``        the leg is closed
``call-without-leg``        its caller hears nothing any more: it is ended, with a BYE where there is a dialog, and its callbacks
``early-call-goes-on``      its INVITE was being decided, or it rang: it goes on from there, over a new leg where no worker has its own
``call-was-over``           its end was kept and not settled: it is ended now, for the reason that was kept, with its callbacks
``call-without-dialog``     the record holds none: nothing can be said to the peer; ended, with its callbacks
``farewell``                a call that was over and whose peer may not know: its BYE, or its last word, goes on until SIP gives up
``claim-was-bridged``       both legs relay under the claim: confirmed, the talk goes on
``claim-came-to-nothing``   not bridged: the member is back at its own place
``talk-is-over``            a conversation one of whose legs relays no more: both sides go on with their documents
``member-without-call``     taken out of the queue
``record-cannot-be-read``   it is dropped, and what it describes is settled by the rules for what has no record
``record-is-foreign``       of a version whose form is not read here: the same. An upgrade asks before (``call.forms``) and refuses
``callback-again``          a request that may not have arrived: sent again with the same token
==========================  ==========================================================================================

It runs before the sockets are read, so nobody can ask for what is not settled. For 32 s after it a BYE for a dialog that nobody knows is
answered 200: it may repeat one that the process before had answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from waitline.bridge.call import callbacks, forms
from waitline.bridge.call.call import Call
from waitline.bridge.call.conversation import Conversation
from waitline.bridge.call.interruption import Ended
from waitline.bridge.call.keeping import CALL, CALLBACK, CONVERSATION, FAREWELL, FAREWELL_S, MEMBER, PLACE, REGISTRATION
from waitline.bridge.call.services import Background, Services
from waitline.bridge.call.state import CallState, CallStatus
from waitline.bridge.call.switchboard import Switchboard
from waitline.bridge.events import LeaveReason, ReleaseReason
from waitline.bridge.net.endpoint import SipEndpoint
from waitline.bridge.queues.authority import Claim
from waitline.bridge.queues.places import KeptPlaces
from waitline.bridge.queues.queue import Member, OrderKey
from waitline.bridge.router.attendant import Attendant
from waitline.bridge.router.registrations import Registrations
from waitline.bridge.sids import AccountSid, CallSid, QueueSid
from waitline.bridge.sip.flow import Flow
from waitline.bridge.store.records import LiveState
from waitline.media.messages import LegState
from waitline.media.plane import MediaLeg

LOST = Ended(status=CallStatus.COMPLETED, reason="media-lost", by_peer=False)
UNKNOWN = Ended(status=CallStatus.COMPLETED, reason="dialog-lost", by_peer=False)

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Findings:
    """What has been settled so far."""

    legs: dict[int, tuple[int, LegState]] = field(default_factory=dict)
    """What the workers have and no call has claimed yet"""
    relaying: dict[str, set[int]] = field(default_factory=dict)
    """Claim → the legs that relay under it"""
    going_on: list[Call] = field(default_factory=list)
    ending: list[tuple[Call, Ended]] = field(default_factory=list)


class Recovery:
    """One take-over; see the module."""

    def __init__(
        self,
        services: Services,
        endpoint: SipEndpoint,
        switchboard: Switchboard,
        attendant: Attendant,
        registrations: Registrations,
        places: KeptPlaces,
        owner: Background,
    ) -> None:
        self._services = services
        self._endpoint = endpoint
        self._switchboard = switchboard
        self._attendant = attendant
        self._registrations = registrations
        self._places = places
        self._owner = owner
        self._found = _Findings()

    async def run(self) -> int:
        """Settle everything; returns how many calls go on."""
        store = self._services.store
        kept, farewells = await store.live_states(CALL), await store.live_states(FAREWELL)
        if kept:
            await self._survey()
        if kept or farewells:
            self._endpoint.do(lambda agent, now: agent.grace(now + FAREWELL_S))
        for record in kept:
            self._each(record, self._revive)
        for record in farewells:
            self._each(record, self._say_farewell)
        self._restore_queues(await store.live_states(MEMBER))
        for record in await store.live_states(PLACE):
            self._each(record, lambda record: self._places.restore(record.data))
        for record in await store.live_states(CONVERSATION):
            self._each(record, self._restore_talk)
        self._settle_claims()
        self._close_strangers()
        for record in await store.live_states(REGISTRATION):
            self._each(record, self._registrations.restore)
        for record in await store.live_states(CALLBACK):
            self._each(record, self._call_back)
        self._let_go_on()
        return len(self._found.going_on)

    def _each(self, record: LiveState, settle: Callable[[LiveState], None]) -> None:
        """Settle one record. One that cannot be read costs what it describes, never the start of the platform."""
        if why := forms.foreign(record):
            log.error("recovery", rule="record-is-foreign", kind=record.kind, key=record.key, why=why)
            self._services.keeper.drop(record.kind, record.key)
            return
        try:
            settle(record)
        except Exception:
            log.exception("recovery", rule="record-cannot-be-read", kind=record.kind, key=record.key)
            self._services.keeper.drop(record.kind, record.key)

    def _say_farewell(self, record: LiveState) -> None:
        log.info("recovery", rule="farewell", dialog=record.key)
        self._endpoint.do(lambda agent, now: agent.restore(record.data, now, connections=self._endpoint.connections))
        self._services.keeper.drop_later(FAREWELL, record.key)

    def _call_back(self, record: LiveState) -> None:
        log.info("recovery", rule="callback-again", url=record.data["target"]["url"])
        callbacks.again(self._services, record)

    # Calls and legs

    async def _survey(self) -> None:
        for worker, leg in await self._services.plane.survey():
            self._found.legs[leg.leg] = (worker, leg)
            if leg.mode == "relay":
                self._found.relaying.setdefault(leg.claim, set()).add(leg.leg)

    def _revive(self, record: LiveState) -> None:
        """Make the call again and decide whether it can go on."""
        plain = record.data
        state = CallState.from_plain(plain["state"])
        call = Call(state, self._services, self._endpoint, Flow.from_plain(plain["leg"]["flow"]))
        worker, leg = self._found.legs.pop(state.media.leg, (0, None))
        over = state.interruption is not None and "status" in state.interruption
        if leg is not None or call.leg.answered or over:
            media = self._media(worker, leg, plain["leg"]) if leg is not None else self._services.plane.lost(state.media.leg)
            call.leg.adopt(media, plain["leg"])
        self._switchboard.add(call)
        if not self._restore_dialog(plain["dialog"]):
            call.leg.abandon()
        self._judge(call, call.revive(plain.get("digits", "")), heard=leg is not None)

    def _media(self, worker: int, leg: LegState, plain: dict[str, Any]) -> MediaLeg:
        return self._services.plane.adopt(worker, leg, digits_kept=plain.get("digit_number"))

    def _judge(self, call: Call, end: Ended | None, *, heard: bool) -> None:
        if end is not None:
            self._end(call, "call-was-over", end)
        elif call.leg.over:
            self._end(call, "call-without-dialog", UNKNOWN)
        elif call.leg.answered and not heard:
            self._end(call, "call-without-leg", LOST)
        else:
            log.info("recovery", rule="call-goes-on" if call.leg.answered else "early-call-goes-on", call=call.sid)
            self._found.going_on.append(call)

    def _end(self, call: Call, rule: str, end: Ended) -> None:
        log.warning("recovery", rule=rule, call=call.sid)
        self._found.ending.append((call, end))

    def _restore_dialog(self, plain: dict[str, Any] | None) -> bool:
        """Tell the user agent of the leg; False where there is no dialog to go on with. Its events find the call from now on."""
        if plain is None:
            return False
        self._endpoint.do(lambda agent, now: agent.restore(plain, now, connections=self._endpoint.connections))
        return "dialog" in plain or "call_id" in plain

    def _close_strangers(self) -> None:
        for worker, leg in self._found.legs.values():
            log.warning("recovery", rule="leg-without-call", leg=leg.leg)
            self._services.plane.adopt(worker, leg).close()

    # Queues

    def _restore_queues(self, records: list[LiveState]) -> None:
        queues = self._services.queues
        records = [record for record in records if self._is_readable(record)]
        # Agents ask again with the tickets they have; new ones come after them.
        queues.restore({"members": [record.data for record in records], "last_ticket": self._services.store.epoch << 32})
        for record in records:
            if self._switchboard.of_sid(record.key) is None:
                log.warning("recovery", rule="member-without-call", call=record.key)
                queues.leave(CallSid(record.key), LeaveReason.SYSTEM_ERROR, dropped_s=0.0)

    def _is_readable(self, record: LiveState) -> bool:
        """Members are seated all at once, so one that cannot be read is put aside before."""
        for line in forms.unreadable([record]):
            log.error("recovery", rule="record-cannot-be-read", kind=record.kind, key=record.key, why=line)
            self._services.keeper.drop(record.kind, record.key)
            return False
        return True

    def _settle_claims(self) -> None:
        """Claims that were in progress: bridged by what the worker says, or given back."""
        queues = self._services.queues
        for call in self._found.going_on:
            member = queues.member(CallSid(call.sid))
            claim = queues.claim_of(member.hold.claim) if member and member.hold else None
            if claim is None:
                continue
            agent = self._switchboard.of_sid(claim.by)
            if agent is not None and agent in self._found.going_on and self._relays(claim.id, agent, call):
                log.info("recovery", rule="claim-was-bridged", call=call.sid, claim=claim.id)
                waited_s = claim.member.waited_s(self._services.clock.now())
                queues.confirm(claim.id)
                self._talk(claim, agent, call, bridged_at=self._services.clock.now(), waited_s=waited_s)
            else:
                log.info("recovery", rule="claim-came-to-nothing", call=call.sid, claim=claim.id)
                queues.release(claim.id, ReleaseReason.BRIDGE_FAILED)

    def _restore_talk(self, record: LiveState) -> None:
        plain = record.data
        agent, caller = self._switchboard.of_sid(plain["agent"]), self._switchboard.of_sid(plain["caller"])
        both_go_on = agent in self._found.going_on and caller in self._found.going_on
        if agent is None or caller is None or not both_go_on or not self._relays(record.key, agent, caller):
            log.warning("recovery", rule="talk-is-over", claim=record.key)
            self._services.keeper.drop(CONVERSATION, record.key)
        if agent is not None and caller is not None:
            claim = self._finished_claim(record, agent, caller)
            self._talk(claim, agent, caller, bridged_at=plain["bridged_at"], waited_s=plain["waited_s"])

    def _talk(self, claim: Claim, agent: Call, caller: Call, *, bridged_at: float, waited_s: float) -> None:
        conversation = Conversation(claim=claim, agent=agent, caller=caller, whisper=None)
        conversation.go_on(bridged_at=bridged_at, waited_s=waited_s)
        agent.revived = caller.revived = conversation

    def _finished_claim(self, record: LiveState, agent: Call, caller: Call) -> Claim:
        """The claim of a talk: its member has left, so it stands for itself."""
        now = self._services.clock.now()
        member = Member(
            queue=QueueSid(record.data["queue"]),
            account=AccountSid(caller.state.account_sid),
            call=CallSid(caller.sid),
            key=OrderKey(0, 0),
            enqueued_at=self._services.clock.utc(),
            joined_at=now - record.data["waited_s"],
        )
        return Claim(
            id=record.key,
            queue=member.queue,
            call=member.call,
            by=CallSid(agent.sid),
            ticket=record.data["ticket"],
            member=member,
            ended=asyncio.get_running_loop().create_future(),
        )

    def _relays(self, claim: str, agent: Call, caller: Call) -> bool:
        return self._found.relaying.get(claim, set()) >= {agent.state.media.leg, caller.state.media.leg}

    # On

    def _let_go_on(self) -> None:
        for call in self._found.going_on:
            self._owner.spawn(self._attendant.resume(call), name=f"call {call.sid}")
        for call, end in self._found.ending:
            call.interrupt(end)
            self._owner.spawn(self._attendant.resume(call), name=f"call {call.sid}")
