"""The wire of a worker process: two UDP sockets a leg, watched by two epolls.

*Urgent* sockets (legs that relay) wake the process for each packet. All others are looked at once a slot, without waiting: a digit may
take 5 ms longer, and 2,000 callers do not cost 3,000 wake-ups a second. Sockets are not connected: a peer that closes its port
does not make ``sendto`` fail, and a late change of its address needs no system call.
"""

from __future__ import annotations

import os
import select
import socket
from typing import NamedTuple

from waitline.media import filter as kernel_filter
from waitline.media.ports import PortPool
from waitline.media.vault import Vault
from waitline.media.wire import Send


class Port(NamedTuple):
    """What a descriptor belongs to."""

    leg: int
    sock: socket.socket
    is_rtcp: bool
    number: int
    poll: select.epoll
    """Which of the two watches it"""


class SocketWire:
    """The sockets of all legs (see wire.Wire). The owner polls ``urgent`` and ``lazy`` and looks descriptors up in ``ports``."""

    def __init__(self, pool: PortPool, *, filters: bool, vault: Vault | None = None, inherited: dict[int, list[int]] | None = None) -> None:
        self.urgent = select.epoll()
        self.lazy = select.epoll()
        self.ports: dict[int, Port] = {}
        self.arrived: list[int] = []
        """Descriptors that came with the newest batch of commands."""
        self.filter_errors = 0
        self.vault = vault or Vault()
        self._inherited = inherited or {}
        """Sockets of legs that another worker had"""
        self._pool = pool
        self._filters = filters
        self._rtp: dict[int, socket.socket] = {}
        self._rtcp: dict[int, socket.socket] = {}
        self._parting: dict[int, list[socket.socket]] = {}

    def open(self, leg: int) -> tuple[int, int]:
        rtp, rtcp = self._pool.open()
        number = int(rtp.getsockname()[1])
        self._add(leg, rtp, rtcp, number, number + 1)
        self.vault.keep(leg, (rtp, rtcp))
        return number, number + 1

    def close(self, leg: int) -> None:
        self.vault.drop(leg)
        for port in self._forget(leg):
            port.sock.close()
            if port.number % 2 == 0:
                self._pool.give_back(port.number)

    def sender(self, leg: int) -> Send:
        return self._rtp[leg].sendto

    def rtcp_sender(self, leg: int) -> Send:
        return self._rtcp[leg].sendto

    def share_rtcp(self, leg: int) -> None:
        sock = self._rtcp.pop(leg, None)
        if sock is not None:
            self._unwatch(sock)
            sock.close()
            self.vault.share(leg)

    def listen(self, leg: int, *, drop_type: int, urgent: bool) -> None:
        sock = self._rtp[leg]
        if self._filters:
            self._filter(sock, drop_type)
        self._watch(self._unwatch(sock)._replace(poll=self.urgent if urgent else self.lazy))

    def dropped(self, leg: int) -> int:
        return kernel_filter.drops(self._rtp[leg]) if self._filters else 0

    def release(self, leg: int) -> None:
        sockets = [port.sock for port in self._forget(leg)]
        if self._filters and sockets:
            self._filter(sockets[0], -1)
        self._parting[leg] = sockets

    def parting(self, leg: int) -> list[socket.socket]:
        """Return the sockets of a leg that was released, RTP first."""
        return self._parting.get(leg, [])

    def parted(self, leg: int) -> None:
        """Close our copies of the sockets: they have arrived elsewhere, or nobody wants them."""
        self.vault.part(leg)
        for sock in self._parting.pop(leg, []):
            sock.close()

    def adopt(self, leg: int, port: int, rtcp_port: int) -> None:
        arrived, self.arrived = self.arrived, []
        self._take(leg, arrived or self._inherited.pop(leg, []))
        self.vault.keep(leg, [sockets[leg] for sockets in (self._rtp, self._rtcp)])
        self.vault.hurry()

    def resume(self, leg: int) -> None:
        self._take(leg, self._inherited.pop(leg, []))

    def disinherit(self) -> None:
        """Close what was inherited and is nobody's: of a leg that was being closed, or moved."""
        for leg, descriptors in self._inherited.items():
            self.vault.drop(leg)
            for descriptor in descriptors:
                os.close(descriptor)
        self._inherited = {}

    def _take(self, leg: int, descriptors: list[int]) -> None:
        if not descriptors:
            raise OSError("the sockets of the leg did not arrive")
        rtp, *rest = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        rtp.setblocking(False)
        rtcp = rest[0] if rest else rtp.dup()  # it was closed when RTCP moved to the RTP port, as it will be here
        rtcp.setblocking(False)
        self._add(leg, rtp, rtcp, int(rtp.getsockname()[1]), int(rtcp.getsockname()[1]))

    def _add(self, leg: int, rtp: socket.socket, rtcp: socket.socket, number: int, rtcp_number: int) -> None:
        self._rtp[leg], self._rtcp[leg] = rtp, rtcp
        self._watch(Port(leg, rtp, is_rtcp=False, number=number, poll=self.lazy))
        self._watch(Port(leg, rtcp, is_rtcp=True, number=rtcp_number, poll=self.lazy))

    def _forget(self, leg: int) -> list[Port]:
        return [self._unwatch(sockets.pop(leg)) for sockets in (self._rtp, self._rtcp) if leg in sockets]

    def _filter(self, sock: socket.socket, drop_type: int) -> None:
        try:
            if drop_type >= 0:
                kernel_filter.attach(sock, drop_type)
            else:
                kernel_filter.detach(sock)
        except OSError:  # it worked at the start; without it packets are read that need not be, no more
            self.filter_errors += 1

    def _watch(self, port: Port) -> None:
        descriptor = port.sock.fileno()
        self.ports[descriptor] = port
        port.poll.register(descriptor, select.EPOLLIN)

    def _unwatch(self, sock: socket.socket) -> Port:
        port = self.ports.pop(sock.fileno())
        port.poll.unregister(sock)
        return port
