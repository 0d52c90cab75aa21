"""The way a message came by, and goes back by.

A flow is plain data: it names a socket pair without holding one, so that a dialog can be stored with the flow it lives on and a fresh
process can find the same peer again. Requests to a peer whose Contact is not the address it sent from go over its flow (NAT).
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Flow(NamedTuple):
    """One path to a peer; ``local`` and ``remote`` are (host, port), IPv6 hosts without brackets."""

    transport: str
    """``udp``, ``tcp`` or ``tls``, lower case."""
    local: tuple[str, int]
    remote: tuple[str, int]
    connection: int = 0
    """Which TCP or TLS connection, a number given by the shell; 0 for datagrams."""

    @property
    def reliable(self) -> bool:
        """Whether the transport resends by itself, so that the transaction layer must not (RFC 3261 §17)."""
        return self.transport != "udp"

    @property
    def secure(self) -> bool:
        """Whether nobody but the peer at its other end reads what goes over it, as ``sips`` demands of each hop (RFC 3261 §26.2.2)."""
        return self.transport == "tls"

    def to_plain(self) -> list[Any]:
        """As JSON has it."""
        return [self.transport, list(self.local), list(self.remote), self.connection]

    @classmethod
    def from_plain(cls, plain: list[Any]) -> Flow:
        """The inverse of ``to_plain``."""
        transport, local, remote, connection = plain
        return cls(transport, (local[0], local[1]), (remote[0], remote[1]), connection)
