"""What the store called durable survives SIGKILL of its process."""

from __future__ import annotations

import asyncio
import random
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


STORM = """
import asyncio, sys
from waitline.bridge.store import Store
from waitline.bridge.store.records import CallEvent, LiveState
from waitline.clock import SystemClock

async def writer(store, name):
    number = 0
    while True:
        number += 1
        at = SystemClock().utc()
        for part in "ab":
            store.append(LiveState(kind="call", key=f"{name}{part}", version=1, data={"number": number, "text": "x" * 3000}))
        store.append(CallEvent(account_sid="AC", call_sid=name, at=at, request={"number": number}, response={}))
        await store.durable()
        print(name, number, flush=True)

async def main():
    store = await Store.open(sys.argv[1], clock=SystemClock(), serve=True)
    await asyncio.gather(*(writer(store, f"CA{index}") for index in range(20)))

asyncio.run(main())
"""


@pytest.mark.real
def test_whenever_it_is_killed_all_that_was_said_to_be_durable_is_there_and_what_belongs_together_is_together(tmp_path: Path):
    moments = random.Random(3)
    said: dict[str, int] = {}
    for _ in range(10):
        with subprocess.Popen([sys.executable, "-c", STORM, str(tmp_path / "data")], stdout=subprocess.PIPE, text=True) as storm:
            assert storm.stdout
            lines = [storm.stdout.readline() for _ in range(moments.randrange(1, 2000))]
            storm.send_signal(signal.SIGKILL)
            lines += storm.stdout.read().splitlines(keepends=True)
        said = {}
        for name, number in (line.split() for line in lines if line.endswith("\n")):
            said[name] = int(number)
        asyncio.run(_holds(tmp_path / "data", said))


async def _holds(data: Path, said: dict[str, int]) -> None:
    store = await Store.open(data, clock=SystemClock(), serve=True)
    found = {state.key: state.data["number"] for state in await store.live_states("call")}
    for name, number in said.items():
        assert found[f"{name}a"] == found[f"{name}b"], "they were appended in one moment"
        assert found[f"{name}a"] >= number
    await store.close()
