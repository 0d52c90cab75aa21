from __future__ import annotations

from ipaddress import ip_network

import pytest

from waitline.bridge.webhook.guard import HostGuard, HostRefused

FORBIDDEN = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.100.100.200", "224.0.0.1",
    "255.255.255.255", "192.0.2.1", "198.18.0.1", "240.0.0.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254",
    "ff02::1",
    "::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b:1::7f00:1", "fec0::1", "5f00::1", "3fff::1", "100::1", "4000::1", "::2",
    "192.0.0.192", "168.63.129.16", "192.88.99.1", "2001::ffff:ffff:80ff:fffe", "::a9fe:a9fe",
    "::ffff:127.0.0.1", "::ffff:169.254.169.254", "2002:7f00:1::", "64:ff9b::7f00:1", "2001:db8::1", "2001:0:4136:e378:8000:63bf:80ff:fffe",
]  # fmt: skip


@pytest.mark.parametrize("address", FORBIDDEN)
def test_addresses_that_are_not_the_public_internet_are_refused(address: str):
    with pytest.raises(HostRefused, match="WAITLINE_WEBHOOK_ALLOW"):
        HostGuard().check("tenant.example", address)


@pytest.mark.parametrize("address", ["93.184.216.34", "1.1.1.1", "2606:4700::1111", "64:ff9b::101:101", "::ffff:1.1.1.1"])
def test_public_addresses_are_permitted(address: str):
    HostGuard().check("tenant.example", address)


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1"])
def test_the_operators_networks_are_permitted(address: str):
    HostGuard([ip_network("127.0.0.0/8")]).check("localhost", address)


def test_an_allowed_network_allows_no_other():
    with pytest.raises(HostRefused):
        HostGuard([ip_network("127.0.0.0/8")]).check("x", "10.0.0.1")


def test_the_refusal_names_host_address_kind_and_setting():
    with pytest.raises(HostRefused) as caught:
        HostGuard().check("metadata.example", "169.254.169.254")
    assert str(caught.value) == (
        "metadata.example (169.254.169.254) is a link-local address, which a webhook may not reach unless WAITLINE_WEBHOOK_ALLOW names "
        "its network, such as 169.254.169.254/32"
    )


def test_of_a_names_addresses_only_the_permitted_are_connected_to():
    assert HostGuard().permitted("mixed.example", ["10.0.0.1", "1.1.1.1", "::1"]) == ["1.1.1.1"]
    with pytest.raises(HostRefused):
        HostGuard().permitted("inside.example", ["10.0.0.1", "::1"])
    assert HostGuard().permitted("nobody.example", []) == []
