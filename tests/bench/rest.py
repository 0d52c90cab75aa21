"""What the REST interface answers in a second: a queue, a list of 50 members, a queue made and deleted durably; and 10,000 queues listed.

    PYTHONPATH=tests python -m bench.rest [--seconds 4] [--repeats 3] [--queues 10000] [--callers 200]

Some kept-alive connections from one process (``http_load``), with an account that has no limit of requests. Listing the queues by pages
runs while callers are on hold and talk (``phones.c``): their deviation before and meanwhile must be the same.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from bench import rig
from bench.crowd import Crowd
from bench.figures import Curve, Figure, median, missing, spread, tell
from bench.held import DIAL_RATE, is_clean, window
from bench.hold import raise_file_limit
from bench.http_load import Account, Connection, rate
from bench.programs import Missing, Phones, phones

NUMBER = "+15550100"
DOCUMENTS = {"/voice": '<Response><Enqueue maxQueueSize="5000">hold</Enqueue></Response>'}
SETTINGS = {"WAITLINE_ACCOUNT_REQUESTS_PER_S": "0", "WAITLINE_ACCOUNT_RECORDS": "0"}
CONNECTIONS, WRITERS = 8, 32
MEMBERS = 50
GOALS = {"a queue fetched": 2500, "a list of 50 members": 1500, "a queue made and deleted, durably": 700}
PAGE_GOAL_MS = 0.5
"""How much worse the held callers' p99 deviation may be while queues are listed."""
Turn = Callable[[Connection, int], Awaitable[object]]


def turns(account: Account, queue: str) -> dict[str, tuple[Turn, int]]:
    """What is asked, and by how many connections at once."""
    fetch = account.request("GET", f"Queues/{queue}.json")
    members = account.request("GET", f"Queues/{queue}/Members.json?PageSize={MEMBERS}")

    async def make_and_delete(connection: Connection, number: int) -> None:
        form = f"FriendlyName=made+{number}"
        made = json.loads(await connection.ask(account.request("POST", "Queues.json", form), expect=201))
        await connection.ask(account.request("DELETE", f"Queues/{made['sid']}.json"), expect=204)

    return {
        "a queue fetched": (lambda connection, _: connection.ask(fetch, expect=200), CONNECTIONS),
        "a list of 50 members": (lambda connection, _: connection.ask(members, expect=200), CONNECTIONS),
        "a queue made and deleted, durably": (make_and_delete, WRITERS),
    }


def figure(name: str, found: Sequence[float]) -> Figure:
    """The line of one kind of request."""
    return Figure(
        name=f"REST: {name}",
        goal=f"≥ {GOALS[name]:,}/s",
        measured=f"{median(found):,.0f}/s",
        spread=spread(found, "/s", 0),
        met=median(found) >= GOALS[name],
        method="kept-alive connections, one process asks; the platform answers with one",
    )


async def queue_sid(account: Account) -> str:
    """Return the queue that the callers wait in."""
    connection = Connection(*await asyncio.open_connection(account.host, account.port))
    found = json.loads(await connection.ask(account.request("GET", "Queues.json"), expect=200))
    connection.close()
    return str(found["queues"][0]["sid"])


async def make_queues(account: Account, first: int, last: int) -> None:
    """Make so many queues."""
    numbers = iter(range(first, last))

    async def some() -> None:
        connection = Connection(*await asyncio.open_connection(account.host, account.port))
        for number in numbers:
            await connection.ask(account.request("POST", "Queues.json", f"FriendlyName=many+{number}"), expect=201)
        connection.close()

    await asyncio.gather(*(some() for _ in range(WRITERS)))


async def list_queues(account: Account) -> tuple[int, int]:
    """List all queues by pages; returns how many queues and pages there were."""
    connection = Connection(*await asyncio.open_connection(account.host, account.port))
    resource, queues, pages = "Queues.json?PageSize=1000", 0, 0
    while resource:
        found = json.loads(await connection.ask(account.request("GET", resource), expect=200))
        queues, pages = queues + len(found["queues"]), pages + 1
        resource = (found["next_page_uri"] or "").partition(f"/{account.sid}/")[2]
    connection.close()
    return queues, pages


def listing(platform: rig.Platform, account: Account, crowd: Crowd, ears: Phones, sizes: Sequence[int]) -> list[dict[str, Any]]:
    """List more and more queues while callers are on hold; returns what they heard."""
    found, there = [], 1
    before = window(platform, crowd, ears, 4.0)
    for size in sizes:
        asyncio.run(make_queues(account, there, size))
        there = size
        ears.begin(4.0)
        loop_begun = time.monotonic()
        queues, pages = asyncio.run(list_queues(account))
        took = time.monotonic() - loop_begun
        while time.monotonic() < loop_begun + 4.0:
            asyncio.run(list_queues(account))
        crowd.serve(0.5)
        heard = ears.heard()
        found.append({"queues": queues, "pages": pages, "took_s": took, "before": before, "heard": heard, "dropped": crowd.dropped})
        print(
            f"{queues:,} queues, {pages} pages: {took:.2f} s; deviation p99 {heard['dev_p99_ms']:.2f} ms, before {before['dev_p99_ms']:.2f}"
        )
    return found


def listing_figure(found: dict[str, Any], callers: int) -> Figure:
    """The line of the largest number of queues."""
    heard, before = found["heard"], found["before"]
    worse = heard["dev_p99_ms"] - before["dev_p99_ms"]
    return Figure(
        name=f"{found['queues']:,} queues listed by pages while {callers} callers are on hold",
        goal="p99 deviation unchanged",
        measured=f"p99 {heard['dev_p99_ms']:.2f} ms, before {before['dev_p99_ms']:.2f} ms; {found['took_s']:.2f} s for all",
        met=worse <= PAGE_GOAL_MS and is_clean(heard) and not found["dropped"],
        method=f"{found['pages']} pages of 1,000 again and again for 4 s; unchanged: within {PAGE_GOAL_MS} ms",
    )


def run(seconds: float, repeats: int, queues: int, callers: int) -> None:
    """Measure and tell."""
    with phones(callers) as ears, rig.platform(DOCUMENTS, **SETTINGS) as (platform, tenant):
        platform.number(NUMBER, f"{tenant}/voice")
        account = Account(*platform.serve.http, platform.account, platform.token)
        crowd = Crowd(platform.serve.sip, ears)
        try:
            crowd.call(NUMBER, range(callers), DIAL_RATE)
            sid = asyncio.run(queue_sid(account))
            for name, (turn, connections) in turns(account, sid).items():
                found = [asyncio.run(rate(account, turn, connections=connections, seconds=seconds)) for _ in range(repeats)]
                tell("rest", [figure(name, found)], what=name, per_s=found)
            sizes = sorted({queues // 10, queues // 3, queues})
            listed = listing(platform, account, crowd, ears, sizes)
            crowd.hang_up()
        finally:
            crowd.close()
    lines = {"all of them, by pages": [(one["queues"], 1000 * one["took_s"]) for one in listed]}
    curve = Curve(name="queues", title="Listing all queues over REST", x="queues", y="ms", lines=lines)
    tell("rest", [listing_figure(listed[-1], callers)], listed=listed, curve=curve)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--queues", type=int, default=10_000)
    parser.add_argument("--callers", type=int, default=200)
    options = parser.parse_args()
    raise_file_limit()
    try:
        run(options.seconds, options.repeats, options.queues, options.callers)
    except Missing as why:
        tell("rest", [missing("REST", "", str(why))])
    return 0


if __name__ == "__main__":
    sys.exit(main())
