"""A claimed caller: its place is still its own until the bridge is there, whoever goes away first (design 5)."""

from __future__ import annotations

from harness.story import AGENTS, NUMBER, Story, play
from harness.story_phone import Phone
from harness.story_tenant import HOST, Answer, dial, enqueue, say


def a_desk_with_a_long_whisper(story: Story) -> None:
    story.tenant.runs_a_desk(whisper="/whisper")
    story.tenant.on("/whisper", say(600, seconds=5))
    story.tenant.on("/elsewhere", say(1000, seconds=30))


async def hears_the_whisper(story: Story, caller: Phone, agent: Phone) -> None:
    await agent.calls(AGENTS)
    await caller.hears(600)


def test_a_caller_gone_during_the_whisper_makes_room_for_the_next_one_with_the_same_agent() -> None:
    async def story(story: Story) -> None:
        a_desk_with_a_long_whisper(story)
        first, second, agent = await story.caller_waits("alice"), await story.caller_waits("carol"), story.phone("bob")
        await hears_the_whisper(story, first, agent)
        first.hangs_up()
        await second.hears(600)
        second.talks(1600)
        await agent.hears(1600, within=10)
        told = story.tenant.asked_for("/done")
        assert [(asked["QueueResult"], asked["CallStatus"]) for asked in told] == [("hangup", "completed")]
        assert not story.tenant.asked_for("/agent-done")

    play(story)


def test_the_agent_waits_for_the_next_caller_within_its_own_timeout() -> None:
    async def story(story: Story) -> None:
        a_desk_with_a_long_whisper(story)
        story.tenant.on("/agent", dial(whisper="/whisper", timeout="10"))
        caller, agent = await story.caller_waits("alice"), story.phone("bob")
        await hears_the_whisper(story, caller, agent)
        begun = story.now()
        await story.passes(3)
        caller.hangs_up()
        asked = await story.tenant.asked("/agent-done", within=20)
        assert (asked["DequeueResult"], asked["DialCallStatus"]) == ("queue-empty", "no-answer")
        assert 9 <= asked.at - begun <= 10.5

    play(story)


def test_a_whisper_longer_than_the_dials_timeout_is_heard_to_its_end() -> None:
    async def story(story: Story) -> None:
        a_desk_with_a_long_whisper(story)
        story.tenant.on("/agent", dial(whisper="/whisper", timeout="5"))
        story.tenant.on("/whisper", say(600, seconds=8))
        caller, agent = await story.caller_waits("alice"), story.phone("bob")
        await hears_the_whisper(story, caller, agent)
        caller.talks(1500)
        await agent.hears(1500, within=10)

    play(story)


def test_an_agent_gone_during_the_whisper_gives_the_caller_its_place_and_its_time_back() -> None:
    async def story(story: Story) -> None:
        a_desk_with_a_long_whisper(story)
        first, second, agent = await story.caller_waits("alice"), await story.caller_waits("carol"), story.phone("bob")
        await story.passes(20)
        await hears_the_whisper(story, first, agent)
        assert story.members() == [story.sid_of(second)]
        agent.hangs_up()
        await first.hears(400)
        assert story.members() == [story.sid_of(first), story.sid_of(second)]
        asked = [one for one in story.tenant.asked_for("/wait") if one["CallSid"] == story.sid_of(first)][-1]
        assert (asked["QueuePosition"], int(asked["QueueTime"]) >= 20) == ("1", True)
        assert first.heard(since=1).longest_silence_s <= 0.2
        assert not story.tenant.asked_for("/done")

    play(story)


def test_an_agent_moved_by_rest_during_the_whisper_gives_the_caller_back() -> None:
    async def story(story: Story) -> None:
        a_desk_with_a_long_whisper(story)
        caller, agent = await story.caller_waits("alice"), story.phone("bob")
        await hears_the_whisper(story, caller, agent)
        await story.rest("POST", f"/Calls/{story.sid_of(agent)}.json", {"Url": f"{HOST}/elsewhere"})
        await agent.hears(1000)
        await caller.hears(400)
        assert story.members() == [story.sid_of(caller)]

    play(story)


def test_a_caller_given_back_goes_to_the_agent_who_waits_already() -> None:
    async def story(story: Story) -> None:
        a_desk_with_a_long_whisper(story)
        caller, gone, waiting = await story.caller_waits("alice"), story.phone("bob"), story.phone("carol")
        await hears_the_whisper(story, caller, gone)
        await waiting.calls(AGENTS)
        gone.hangs_up()
        caller.talks(1500)
        await waiting.hears(1500, within=10)

    play(story)


def test_while_a_caller_hears_a_whisper_no_other_agent_can_take_it() -> None:
    async def story(story: Story) -> None:
        a_desk_with_a_long_whisper(story)
        caller, agent, other = await story.caller_waits("alice"), story.phone("bob"), story.phone("carol")
        await hears_the_whisper(story, caller, agent)
        await other.calls(AGENTS)
        caller.talks(1500)
        await agent.hears(1500, within=10)
        assert 1500 not in other.heard().sounds

    play(story)


def test_rest_on_a_claimed_call_wins_over_the_claim_and_the_agent_waits_on() -> None:
    async def story(story: Story) -> None:
        a_desk_with_a_long_whisper(story)
        caller, agent = await story.caller_waits("alice"), story.phone("bob")
        await hears_the_whisper(story, caller, agent)
        await story.rest("POST", f"/Calls/{story.sid_of(caller)}.json", {"Url": f"{HOST}/elsewhere"})
        assert (await story.tenant.asked("/done"))["QueueResult"] == "redirected"
        await caller.hears(1000)
        following = story.phone("carol")
        following.talks(1600)
        await following.calls(NUMBER)
        await agent.hears(1600, within=10)

    play(story)


def test_rest_may_dequeue_a_claimed_call_by_its_sid() -> None:
    async def story(story: Story) -> None:
        a_desk_with_a_long_whisper(story)
        caller, agent = await story.caller_waits("alice"), story.phone("bob")
        await hears_the_whisper(story, caller, agent)
        path = f"/Queues/{story.queue().sid}/Members/{story.sid_of(caller)}.json"
        assert (await story.rest("POST", path, {"Url": f"{HOST}/elsewhere"})).status == 200
        await caller.hears(1000)
        assert (await story.tenant.asked("/done"))["QueueResult"] == "redirected"

    play(story)


def test_rest_may_hang_up_a_claimed_call() -> None:
    async def story(story: Story) -> None:
        a_desk_with_a_long_whisper(story)
        caller, agent = await story.caller_waits("alice"), story.phone("bob")
        await hears_the_whisper(story, caller, agent)
        await story.rest("POST", f"/Calls/{story.sid_of(caller)}.json", {"Status": "completed"})
        await caller.is_hung_up_on()
        assert (await story.tenant.asked("/done"))["QueueResult"] == "hangup"

    play(story)


def test_a_claimed_caller_counts_for_the_queues_size_but_not_for_its_figures() -> None:
    async def story(story: Story) -> None:
        a_desk_with_a_long_whisper(story)
        queue = await story.has_queue(max_size=2)
        first, second, agent = await story.caller_waits("alice"), await story.caller_waits("carol"), story.phone("bob")
        await hears_the_whisper(story, first, agent)
        third = story.phone("dave")
        await third.calls(NUMBER)
        assert (await story.tenant.asked("/done"))["QueueResult"] == "queue-full"
        assert (await story.rest("GET", f"/Queues/{queue.sid}.json"))["current_size"] == 1
        members = (await story.rest("GET", f"/Queues/{queue.sid}/Members.json"))["queue_members"]
        assert [(member["call_sid"], member["position"]) for member in members] == [(story.sid_of(second), 1)]
        front = await story.rest("GET", f"/Queues/{queue.sid}/Members/Front.json")
        assert front["call_sid"] == story.sid_of(second)

    play(story)


def test_a_queue_whose_only_caller_is_claimed_cannot_be_deleted() -> None:
    async def story(story: Story) -> None:
        a_desk_with_a_long_whisper(story)
        caller, agent = await story.caller_waits("alice"), story.phone("bob")
        await hears_the_whisper(story, caller, agent)
        reply = await story.rest("DELETE", f"/Queues/{story.queue().sid}.json")
        assert (reply.status, reply["code"]) == (400, 22002)

    play(story)


def test_a_caller_who_hangs_up_while_the_bridge_is_made_is_a_hangup() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        story.bridge_takes_s = 0.5
        caller, agent = await story.caller_waits("alice"), story.phone("bob")
        await agent.calls(AGENTS)
        await story.passes(0.2)
        caller.hangs_up()
        assert (await story.tenant.asked("/done"))["QueueResult"] == "hangup"
        await story.passes(1)
        assert not story.tenant.asked_for("/agent-done")
        following = story.phone("carol")
        following.talks(1600)
        await following.calls(NUMBER)
        await agent.hears(1600)

    play(story)


def test_an_agent_who_hangs_up_while_the_bridge_is_made_leaves_the_caller_its_place_and_its_sound() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        story.bridge_takes_s = 0.5
        caller, agent = await story.caller_waits("alice"), story.phone("bob")
        await story.passes(3)
        await agent.calls(AGENTS)
        await story.passes(0.2)
        agent.hangs_up()
        await story.passes(3)
        assert story.members() == [story.sid_of(caller)]
        assert caller.heard(since=1).longest_silence_s <= 0.2
        assert caller.hears_now == 400

    play(story)


def test_a_bridge_that_the_worker_never_reports_gives_the_caller_back() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        caller, agent = await story.caller_waits("alice"), story.phone("bob")
        story.bridge_takes_s = 60
        story.tenant.on("/agent", dial(timeout="8"))
        await agent.calls(AGENTS)
        await story.passes(40)
        assert story.members() == [story.sid_of(caller)]
        assert not story.tenant.asked_for("/done")
        assert story.tenant.asked_for("/agent-done")[0]["DequeueResult"] == "queue-empty"
        story.bridge_takes_s = 0
        await caller.hears(400, within=20)

    play(story)


def test_two_agents_at_the_same_moment_get_two_callers() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        callers = [await story.caller_waits("alice"), await story.caller_waits("carol")]
        agents = [story.phone("bob"), story.phone("dave")]
        for phone, hz in zip(callers, (1500, 1600), strict=True):
            phone.talks(hz)
        for agent in agents:
            agent.dials(AGENTS)
        await agents[0].hears(1500)
        await agents[1].hears(1600)
        assert story.members() == []

    play(story)


def test_two_agents_for_one_caller_one_of_them_waits() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        caller, agents = await story.caller_waits("alice"), [story.phone("bob"), story.phone("dave")]
        caller.talks(1500)
        for agent in agents:
            agent.dials(AGENTS)
        await story.passes(3)
        assert [agent.hears_now == 1500 for agent in agents] == [True, False]

    play(story)


def test_max_wait_time_goes_on_counting_through_a_claim_that_came_to_nothing() -> None:
    async def story(story: Story) -> None:
        a_desk_with_a_long_whisper(story)
        story.tenant.on("/voice", enqueue(maxWaitTime="12"))
        caller, agent = await story.caller_waits("alice"), story.phone("bob")
        await story.passes(6)
        await hears_the_whisper(story, caller, agent)
        await story.passes(2)
        agent.hangs_up()
        asked = await story.tenant.asked("/done")
        assert (asked["QueueResult"], round(asked.at)) == ("timeout", 12)

    play(story)


def test_a_caller_whose_media_worker_dies_is_told_as_a_system_error() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        await story.caller_waits("alice")
        story.media_dies()
        asked = await story.tenant.asked("/done")
        assert (asked["QueueResult"], asked["CallStatus"]) == ("system-error", "completed")
        assert story.members() == []

    play(story)


def test_a_caller_who_never_acknowledges_is_told_as_a_system_error() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        caller = story.phone("alice")
        caller.acknowledges = False
        await caller.calls(NUMBER)
        asked = await story.tenant.asked("/done", within=40)
        assert asked["QueueResult"] == "system-error"
        assert round(asked.at) == 32

    play(story)


def test_an_agent_that_redials_after_each_call_serves_the_whole_queue_in_order() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        story.tenant.on("/agent-done", dial())
        callers = [await story.caller_waits(f"caller{n}", listens=False) for n in range(5)]
        sids = [story.sid_of(caller) for caller in callers]
        agent = story.phone("bob")
        await agent.calls(AGENTS)
        for caller in callers:
            await story.passes(3)
            caller.hangs_up()
        await story.passes(1)
        assert [asked["DequeuedCallSid"] for asked in story.tenant.asked_for("/agent-done")] == sids

    play(story)


def test_a_whisper_that_is_being_fetched_when_the_caller_hangs_up_is_forgotten() -> None:
    async def story(story: Story) -> None:
        a_desk_with_a_long_whisper(story)
        story.tenant.on("/whisper", Answer(body=say(600), after_s=2))
        caller, agent = await story.caller_waits("alice"), story.phone("bob")
        await agent.calls(AGENTS)
        await story.passes(1)
        caller.hangs_up()
        assert (await story.tenant.asked("/done"))["QueueResult"] == "hangup"
        await story.passes(3)
        assert await story.codes() == []

    play(story)
