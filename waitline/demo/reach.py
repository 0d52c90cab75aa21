"""Where the demo listens: on this machine alone, or (``--keep``) where a softphone beside it can reach it, and no further.

The address is the one this machine uses towards its default route. It is used only if the network it is in is private; that network
and this machine are then the ones that may call without a password. On any other address the demo stays on 127.0.0.1: it would otherwise
be an open telephone on a public network.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, ip_address
from pathlib import Path

SIP_PORT = 5060
LOOPBACK = IPv4Network("127.0.0.0/8")
ROUTES = Path("/proc/net/route")
_ANYWHERE = ("198.51.100.1", 9)
"""An address that is nobody's; connecting a UDP socket sends nothing, it only asks for the route."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """An address to listen on and the networks that may call."""

    host: str = "127.0.0.1"
    sip_port: int = 0
    trusted: tuple[IPv4Network, ...] = (LOOPBACK,)
    remark: str = ""
    """Why it is not what was hoped for; empty where it is."""

    def settings(self, data: Path) -> dict[str, str]:
        """Return the platform's settings. Webhooks may go to this machine alone, where the example tenant is."""
        return {
            "WAITLINE_DATA": str(data),
            "WAITLINE_HTTP": "127.0.0.1:0",
            "WAITLINE_SIP": f"{self.host}:{self.sip_port}",
            "WAITLINE_RTP_HOST": self.host,
            "WAITLINE_SIP_TRUST": ",".join(map(str, self.trusted)),
            "WAITLINE_WEBHOOK_ALLOW": "127.0.0.1/32",
            "WAITLINE_DRAIN_S": "1",
            "WAITLINE_LOG_FORMAT": "console",
        }


def for_softphones() -> Reach:
    """Return an address that phones beside this machine can reach, or this machine alone with a remark why."""
    host = default_address()
    if host is None:
        return _alone("this machine has no route to anywhere")
    network = network_of(IPv4Address(host), ROUTES.read_text() if ROUTES.exists() else "")
    if network is None or not network.is_private:
        return _alone(f"{host} is not in a private network, and the demo asks nobody for a password")
    return Reach(host=host, sip_port=free_sip_port(host), trusted=(LOOPBACK, network))


def _alone(why: str) -> Reach:
    return Reach(sip_port=free_sip_port("127.0.0.1"), remark=f"only this machine can call: {why}")


def default_address() -> str | None:
    """Return our address towards the default route; None without one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ANYWHERE)
        except OSError:
            return None
        host = str(probe.getsockname()[0])
    return None if ip_address(host).is_loopback else host


def network_of(address: IPv4Address, routes: str) -> IPv4Network | None:
    """Return the network that the address shares with its neighbours: the longest route without a gateway (``/proc/net/route``)."""
    found = [network for line in routes.splitlines()[1:] if (network := _neighbours(line)) and address in network]
    return max(found, key=lambda network: network.prefixlen, default=None)


def _neighbours(line: str) -> IPv4Network | None:
    fields = line.split()
    if len(fields) < 8 or int(fields[2], 16):
        return None
    destination, mask = (struct.pack("<I", int(fields[column], 16)) for column in (1, 7))  # as the machine keeps them: x86-64, aarch64
    return IPv4Network((destination, str(IPv4Address(mask)))) if any(mask) else None


def free_sip_port(host: str) -> int:
    """Return 5060 if it is free, since people know it; otherwise 0, any."""
    try:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            with socket.socket(socket.AF_INET, kind) as probe:
                probe.bind((host, SIP_PORT))
    except OSError:
        return 0
    return SIP_PORT
