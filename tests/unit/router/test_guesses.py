"""How often a password may be guessed."""

from __future__ import annotations

from waitline.bridge.router.guesses import Guesses

HOME, ELSEWHERE = "192.0.2.1", "203.0.113.5"


def guessed(guesses: Guesses, times: int, *, now: float = 0.0) -> None:
    for _ in range(times):
        guesses.failed("CR1", now)


def test_a_credential_that_was_guessed_at_too_often_counts_only_where_it_was_proved() -> None:
    guesses = Guesses()
    guesses.proved("CR1", HOME, 0.0)
    guessed(guesses, 9)
    assert not guesses.barred("CR1", ELSEWHERE, 0.0)
    guessed(guesses, 1)
    assert guesses.barred("CR1", ELSEWHERE, 0.0)
    assert not guesses.barred("CR1", HOME, 0.0)
    assert not guesses.barred("CR2", ELSEWHERE, 0.0)


def test_it_counts_again_everywhere_when_the_guessing_is_over() -> None:
    guesses = Guesses()
    guessed(guesses, 10_000)
    assert guesses.barred("CR1", ELSEWHERE, 5000.0)
    assert not guesses.barred("CR1", ELSEWHERE, 7200.0)


def test_whoever_shares_an_address_with_a_phone_does_not_guess_for_ever() -> None:
    guesses = Guesses()
    guesses.proved("CR1", HOME, 0.0)
    guessed(guesses, 100)
    assert guesses.barred("CR1", HOME, 0.0)


def test_a_day_later_a_proof_is_forgotten() -> None:
    guesses = Guesses()
    guesses.proved("CR1", HOME, 0.0)
    guessed(guesses, 50, now=86_401.0)
    assert guesses.barred("CR1", HOME, 86_401.0)


def test_the_places_of_a_credential_are_bounded_and_the_newest_stay() -> None:
    guesses = Guesses()
    for number in range(1000):
        guesses.proved("CR1", f"10.0.{number >> 8}.{number & 255}", 0.0)
    guessed(guesses, 20)
    barred = [guesses.barred("CR1", f"10.0.{number >> 8}.{number & 255}", 0.0) for number in range(1000)]
    assert barred == [True] * 936 + [False] * 64
    assert len(guesses) == 1
