"""Free ports for peers that must be told theirs before they start."""

from __future__ import annotations

import itertools
import os
import socket

_BASES = itertools.cycle(range(20_000, 30_000, 50))
_OFFSET = os.getpid() % 150


def free_block(count: int, host: str = "127.0.0.1") -> int:
    """Return the first of ``count`` ports in a row, even, free for UDP and TCP, below the range the kernel hands out."""
    for base in itertools.islice(_BASES, _OFFSET, 400 + _OFFSET):
        if all(_free(kind, host, port) for port in range(base, base + count) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)):
            return base
    raise AssertionError(f"no {count} free ports in a row")


def _free(kind: int, host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True
