"""The UDP ports of a worker: pairs out of a range, and a rest between two uses.

RTP takes the even port, RTCP the odd one above it (RFC 3550 §11). A pair that was given back drains for some seconds before it is used
again, so that the last packets of one call are not the first of the next. Pairs are used in turn, so in practice the rest is far longer.
A port that somebody else holds is passed over, not an error. Range 0-0: any ports that the kernel finds.
"""

from __future__ import annotations

import errno
import socket
from collections import deque
from collections.abc import Callable, Collection

DRAIN_S = 5.0
_ANY_PORT_ATTEMPTS = 64


class PortPool:
    """Pairs of sockets on one host. ``now`` is any monotonic clock, in seconds."""

    def __init__(self, host: str, first: int, last: int, *, now: Callable[[], float], drain_s: float = DRAIN_S) -> None:
        self._host = host
        self._now = now
        self._drain_s = drain_s
        self._is_any = not first and not last
        self._free = deque(range(first + first % 2, last, 2))
        self._draining: deque[tuple[float, int]] = deque()

    def open(self) -> tuple[socket.socket, socket.socket]:
        """Return a bound, non-blocking pair for RTP and RTCP; OSError when no pair is left."""
        self._end_drain()
        if self._is_any:
            return self._open_any()
        for _ in range(len(self._free)):
            port = self._free.popleft()
            try:
                return self._bind(port)
            except OSError as error:
                self._free.append(port)
                if error.errno != errno.EADDRINUSE:
                    raise
        raise OSError(errno.EADDRNOTAVAIL, f"no RTP port is free ({len(self._draining)} pairs drain)")

    def go_on(self, last: int, held: Collection[int]) -> None:
        """Go on where another pool of this range ended: ``last`` was opened last, ``held`` are in use."""
        if last in self._free:  # those after it have rested longest
            self._free.rotate(-1 - self._free.index(last))
        self._free = deque(port for port in self._free if port not in held)

    def give_back(self, port: int) -> None:
        """Let a pair drain, then use it again; the sockets are closed by their owner."""
        if not self._is_any:
            self._draining.append((self._now() + self._drain_s, port))

    def _end_drain(self) -> None:
        now = self._now()
        while self._draining and self._draining[0][0] <= now:
            self._free.append(self._draining.popleft()[1])

    def _open_any(self) -> tuple[socket.socket, socket.socket]:
        for _ in range(_ANY_PORT_ATTEMPTS):
            probe = _socket(self._host, 0)
            port = int(probe.getsockname()[1])
            probe.close()
            try:
                return self._bind(port & ~1)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
        raise OSError(errno.EADDRNOTAVAIL, "no pair of RTP ports is free")

    def _bind(self, port: int) -> tuple[socket.socket, socket.socket]:
        rtp = _socket(self._host, port)
        try:
            return rtp, _socket(self._host, port + 1)
        except OSError:
            rtp.close()
            raise


def _socket(host: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock
