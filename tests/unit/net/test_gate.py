"""Who is heard: rates, heat, blocks, and the bounds of what is remembered of strangers."""

from __future__ import annotations

import pytest

from waitline.bridge.config import parse_networks
from waitline.bridge.net.gate import Gate, GateLimits

STRANGER, OTHER, PEER = "203.0.113.5", "203.0.113.6", "203.0.113.7"
OPTIONS = b"OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h\r\n\r\n"
INVITE = OPTIONS.replace(b"OPTIONS", b"INVITE")


def heard(gate: Gate, number: int, *, host: str = STRANGER, now: float = 0.0, data: bytes = INVITE) -> int:
    """How many of so many are heard."""
    return sum(gate.admits(data, host, now) for _ in range(number))


def test_a_stranger_has_a_bucket_that_fills_with_time() -> None:
    gate = Gate(GateLimits(stranger_rate=10.0, burst_s=4.0))
    assert heard(gate, 100) == 40
    assert heard(gate, 100, now=1.0) == 10
    assert heard(gate, 100, now=1000.0) == 40
    assert gate.dropped["rate"] == 210


def test_strangers_do_not_share_a_bucket_until_they_are_too_many_together() -> None:
    gate = Gate(GateLimits(stranger_rate=10.0, strangers_rate=25.0, burst_s=1.0))
    assert heard(gate, 10) == heard(gate, 10, host=OTHER) == 10
    assert heard(gate, 10, host="203.0.113.99") == 5


def test_a_peer_is_heard_while_forged_addresses_flood_the_door() -> None:
    gate = Gate(GateLimits(strangers_rate=100.0, strangers=50))
    gate.proved(PEER, 0.0)
    for number in range(10_000):
        gate.admits(INVITE, f"198.18.{number >> 8}.{number & 255}", 0.0)
    assert heard(gate, 1000, host=PEER) == 1000
    assert gate.size == {"peers": 1, "strangers": pytest.approx(75, abs=25)}


def test_who_is_blocked_and_goes_on_stays_so_although_others_flood_the_table() -> None:
    gate = Gate(GateLimits(strangers=50, strangers_rate=1e6))
    for _ in range(20):
        gate.failed(STRANGER, 0.0)
    for number in range(1000):
        assert not gate.admits(INVITE, STRANGER, 1.0)
        gate.admits(INVITE, f"198.18.{number >> 8}.{number & 255}", 1.0)


@pytest.mark.parametrize(("told", "most"), [("challenged", 101), ("failed", 21)])
def test_who_is_never_let_in_is_blocked_for_a_minute_and_then_for_two(told: str, most: int) -> None:
    gate = Gate()

    def attack(now: float) -> int:
        for number in range(1000):
            if not gate.admits(INVITE, STRANGER, now):
                return number
            getattr(gate, told)(STRANGER, now)
        return 1000

    assert 0 < attack(0.0) <= most
    assert not gate.admits(INVITE, STRANGER, 59.0)
    assert 0 < attack(61.0) <= most
    assert not gate.admits(INVITE, STRANGER, 61.0 + 119.0)
    assert gate.admits(INVITE, STRANGER, 61.0 + 121.0)
    assert gate.blocks == 2


def test_a_phone_with_a_wrong_password_is_not_blocked() -> None:
    gate = Gate()
    for attempt in range(1000):
        assert gate.admits(INVITE, STRANGER, attempt * 30.0)
        gate.challenged(STRANGER, attempt * 30.0)
        gate.failed(STRANGER, attempt * 30.0)


def test_a_success_makes_a_peer_that_nothing_blocks() -> None:
    gate = Gate()
    for _ in range(19):
        gate.failed(STRANGER, 0.0)
    gate.proved(STRANGER, 0.0)
    for _ in range(500):
        gate.failed(STRANGER, 0.0)
        gate.challenged(STRANGER, 0.0)
    assert gate.admits(INVITE, STRANGER, 1.0)
    assert heard(gate, 9000, host=STRANGER, now=1.0) == 7999, "a peer has a bucket too"


def test_a_proof_counts_for_a_day() -> None:
    gate = Gate(GateLimits(stranger_rate=1.0, burst_s=1.0))
    gate.proved(PEER, 0.0)
    assert heard(gate, 10, host=PEER, now=86_000.0) == 10
    assert heard(gate, 10, host=PEER, now=86_401.0) == 1


def test_networks_of_the_operator_are_never_dropped() -> None:
    gate = Gate(GateLimits(stranger_rate=1.0), exempt=parse_networks("203.0.113.0/29"))
    for _ in range(100):
        gate.failed(STRANGER, 0.0)
    assert heard(gate, 10_000) == 10_000
    assert not gate.admits(b"\x00" * 100, "203.0.113.8", 0.0)


KEEP_ALIVES = [b"\r\n\r\n", b"\x00\x00\x00\x00", b"\r\n"]
ODD = [b"\r\n\r\n" + OPTIONS, OPTIONS.replace(b"SIP/2.0\r", b"sip/2.0\r"), OPTIONS.replace(b"2.0\r", b"7.0\r")]


@pytest.mark.parametrize("data", [*KEEP_ALIVES, *ODD])
def test_keep_alives_and_all_that_the_parser_has_an_answer_for_are_read(data: bytes) -> None:
    assert Gate().admits(data, STRANGER, 0.0)


def test_options_without_end_are_answered_three_hundred_times_and_those_of_a_trunk_for_ever() -> None:
    assert heard(Gate(), 399, data=OPTIONS) == 300
    gate = Gate()
    assert all(gate.admits(OPTIONS, STRANGER, second * 0.5) for second in range(10_000))


@pytest.mark.parametrize("name", [b"friendly-scanner", b"  Friendly-Scanner 0.3", b"sipvicious", b"sundayddr"])
def test_a_tool_for_attacks_by_name_finds_nobody_with_its_first_datagram(name: bytes) -> None:
    gate = Gate()
    assert not gate.admits(OPTIONS[:-2] + b"User-Agent:" + name + b"\r\n\r\n", STRANGER, 0.0)
    assert gate.admits(OPTIONS[:-2] + b"User-Agent: Acme/1 friendly\r\n\r\n", STRANGER, 0.0)
    assert gate.dropped == {"attack-tool": 1}


def test_one_customer_of_ipv6_is_one_source_whatever_address_it_takes() -> None:
    gate = Gate(GateLimits(stranger_rate=1.0, burst_s=10.0))
    assert sum(gate.admits(INVITE, f"2001:db8:1:2:{number:x}::1", 0.0) for number in range(100)) == 10
    assert gate.admits(INVITE, "2001:db8:1:3::1", 0.0)


def test_an_ipv4_address_in_ipv6_clothes_is_the_ipv4_address() -> None:
    gate = Gate(exempt=parse_networks("198.51.100.0/24"))
    gate.proved(PEER, 0.0)
    assert heard(gate, 5000, host=f"::ffff:{PEER}") == 5000
    assert heard(gate, 9000, host="::ffff:198.51.100.9") == 9000


def test_the_tables_are_bounded() -> None:
    gate = Gate(GateLimits(strangers=100, peers=100))
    for number in range(5000):
        host = f"2001:db8:{number:x}::1"
        gate.admits(INVITE, host, 0.0)
        gate.proved(f"10.0.{number >> 8}.{number & 255}", 0.0)
        gate.failed(host, 0.0)
    assert gate.size["peers"] <= 100
    assert gate.size["strangers"] <= 200


def test_who_connects_again_and_again_has_its_rate_too() -> None:
    gate = Gate(GateLimits(stranger_rate=10.0, burst_s=1.0))
    assert sum(gate.connects(STRANGER, 0, 0.0) for _ in range(100)) == 10
    gate.proved(PEER, 0.0)
    assert all(gate.connects(PEER, 0, 0.0) for _ in range(100))


def test_a_stranger_has_few_connections_a_peer_many_and_a_blocked_one_none() -> None:
    gate = Gate(GateLimits(connections=3))
    gate.proved(PEER, 0.0)
    assert [gate.connects(STRANGER, held, 0.0) for held in range(5)] == [True, True, True, False, False]
    assert gate.connects(PEER, 3000, 0.0)
    assert (gate.is_stranger(STRANGER), gate.is_stranger(PEER)) == (True, False)
    for _ in range(20):
        gate.failed(STRANGER, 0.0)
    assert not gate.connects(STRANGER, 0, 0.0)
