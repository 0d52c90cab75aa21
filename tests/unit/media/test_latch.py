"""From where a leg takes media."""

import pytest

from waitline.media.latch import Latch, usable

SIGNALLED = ("192.0.2.7", 4000)
NAT = ("198.51.100.1", 62000)


def latch(*hosts):
    made = Latch()
    made.set(*SIGNALLED, hosts, 100)
    return made


def test_the_signalled_address_is_always_good():
    assert latch("203.0.113.9").admit(SIGNALLED, 10_000)


def test_any_host_is_good_in_the_window_when_none_is_named():
    assert latch().admit(NAT, 100)


def test_only_named_hosts_are_good_when_some_are():
    assert latch(NAT[0]).admit(NAT, 0)
    assert not latch("203.0.113.9").admit(NAT, 0)


def test_nobody_new_is_good_after_the_window():
    assert not latch(NAT[0]).admit(NAT, 101)


def test_the_first_source_locks_out_all_others_even_the_signalled():
    made = latch()
    assert made.admit(NAT, 0)
    assert made.source == NAT
    assert not made.admit((NAT[0], NAT[1] + 1), 1)
    assert not made.admit(SIGNALLED, 1)


def test_the_same_address_again_keeps_the_lock():
    made = latch()
    made.admit(NAT, 0)
    assert not made.set(*SIGNALLED, (), 500)
    assert made.source == NAT


def test_another_address_opens_the_window_again():
    made = latch()
    made.admit(NAT, 0)
    assert made.set("192.0.2.8", 4000, (), 500)
    assert made.source is None
    assert made.admit(("192.0.2.8", 5), 400)


@pytest.mark.parametrize(
    ("host", "port", "address"),
    [
        ("192.0.2.1", 4000, ("192.0.2.1", 4000)),
        ("0.0.0.0", 4000, None),
        ("192.0.2.1", 0, None),
        ("192.0.2.1", 70000, None),
        ("media.example.com", 4000, None),
        ("2001:db8::1", 4000, None),
        ("", 0, None),
    ],
)
def test_a_worker_sends_to_plain_addresses_only(host, port, address):
    assert usable(host, port) == address
