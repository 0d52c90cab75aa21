"""Whether this process may open more files: a call needs a few of them, for webhooks and clips, and is refused where it would get none."""

from __future__ import annotations

import os

A_CALL_NEEDS = 8
"""Connections to the tenant's server, a clip on its way to a worker, and some for others who need one at this moment"""


def to_spare(count: int = A_CALL_NEEDS) -> bool:
    """Tell whether so many more descriptors could be opened now: by opening them, for nothing else knows of all limits. Takes 10 µs."""
    opened: list[int] = []
    try:
        for _ in range(count):
            opened.append(os.dup(2))  # noqa: PERF401 - what was opened before one fails is to be closed
    except OSError:
        return False
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return True
