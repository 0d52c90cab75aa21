"""Which addresses a tenant's URL may lead to. Tenants choose URLs; the machine's own networks are not theirs.

Refused are all addresses that are not global unicast: loopback, private, link-local (where clouds keep their metadata), shared,
multicast, unspecified, reserved, and what clouds answer metadata on under public addresses; also where they hide in an IPv6 form
(mapped, compatible, translated, 6to4, NAT64, Teredo). Of IPv6 only what is allocated (2000::/3) is the internet. The operator's allow
list of networks makes exceptions. A name is judged by the addresses it resolves to, and the connection goes to exactly these, so a name
that changes its mind between the question and the connection gains nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

SETTING = "WAITLINE_WEBHOOK_ALLOW"
_HOLDS_IPV4 = tuple(IPv6Network(network) for network in ("64:ff9b::/96", "::/96", "::ffff:0:0:0/96"))
"""In their last four bytes: NAT64, IPv4-compatible (RFC 4291 §2.5.5.1), IPv4-translated (RFC 2765)"""
_ALLOCATED = tuple(IPv6Network(network) for network in ("2000::/3", "64:ff9b::/96", "::ffff:0:0/96"))
"""To the internet, or standing for an IPv4 address that is judged beside it"""
_NOT_THE_INTERNET: tuple[Network, ...] = (
    IPv4Network("192.0.0.0/24"),  # special purposes (RFC 6890); the metadata of one cloud among them
    IPv4Network("168.63.129.16/32"),  # the host of a virtual machine in another cloud
    IPv4Network("192.88.99.0/24"),  # 6to4 relays (RFC 7526)
    IPv6Network("3fff::/20"),  # documentation (RFC 9637)
)
_KINDS = (
    ("is_loopback", "a loopback address"),
    ("is_unspecified", "the unspecified address"),
    ("is_link_local", "a link-local address"),
    ("is_multicast", "a multicast address"),
    ("is_private", "a private address"),
)


class HostRefused(Exception):
    """An address that tenants may not reach; the text names it and the setting that would allow it."""


class HostGuard:
    """``allowed``: the operator's exceptions."""

    def __init__(self, allowed: Iterable[Network] = ()) -> None:
        self._allowed = tuple(allowed)

    def check(self, host: str, address: str) -> None:
        """Raise HostRefused unless ``address``, which ``host`` is or resolves to, may be reached."""
        given = ip_address(address.partition("%")[0])
        forms = [given, *_embedded(given)]
        if self._allows(forms):
            return
        for form in forms:
            if kind := _kind(form):
                raise HostRefused(_refusal(host, given, kind))

    def permitted(self, host: str, addresses: Iterable[str]) -> list[str]:
        """Those of a name's addresses that may be reached; HostRefused if there are some and none may."""
        permitted, refusal = [], None
        for address in addresses:
            try:
                self.check(host, address)
                permitted.append(address)
            except HostRefused as error:
                refusal = error
        if refusal is not None and not permitted:
            raise refusal
        return permitted

    def _allows(self, forms: Iterable[Address]) -> bool:
        return any(form in network for form in forms for network in self._allowed)


def _kind(address: Address) -> str | None:
    for attribute, name in _KINDS:
        if getattr(address, attribute):
            return name
    unallocated = isinstance(address, IPv6Address) and not any(address in network for network in _ALLOCATED)
    special = any(address.version == network.version and address in network for network in _NOT_THE_INTERNET)
    return None if address.is_global and not unallocated and not special else "not a public address"


def _embedded(address: Address) -> list[Address]:
    if isinstance(address, IPv4Address):
        return []
    teredo = address.teredo
    found = [address.ipv4_mapped, address.sixtofour, teredo[1] if teredo else None]
    if any(address in network for network in _HOLDS_IPV4):
        found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return [form for form in found if form is not None]


def _refusal(host: str, address: Address, kind: str) -> str:
    where = host if host.strip("[]") == str(address) else f"{host} ({address})"
    return f"{where} is {kind}, which a webhook may not reach unless {SETTING} names its network, such as {address}/{address.max_prefixlen}"
