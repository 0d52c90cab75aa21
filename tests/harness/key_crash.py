"""Changes the key of a data folder again and again, each time in a process that kills itself one step later, and tells what was left.

A step is a statement of the database or something done to a file, as SQLite and the interpreter tell them.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from waitline.bridge.store import Store
from waitline.bridge.store.opening import Place
from waitline.bridge.store.records import Account
from waitline.bridge.store.rotation import rotate
from waitline.clock import SystemClock

TOKENS = [f"{number:032x}" for number in range(20)]
FILE_STEPS = frozenset({"open", "os.link", "os.rename", "os.remove", "os.mkdir"})


async def with_store(folder: Path, *, fill: bool = False) -> list[str]:
    clock = SystemClock()
    store = await Store.open(folder, clock=clock, serve=True, inline=True, refresh_s=None)
    if fill:
        dates: dict[str, Any] = {"date_created": clock.utc(), "date_updated": clock.utc()}
        sids = [f"AC{number:032x}" for number in range(len(TOKENS))]
        await store.put(
            *(
                Account(sid=sid, friendly_name="x", auth_token=t, owner_account_sid=sid, **dates)
                for sid, t in zip(sids, TOKENS, strict=True)
            )
        )
    tokens = [record.auth_token for record in store.image.accounts]
    await store.close()
    return tokens


def die_at(step: int) -> None:
    """Have this process end itself, as by SIGKILL from outside, right before that step."""
    left = step

    def count(*_: object) -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def heard(event: str, arguments: tuple[Any, ...]) -> None:
        if event in FILE_STEPS:
            count()

    def connected(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.set_trace_callback(count)
        return connection

    connect = sqlite3.connect
    sqlite3.connect = connected  # type: ignore[assignment]
    sys.addaudithook(heard)


def in_child(run: Callable[[], object]) -> bool:
    """Run it in a process of its own; tell whether that was killed, or was through."""
    child = os.fork()
    if child == 0:
        try:
            run()
            os._exit(0)
        finally:
            os._exit(1)
    how = os.waitpid(child, 0)[1]
    assert how in (0, signal.SIGKILL), how
    return how != 0


def main(folder: Path) -> None:
    whole = folder / "whole"
    asyncio.run(with_store(whole, fill=True))
    key = (whole / "waitline.key").read_bytes()
    killed, step = True, 0
    while killed:
        step += 1
        data = folder / f"step-{step}"
        shutil.copytree(whole, data)

        def change(data: Path = data, step: int = step) -> None:
            die_at(step)
            rotate(Place.of(data, data), key="", next_key="")

        killed = in_child(change)
        tokens = asyncio.run(with_store(data))
        new = (data / "waitline.key").read_bytes() != key
        print(json.dumps({"step": step, "killed": killed, "secrets": tokens == TOKENS, "new key": new}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
