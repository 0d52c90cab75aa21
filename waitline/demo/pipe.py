"""How a peer process of the demo is spoken to: one JSON object a line, commands on standard input, events and replies on standard output.

A command is ``{"id": 1, "do": "dial", …}``; its reply ``{"answers": 1, …}`` or ``{"answers": 1, "error": "…"}``; anything else that is said
is an event, ``{"event": "hears", …}``. The end of standard input ends the process: nothing is left behind when the demo dies.
``peers.Peer`` is the other end.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

Command = Mapping[str, Any]
Handler = Callable[[Command], Awaitable[dict[str, Any]]]

LONGEST_LINE = 1 << 20


def say(**fields: Any) -> None:
    """Write one line."""
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


async def commands() -> AsyncIterator[Command]:
    """Read commands until standard input ends."""
    reader = asyncio.StreamReader(limit=LONGEST_LINE)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        while line := await reader.readline():
            yield json.loads(line)
    finally:
        transport.close()


async def obey(handle: Handler, refusals: tuple[type[Exception], ...]) -> None:
    """Answer each command by what ``handle`` returns, side by side; an error of ``refusals`` is told, any other ends the process.

    What is still running when the input ends is cancelled.
    """
    running: set[asyncio.Task[None]] = set()
    async with asyncio.TaskGroup() as owner:
        async for command in commands():
            task = owner.create_task(_answer(command, handle, refusals))
            running.add(task)
            task.add_done_callback(running.discard)
        for task in list(running):
            task.cancel()


async def _answer(command: Command, handle: Handler, refusals: tuple[type[Exception], ...]) -> None:
    try:
        say(answers=command["id"], **await handle(command))
    except refusals as error:
        say(answers=command["id"], error=str(error) or repr(error))
