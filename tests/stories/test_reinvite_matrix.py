"""What a phone may change by a re-INVITE, in each phase of its call: it keeps its place and its partner, and hears on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from harness.story import AGENTS, NUMBER, Story, play
from harness.story_phone import Phone
from harness.story_tenant import Answer, say

WAIT, WHISPER, CALLER, AGENT = 400, 600, 1100, 1000
HOLDS = {"sendonly": ("sendonly", ""), "inactive": ("inactive", ""), "zero address": ("sendrecv", "0.0.0.0")}
PHASES = ("queued", "whisper", "bridged")


async def moves(phone: Phone) -> None:
    await phone.moves_to_port(41000)


async def changes_codec(phone: Phone) -> None:
    phone.codecs = "8"
    response = await phone.offers(phone.offer())
    assert response.sdp("m")[0].split()[3] == "8"


async def asks_for_an_offer(phone: Phone) -> None:
    response = await phone.offers("")
    assert response.status == 200
    assert response.direction == "sendrecv"


def hold(name: str) -> Callable[[Phone], Awaitable[None]]:
    direction, host = HOLDS[name]

    async def holds(phone: Phone) -> None:
        response = await phone.holds(direction, host=host)
        assert response.direction in ("recvonly", "inactive")
        frames = len(phone.ear.frames)
        await asyncio.sleep(0.5)
        assert len(phone.ear.frames) <= frames + 2, "it is sent nothing while it holds us"
        await phone.resumes()

    return holds


CHANGES: dict[str, Callable[[Phone], Awaitable[None]]] = {
    "another port": moves,
    "another codec": changes_codec,
    "no description": asks_for_an_offer,
    **{f"hold by {name}": hold(name) for name in HOLDS},
}


async def reach(story: Story, phase: str) -> tuple[Phone, int]:
    """A caller in that phase, and what it hears there."""
    story.tenant.runs_a_desk(whisper="/whisper" if phase == "whisper" else "")
    story.tenant.on("/whisper", say(WHISPER, seconds=3))
    caller = await story.caller_waits("alice")
    await caller.hears(WAIT)
    if phase == "queued":
        return caller, WAIT
    agent = story.phone("agent")
    await agent.calls(AGENTS)
    agent.talks(AGENT)
    if phase == "whisper":
        await caller.hears(WHISPER)
        return caller, WHISPER
    await caller.hears(AGENT)
    return caller, AGENT


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("change", CHANGES)
def test_a_caller_that_changes_its_media_keeps_its_place_and_hears_on(change: str, phase: str) -> None:
    async def story(story: Story) -> None:
        caller, sound = await reach(story, phase)
        sid = story.sid_of(caller)
        await CHANGES[change](caller)
        await caller.hears(sound)
        if phase == "whisper":
            await caller.hears(AGENT, within=10)
        assert story.sid_of(caller) == sid
        assert bool(story.members()) == (phase == "queued")
        assert not story.tenant.asked_for("/done")
        for phone in story.phones.values():
            phone.hangs_up()

    play(story)


@pytest.mark.parametrize("change", ["another port", "no description", "hold by sendonly"])
def test_an_agent_that_changes_its_media_hears_its_caller_on(change: str) -> None:
    async def story(story: Story) -> None:
        caller, _ = await reach(story, "bridged")
        agent = story.phones["198.51.100.2", 5060]
        caller.talks(CALLER)
        await agent.hears(CALLER)
        await CHANGES[change](agent)
        await agent.hears(CALLER)
        await caller.hears(AGENT)
        agent.hangs_up()
        await caller.hears(800)
        caller.hangs_up()

    play(story)


@pytest.mark.parametrize("body", [True, False], ids=["with a description", "without"])
def test_a_second_invite_while_the_first_rings_is_put_off_and_the_call_goes_on(body: bool) -> None:
    """RFC 3261 §14.2: 500 with Retry-After."""

    async def story(story: Story) -> None:
        story.tenant.on("/voice", Answer(body=say(WAIT, seconds=5), after_s=2))
        caller = story.phone("alice")
        caller.dials(NUMBER)
        ringing = await caller.gets(lambda m: m.status == 180)
        first, caller.to = caller.to, ringing["to"]
        number = caller.send("INVITE", body=caller.offer() if body else "")
        refusal = await caller.gets(lambda m: m.status >= 200 and m.cseq == number)
        assert refusal.status == 500
        assert 0 <= int(refusal["retry-after"]) <= 10
        caller.to = first
        await caller.gets(lambda m: m.status == 200 and m.cseq == number - 1)
        await caller.hears(WAIT)
        caller.hangs_up()

    play(story)
