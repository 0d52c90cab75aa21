"""Random histories of two queues: the invariants hold after every step, whoever comes, goes, fails or changes their mind when.

The model knows only what was asked and what each agent's task returned; it judges the authority by its events and its answers.
"""

from __future__ import annotations

import asyncio

import pytest
from harness.virtual_time import VirtualTimeLoop
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from unit.queues.kit import QUEUE, World

from waitline.bridge.events import LeaveReason, MemberClaimed, MemberJoined, MemberLeft, MemberReleased, MemberResumed, ReleaseReason
from waitline.bridge.queues.authority import Claim
from waitline.bridge.queues.queue import OrderKey
from waitline.bridge.sids import CallSid, QueueSid
from waitline.errors import QueueFull

QUEUES = (QUEUE, QueueSid("QU" + "1" * 32))
MAX_SIZE = 6
queues = st.sampled_from(QUEUES)
picks = st.integers(min_value=0, max_value=99)
reasons = st.sampled_from([LeaveReason.HANGUP, LeaveReason.LEAVE, LeaveReason.REDIRECTED, LeaveReason.ERROR, LeaveReason.TIMEOUT])
numbers = st.sampled_from([None, "+15550201", "+15550202"])
releases = st.sampled_from([ReleaseReason.AGENT_GONE, ReleaseReason.BRIDGE_FAILED])


class Histories(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualTimeLoop()
        self.world = World()
        self.calls = 0
        self.keys: dict[CallSid, OrderKey] = {}
        self.numbers: dict[CallSid, tuple[str | None, QueueSid]] = {}
        self.dropped: dict[CallSid, OrderKey] = {}
        self.requests: list[tuple[QueueSid, asyncio.Task[Claim]]] = []
        self.held: list[Claim] = []
        self.settled = True

    def teardown(self) -> None:
        for _, request in self.requests:
            request.cancel()
        self.settle()
        self.loop.close()

    @rule(queue=queues, priority=st.sampled_from([0, 0, 0, 1, -1]), number=numbers)
    def a_caller_enqueues(self, queue, priority, number):
        self.calls += 1
        self.world.now += 1
        call = CallSid(f"call-{self.calls}")
        full = self.world.authority.seats(queue) >= MAX_SIZE
        told = len(self.world.told)
        try:
            caller = None if number is None else self.world.caller(number)
            self.world.join(call, priority=priority, max_size=MAX_SIZE, queue=queue, caller=caller)
        except QueueFull:
            assert full
        else:
            assert not full
            member = self.world.authority.member(call)
            assert member is not None
            self.keys[call] = member.key
            self.numbers[call] = (number, queue)
            self.note_resumed(told)
        self.settled = False

    @precondition(lambda self: self.keys)
    @rule(pick=picks, dropped_s=st.sampled_from([0.0, 0.5, 3.0, 50.0]))
    def a_line_drops(self, pick, dropped_s):
        call = list(self.keys)[pick % len(self.keys)]
        told = len(self.world.told)
        self.dropped[call] = self.keys.pop(call)
        self.loop.run_until_complete(self.drop(call, dropped_s))
        self.note_resumed(told)
        self.settled = False

    def note_resumed(self, told: int) -> None:
        """Whoever was resumed has the place of one dropped call, of its own caller and queue, that nobody has had since."""
        for event in self.world.told[told:]:
            if isinstance(event, MemberResumed):
                former, resumed = self.dropped.pop(event.of), self.world.authority.member(event.call)
                assert resumed is not None
                assert resumed.resumed
                assert resumed.key == (self.keys[event.call].priority, former.sequence)
                assert self.numbers[event.call] == self.numbers[event.of] != (None, event.queue)
                self.keys[event.call] = resumed.key

    async def drop(self, call: CallSid, dropped_s: float) -> None:
        assert self.world.authority.leave(call, LeaveReason.HANGUP, dropped_s=dropped_s) is not None

    @precondition(lambda self: self.keys)
    @rule(pick=picks, reason=reasons)
    def a_member_goes(self, pick, reason):
        call = list(self.keys)[pick % len(self.keys)]
        left = self.world.authority.leave(call, reason)
        assert left is not None
        assert left.reason in {reason, LeaveReason.BRIDGING_IN_PROCESS}
        assert self.world.authority.leave(call, reason) is None
        del self.keys[call]
        self.settled = False

    @rule(queue=queues)
    def an_agent_dials_a_queue(self, queue):
        self.ask(queue, self.world.authority.new_ticket())

    @precondition(lambda self: self.requests)
    @rule(pick=picks)
    def an_agent_gives_up(self, pick):
        self.requests[pick % len(self.requests)][1].cancel()
        self.settled = False

    @precondition(lambda self: self.held)
    @rule(pick=picks)
    def the_bridge_command_is_given(self, pick):
        claim = self.held[pick % len(self.held)]
        assert self.world.authority.bridging(claim.id) is not claim.ended.done()

    @precondition(lambda self: self.held)
    @rule(pick=picks)
    def a_bridge_is_reported(self, pick):
        claim = self.held.pop(pick % len(self.held))
        had_ended = claim.ended.done()
        left = self.world.authority.confirm(claim.id)
        assert (left is None) is had_ended
        if left is not None:
            assert left.reason is LeaveReason.BRIDGED
            del self.keys[claim.call]

    @precondition(lambda self: self.held)
    @rule(pick=picks, reason=releases)
    def a_claim_comes_to_nothing(self, pick, reason):
        claim = self.held.pop(pick % len(self.held))
        assert self.world.authority.release(claim.id, reason) is not claim.ended.done() or claim.ended.result() is reason
        self.settled = False

    @precondition(lambda self: any(claim.ended.done() for claim in self.held))
    @rule()
    def an_agent_whose_caller_was_taken_asks_again(self):
        claim = next(claim for claim in self.held if claim.ended.done())
        self.held.remove(claim)
        self.ask(claim.queue, claim.ticket)

    @rule()
    def the_tasks_run(self):
        self.settle()

    @precondition(lambda self: self.settled)
    @rule()
    def another_process_takes_over(self):
        plain = self.world.authority.to_plain()
        waiting = [queue for queue, _ in self.requests]
        for _, request in self.requests:
            request.cancel()
        self.settle()
        self.world.authority = self.world.new_authority()
        self.loop.run_until_complete(self.restore(plain))
        found = [self.world.authority.claim_of(claim.id) for claim in self.held]
        self.held = [claim for claim in found if claim is not None]
        for queue in waiting:
            self.ask(queue, self.world.authority.new_ticket())

    @rule(bridged=st.booleans())
    def control_dies_between_any_two_steps(self, bridged):
        """What goes on is what was kept with each event; of the claims the media worker says whether they came to anything."""
        dead, kept = self.world.authority, list(self.world.kept.values())
        self.world.authority = self.world.new_authority()
        for _, request in self.requests:
            request.cancel()
        self.loop.run_until_complete(self.turns())
        assert dead is not self.world.authority
        self.loop.run_until_complete(self.restore({"members": kept, "last_ticket": self.world.authority.new_ticket() + 1000}))
        for call, claim in [(plain["call"], plain["hold"]["claim"]) for plain in kept if plain["hold"]]:
            if bridged:
                left = self.world.authority.confirm(claim)
                assert left is not None
                assert left.call == call
                del self.keys[call]
            else:
                assert self.world.authority.release(claim, ReleaseReason.BRIDGE_FAILED)
        waiting, self.requests, self.held = [queue for queue, _ in self.requests], [], []
        for queue in waiting:
            self.ask(queue, self.world.authority.new_ticket())

    @invariant()
    def what_is_kept_is_what_is(self):
        assert sorted(self.world.kept) == sorted(self.keys)
        for plain in self.world.authority.to_plain()["members"]:
            assert apart_from_bridging(self.world.kept[plain["call"]]) == apart_from_bridging(plain)

    @invariant()
    def positions_are_gapless_and_in_order_of_the_keys(self):
        for queue in QUEUES:
            view = self.world.authority.snapshot(queue, limit=100)
            calls = [line.member.call for line in view.members]
            assert [line.position for line in view.members] == list(range(1, view.current_size + 1))
            assert [self.world.authority.position(call) for call in calls] == list(range(1, view.current_size + 1))
            keys = [self.keys[call] for call in calls]
            assert keys == sorted(keys) == [line.member.key for line in view.members]

    @invariant()
    def the_average_is_that_of_the_listed(self):
        for queue in QUEUES:
            view = self.world.authority.snapshot(queue, limit=100)
            waits = [line.wait_s for line in view.members]
            assert view.average_wait_s == pytest.approx(sum(waits) / len(waits) if waits else 0)

    @invariant()
    def a_call_that_joined_and_did_not_leave_is_in_exactly_one_queue(self):
        entries = self.world.authority.to_plain()["members"]
        assert sorted(entry["call"] for entry in entries) == sorted(self.keys)
        assert sum(self.world.authority.seats(queue) for queue in QUEUES) == len(self.keys)

    @invariant()
    def a_member_has_one_claim_at_a_time_and_the_events_tell_it_all(self):
        claimed: dict[CallSid, str | None] = {}
        for event in self.world.told:
            match event:
                case MemberJoined():
                    assert event.call not in claimed
                    claimed[event.call] = None
                case MemberClaimed():
                    assert claimed[event.call] is None
                    claimed[event.call] = event.claim
                case MemberReleased():
                    assert claimed[event.call] == event.claim
                    claimed[event.call] = None
                case MemberLeft():
                    assert claimed.pop(event.call) == event.claim
        states = {entry["call"]: entry["hold"] and entry["hold"]["claim"] for entry in self.world.authority.to_plain()["members"]}
        assert claimed == states
        assert self.world.logged == self.world.told

    @precondition(lambda self: self.settled)
    @invariant()
    def once_the_tasks_have_run_every_claim_is_in_the_hands_of_one_agent(self):
        live = sorted(claim.call for claim in self.held if not claim.ended.done())
        assert live == sorted(call for call in self.keys if self.world.authority.position(call) == 0)
        for queue, _ in self.requests:
            assert self.world.authority.snapshot(queue).current_size == 0

    def ask(self, queue: QueueSid, ticket: int) -> None:
        agent = CallSid(f"agent-{ticket}")
        self.requests.append((queue, self.loop.create_task(self.world.authority.claim(queue, by=agent, ticket=ticket))))
        self.settled = False

    def settle(self) -> None:
        self.loop.run_until_complete(self.turns())
        for _, request in self.requests:
            if request.done() and not request.cancelled():
                self.held.append(request.result())
        self.requests = [pair for pair in self.requests if not pair[1].done()]
        self.settled = True

    async def turns(self) -> None:
        for _ in range(8):
            await asyncio.sleep(0)

    async def restore(self, plain) -> None:
        self.world.authority.restore(plain)


def apart_from_bridging(plain):
    """Whether the bridge command was given is the media worker's to say: a recovery asks it."""
    return plain | {"hold": plain["hold"] and plain["hold"] | {"bridging": None}}


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=1000, stateful_step_count=20, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
TestHistories = pytest.mark.slow(TestHistories)
