"""Each QueueResult of platform contract 2.2, and what the action is told with it."""

from __future__ import annotations

import pytest
from harness.story import AGENTS, NUMBER, Story, play
from harness.story_ear import MUSIC
from harness.story_tenant import HOST, Answer, Asked, dial, enqueue, say, spoken

STANDARD = {"CallSid", "AccountSid", "From", "To", "CallStatus", "ApiVersion", "Direction"}


def assert_tells(story: Story, asked: Asked, result: str, *, waited_s: int, status: str = "in-progress", queue: str = "support") -> None:
    """The action of a call that was enqueued has the standard parameters and these three."""
    assert set(asked.params) >= STANDARD
    assert asked["QueueResult"] == result
    assert asked["QueueSid"] == story.queue(queue).sid
    assert asked["QueueTime"] == str(waited_s)
    assert asked["CallStatus"] == status
    assert len(story.tenant.asked_for(asked.path)) == 1, "the action is asked once"


def test_bridged_is_told_once_when_the_bridge_ends_and_the_caller_goes_on() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        caller, agent = await story.caller_waits("alice"), story.phone("bob")
        await story.passes(5)
        await agent.calls(AGENTS)
        await story.passes(20)
        assert not story.tenant.asked_for("/done"), "not before the bridge ends"
        agent.hangs_up()
        assert_tells(story, await story.tenant.asked("/done"), "bridged", waited_s=5)
        await caller.hears(800)

    play(story)


def test_both_hear_music_where_the_action_after_their_talk_takes_long() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        story.tenant.on("/agent", dial(hangupOnStar="true"))
        for path in ("/done", "/agent-done"):
            story.tenant.on(path, Answer(body=say(800), after_s=10))
        caller, agent = await story.caller_waits("alice"), story.phone("agent")
        await agent.calls(AGENTS)
        await story.passes(0.5)
        agent.presses("*")
        await story.tenant.asked("/done")
        over = story.now()
        for phone in (caller, agent):
            await phone.hears(800, within=15)
            heard = phone.heard(over)
            assert heard.longest_silence_s <= 1.1
            assert MUSIC in heard.sounds

    play(story)


def test_bridging_in_process_is_a_caller_redirected_between_the_bridge_command_and_its_report() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        story.tenant.on("/elsewhere", say(1000, seconds=30))
        story.bridge_takes_s = 0.5
        caller, agent = await story.caller_waits("alice"), story.phone("bob")
        await agent.calls(AGENTS)
        await story.passes(0.2)
        await story.rest("POST", f"/Calls/{story.sid_of(caller)}.json", {"Url": f"{HOST}/elsewhere"})
        assert_tells(story, await story.tenant.asked("/done"), "bridging-in-process", waited_s=0)
        await caller.hears(1000)
        await story.passes(2)
        assert agent.hears_now in ("ringing", "silence"), "the agent waits on"

    play(story)


def test_error_is_told_for_a_queue_that_the_account_does_not_have_and_nothing_is_created() -> None:
    async def story(story: Story) -> None:
        unknown = "QU" + "0" * 32
        story.tenant.on("/voice", enqueue(unknown))
        story.tenant.on("/done", say(800, seconds=30))
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        asked = await story.tenant.asked("/done")
        assert asked["QueueResult"] == "error"
        assert "QueueSid" not in asked
        assert "QueueTime" not in asked
        await caller.hears(800)
        assert story.control.directory.find(story.account.sid, unknown) is None

    play(story)


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (enqueue("x" * 65), 14205),
        (enqueue(""), 14204),
        (enqueue(method="PUT"), 14201),
        (enqueue(waitUrl="ftp://tenant.example/wait"), 14202),
        (enqueue(waitUrlMethod="PUT"), 14206),
    ],
    ids=["long name", "no name", "method", "waitUrl", "waitUrlMethod"],
)
def test_error_is_told_for_an_enqueue_that_cannot_be_run_as_written(document: str, code: int) -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", document)
        story.tenant.on("/done", say(800, seconds=30))
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        asked = await story.tenant.asked("/done")
        assert asked["QueueResult"] == "error"
        assert "QueueSid" not in asked
        assert await story.codes() == [code]
        await caller.hears(800)

    play(story)


def test_an_enqueue_with_a_bad_action_goes_on_with_the_next_verb() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue(action="ftp://tenant.example/done", then=spoken(1200)))
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        await caller.hears(1200)
        assert await story.codes() == [14203]

    play(story)


def test_hangup_is_told_when_the_caller_hangs_up_and_the_reply_is_ignored() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        story.tenant.on("/done", "<Enqueue waitUrl='/wait'>other</Enqueue>")
        caller = await story.caller_waits("alice")
        await story.passes(7)
        caller.hangs_up()
        assert_tells(story, await story.tenant.asked("/done"), "hangup", waited_s=7, status="completed")
        assert story.members() == []
        assert story.control.directory.find(story.account.sid, "other") is None

    play(story)


def test_hangup_is_told_when_the_wait_document_hangs_up() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        story.tenant.on("/wait", f"{spoken(400)}<Hangup/>")
        caller = await story.caller_waits("alice")
        await caller.is_hung_up_on()
        assert_tells(story, await story.tenant.asked("/done"), "hangup", waited_s=1, status="completed")

    play(story)


def test_hangup_is_told_when_the_tenant_ends_the_call_by_rest() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        caller = await story.caller_waits("alice")
        await story.passes(3)
        reply = await story.rest("POST", f"/Calls/{story.sid_of(caller)}.json", {"Status": "completed"})
        assert reply.status == 200
        assert story.members() == [], "gone by the time REST has answered"
        await caller.is_hung_up_on()
        assert_tells(story, await story.tenant.asked("/done"), "hangup", waited_s=3, status="completed")

    play(story)


def test_leave_is_told_at_once_and_the_reply_takes_over() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        story.tenant.on("/voice", enqueue(then=spoken(1200)))
        story.tenant.on("/wait", f"{spoken(400, seconds=2)}<Leave/>")
        caller = await story.caller_waits("alice")
        assert_tells(story, await story.tenant.asked("/done"), "leave", waited_s=2)
        await caller.hears(800)
        assert 1200 not in caller.heard().sounds, "what follows an Enqueue with an action is unreachable"

    play(story)


def test_leave_without_an_action_goes_on_with_the_next_verb() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", f"<Enqueue waitUrl='/wait'>support</Enqueue>{spoken(1200)}")
        story.tenant.on("/wait", "<Leave/>")
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        await caller.hears(1200)
        await caller.is_hung_up_on()

    play(story)


def test_a_caller_that_hangs_up_while_its_leaving_is_written_has_left_all_the_same() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        story.tenant.on("/wait", Answer(body="<Leave/>", after_s=0.1))
        caller = await story.caller_waits("alice")
        story.store_takes_s = 1.0
        await story.passes(0.5)
        caller.hangs_up()
        assert_tells(story, await story.tenant.asked("/done"), "leave", waited_s=0, status="completed")

    play(story)


def test_redirected_is_told_at_once_its_reply_ignored_and_the_call_runs_the_new_document() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        story.tenant.on("/elsewhere", say(1000, seconds=30))
        caller = await story.caller_waits("alice")
        await story.passes(4)
        reply = await story.rest("POST", f"/Calls/{story.sid_of(caller)}.json", {"Url": f"{HOST}/elsewhere"})
        assert reply.status == 200
        assert story.members() == []
        assert_tells(story, await story.tenant.asked("/done"), "redirected", waited_s=4)
        await caller.hears(1000)
        await story.passes(5)
        assert 800 not in caller.heard().sounds

    play(story)


def test_redirected_by_an_inline_document() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        caller = await story.caller_waits("alice")
        await story.rest("POST", f"/Calls/{story.sid_of(caller)}.json", {"Twiml": say(1000, seconds=30)})
        assert_tells(story, await story.tenant.asked("/done"), "redirected", waited_s=0)
        await caller.hears(1000)

    play(story)


def test_redirected_from_bridged_is_told_when_a_bridged_caller_is_moved() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        story.tenant.on("/elsewhere", say(1000, seconds=30))
        caller, agent = await story.caller_waits("alice"), story.phone("bob")
        await story.passes(3)
        await agent.calls(AGENTS)
        await story.passes(6)
        await story.rest("POST", f"/Calls/{story.sid_of(caller)}.json", {"Url": f"{HOST}/elsewhere"})
        assert_tells(story, await story.tenant.asked("/done"), "redirected-from-bridged", waited_s=3)
        await caller.hears(1000)
        done = await story.tenant.asked("/agent-done")
        assert (done["DequeueResult"], done["DialCallStatus"], done["DialCallDuration"]) == ("bridged", "completed", "6")
        await agent.hears(900)

    play(story)


def test_queue_full_is_told_with_a_warning_and_the_caller_never_was_a_member() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        await story.has_queue("support", max_size=1)
        first, second = await story.caller_waits("alice"), story.phone("bob")
        await second.calls(NUMBER)
        asked = await story.tenant.asked("/done")
        assert asked["QueueResult"] == "queue-full"
        assert "QueueSid" not in asked
        assert "QueueTime" not in asked
        await second.hears(800)
        assert story.members() == [story.sid_of(first)]
        [entry] = await story.notifications()
        assert (entry.error_code, entry.log, entry.call_sid) == (14207, 1, asked["CallSid"])

    play(story)


def test_system_error_is_told_when_the_caller_vanishes_before_it_was_fully_enqueued() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        story.tenant.on("/voice", Answer(body=enqueue(), after_s=0.1))
        caller = story.phone("alice")
        caller.dials(NUMBER)
        await story.tenant.asked("/voice")
        story.store_takes_s = 1.0
        await caller.is_answered()
        caller.hangs_up()
        asked = await story.tenant.asked("/done")
        assert (asked["QueueResult"], asked["CallStatus"]) == ("system-error", "completed")
        assert "QueueSid" not in asked

    play(story)


def test_timeout_is_told_after_max_wait_time() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        story.tenant.on("/voice", enqueue(maxWaitTime="15"))
        caller = await story.caller_waits("alice")
        assert_tells(story, await story.tenant.asked("/done", within=20), "timeout", waited_s=15)
        await caller.hears(800)

    play(story)


def test_the_action_may_be_asked_with_get() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        story.tenant.on("/voice", enqueue(method="GET"))
        story.tenant.on("/wait", "<Leave/>")
        await story.phone("alice").calls(NUMBER)
        asked = await story.tenant.asked("/done")
        assert (asked.method, asked["QueueResult"]) == ("GET", "leave")

    play(story)


def test_an_action_that_fails_is_asked_for_at_the_fallback_url() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        await story.changes_number(voice_fallback_url="/fallback")
        story.tenant.on("/wait", "<Leave/>")
        story.tenant.on("/done", Answer(status=500))
        story.tenant.on("/fallback", say(1400, seconds=20))
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        asked = await story.tenant.asked("/fallback")
        assert (asked["QueueResult"], asked["ErrorCode"], asked["ErrorUrl"]) == ("leave", "11200", f"{HOST}/done")
        await caller.hears(1400)

    play(story)
