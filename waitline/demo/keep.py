"""``waitline demo --keep``: the platform and the example tenant stay up for people with softphones.

The visitors' application (``documents.py``) gets a queue and two numbers; what happens is told on the timeline until Ctrl-C.
"""

from __future__ import annotations

import asyncio

from waitline.demo import documents as app
from waitline.demo.failure import DemoFailure
from waitline.demo.stage import Stage
from waitline.demo.story import own_numbers
from waitline.demo.timeline import Timeline


async def welcome_visitors(stage: Stage, timeline: Timeline) -> None:
    """Set the visitors' application up, say how to call it, and stay until cancelled. Raises DemoFailure if the platform ends."""
    queue = await stage.tenant.rest("POST", "Queues.json", FriendlyName="visitors")
    if queue.status != 201:
        raise DemoFailure(f"the queue visitors could not be created: {queue.status} {queue.body}")
    await stage.tenant.knows(visitors=str(queue.get("sid")))
    await own_numbers(stage, app.VISITORS_NUMBERS)
    timeline.heading("Now you")
    for line in invitation(stage):
        timeline.plain(line)
    await asyncio.get_running_loop().create_future()


def invitation(stage: Stage) -> list[str]:
    """Return how to reach the example tenant."""
    networks = ", ".join(map(str, stage.reach.trusted))
    remark = [f"  ({stage.reach.remark})"] if stage.reach.remark else []
    return [
        f"Dial with any softphone in {networks}: no account, no password, UDP or TCP, PCMU or PCMA.",
        *remark,
        f"  as a caller   {stage.uri(app.VISITORS_NUMBER)}   press 1 to hear your position, 9 to leave the queue",
        f"  as an agent   {stage.uri(app.VISITORS_AGENT_NUMBER)}   you are given the first caller, or wait for one",
        "Ask the platform as the tenant does:",
        f"  curl -u {stage.a.sid}:{stage.a.auth_token} {stage.platform.base_url}/2010-04-01/Accounts/{stage.a.sid}/Queues.json",
        "Ctrl-C ends everything.",
        "",
    ]
