"""What the store called durable survives SIGKILL of its process."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from waitline.bridge.store import Store
from waitline.bridge.store.records import CallRecord, Queue
from waitline.clock import SystemClock

AC = "AC" + "0" * 32
WRITER = """
import asyncio, sys
from waitline.bridge.store import Store
from waitline.bridge.store.records import CallRecord, Queue
from waitline.clock import SystemClock

async def main():
    clock = SystemClock()
    store = await Store.open(sys.argv[1], clock=clock, serve=True)
    number = 0
    while True:
        number += 1
        now = clock.utc()
        dates = {"date_created": now, "date_updated": now}
        sid = f"{number:032x}"
        store.append(CallRecord(sid="CA" + sid, account_sid="AC" + "0" * 32, to="a", from_="b", status="ringing", **dates))
        await store.durable()
        await store.put(Queue(sid="QU" + sid, account_sid="AC" + "0" * 32, friendly_name=sid, **dates))
        print(number, store.next_sequence("QU"), flush=True)

asyncio.run(main())
"""


@pytest.mark.real
def test_what_was_durable_is_there_after_sigkill_and_no_ghost_is_listed(tmp_path: Path):
    code = [sys.executable, "-c", WRITER, str(tmp_path / "data")]
    with subprocess.Popen(code, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        said = [writer.stdout.readline() for _ in range(50)]
        writer.send_signal(signal.SIGKILL)
        said += writer.stdout.read().splitlines()  # what it had said before the signal met it
    number, sequence = map(int, [line for line in said if len(line.split()) == 2][-1].split())

    async def story():
        store = await Store.open(tmp_path / "data", clock=SystemClock(), serve=True)
        queues = {queue.sid for queue in store.image.queues}
        assert {f"QU{index:032x}" for index in range(1, number + 1)} <= queues
        calls: list[CallRecord] = []
        token: str | None = None
        while not calls or token:
            page, token = await store.page(CallRecord, account_sid=AC, before=token, limit=1000)
            calls += page
        assert {f"CA{index:032x}" for index in range(1, number + 1)} <= {call.sid for call in calls}
        assert {call.status for call in calls} == {"failed"}
        assert store.closed_calls == len(calls)
        assert store.next_sequence("QU") > sequence
        assert await store.get(Queue, f"QU{1:032x}") is not None
        await store.close()

    asyncio.run(story())
