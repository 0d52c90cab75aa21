"""How soon a control that died is replaced, and when to stop trying."""

from waitline.supervisor.restarts import ENDLESS, Patience, Restarts


def pauses(restarts, lives):
    """Return the pause after each of so many lives in a row, in seconds."""
    now, found = 0.0, []
    for lived_s in lives:
        now += lived_s
        found.append(restarts.pause_after(lived_s=lived_s, now=now))
        now += found[-1] or 0
    return found


def test_the_first_death_is_followed_at_once_however_short_the_life_was():
    assert pauses(Restarts(Patience()), [0.1]) == [0]


def test_short_lives_in_a_row_are_followed_by_growing_pauses_and_then_no_more():
    assert pauses(Restarts(Patience()), [0.1] * 10) == [0, 0.5, 1, 2, 4, 8, 10, 10, 10, None]


def test_a_life_of_half_a_minute_makes_up_for_those_before():
    assert pauses(Restarts(Patience()), [0.1, 0.1, 30, 0.1]) == [0, 0.5, 0, 0.5]


def test_deaths_longer_than_five_minutes_ago_do_not_count():
    assert None not in pauses(Restarts(Patience()), [40] * 50)


def test_ten_deaths_in_five_minutes_are_too_many_even_of_longer_lives():
    assert pauses(Restarts(Patience()), [31] * 9) == [0] * 9
    assert pauses(Restarts(Patience(short_life_s=5)), [29] * 10)[-1] is None


def test_in_a_drill_nothing_is_ever_given_up():
    assert pauses(Restarts(ENDLESS), [0] * 100) == [0] * 100
