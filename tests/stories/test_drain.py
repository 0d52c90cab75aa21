"""A drain: no new work, those who wait are sent where their queue says, and what is left at the deadline is told why it ended."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from harness.story import AGENTS, NUMBER, Story, play
from harness.story_crash import CrashingStory
from harness.story_crash import play as play_with_crashes
from harness.story_tenant import HOST, dial, enqueue, say

SORRY = f"{HOST}/sorry"


async def has_document_for_drains(story: Story, name: str = "support") -> None:
    queue = await story.has_queue(name)
    await story.store.put(replace(queue, drain_url=SORRY))


def waits(story: Story) -> None:
    story.tenant.on("/voice", enqueue())
    story.tenant.on("/wait", say(400, seconds=10))
    story.tenant.on("/sorry", say(700, seconds=5))


def begins_to_drain(story: Story, *, within_s: float = 600.0) -> asyncio.Task[None]:
    return asyncio.create_task(story.control.drain(within_s=within_s))


def test_who_waits_hears_the_document_for_drains_and_the_tenant_is_told() -> None:
    async def story(story: Story) -> None:
        waits(story)
        await has_document_for_drains(story)
        first, second = await story.caller_waits("alice"), await story.caller_waits("bob")
        drain = begins_to_drain(story)
        for caller in (first, second):
            await caller.hears(700)
        assert story.members() == []
        results = [asked["QueueResult"] for asked in story.tenant.asked_for("/done")]
        assert results == ["redirected", "redirected"]
        for caller in (first, second):
            await caller.is_hung_up_on()
        await asyncio.wait_for(drain, 1)

    play(story)


def test_a_queue_without_a_document_waits_on_and_agents_are_still_served() -> None:
    async def story(story: Story) -> None:
        waits(story)
        caller = await story.caller_waits("alice")
        agent = story.phone("agent")
        story.tenant.on("/agent", "<Say>500 Hz for 2 s</Say>" + dial().removeprefix("<Response>").removesuffix("</Response>"))
        await agent.calls(AGENTS)
        agent.talks(1000)
        drain = begins_to_drain(story)
        assert len(story.members()) == 1
        await caller.hears(1000)
        agent.hangs_up()
        await story.passes(1)
        caller.hangs_up()
        await asyncio.wait_for(drain, 5)

    play(story)


def test_the_operators_document_is_for_queues_that_name_none() -> None:
    async def story(story: Story) -> None:
        waits(story)
        story.tenant.on("/all", say(800, seconds=2))
        await has_document_for_drains(story, "sales")
        caller = await story.caller_waits("alice")
        story.tenant.on("/voice", enqueue("sales"))
        other = await story.caller_waits("bob")
        drain = begins_to_drain(story)
        await caller.hears(800)
        await other.hears(700)
        await asyncio.wait_for(drain, 20)

    play(story, drain_url=f"{HOST}/all")


def test_new_calls_are_refused_for_now_and_readiness_says_so() -> None:
    async def story(story: Story) -> None:
        waits(story)
        caller = await story.caller_waits("alice")
        drain = begins_to_drain(story)
        await story.passes(0.1)
        late = story.phone("late")
        late.dials(NUMBER)
        refusal = await late.gets(lambda m: m.status >= 300 and m.method == "INVITE")
        assert (refusal.status, refusal["retry-after"]) == (503, "10")
        assert story.control.not_ready() == ("draining",)
        caller.hangs_up()
        await asyncio.wait_for(drain, 5)

    play(story)


def test_who_is_still_at_a_menu_is_sent_when_it_is_enqueued_and_only_once() -> None:
    async def story(story: Story) -> None:
        waits(story)
        await has_document_for_drains(story)
        story.tenant.on("/voice", "<Say>500 Hz for 5 s</Say>" + enqueue().removeprefix("<Response>").removesuffix("</Response>"))
        story.tenant.on("/sorry", "<Say>700 Hz for 2 s</Say><Enqueue waitUrl='/wait'>support</Enqueue>")
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        drain = begins_to_drain(story, within_s=30)
        await caller.hears(700, within=10)
        await caller.hears(400, within=10)
        await story.passes(5)
        assert len(story.members()) == 1
        assert len(story.tenant.asked_for("/sorry")) == 1
        caller.hangs_up()
        await asyncio.wait_for(drain, 5)

    play(story)


def test_one_who_is_about_to_talk_is_left_to_it() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk(whisper="/whisper")
        await has_document_for_drains(story)
        caller = await story.caller_waits("alice")
        agent = story.phone("agent")
        await agent.calls(AGENTS)
        agent.talks(1000)
        await caller.hears(600)
        drain = begins_to_drain(story)
        await caller.hears(1000)
        assert not story.tenant.asked_for("/sorry")
        agent.hangs_up()
        caller.hangs_up()
        await asyncio.wait_for(drain, 5)

    play(story)


def test_one_whose_agent_goes_away_meanwhile_is_sent() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk(whisper="/whisper")
        story.tenant.on("/sorry", say(700, seconds=2))
        await has_document_for_drains(story)
        caller = await story.caller_waits("alice")
        agent = story.phone("agent")
        await agent.calls(AGENTS)
        await caller.hears(600)
        drain = begins_to_drain(story)
        agent.hangs_up()
        await caller.hears(700)
        await asyncio.wait_for(drain, 20)

    play(story)


def test_what_is_left_at_the_deadline_is_hung_up_with_its_reason_and_told() -> None:
    async def story(story: Story) -> None:
        waits(story)
        await story.changes_number(status_callback="/status")
        caller = await story.caller_waits("alice")
        sid = story.sid_of(caller)
        await asyncio.wait_for(begins_to_drain(story, within_s=30), 32)
        await caller.is_hung_up_on()
        assert (await story.tenant.asked("/done"))["QueueResult"] == "hangup"
        assert (await story.tenant.asked("/status"))["CallStatus"] == "completed"
        record = await story.record(sid)
        assert (record.status, record.end_reason) == ("completed", "drain-deadline")

    play(story)


def test_a_control_that_takes_over_in_a_drain_sends_nobody_twice() -> None:
    async def story(story: CrashingStory) -> None:
        waits(story)
        story.tenant.on("/sorry", "<Say>700 Hz for 2 s</Say><Enqueue waitUrl='/wait'>support</Enqueue>")
        await has_document_for_drains(story)
        caller = await story.caller_waits("alice")
        drain = begins_to_drain(story)
        await caller.hears(700)
        await caller.hears(400, within=10)
        drain.cancel()
        await story.crashes(for_s=1)
        drain = begins_to_drain(story)
        await story.passes(10)
        assert len(story.tenant.asked_for("/sorry")) == 1
        caller.hangs_up()
        await asyncio.wait_for(drain, 5)

    play_with_crashes(story)


def test_many_who_wait_are_sent_a_few_at_a_time() -> None:
    async def story(story: Story) -> None:
        waits(story)
        story.tenant.on("/sorry", "<Hangup/>")
        await has_document_for_drains(story)
        for number in range(45):
            await story.caller_waits(f"caller-{number}", listens=False)
        drain = begins_to_drain(story)
        await asyncio.wait_for(drain, 20)
        moments = [round(asked.at, 3) for asked in story.tenant.asked_for("/sorry")]
        assert len(moments) == 45
        assert max(moments.count(moment) for moment in moments) <= 20

    play(story)
