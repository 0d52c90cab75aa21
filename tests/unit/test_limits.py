"""Buckets of tokens by name."""

from __future__ import annotations

import pytest

from waitline.bridge.limits import Rates


def test_a_bucket_holds_its_burst_and_fills_with_time() -> None:
    rates = Rates(10.0, burst_s=2.0)
    assert [rates.take("a", 0.0) for _ in range(20)] == [0.0] * 20
    assert rates.take("a", 0.0) == pytest.approx(0.1)
    assert rates.take("b", 0.0) == 0.0
    assert [bool(rates.take("a", 1.0)) for _ in range(11)] == [False] * 10 + [True]


def test_without_a_rate_there_is_no_limit_and_nothing_is_kept() -> None:
    rates = Rates(0.0)
    assert not any(rates.take("a", 0.0) for _ in range(1000))
    assert len(rates) == 0


def test_less_than_one_a_second_is_one_at_once() -> None:
    rates = Rates(1 / 60)
    assert rates.take("a", 0.0) == 0.0
    assert rates.take("a", 30.0) == pytest.approx(30.0)
    assert rates.take("a", 60.0) == 0.0


def test_names_that_are_busy_no_more_are_forgotten() -> None:
    rates = Rates(10.0)
    for number in range(20_000):
        rates.take(str(number), number * 0.01)
    assert len(rates) <= 4096
