from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from waitline.bridge.queues.queue import CallQueue, Hold, Member, MemberState, OrderKey
from waitline.bridge.sids import AccountSid, CallSid, QueueSid
from waitline.errors import BridgeError

QUEUE = QueueSid("QU1")
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
HOLD = Hold(claim="c1", by=CallSid("agent"), ticket=1)


def member(call: str, sequence: int, *, priority: int = 0, joined_at: float = 0.0) -> Member:
    return Member(
        queue=QUEUE, account=AccountSid("AC1"), call=CallSid(call), key=OrderKey(priority, sequence),
        enqueued_at=EPOCH + timedelta(seconds=joined_at), joined_at=joined_at,
    )  # fmt: skip


def queue_of(*members: Member) -> CallQueue:
    queue = CallQueue(QUEUE)
    for each in members:
        queue.add(each)
    return queue


def calls(queue: CallQueue) -> list[str]:
    return [view.member.call for view in queue.list_waiting(now=0)]


def test_members_stand_by_priority_then_by_sequence():
    queue = queue_of(member("late", 3), member("early", 1), member("urgent", 4, priority=-1), member("patient", 2, priority=5))
    assert calls(queue) == ["urgent", "early", "late", "patient"]
    assert [queue.position(CallSid(name)) for name in calls(queue)] == [1, 2, 3, 4]


def test_a_claimed_member_keeps_its_seat_but_not_its_place_in_what_is_shown():
    queue = queue_of(member("a", 1), member("b", 2))
    claimed = queue.claim(CallSid("a"), HOLD)
    assert claimed.state is MemberState.CLAIMED
    assert (queue.seats, queue.current_size, calls(queue)) == (2, 1, ["b"])
    assert (queue.position(CallSid("a")), queue.position(CallSid("b"))) == (0, 1)
    front = queue.front()
    assert front is not None
    assert front.call == "b"


def test_a_released_member_is_back_at_its_own_key():
    queue = queue_of(member("a", 1), member("b", 2))
    queue.claim(CallSid("a"), HOLD)
    queue.add(member("c", 3))
    assert queue.release(CallSid("a")) == member("a", 1)
    assert calls(queue) == ["a", "b", "c"]


def test_a_claimed_member_cannot_be_claimed_again():
    queue = queue_of(member("a", 1))
    queue.claim(CallSid("a"), HOLD)
    with pytest.raises(BridgeError, match="claimed already, by c1"):
        queue.claim(CallSid("a"), HOLD)


def test_a_waiting_member_cannot_be_released():
    with pytest.raises(BridgeError, match="not claimed"):
        queue_of(member("a", 1)).release(CallSid("a"))


def test_the_same_call_or_the_same_key_cannot_join_twice():
    queue = queue_of(member("a", 1))
    for intruder in (member("a", 2), member("b", 1)):
        with pytest.raises(BridgeError, match="cannot join"):
            queue.add(intruder)


def test_the_average_wait_is_that_of_the_waiting_alone():
    queue = queue_of(member("a", 1, joined_at=0), member("b", 2, joined_at=10), member("c", 3, joined_at=25))
    assert queue.average_wait_s(40) == pytest.approx((40 + 30 + 15) / 3)
    queue.claim(CallSid("a"), HOLD)
    assert queue.average_wait_s(40) == pytest.approx((30 + 15) / 2)
    queue.remove(CallSid("a"))
    queue.remove(CallSid("b"))
    queue.remove(CallSid("c"))
    assert queue.average_wait_s(40) == 0


def test_the_average_does_not_drift_over_a_hundred_thousand_visits():
    queue = queue_of(member("first", 1, joined_at=0.1))
    for turn in range(2, 20_002):
        queue.add(member("guest", turn, joined_at=turn * 0.1 + 1e6))
        queue.remove(CallSid("guest"))
    assert queue.average_wait_s(1.1) == pytest.approx(1.0, abs=1e-9)


def test_a_page_goes_on_behind_a_key_even_if_its_member_has_left():
    queue = queue_of(*(member(name, number) for number, name in enumerate("abcdef", 1)))
    first = queue.list_waiting(now=7, limit=2)
    queue.remove(CallSid("b"))
    second = queue.list_waiting(now=7, after=first[-1].member.key, limit=2)
    assert [(view.member.call, view.position) for view in second] == [("c", 2), ("d", 3)]
    assert [view.wait_s for view in second] == [7, 7]


def test_an_empty_queue_has_no_front():
    assert queue_of().front() is None


def test_bridging_is_noted_on_the_claim():
    queue = queue_of(member("a", 1))
    queue.claim(CallSid("a"), HOLD)
    noted = queue.mark_bridging(CallSid("a"))
    assert noted.hold is not None
    assert noted.hold.bridging
