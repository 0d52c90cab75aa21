"""Opening the listening sockets."""

from __future__ import annotations

import errno
import socket

LISTEN_BACKLOG = 1024
"""Connections that wait to be accepted, those included that come while no control is there."""
PAIR_ATTEMPTS = 32
"""How often a free port is looked for that is free for UDP and for TCP."""


class RequestFailed(Exception):
    """A request that control is told about in words: the text is the ``error`` of the answer."""


def open_listener(kind: str, host: str, port: int) -> socket.socket:
    """Return a bound socket, listening if it is TCP; raises RequestFailed when the address cannot be had."""
    kinds = {"udp": socket.SOCK_DGRAM, "tcp": socket.SOCK_STREAM}
    if not 0 <= port <= 65535:  # getaddrinfo would take the lower 16 bits
        raise RequestFailed(f"cannot listen on {kind} {host}:{port}: there is no such port")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=kinds[kind], flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, kinds[kind] | socket.SOCK_NONBLOCK)
    except (OSError, KeyError) as error:
        raise RequestFailed(f"cannot listen on {kind} {host}:{port}: {error}") from error
    try:
        if kind == "tcp":  # not for UDP, where it would let two servers share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        if kind == "tcp":
            listener.listen(LISTEN_BACKLOG)
    except OSError as error:
        listener.close()
        text = "the port is in use" if error.errno == errno.EADDRINUSE else error.strerror
        raise RequestFailed(f"cannot listen on {kind} {host}:{port}: {text}") from error
    return listener


def open_pair(host: str, port: int) -> list[socket.socket]:
    """Return a UDP and a TCP socket on one port number; 0 finds one that is free for both."""
    for attempt in range(PAIR_ATTEMPTS):
        udp = open_listener("udp", host, port)
        try:
            return [udp, open_listener("tcp", host, udp.getsockname()[1])]
        except RequestFailed:
            udp.close()
            if port or attempt == PAIR_ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")
