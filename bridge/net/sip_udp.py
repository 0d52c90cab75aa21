"""SIP over UDP: one bound socket, read in batches.

A wake-up reads up to ``BATCH`` datagrams before anything is sent, so that a burst empties the kernel's buffer first. What the kernel cannot
send at once is dropped: SIP's timers send it again.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

BATCH = 64
DATAGRAM_BYTES = 65_536
RECEIVE_BUFFER_BYTES = 8 * 1024 * 1024
ENOUGH_BYTES = 4 * 1024 * 1024

_log = logging.getLogger(__name__)


class UdpPort:
    """A bound UDP socket, watched by the loop from ``read`` on; datagrams that come before wait in the kernel."""

    def __init__(self, sock: socket.socket, on_batch: Callable[[UdpPort, list[tuple[bytes, tuple[str, int]]]], None]) -> None:
        self._sock = sock
        self._on_batch = on_batch
        self._loop = asyncio.get_running_loop()
        self.lost = 0
        """Datagrams that could not be sent."""
        sock.setblocking(False)
        self.family = sock.family
        host, port = sock.getsockname()[:2]
        self.bound: tuple[str, int] = (host, port)
        widen_receive_buffer(sock)

    def read(self) -> None:
        """Begin to read."""
        self._loop.add_reader(self._sock, self._read)

    def send(self, data: bytes, remote: tuple[str, int]) -> None:
        """Hand a datagram to the kernel, or lose it."""
        try:
            self._sock.sendto(data, remote)
        except OSError as error:  # full buffer, no route, an earlier ICMP error: all as good as a loss
            self.lost += 1
            _log.debug("a datagram to %s was lost: %s", remote, error)

    def close(self) -> None:
        """Stop watching; the socket stays with its owner."""
        self._loop.remove_reader(self._sock)

    def _read(self) -> None:
        batch: list[tuple[bytes, tuple[str, int]]] = []
        while len(batch) < BATCH:
            try:
                data, source = self._sock.recvfrom(DATAGRAM_BYTES)
            except BlockingIOError:
                break
            except OSError as error:  # an ICMP error for something sent before: nothing was received
                _log.debug("an earlier datagram did not arrive: %s", error)
                continue
            batch.append((data, (source[0], source[1])))
        if batch:
            self._on_batch(self, batch)


def widen_receive_buffer(sock: socket.socket) -> int:
    """Ask for a buffer that holds a burst of calls; returns what the kernel gave, in bytes, and warns if that is too little."""
    forced = getattr(socket, "SO_RCVBUFFORCE", 33)  # Linux; Python names it nowhere
    try:
        sock.setsockopt(socket.SOL_SOCKET, forced, RECEIVE_BUFFER_BYTES)
    except OSError:  # not root: up to net.core.rmem_max
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    granted = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2  # the kernel counts its own overhead in
    if granted < ENOUGH_BYTES:
        _log.warning("the SIP receive buffer is only %d bytes; raise it by: sysctl -w net.core.rmem_max=%d", granted, RECEIVE_BUFFER_BYTES)
    return granted
