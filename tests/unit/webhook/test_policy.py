from __future__ import annotations

import pytest

from waitline.bridge.config import Config
from waitline.bridge.webhook.faults import Failure, Fault, Retry
from waitline.bridge.webhook.policy import Limits, policy_of

LIMITS = Limits()


@pytest.mark.parametrize("fragment", ["", "top", "section-2", "x=1"])
def test_without_overrides_the_operators_limits_hold(fragment: str):
    policy = policy_of(fragment, LIMITS)
    assert (policy.connect_s, policy.read_s, policy.total_s, policy.retries) == (5, 15, 15, 1)
    assert policy.on == {Retry.CONNECT}


def test_every_override_is_read():
    policy = policy_of("ct=2000&rt=3000&tt=10000&rc=3&rp=5xx,rt", LIMITS)
    assert (policy.connect_s, policy.read_s, policy.total_s, policy.retries) == (2, 3, 10, 3)
    assert policy.on == {Retry.STATUS_5XX, Retry.READ}


def test_all_means_every_failure_that_can_be_retried():
    policy = policy_of("rp=all", LIMITS)
    assert {fault for fault in Fault if policy.covers(Failure(fault))} == {fault for fault in Fault if fault.retry is not Retry.NEVER}


@pytest.mark.parametrize(
    "fragment",
    ["ct=99", "ct=10001", "rt=15001", "tt=0", "rc=6", "rc=-1", "rc=x", "rc=", "rp=3xx", "rp=", "ct=1e3", "rc=٣", "tt=9999999999"],
)
def test_an_override_that_cannot_be_used_is_refused(fragment: str):
    with pytest.raises(Failure) as caught:
        policy_of(fragment, LIMITS)
    assert caught.value.fault.code == 11243


def test_the_operators_settings_are_the_limits():
    limits = Limits.of(Config())
    assert limits == Limits(at_one_time=500)
