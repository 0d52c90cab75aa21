"""Twenty-four hours of a queue in virtual time: callers come, give up, are served and are moved, agents come and go, the tenant's server is
down for a while, control and media workers die; and at the end of the day nothing of it is left: no task, no leg, no port, no dialog, no
transaction, no timer, no row of a call that is not there.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass

import pytest
from harness.story import AGENTS, NUMBER
from harness.story_crash import CrashingStory, play
from harness.story_outside import FORGOTTEN_S, KEPT_KINDS
from harness.story_phone import Phone
from harness.story_tenant import HOST, dial, enqueue, say

DAY_S = 24 * 3600.0
EVERY_S = 300.0 if "DISTURB_ALL" in os.environ else 2700.0
"""From one caller to the next, on average; ``make disturb`` has the busier day"""


@dataclass(frozen=True)
class Held:
    """What the platform holds."""

    tasks: int
    dialogs: int
    transactions: int
    sip_timers: int
    ports: int
    legs: float
    loop_timers: int
    requests: int
    kept: tuple[str, ...]


async def held(story: CrashingStory) -> Held:
    context = story.control.endpoint.user_agent._context
    layer = context.transactions
    scheduled = [timer for timer in story.loop._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
    return Held(
        tasks=len(asyncio.all_tasks()),
        dialogs=len(context.sessions) + len(context.sessions._by_key) + len(context.sessions._by_flow),
        transactions=len(layer.servers) + len(layer.clients) + len(layer.last_words) + len(layer.merges),
        sip_timers=len(layer.queue),
        ports=len(story.media.wire.ports),
        legs=story.plane.stats["legs"],
        loop_timers=len(scheduled),
        requests=len(story.control._ports.webhooks._courier._slots),
        kept=tuple([kind for kind in KEPT_KINDS if await story.store.live_states(kind)]),
    )


async def comes(story: CrashingStory, number: int) -> None:
    """One caller, who hangs up some time or other if nobody else does."""
    caller = story.phone(f"caller{number}", listens=False)
    caller.repeats = True
    caller.dials(NUMBER)
    if number % 7 == 0:
        story.loop.call_later(0.05, caller.cancels)
    story.loop.call_later(story.random.uniform(5, 3000), leaves, caller)
    await story.passes(0.5)


def leaves(phone: Phone) -> None:
    if phone.is_up:
        phone.hangs_up()


async def agent_comes(story: CrashingStory, number: int) -> None:
    agent = story.phone(f"agent{number}", listens=False)
    agent.repeats = True
    agent.dials(AGENTS)
    story.loop.call_later(story.random.uniform(60, 900), leaves, agent)
    await story.passes(0.5)


async def something_happens(story: CrashingStory, number: int) -> None:
    if number % 9 == 4:
        await story.crashes(for_s=0.3)
    elif number % 9 == 6:
        await story.media_is_replaced()
    elif number % 9 == 8:
        story.tenant.dies()
        story.loop.call_later(90, story.tenant.revives)
    elif story.members():
        await story.rest("POST", f"/Queues/{story.queue().sid}/Members/Front.json", {"Url": f"{HOST}/moved"})


@pytest.mark.slow
def test_a_day_leaves_nothing_behind() -> None:
    async def story(story: CrashingStory) -> None:
        story.tenant.runs_a_desk(whisper="/whisper")
        story.tenant.on("/voice", enqueue(maxWaitTime="2400"))
        story.tenant.on("/done", "<Hangup/>")
        story.tenant.on("/moved", say(700, seconds=5))
        story.tenant.on("/agent", dial(whisper="/whisper", timeout="600"))
        story.tenant.on("/wait", say(400, seconds=60))
        await story.has_queue()
        await story.passes(60)
        before = await held(story)
        number = 0
        while story.now() < DAY_S:
            number += 1
            await comes(story, number)
            if number % 3 == 0:
                await agent_comes(story, number)
            await something_happens(story, number)
            await story.passes(story.random.uniform(0, 2 * EVERY_S))
        story.tenant.revives()
        await story.passes(3600 + FORGOTTEN_S)
        if story._rest is not None:
            await story._rest.close()  # connections of the test's own
            story._rest = None
        assert await held(story) == before
        assert story.deaths > 3
        results = {asked["QueueResult"] for asked in story.tenant.asked_for("/done")}
        assert results >= {"bridged", "hangup", "redirected"}, results

    play(story)
