"""Queues and their members over the REST interface, with live calls behind it (platform contract 2.6, 2.7)."""

from __future__ import annotations

import re

from harness.story import AGENTS, NUMBER, Story, play
from harness.story_tenant import HOST, dial, enqueue, say

URL = {"Url": f"{HOST}/elsewhere"}


def a_desk(story: Story) -> None:
    story.tenant.runs_a_desk()
    story.tenant.on("/elsewhere", say(1000, seconds=30))


def test_a_queue_made_over_rest_takes_the_call_that_names_its_sid() -> None:
    async def story(story: Story) -> None:
        a_desk(story)
        made = [await story.rest("POST", "/Queues.json", {"FriendlyName": name, "MaxSize": "5"}) for name in ("support", "sales")]
        assert [reply.status for reply in made] == [201, 201]
        assert re.fullmatch("QU[0-9a-f]{32}", made[1]["sid"])
        story.tenant.on("/voice", enqueue(made[1]["sid"]))
        caller = await story.caller_waits("alice")
        sizes = [(await story.rest("GET", f"/Queues/{reply['sid']}.json"))["current_size"] for reply in made]
        assert sizes == [0, 1]
        members = (await story.rest("GET", f"/Queues/{made[1]['sid']}/Members.json"))["queue_members"]
        assert [member["call_sid"] for member in members] == [story.sid_of(caller)]
        assert story.tenant.asked_for("/wait")[0]["MaxQueueSize"] == "5"

    play(story)


def test_members_and_averages_are_those_of_the_moment() -> None:
    async def story(story: Story) -> None:
        a_desk(story)
        first = await story.caller_waits("alice", listens=False)
        await story.passes(30)
        second = await story.caller_waits("bob", listens=False)
        await story.passes(10)
        queue = await story.rest("GET", f"/Queues/{story.queue().sid}.json")
        assert (queue["current_size"], queue["average_wait_time"]) == (2, 25)
        page = await story.rest("GET", f"/Queues/{story.queue().sid}/Members.json")
        got = [(member["call_sid"], member["position"], member["wait_time"]) for member in page["queue_members"]]
        assert got == [(story.sid_of(first), 1, 40), (story.sid_of(second), 2, 10)]

    play(story)


def test_front_is_dequeued_one_after_the_other() -> None:
    async def story(story: Story) -> None:
        a_desk(story)
        first, second = await story.caller_waits("alice"), await story.caller_waits("bob")
        sids = [story.sid_of(first), story.sid_of(second)]
        path = f"/Queues/{story.queue().sid}/Members/Front.json"
        taken = [await story.rest("POST", path, URL), await story.rest("POST", path, URL)]
        assert [reply.status for reply in taken] == [200, 200]
        assert [reply["call_sid"] for reply in taken] == sids
        assert [reply["position"] for reply in taken] == [1, 1]
        await first.hears(1000)
        await second.hears(1000)
        assert [asked["QueueResult"] for asked in story.tenant.asked_for("/done")] == ["redirected", "redirected"]
        empty = await story.rest("POST", path, URL)
        assert (empty.status, empty["code"]) == (404, 20404)

    play(story)


def test_a_member_is_dequeued_by_its_sid_once() -> None:
    async def story(story: Story) -> None:
        a_desk(story)
        first, second = await story.caller_waits("alice"), await story.caller_waits("bob")
        path = f"/Queues/{story.queue().sid}/Members/{story.sid_of(second)}.json"
        assert (await story.rest("GET", path))["position"] == 2
        taken = await story.rest("POST", path, {**URL, "Method": "GET"})
        assert (taken.status, taken["position"], taken["call_sid"]) == (200, 2, story.sid_of(second))
        assert (await story.tenant.asked("/elsewhere")).method == "GET"
        assert (await story.tenant.asked("/done"))["QueueResult"] == "redirected"
        await second.hears(1000)
        again = await story.rest("POST", path, URL)
        assert again.status == 400
        assert story.members() == [story.sid_of(first)]

    play(story)


def test_dequeueing_into_a_dial_of_the_same_queue_serves_the_next_caller() -> None:
    """A caller may become an agent: what it was before is not held against it."""

    async def story(story: Story) -> None:
        a_desk(story)
        story.tenant.on("/elsewhere", dial())
        first, second = await story.caller_waits("alice"), await story.caller_waits("bob")
        first.talks(1500)
        await story.rest("POST", f"/Queues/{story.queue().sid}/Members/Front.json", URL)
        await second.hears(1500)

    play(story)


def test_a_queue_with_callers_is_not_deleted_and_an_empty_one_is() -> None:
    async def story(story: Story) -> None:
        a_desk(story)
        caller = await story.caller_waits("alice")
        path = f"/Queues/{story.queue().sid}.json"
        refused = await story.rest("DELETE", path)
        assert (refused.status, refused["code"]) == (400, 22002)
        caller.hangs_up()
        await story.passes(1)
        assert (await story.rest("DELETE", path)).status == 204
        assert (await story.rest("GET", path)).status == 404

    play(story)


def test_a_smaller_size_evicts_nobody_and_counts_for_the_next() -> None:
    async def story(story: Story) -> None:
        a_desk(story)
        for name in ("alice", "bob"):
            await story.caller_waits(name, listens=False)
        await story.rest("POST", f"/Queues/{story.queue().sid}.json", {"MaxSize": "1"})
        assert len(story.members()) == 2
        await story.phone("carol").calls(NUMBER)
        assert (await story.tenant.asked("/done"))["QueueResult"] == "queue-full"

    play(story)


def test_another_tenant_sees_neither_queue_nor_member_nor_call() -> None:
    async def story(story: Story) -> None:
        a_desk(story)
        stranger = await story.opens_account("tenant b")
        caller = await story.caller_waits("alice")
        queue, sid = story.queue().sid, story.sid_of(caller)
        for method, path, form in (
            ("GET", "/Queues.json", None),
            ("GET", f"/Queues/{queue}.json", None),
            ("GET", f"/Queues/{queue}/Members.json", None),
            ("POST", f"/Queues/{queue}/Members/Front.json", URL),
            ("POST", f"/Queues/{queue}/Members/{sid}.json", URL),
            ("POST", f"/Calls/{sid}.json", {"Status": "completed"}),
            ("DELETE", f"/Queues/{queue}.json", None),
        ):
            for owner in (story.account, stranger):
                reply = await story.rest(method, path, form, account=stranger, owner=owner)
                assert reply.status == 404 or (path == "/Queues.json" and owner is stranger and reply["queues"] == []), (path, reply)
        assert story.members() == [sid]

    play(story)


def test_the_call_is_shown_while_it_waits_and_after_it_has_ended() -> None:
    async def story(story: Story) -> None:
        a_desk(story)
        caller = await story.caller_waits("alice")
        path = f"/Calls/{story.sid_of(caller)}.json"
        shown = await story.rest("GET", path)
        assert (shown["status"], shown["direction"], shown["to"]) == ("in-progress", "inbound", NUMBER)
        await story.passes(10)
        caller.hangs_up()
        await story.passes(1)
        shown = await story.rest("GET", path)
        assert (shown["status"], shown["duration"]) == ("completed", "10")

    play(story)


def test_a_call_that_is_over_cannot_be_changed() -> None:
    async def story(story: Story) -> None:
        a_desk(story)
        caller = await story.caller_waits("alice")
        path = f"/Calls/{story.sid_of(caller)}.json"
        caller.hangs_up()
        await story.passes(1)
        assert (await story.rest("POST", path, URL)).status == 400

    play(story)


def test_an_agent_hung_up_by_rest_lets_the_caller_go_on() -> None:
    async def story(story: Story) -> None:
        a_desk(story)
        caller, agent = await story.caller_waits("alice"), story.phone("bob")
        await agent.calls(AGENTS)
        await story.passes(5)
        await story.rest("POST", f"/Calls/{story.sid_of(agent)}.json", {"Status": "completed"})
        await agent.is_hung_up_on()
        assert (await story.tenant.asked("/done"))["QueueResult"] == "bridged"
        await caller.hears(800)

    play(story)


def test_what_went_wrong_in_a_wait_is_told_over_rest() -> None:
    async def story(story: Story) -> None:
        a_desk(story)
        story.tenant.on("/wait", "<Dance/>")
        caller = await story.caller_waits("alice")
        await story.passes(10)
        reply = await story.rest("GET", f"/Calls/{story.sid_of(caller)}/Notifications.json")
        [entry] = reply["notifications"]
        assert (entry["error_code"], entry["log"], entry["request_url"]) == ("12200", "0", f"{HOST}/wait")
        assert "QueuePosition=1" in (await story.rest("GET", f"/Notifications/{entry['sid']}.json"))["request_variables"]

    play(story)
