"""The whole scenario of platform contract 1.5, step by step, in virtual time."""

from __future__ import annotations

from harness.story import AGENTS, NUMBER, Story, play
from harness.story_tenant import HOST, Asked, dial, enqueue, say, spoken


def test_callers_wait_are_dequeued_whispered_to_bridged_and_moved_while_another_tenant_sees_nothing() -> None:
    async def story(story: Story) -> None:
        stranger = await story.opens_account("tenant b")
        queue = (await story.rest("POST", "/Queues.json", {"FriendlyName": "support"}))["sid"]

        def by_position(asked: Asked) -> str:
            return say(350 + 50 * int(asked["QueuePosition"]), seconds=5)

        story.tenant.on("/voice", spoken(1000) + f"<Enqueue waitUrl='/wait' action='/done'>{queue}</Enqueue>")
        story.tenant.on("/wait", by_position)
        story.tenant.on("/done", say(800, seconds=60))
        story.tenant.on("/agent", dial(queue, whisper="/whisper"))
        story.tenant.on("/agent-done", say(900, seconds=60))
        story.tenant.on("/whisper", say(600))
        story.tenant.on("/elsewhere", say(1200, seconds=60))

        first = story.phone("alice")
        await first.calls(NUMBER)
        await first.hears(1000)
        asked = await story.tenant.asked("/wait")
        assert (asked["QueuePosition"], asked["QueueTime"], asked["MaxQueueSize"], asked["QueueSid"]) == ("1", "0", "1000", queue)
        await first.hears(400)

        second = story.phone("bob")
        await second.calls(NUMBER)
        await second.hears(450)
        await story.passes(6)
        grown = [one for one in story.tenant.asked_for("/wait") if one["CallSid"] == asked["CallSid"]][-1]
        assert int(grown["QueueTime"]) >= 4

        agent = story.phone("carol")
        await agent.calls(AGENTS)
        await first.hears(600)
        first.talks(1500)
        agent.talks(1700)
        await first.hears(1700)
        await agent.hears(1500)
        await second.hears(400, within=10)

        agent.hangs_up()
        assert (await story.tenant.asked("/done"))["QueueResult"] == "bridged"
        assert (await story.tenant.asked("/agent-done"))["DequeueResult"] == "bridged"
        await first.hears(800)

        await story.rest("POST", f"/Queues/{queue}/Members/Front.json", {"Url": f"{HOST}/elsewhere"})
        assert (await story.tenant.asked("/done", count=2))["QueueResult"] == "redirected"
        await second.hears(1200)

        for path in (f"/Queues/{queue}.json", f"/Queues/{queue}/Members.json", f"/Calls/{asked['CallSid']}.json"):
            assert (await story.rest("GET", path, account=stranger)).status == 404
        assert (await story.rest("GET", f"/Queues/{queue}.json"))["current_size"] == 0
        for phone in (first, second, agent):
            assert phone.heard(since=phone.since + 0.1).longest_silence_s <= 0.2

    play(story)


def test_a_day_of_a_desk_leaves_nothing_behind() -> None:
    """Twenty callers, three agents who come back for the next one; some give up. The story's own end checks for leaks."""

    async def story(story: Story) -> None:
        story.tenant.runs_a_desk(whisper="/whisper")
        story.tenant.on("/agent-done", dial(whisper="/whisper", timeout="600"))
        story.tenant.on("/done", "<Hangup/>")
        story.tenant.on("/voice", enqueue(maxWaitTime="90"))
        await story.has_queue()
        agents = [story.phone(f"agent{n}", listens=False) for n in range(3)]
        for agent in agents:
            await agent.calls(AGENTS)
        for n in range(20):
            caller = story.phone(f"caller{n}", listens=False)
            await caller.calls(NUMBER)
            story.loop.call_later(20 + story.random.random() * 40, caller.hangs_up)
            await story.passes(story.random.random() * 6)
        await story.passes(400)
        told = [asked["QueueResult"] for asked in story.tenant.asked_for("/done")]
        assert len(told) == 20
        assert set(told) <= {"bridged", "hangup", "timeout"}
        assert story.members() == []

    play(story)
