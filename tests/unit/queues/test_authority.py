from __future__ import annotations

import asyncio
import json

import pytest
from harness.virtual_time import run
from unit.queues.kit import ACCOUNT, AGENT, QUEUE, World

from waitline.bridge.events import LeaveReason, MemberClaimed, MemberLeft, QueueEvent, ReleaseReason
from waitline.bridge.queues.authority import Claim, QueueDeleted
from waitline.bridge.sids import CallSid
from waitline.errors import BridgeError, QueueFull

A, B, C = CallSid("A"), CallSid("B"), CallSid("C")
OTHER_AGENT = CallSid("CAother")


async def settle() -> None:
    """Let every task that can run come to its next wait."""
    for _ in range(5):
        await asyncio.sleep(0)


# Joining and leaving


def test_callers_stand_in_order_of_arrival_and_hear_their_position():
    world = World()
    world.join("A", "B", "C")
    assert [world.authority.position(call) for call in (A, B, C)] == [1, 2, 3]
    world.authority.leave(A, LeaveReason.LEAVE)
    assert [world.authority.position(call) for call in (A, B, C)] == [0, 1, 2]


def test_a_full_queue_refuses_and_a_claimed_member_counts():
    async def story() -> None:
        world = World()
        world.join("A", "B", max_size=2)
        await world.authority.claim(QUEUE, by=AGENT)
        with pytest.raises(QueueFull, match="2 of 2"):
            world.join("C", max_size=2)
        assert world.authority.member(C) is None

    run(story())


def test_a_call_cannot_be_in_two_queues():
    world = World()
    world.join("A")
    with pytest.raises(BridgeError, match="already"):
        world.join("A")


def test_leaving_tells_the_reason_and_the_wait_and_may_be_said_twice():
    world = World()
    world.join("A")
    world.now = 41.2
    left = world.authority.leave(A, LeaveReason.HANGUP)
    assert left is not None
    assert (left.reason, left.waited_s, left.claim) == (LeaveReason.HANGUP, 41.2, None)
    assert world.authority.leave(A, LeaveReason.HANGUP) is None
    assert world.story() == ["joined A", "left A"]


def test_figures_of_a_queue():
    world = World()
    world.join("A")
    world.now = 10
    world.join("B")
    world.now = 14
    view = world.authority.snapshot(QUEUE, limit=1)
    assert (view.current_size, view.seats, view.average_wait_s) == (2, 2, 9)
    assert [(line.member.call, line.position, line.wait_s) for line in view.members] == [("A", 1, 14)]
    line = world.authority.view(B)
    assert line is not None
    assert (line.position, line.wait_s) == (2, 4)


def test_figures_of_a_queue_nobody_has_been_in():
    world = World()
    assert world.authority.snapshot(QUEUE) == world.authority.snapshot(QUEUE, limit=5)
    assert (world.authority.front(QUEUE), world.authority.seats(QUEUE), world.authority.view(A)) == (None, 0, None)


# Claims


def test_the_front_member_is_claimed_and_confirmed():
    async def story() -> None:
        world = World()
        world.join("A", "B")
        claim = await world.authority.claim(QUEUE, by=AGENT)
        assert (claim.call, world.waiting(), world.authority.seats(QUEUE)) == (A, ["B"], 2)
        world.now = 5
        left = world.authority.confirm(claim.id)
        assert left is not None
        assert (left.reason, left.by, left.claim, left.waited_s) == (LeaveReason.BRIDGED, AGENT, claim.id, 5)
        assert await claim.until_ended() is LeaveReason.BRIDGED
        assert world.story() == ["joined A", "joined B", "claimed A", "left A"]

    run(story())


def test_a_released_member_is_back_at_its_own_place_with_its_own_time():
    async def story() -> None:
        world = World()
        world.join("A", "B")
        claim = await world.authority.claim(QUEUE, by=AGENT)
        world.now = 8
        assert world.authority.release(claim.id, ReleaseReason.AGENT_GONE)
        line = world.authority.view(A)
        assert line is not None
        assert (line.position, line.wait_s) == (1, 8)
        assert claim.ended.result() is ReleaseReason.AGENT_GONE
        assert world.story()[-1] == "released A"

    run(story())


def test_agents_wait_in_order_of_arrival_and_are_woken_by_a_join():
    async def story() -> None:
        world = World()
        first = asyncio.create_task(world.authority.claim(QUEUE, by=AGENT))
        await settle()
        second = asyncio.create_task(world.authority.claim(QUEUE, by=OTHER_AGENT))
        await settle()
        world.join("A")
        assert (await first).call == A
        assert not second.done()
        world.join("B")
        assert (await second).call == B
        assert world.story() == ["joined A", "claimed A", "joined B", "claimed B"]

    run(story())


def test_a_waiting_agent_gets_the_member_that_another_gives_back():
    async def story() -> None:
        world = World()
        world.join("A")
        held = await world.authority.claim(QUEUE, by=AGENT)
        waiting = asyncio.create_task(world.authority.claim(QUEUE, by=OTHER_AGENT))
        await settle()
        world.authority.release(held.id, ReleaseReason.AGENT_GONE)
        claim = await waiting
        assert (claim.call, claim.by) == (A, OTHER_AGENT)
        assert world.story() == ["joined A", "claimed A", "released A", "claimed A"]

    run(story())


def test_two_agents_at_once_never_win_the_same_member():
    async def story() -> None:
        world = World()
        world.join("A", "B")
        claims = await asyncio.gather(*(world.authority.claim(QUEUE, by=agent) for agent in (AGENT, OTHER_AGENT)))
        assert {claim.call for claim in claims} == {A, B}

    run(story())


def test_a_timeout_ends_the_request_and_the_next_caller_waits():
    async def story() -> None:
        world = World()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await world.authority.claim(QUEUE, by=AGENT)
        world.join("A")
        assert world.waiting() == ["A"]

    run(story())


def test_a_request_cancelled_as_it_is_granted_gives_the_caller_to_the_next_agent():
    async def story() -> None:
        world = World()
        first = asyncio.create_task(world.authority.claim(QUEUE, by=AGENT))
        await settle()
        second = asyncio.create_task(world.authority.claim(QUEUE, by=OTHER_AGENT))
        await settle()
        world.join("A")  # granted to the first, whose task has not run yet
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert (await second).call == A

    run(story())


def test_a_request_cancelled_before_its_task_notices_is_passed_over():
    async def story() -> None:
        world = World()
        first = asyncio.create_task(world.authority.claim(QUEUE, by=AGENT))
        await settle()
        first.cancel()
        world.join("A")
        assert world.waiting() == ["A"]
        with pytest.raises(asyncio.CancelledError):
            await first
        assert world.story() == ["joined A"]

    run(story())


@pytest.mark.parametrize("reason", [LeaveReason.REDIRECTED, LeaveReason.HANGUP])
def test_rest_wins_over_a_claim_and_the_agent_keeps_its_place(reason: LeaveReason):
    async def story() -> None:
        world = World()
        world.join("A")
        claim = await world.authority.claim(QUEUE, by=AGENT)
        later = asyncio.create_task(world.authority.claim(QUEUE, by=OTHER_AGENT))
        await settle()
        left = world.authority.leave(A, reason)
        assert left is not None
        assert (left.reason, left.claim, left.by) == (reason, claim.id, AGENT)
        assert await claim.until_ended() is reason
        again = asyncio.create_task(world.authority.claim(QUEUE, by=AGENT, ticket=claim.ticket))
        await settle()
        world.join("B")
        assert (await again).call == B
        assert not later.done()
        later.cancel()

    run(story())


def test_a_claim_that_ended_before_the_agent_ran_is_not_handed_over():
    async def story() -> None:
        world = World()
        agent = asyncio.create_task(world.authority.claim(QUEUE, by=AGENT))
        await settle()
        world.join("A")
        world.authority.leave(A, LeaveReason.HANGUP)
        await settle()
        assert not agent.done()
        world.join("B")
        assert (await agent).call == B

    run(story())


def end_by_leaving(world: World, claim: Claim) -> None:
    world.authority.leave(claim.call, LeaveReason.HANGUP)


def end_by_release(world: World, claim: Claim) -> None:
    world.authority.release(claim.id, ReleaseReason.BRIDGE_FAILED)


def end_by_confirmation(world: World, claim: Claim) -> None:
    world.authority.confirm(claim.id)


@pytest.mark.parametrize("end", [end_by_leaving, end_by_release, end_by_confirmation])
def test_a_claim_that_has_ended_can_be_neither_confirmed_nor_released_nor_bridged(end):
    async def story() -> None:
        world = World()
        world.join("A")
        claim = await world.authority.claim(QUEUE, by=AGENT)
        end(world, claim)
        told, waiting = len(world.told), world.waiting()
        assert world.authority.confirm(claim.id) is None
        assert world.authority.release(claim.id, ReleaseReason.AGENT_GONE) is False
        assert world.authority.bridging(claim.id) is False
        assert (len(world.told), world.waiting(), world.authority.claim_of(claim.id)) == (told, waiting, None)

    run(story())


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        (LeaveReason.REDIRECTED, LeaveReason.BRIDGING_IN_PROCESS),
        (LeaveReason.ERROR, LeaveReason.BRIDGING_IN_PROCESS),
        (LeaveReason.SYSTEM_ERROR, LeaveReason.BRIDGING_IN_PROCESS),
        (LeaveReason.HANGUP, LeaveReason.HANGUP),
    ],
)
def test_a_call_taken_away_after_the_bridge_command(reason: LeaveReason, told: LeaveReason):
    async def story() -> None:
        world = World()
        world.join("A")
        claim = await world.authority.claim(QUEUE, by=AGENT)
        assert world.authority.bridging(claim.id)
        left = world.authority.leave(A, reason)
        assert left is not None
        assert left.reason is told

    run(story())


def test_cancelling_who_awaits_the_end_itself_breaks_nothing():
    async def story() -> None:
        world = World()
        world.join("A")
        claim = await world.authority.claim(QUEUE, by=AGENT)

        async def careless() -> None:
            await claim.ended

        task = asyncio.create_task(careless())
        await settle()
        task.cancel()
        await settle()
        assert world.authority.release(claim.id, ReleaseReason.AGENT_GONE)

    run(story())


def test_the_claims_of_an_agent_are_found_at_its_end():
    async def story() -> None:
        world = World()
        world.join("A", "B")
        mine = await world.authority.claim(QUEUE, by=AGENT)
        other = await world.authority.claim(QUEUE, by=OTHER_AGENT)
        assert world.authority.claims_by(AGENT) == [mine]
        assert world.authority.claim_of(other.id) is other

    run(story())


# Events


def test_a_change_is_logged_before_anybody_is_told():
    world = World()
    seen: list[tuple[int, QueueEvent]] = []
    world.authority._notify = lambda event: seen.append((len(world.logged), event))
    world.join("A")
    world.authority.leave(A, LeaveReason.LEAVE)
    assert [count for count, _ in seen] == [1, 2]
    assert [event for _, event in seen] == world.logged


def test_a_listener_that_changes_the_queue_has_its_events_told_afterwards():
    async def story() -> None:
        world = World()

        def hang_up_when_claimed(event: QueueEvent) -> None:
            world.told.append(event)
            if isinstance(event, MemberClaimed):
                world.authority.leave(event.call, LeaveReason.HANGUP)
                assert not isinstance(world.told[-1], MemberLeft)

        world.authority._notify = hang_up_when_claimed
        agent = asyncio.create_task(world.authority.claim(QUEUE, by=AGENT))
        await settle()
        world.join("A")
        assert world.story() == ["joined A", "claimed A", "left A"]
        agent.cancel()

    run(story())


def test_a_listener_that_fails_does_not_hide_the_next_event():
    world = World()
    notify = world.authority._notify

    def fail(event: QueueEvent) -> None:
        raise RuntimeError(event.call)

    world.authority._notify = fail
    with pytest.raises(RuntimeError, match="A"):
        world.join("A")
    world.authority._notify = notify
    world.authority.leave(A, LeaveReason.LEAVE)
    assert world.story() == ["left A"]


# Deleting


def test_a_deleted_queue_sends_its_waiting_agents_away_and_lets_nobody_in():
    async def story() -> None:
        world = World()
        agent = asyncio.create_task(world.authority.claim(QUEUE, by=AGENT))
        gone = asyncio.create_task(world.authority.claim(QUEUE, by=OTHER_AGENT))
        await settle()
        gone.cancel()
        assert world.authority.forget(QUEUE)
        with pytest.raises(QueueDeleted):
            await agent
        with pytest.raises(QueueDeleted):
            world.join("A")
        with pytest.raises(QueueDeleted):
            await world.authority.claim(QUEUE, by=AGENT)
        world.authority.remember(QUEUE)
        world.join("A")

    run(story())


def test_a_queue_with_a_claimed_member_is_not_empty():
    async def story() -> None:
        world = World()
        world.join("A")
        await world.authority.claim(QUEUE, by=AGENT)
        assert not world.authority.forget(QUEUE)
        assert world.authority.seats(QUEUE) == 1

    run(story())


def test_an_agent_cancelled_as_its_queue_is_deleted_leaves_no_unseen_exception():
    async def story() -> None:
        world = World()
        agent = asyncio.create_task(world.authority.claim(QUEUE, by=AGENT))
        await settle()
        world.authority.forget(QUEUE)
        agent.cancel()
        with pytest.raises(asyncio.CancelledError):
            await agent

    run(story())


# Plain state


def test_everything_is_plain_and_a_later_authority_takes_it_over():
    async def story() -> None:
        world = World()
        world.join("A", "B")
        world.join("C", priority=-1)
        world.now = 20
        claim = await world.authority.claim(QUEUE, by=AGENT)
        world.authority.bridging(claim.id)
        plain = json.loads(json.dumps(world.authority.to_plain()))

        successor = World(world.sequences)
        successor.now = 25
        told = len(successor.told)
        successor.authority.restore(plain)
        assert successor.authority.to_plain() == plain
        assert (successor.waiting(), successor.authority.seats(QUEUE), len(successor.told)) == (["A", "B"], 3, told)
        line = successor.authority.view(A)
        assert line is not None
        assert line.wait_s == 25
        taken_over = successor.authority.claim_of(claim.id)
        assert taken_over is not None
        assert (taken_over.call, taken_over.ticket) == (C, claim.ticket)
        assert successor.authority.new_ticket() > claim.ticket
        assert successor.authority.confirm(claim.id) is not None
        successor.join("D")
        assert successor.waiting() == ["A", "B", "D"]

    run(story())


def test_an_authority_with_members_cannot_be_overwritten():
    world = World()
    world.join("A")
    with pytest.raises(BridgeError, match="cannot be restored"):
        world.authority.restore({"members": [], "last_ticket": 0})


def test_a_ticket_waits_once():
    async def story() -> None:
        world = World()
        ticket = world.authority.new_ticket()
        waiting = asyncio.create_task(world.authority.claim(QUEUE, by=AGENT, ticket=ticket))
        await settle()
        with pytest.raises(BridgeError, match="already"):
            await world.authority.claim(QUEUE, by=AGENT, ticket=ticket)
        world.join("A")
        assert (await waiting).call == A

    run(story())


def test_the_account_travels_with_every_event():
    world = World()
    world.join("A")
    assert {event.account for event in world.told} == {ACCOUNT}
