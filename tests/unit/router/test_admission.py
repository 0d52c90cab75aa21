"""When new calls are refused so that those which are up do not suffer."""

from __future__ import annotations

from waitline.bridge.router.admission import BEAT_S, CALM_RATE, STALE_S, Admission

BOUND_S = 0.05


def offered(admission: Admission, *, calls: int, now: float) -> int:
    """So many calls come within a second; returns how many go in."""
    return sum(admission.admits(now + number / calls) for number in range(calls))


def lagging(lag_s: float = 0.2, beats: int = 20) -> Admission:
    admission = Admission(BOUND_S)
    for _ in range(beats):
        admission.beat(lag_s)
    return admission


def test_as_many_calls_as_come_go_in_while_the_loop_is_in_time() -> None:
    admission = lagging(0.01)
    assert offered(admission, calls=5000, now=100.0) == 5000
    assert not admission.closed


def test_a_loop_that_stays_late_refuses_all_but_a_few_new_calls() -> None:
    admission = lagging()
    assert admission.closed == "control"
    assert offered(admission, calls=1000, now=100.0) == CALM_RATE
    assert admission.refused == 1000 - CALM_RATE


def test_a_single_stall_refuses_nobody() -> None:
    admission = lagging(0.001)
    admission.beat(3 * BOUND_S)
    assert not admission.closed


def test_a_slow_machine_with_few_calls_refuses_nobody() -> None:
    admission = lagging(1.0)
    for second in range(10):
        assert offered(admission, calls=CALM_RATE, now=100.0 + second) == CALM_RATE


def test_the_later_the_loop_the_fewer_go_in_and_all_do_when_it_is_in_time_again() -> None:
    shares = [offered(lagging(lag_s), calls=1000, now=100.0) for lag_s in (0.02, 0.04, 0.06, 0.08, 0.12)]
    assert shares[0] == 1000
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] == CALM_RATE
    admission = lagging()
    admission.beat(0.0)
    assert offered(admission, calls=1000, now=100.0) == 1000


def test_under_twice_the_load_that_can_be_served_about_half_goes_in() -> None:
    """A loop that can serve 500 calls a second, and is late by what is not served yet; ten seconds of 1000 a second."""
    admission, backlog_s, admitted = Admission(BOUND_S), 0.0, 0
    late_s: list[float] = []
    for beat in range(int(10 / BEAT_S)):
        for number in range(int(1000 * BEAT_S)):
            if admission.admits(beat * BEAT_S + number / 1000):
                admitted += 1
                backlog_s += 1 / 500
        backlog_s = max(0.0, backlog_s - BEAT_S)
        late_s.append(backlog_s)
        admission.beat(backlog_s)
    assert 0.9 * 5000 < admitted < 1.05 * 5000
    assert max(late_s) < 6 * BOUND_S, "without a door it would be ten seconds late in the end"


def test_media_workers_that_fall_behind_close_the_door_to_every_new_call() -> None:
    admission = Admission(BOUND_S)
    admission.media(0.5, 100.0)
    assert admission.closed == "media"
    assert not admission.admits(100.1)
    admission.media(0.01, 101.0)
    assert admission.admits(101.1)


def test_what_was_said_of_media_long_ago_keeps_nobody_out() -> None:
    admission = Admission(BOUND_S)
    admission.media(0.5, 100.0)
    assert admission.admits(100.0 + STALE_S + 0.1)


def test_a_bound_of_zero_never_closes_the_door() -> None:
    admission = Admission(0.0)
    for _ in range(50):
        admission.beat(5.0)
    admission.media(1.0, 100.0)
    assert offered(admission, calls=1000, now=100.0) == 1000
