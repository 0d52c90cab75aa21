"""Names to addresses that tenants may reach: what the connector is given instead of the system's resolver."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from waitline.bridge.webhook.guard import HostGuard

THREADS = 16  # of its own: one tenant's dead name server must not hold up everything else that needs a thread

AddressInfo = tuple[Any, Any, int, str, tuple[Any, ...]]
"""(family, kind, protocol, canonical name, socket address)."""
Lookup = Callable[..., Sequence[AddressInfo]]


class GuardedResolver(AbstractResolver):
    """Resolves, then leaves out what the guard refuses; HostRefused if nothing is left. ``lookup``: ``socket.getaddrinfo`` or a test's."""

    def __init__(self, guard: HostGuard, *, lookup: Lookup = socket.getaddrinfo) -> None:
        self._guard = guard
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="webhook-names")

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        found = await asyncio.get_running_loop().run_in_executor(self._threads, self._look_up, host, port, family)
        addresses = {info[4][0]: info for info in found}
        return [_result(host, port, addresses[address]) for address in self._guard.permitted(host, addresses)]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _look_up(self, host: str, port: int, family: int) -> Sequence[AddressInfo]:
        return self._lookup(host, port, type=socket.SOCK_STREAM, family=family)


def _result(host: str, port: int, info: AddressInfo) -> ResolveResult:
    return ResolveResult(
        hostname=host, host=info[4][0], port=port, family=info[0], proto=info[2], flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    )  # fmt: skip
