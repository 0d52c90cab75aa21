"""Where the demo listens, and who may call it without a password."""

import socket
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from waitline.bridge.config import Config
from waitline.demo import reach
from waitline.demo.reach import Reach, for_softphones, free_sip_port, network_of

ROUTES = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t0000A8C0\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
wg0\t0000000A\t0101A8C0\t0003\t0\t0\t0\t000000FF\t0\t0\t0
short
"""


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with that address and these routes."""

    def with_address(host, routes=ROUTES):
        (tmp_path / "route").write_text(routes)
        monkeypatch.setattr(reach, "ROUTES", tmp_path / "route")
        monkeypatch.setattr(reach, "default_address", lambda: host)
        monkeypatch.setattr(reach, "free_sip_port", lambda host: 5060)

    return with_address


def test_neighbours_are_those_reached_without_a_gateway_the_closest_first():
    assert network_of(IPv4Address("192.168.1.7"), ROUTES) == IPv4Network("192.168.1.0/24")
    assert network_of(IPv4Address("192.168.9.7"), ROUTES) == IPv4Network("192.168.0.0/16")
    assert network_of(IPv4Address("10.0.0.7"), ROUTES) is None
    assert network_of(IPv4Address("192.168.1.7"), "") is None


def test_softphones_in_a_private_network_may_call(machine):
    machine("192.168.1.7")
    found = for_softphones()
    assert (found.host, found.sip_port, found.remark) == ("192.168.1.7", 5060, "")
    assert found.trusted == (IPv4Network("127.0.0.0/8"), IPv4Network("192.168.1.0/24"))


def test_on_a_public_address_only_this_machine_may_call(machine):
    machine("8.8.4.7", ROUTES + "eth1\t00040808\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n")
    found = for_softphones()
    assert (found.host, found.trusted) == ("127.0.0.1", (IPv4Network("127.0.0.0/8"),))
    assert "8.8.4.7 is not in a private network" in found.remark


def test_without_a_route_only_this_machine_may_call(machine):
    machine(None)
    assert for_softphones().host == "127.0.0.1"
    assert "no route" in for_softphones().remark


def test_the_settings_are_ones_the_platform_takes(machine, monkeypatch, tmp_path):
    machine("192.168.1.7")
    for name, value in for_softphones().settings(tmp_path).items():
        monkeypatch.setenv(name, value)
    config = Config()
    assert str(config.sip) == "192.168.1.7:5060"
    assert config.http.loopback
    assert list(map(str, config.webhook_allow)) == ["127.0.0.1/32"]
    assert list(map(str, config.sip_trust)) == ["127.0.0.0/8", "192.168.1.0/24"]


def test_by_itself_the_demo_stays_on_this_machine_and_on_any_port():
    settings = Reach().settings(Path("data"))
    assert settings["WAITLINE_SIP"] == "127.0.0.1:0"
    assert settings["WAITLINE_SIP_TRUST"] == "127.0.0.0/8"


def test_port_5060_is_left_to_whom_it_belongs(monkeypatch):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        monkeypatch.setattr(reach, "SIP_PORT", other.getsockname()[1])
        assert free_sip_port("127.0.0.1") == 0
    assert free_sip_port("127.0.0.1") == reach.SIP_PORT
