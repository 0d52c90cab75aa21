"""Two things that happen at the same moment, in every order the event loop can give them.

Each sweep repeats one little scene, and lets the second thing happen one turn of the loop later each time: before, in and after whatever
the first one sets in motion. After each scene nobody may be left in a queue or a claim, and every caller has been told its result once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from harness.story import AGENTS, NUMBER, Story, play
from harness.story_phone import Phone
from harness.story_tenant import HOST, Answer, Asked, dial, enqueue, say, spoken

TURNS = 26
"""All there is to a claim and a bridge is over by then."""
Deed = Callable[[Story, Phone, Phone], Awaitable[None] | None]


def caller_hangs_up(_story: Story, caller: Phone, _agent: Phone) -> None:
    caller.hangs_up()


def agent_hangs_up(_story: Story, _caller: Phone, agent: Phone) -> None:
    agent.hangs_up()


def both_hang_up(_story: Story, caller: Phone, agent: Phone) -> None:
    caller.hangs_up()
    agent.hangs_up()


async def tenant_moves_the_caller(story: Story, caller: Phone, _agent: Phone) -> None:
    sid = next((call.sid for call in story.control.switchboard if call.state.sip.call_id == caller.call_id and not call.over), None)
    if sid is not None:
        await story.control.switchboard.redirect(sid, url=f"{HOST}/moved", method="POST")


async def tenant_moves_the_agent(story: Story, _caller: Phone, agent: Phone) -> None:
    await tenant_moves_the_caller(story, agent, agent)


async def tenant_ends_the_caller(story: Story, caller: Phone, _agent: Phone) -> None:
    await story.control.switchboard.hangup(story.sid_of(caller))


DEEDS: list[Deed] = [
    caller_hangs_up, agent_hangs_up, both_hang_up, tenant_moves_the_caller, tenant_moves_the_agent, tenant_ends_the_caller,
]  # fmt: skip


async def scene(story: Story, turns: int, deed: Deed, *, when: str) -> list[Asked]:
    """A caller waits, an agent dials; so many turns after ``when`` was asked for, the deed. Returns what the caller's action was told."""
    before = len(story.tenant.asked_for("/done"))
    seen = len(story.tenant.asked_for(when))
    caller, agent = story.phone(f"caller{turns}", listens=False), story.phone(f"agent{turns}", listens=False)
    await caller.calls(NUMBER)
    await story.passes(0.05)
    agent.dials(AGENTS)
    await story.tenant.asked(when, count=seen + 1)
    for _ in range(turns):
        await asyncio.sleep(0)
    done = deed(story, caller, agent)
    if done is not None:
        await done
    await story.passes(3)
    for phone in (caller, agent):
        if phone.is_up:
            phone.hangs_up()
    await story.passes(1)
    assert (story.members(), len(story.control.switchboard)) == ([], 0), f"after {turns} turns"
    told = story.tenant.asked_for("/done")[before:]
    assert len(told) == 1, f"after {turns} turns: {told}"
    return told


@pytest.mark.parametrize("deed", DEEDS)
def test_while_an_agent_claims_a_caller_and_is_bridged(deed: Deed) -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        story.tenant.on("/moved", "<Hangup/>")
        told = [(await scene(story, turns, deed, when="/agent"))[0]["QueueResult"] for turns in range(TURNS)]
        assert set(told) <= {"hangup", "bridged", "redirected", "redirected-from-bridged", "bridging-in-process"}

    play(story)


@pytest.mark.parametrize("deed", DEEDS)
def test_while_a_whisper_is_fetched_heard_and_over(deed: Deed) -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk(whisper="/whisper")
        story.tenant.on("/moved", "<Hangup/>")
        story.tenant.on("/whisper", "<Response/>")
        told = [(await scene(story, turns, deed, when="/whisper"))[0]["QueueResult"] for turns in range(4, 18)]
        assert set(told) <= {"hangup", "bridged", "redirected", "redirected-from-bridged", "bridging-in-process"}

    play(story)


@pytest.mark.parametrize("deed", DEEDS)
def test_while_a_caller_leaves_of_its_own(deed: Deed) -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        story.tenant.on("/moved", "<Hangup/>")
        story.tenant.on("/wait", Answer(body="<Leave/>", after_s=0.3))
        story.tenant.on("/agent", Answer(body=dial(timeout="5"), after_s=0.25))
        for turns in range(0, TURNS, 3):
            await scene(story, turns, deed, when="/wait")

    play(story)


@pytest.mark.parametrize("first", ["leave", "key", "end of a prompt", "timeout"])
def test_a_caller_that_leaves_just_when_an_agent_dials_has_one_result(first: str) -> None:
    """The agent comes a few milliseconds before, with, or after what makes the caller leave."""

    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        waits: dict[str, str | Answer] = {
            "leave": Answer(body="<Leave/>", after_s=1.0),
            "key": f"<Gather numDigits='1' action='/key'>{spoken(400, seconds=9)}</Gather>",
            "end of a prompt": f"{spoken(400, seconds=1)}<Leave/>",
            "timeout": say(400, seconds=9),
        }
        story.tenant.on("/wait", waits[first])
        story.tenant.on("/key", "<Leave/>")
        story.tenant.on("/voice", enqueue(maxWaitTime="1" if first == "timeout" else "60"))
        story.tenant.on("/done", "<Hangup/>")
        results = set()
        for step in range(-8, 9):
            agent, caller = story.phone(f"agent{step}", listens=False), story.phone(f"caller{step}", listens=False)
            before = len(story.tenant.asked_for("/done"))
            await caller.calls(NUMBER)
            begun = story.now()
            if first == "key":
                story.loop.call_later(0.985, caller.presses, "1")
            await story.passes(1.0 + step * 0.005 - (story.now() - begun))
            agent.dials(AGENTS)
            await story.passes(3)
            agent.hangs_up()
            await story.passes(2)
            told = story.tenant.asked_for("/done")[before:]
            assert len(told) == 1
            assert (story.members(), len(story.control.switchboard)) == ([], 0)
            results.add(told[0]["QueueResult"])
        assert len(results) == 2, results

    play(story)


@pytest.mark.parametrize("seed", range(4))
def test_many_random_deeds_leave_every_caller_with_one_result(seed: int) -> None:
    async def story(story: Story) -> None:
        chance = story.random
        chance.seed(seed)
        story.tenant.runs_a_desk(whisper="/whisper")
        story.tenant.on("/moved", enqueue(), "<Hangup/>", enqueue(), say(700, seconds=3))
        story.tenant.on("/wait", lambda _asked: chance.choice(WAITS))
        story.tenant.on("/whisper", lambda _asked: chance.choice(WHISPERS))
        story.tenant.on("/agent-done", lambda _asked: chance.choice(AGENT_WISHES))
        story.tenant.on("/done", lambda _asked: chance.choice(CALLER_WISHES))
        await story.has_queue(max_size=6)
        for n in range(60):
            phone = story.phone(f"phone{n}", listens=False)
            phone.dials(chance.choice([NUMBER, NUMBER, AGENTS]))
            story.bridge_takes_s = chance.choice([0.0, 0.0, 0.3])
            for _ in range(3):
                await story.passes(chance.random() * 4)
                await something_happens(story)
        await story.passes(40)
        for phone in story.phones.values():
            if phone.is_up:
                phone.hangs_up()
        await story.passes(10)
        joined = story.control.metrics.registry.get_sample_value("waitline_queue_events_total", {"kind": "joined", "reason": ""})
        told = [asked for asked in story.tenant.asked_for("/done") if "QueueSid" in asked]
        assert len(told) == joined

    play(story)


WAITS: list[str | Answer] = [
    say(400, seconds=3), say(400, seconds=20), "<Leave/>", "<Hangup/>", f"{spoken(400)}<Redirect>/wait</Redirect>", Answer(status=500),
    Answer(body=say(500, seconds=2), after_s=3), f"<Gather numDigits='1' timeout='5'>{spoken(400, seconds=4)}</Gather>",
]  # fmt: skip
AGENT_WISHES = [dial(whisper="/whisper"), dial(), "<Hangup/>"]
CALLER_WISHES = [enqueue(), "<Hangup/>", say(800)]
WHISPERS: list[str | Answer] = [say(600, seconds=2), Answer(status=500), Answer(body=say(600), after_s=5)]


async def something_happens(story: Story) -> None:
    chance = story.random
    up = [phone for phone in story.phones.values() if phone.is_up]
    if not up:
        return
    phone = chance.choice(up)
    match chance.randrange(6):
        case 0:
            phone.hangs_up()
        case 1:
            await tenant_moves_the_caller(story, phone, phone)
        case 2:
            phone.presses(chance.choice("12*#"))
        case _:
            pass
