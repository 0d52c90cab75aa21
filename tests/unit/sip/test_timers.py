from __future__ import annotations

from functools import partial

from waitline.bridge.sip.timers import TimerQueue, Timers


def note(fired: list[str], name: str, _now: float) -> None:
    fired.append(name)


def test_timers_fire_in_order_and_those_of_one_instant_as_they_were_armed() -> None:
    queue, fired = TimerQueue(), list[str]()
    for at, name in ((2.0, "c"), (1.0, "a"), (1.0, "b"), (9.0, "late")):
        queue.arm(at, partial(note, fired, name))
    queue.expire(5.0)
    assert fired == ["a", "b", "c"]
    assert queue.next_at() == 9.0


def test_a_cancelled_timer_does_not_fire_and_is_not_the_next_one() -> None:
    queue, fired = TimerQueue(), list[float]()
    first = queue.arm(1.0, fired.append)
    queue.arm(2.0, fired.append)
    first.cancel()
    first.cancel()
    assert (queue.next_at(), len(queue)) == (2.0, 1)
    queue.expire(3.0)
    assert fired == [3.0]
    assert (queue.next_at(), len(queue)) == (None, 0)


def test_a_timer_armed_for_now_by_a_timer_fires_in_the_same_breath() -> None:
    queue, fired = TimerQueue(), list[str]()
    queue.arm(1.0, lambda now: queue.arm(now, lambda _: fired.append("second")))
    queue.expire(1.0)
    assert fired == ["second"]


def test_cancelled_timers_do_not_pile_up() -> None:
    queue = TimerQueue()
    live = queue.arm(1e9, lambda _: None)
    for _ in range(10_000):
        queue.arm(1e8, lambda _: None).cancel()
    assert len(queue) == 1
    assert len(queue._heap) < 600
    live.cancel()


def test_the_long_timers_are_64_times_t1() -> None:
    assert Timers().transaction == 32.0
    assert Timers(t1=0.1).transaction == 6.4
