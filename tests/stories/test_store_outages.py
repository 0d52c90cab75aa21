"""The disk is full for a while: calls go on in memory, the promise of durability is suspended and said to be, and comes back by itself."""

from __future__ import annotations

from typing import Any

from harness.story import AGENTS, NUMBER, Story, play
from harness.story_crash import CrashingStory
from harness.story_crash import play as play_crashing
from harness.story_tenant import HOST, say

from waitline.bridge.store.records import CallRecord, QueueEventRecord
from waitline.bridge.store.schema import KINDS

LONGEST_PAUSE_S = 2.1
"""Until the store tries again, at most."""


async def operators_view(story: Story) -> tuple[dict[str, Any], dict[str, float]]:
    """What /readyz says, and the store's metrics."""
    await story.rest("GET", "/Queues.json")
    client = story._rest
    assert client is not None
    async with client.get("/readyz") as response:
        ready = {"status": response.status, **await response.json()}
    async with client.get("/metrics") as response:
        lines = (await response.text()).splitlines()
    return ready, {line.split()[0]: float(line.split()[1]) for line in lines if line.startswith("waitline_store_")}


async def on_disk(story: Story, sql: str) -> list[tuple[Any, ...]]:
    return await story.store._ask(lambda driver: driver.query(sql))


def test_a_new_call_is_taken_and_waits_in_a_new_queue_while_nothing_can_be_written() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        story.store_fails = True
        caller = await story.caller_waits("alice")
        await caller.hears(400)
        agent = story.phone("agent")
        await agent.calls(AGENTS)
        agent.talks(1000)
        await caller.hears(1000)
        agent.hangs_up()
        done = await story.tenant.asked("/done")
        assert done["QueueResult"] == "bridged"
        caller.hangs_up()
        await story.passes(1)
        assert await on_disk(story, "SELECT 1 FROM calls UNION ALL SELECT 1 FROM queues") == []
        story.store_fails = False
        await story.passes(LONGEST_PAUSE_S)
        assert sorted(await on_disk(story, "SELECT status FROM calls")) == [("completed",), ("completed",)]
        assert await on_disk(story, "SELECT friendly_name FROM queues") == [("support",)]
        kinds = await on_disk(story, f'SELECT kind FROM "{KINDS[QueueEventRecord].table.name}" ORDER BY id')
        assert [kind for (kind,) in kinds] == ["joined", "claimed", "left"]

    play(story)


def test_nobody_waits_for_a_disk_that_is_full() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        story.store_fails = True
        await story.caller_waits("alice")
        began = story.now()
        second = story.phone("bob")
        await second.calls(NUMBER)
        await second.hears(400)
        assert story.now() - began < 0.5
        story.store_fails = False

    play(story)


def test_the_operator_sees_the_outage_and_its_end() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        ready, metrics = await operators_view(story)
        assert ready == {"status": 200, "ready": True, "reasons": [], "degraded": []}
        assert (metrics["waitline_store_durable"], metrics["waitline_store_rows_waiting"]) == (1, 0)
        story.store_fails = True
        await story.caller_waits("alice")
        ready, metrics = await operators_view(story)
        assert (ready["status"], ready["ready"]) == (200, True)
        (line,) = ready["degraded"]
        assert line.startswith("store: the disk is full: ")
        assert metrics["waitline_store_durable"] == 0
        assert metrics["waitline_store_rows_waiting"] > 0
        story.store_fails = False
        await story.passes(LONGEST_PAUSE_S)
        ready, metrics = await operators_view(story)
        assert ready["degraded"] == []
        assert (metrics["waitline_store_durable"], metrics["waitline_store_rows_waiting"], metrics["waitline_store_rows_lost"]) == (1, 0, 0)

    play(story)


def test_rest_reads_go_on_and_writes_are_refused_with_a_time_to_come_back() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        before = await story.caller_waits("alice")
        story.store_fails = True
        during = await story.caller_waits("bob")
        sids = [story.sid_of(before), story.sid_of(during)]
        queue = f"/Queues/{story.queue().sid}"
        for path, form in (("/Queues.json", {"FriendlyName": "other"}), ("/Applications.json", {}), (f"{queue}.json", {"MaxSize": "5"})):
            reply = await story.rest("POST", path, form)
            assert (reply.status, reply["code"]) == (503, 20503)
            assert "nothing was changed" in reply["message"]
        assert (await story.rest("DELETE", f"/IncomingPhoneNumbers/{numbers(story)[0]}.json")).status == 503
        assert (await story.rest("GET", f"{queue}.json"))["max_size"] == 1000
        assert [entry["call_sid"] for entry in (await story.rest("GET", f"{queue}/Members.json"))["queue_members"]] == sids
        for sid in sids:
            assert (await story.rest("GET", f"/Calls/{sid}.json"))["status"] == "in-progress"
        listed = await story.rest("GET", "/Calls.json?Status=in-progress")
        assert [call["sid"] for call in listed["calls"]] == sids[::-1]
        before.hangs_up()
        await story.passes(1)
        assert [call["sid"] for call in (await story.rest("GET", "/Calls.json?Status=in-progress"))["calls"]] == sids[1:]
        assert (await story.rest("GET", f"/Calls/{sids[0]}.json"))["status"] == "completed"
        first = await story.rest("GET", "/Calls.json?PageSize=1")
        assert [call["sid"] for call in first["calls"]] == sids[1:]
        second = await story.rest("GET", first["next_page_uri"].partition(story.account.sid)[2])
        assert [(call["sid"], call["status"]) for call in second["calls"]] == [(sids[0], "completed")]
        story.store_fails = False

    play(story)


def numbers(story: Story) -> list[str]:
    return [number.sid for number in story.store.image.numbers]


def test_calls_are_acted_on_by_rest_while_nothing_can_be_written() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        story.tenant.on("/moved", say(700, seconds=30))
        caller = await story.caller_waits("alice")
        story.store_fails = True
        reply = await story.rest("POST", f"/Queues/{story.queue().sid}/Members/Front.json", {"Url": f"{HOST}/moved"})
        assert reply.status == 200
        await caller.hears(700)
        story.store_fails = False

    play(story)


def test_a_crash_after_an_outage_finds_what_happened_in_it() -> None:
    async def story(story: CrashingStory) -> None:
        story.tenant.runs_a_desk()
        first = await story.caller_waits("alice")
        story.store_fails = True
        second, third = await story.caller_waits("bob"), await story.caller_waits("carol")
        first.hangs_up()
        await story.passes(5)
        places = story.members()
        assert len(places) == 2
        story.store_fails = False
        await story.passes(LONGEST_PAUSE_S)
        assert await story.crashes(for_s=1) == 2
        assert story.members() == places
        agent = story.phone("agent")
        await agent.calls(AGENTS)
        agent.talks(1000)
        await second.hears(1000)
        assert third.is_up

    play_crashing(story)


def test_a_crash_in_an_outage_goes_on_with_what_was_known_before_it() -> None:
    async def story(story: CrashingStory) -> None:
        story.may_fail = True
        story.tenant.runs_a_desk()
        first = await story.caller_waits("alice")
        places = story.members()
        story.store_fails = True
        await story.caller_waits("bob")
        await story.dies()
        waiting = story.store._backlog
        waiting.clear()  # the memory of the process that died
        story.store_fails = False
        assert await story.follows() == 1
        assert story.members() == places
        await first.hears(400)

    play_crashing(story)


def test_a_caller_who_rang_while_the_disk_was_full_is_in_the_history_once() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        story.store_fails = True
        caller = await story.caller_waits("alice")
        await story.passes(3)
        caller.hangs_up()
        await story.passes(1)
        story.store_fails = False
        await story.passes(LONGEST_PAUSE_S)
        calls, _ = await story.store.page(CallRecord, account_sid=story.account.sid)
        assert [call.status for call in calls] == ["completed"]

    play(story)


def test_a_client_is_not_kept_waiting_by_a_write_that_fails() -> None:
    async def story(story: Story) -> None:
        story.store_fails = True
        began = story.now()
        reply = await story.rest("POST", "/Queues.json", {"FriendlyName": "other"})
        assert reply.status == 503
        assert story.now() == began
        story.store_fails = False

    play(story)
