"""Resume my place: who waited, lost the line and calls again goes on waiting where it was; nobody else does, and nobody is worse off."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from harness.story import NUMBER, Story, play
from harness.story_crash import CrashingStory
from harness.story_crash import play as play_with_crashes
from harness.story_phone import Phone
from harness.story_tenant import Answer, enqueue, say

GATEWAY_LOST_IT = (("Reason", 'Q.850;cause=41;text="Temporary failure"'),)


def waits_with(window: str = "60", **attributes: str) -> str:
    return enqueue(resumeWindow=window, **attributes)


async def drops(phone: Phone) -> None:
    """The gateway hangs up for a caller whom it has lost."""
    phone.is_up = False
    phone.send("BYE", headers=GATEWAY_LOST_IT)
    await phone.gets(lambda m: m.status == 200 and m.method == "BYE")


async def three_wait(story: Story, document: str = "") -> tuple[Phone, Phone, Phone]:
    story.tenant.on("/voice", document or waits_with())
    story.tenant.on("/wait", say(400, seconds=5))
    alice, bob, carol = [await story.caller_waits(name, listens=False) for name in ("alice", "bob", "carol")]
    return alice, bob, carol


async def comes_back(story: Story, phone: Phone, number: str = NUMBER) -> str:
    await phone.calls(number)
    await story.passes(0.05)
    return story.sid_of(phone)


def test_a_caller_whose_line_dropped_is_first_again_and_its_time_goes_on() -> None:
    async def story(story: Story) -> None:
        alice, bob, carol = await three_wait(story)
        await story.passes(30)
        dropped = story.sid_of(alice)
        await drops(alice)
        done = await story.tenant.asked("/done")
        assert done["QueueResult"] == "hangup"
        assert "QueueResumed" not in done
        await story.passes(20)
        assert (await story.record(dropped)).end_reason == "line-dropped"
        assert story.members() == [story.sid_of(bob), story.sid_of(carol)]
        again = await comes_back(story, alice)
        assert story.members() == [again, story.sid_of(bob), story.sid_of(carol)]
        asked = next(entry for entry in story.tenant.asked_for("/wait") if entry["CallSid"] == again)
        assert (asked["QueueResumed"], asked["QueuePosition"], asked["CurrentQueueSize"]) == ("true", "1", "3")
        assert 50 <= int(asked["QueueTime"]) <= 52
        await story.passes(10)
        alice.hangs_up()
        done = await story.tenant.asked("/done", count=2)
        assert (done["QueueResult"], done["QueueResumed"]) == ("hangup", "true")
        assert 60 <= int(done["QueueTime"]) <= 62
        await story.passes(0.1)
        assert (await story.record(again)).end_reason == "caller-hung-up"

    play(story)


def test_nobody_who_was_not_resumed_is_told_of_it() -> None:
    async def story(story: Story) -> None:
        await three_wait(story)
        await story.passes(10)
        assert not [asked for asked in story.tenant.requests if "QueueResumed" in asked]

    play(story)


def test_while_the_place_is_kept_nobody_else_is_worse_off() -> None:
    async def story(story: Story) -> None:
        alice, bob, carol = await three_wait(story)
        await drops(alice)
        queue = story.queue()
        view = await story.rest("GET", f"/Queues/{queue.sid}/Members.json")
        assert [(member["call_sid"], member["position"]) for member in view["queue_members"]] == [
            (story.sid_of(bob), 1), (story.sid_of(carol), 2),
        ]  # fmt: skip
        assert (await story.rest("GET", f"/Queues/{queue.sid}.json"))["current_size"] == 2
        await drops(bob)
        await drops(carol)
        assert (await story.rest("DELETE", f"/Queues/{queue.sid}.json")).status == 204

    play(story)


async def hangs_up(_story: Story, phone: Phone) -> None:
    phone.hangs_up()


async def is_hung_up_normally(_story: Story, phone: Phone) -> None:
    phone.send("BYE", headers=(("Reason", "Q.850;cause=16"),))


async def is_ended_by_the_tenant(story: Story, phone: Phone) -> None:
    await story.rest("POST", f"/Calls/{story.sid_of(phone)}.json", {"Status": "completed"})


async def is_redirected(story: Story, phone: Phone) -> None:
    story.tenant.on("/elsewhere", "<Hangup/>")
    await story.rest("POST", f"/Calls/{story.sid_of(phone)}.json", {"Url": "http://tenant.example/elsewhere"})


@pytest.mark.parametrize("ends", [hangs_up, is_hung_up_normally, is_ended_by_the_tenant, is_redirected])
def test_an_end_that_somebody_wanted_keeps_no_place(ends: Callable[[Story, Phone], Awaitable[None]]) -> None:
    async def story(story: Story) -> None:
        alice, bob, carol = await three_wait(story)
        await ends(story, alice)
        await story.passes(1)
        again = await comes_back(story, alice)
        assert story.members() == [story.sid_of(bob), story.sid_of(carol), again]

    play(story)


async def goes_silent(story: Story, phone: Phone) -> None:
    phone.answers = lambda _request: False
    await story.tenant.asked("/done", within=200)
    phone.answers = lambda _request: True


async def loses_its_media_worker(story: Story, _phone: Phone) -> None:
    story.media_dies()
    await story.tenant.asked("/done")


@pytest.mark.parametrize("drops", [goes_silent, loses_its_media_worker])
def test_a_line_that_nobody_ended_keeps_its_place(drops: Callable[[Story, Phone], Awaitable[None]]) -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", waits_with())
        story.tenant.on("/wait", say(400, seconds=30))
        alice = await story.caller_waits("alice", listens=False)
        waited_from = story.now()
        await drops(story, alice)
        await story.passes(1)
        again = await comes_back(story, alice)
        asked = next(entry for entry in story.tenant.asked_for("/wait") if entry["CallSid"] == again)
        assert asked["QueueResumed"] == "true"
        assert abs(int(asked["QueueTime"]) - (story.now() - waited_from)) <= 1

    play(story)


def test_a_caller_who_is_back_before_its_dead_line_is_noticed_moves_up_then() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", waits_with())
        story.tenant.on("/wait", say(400, seconds=5))
        alice = await story.caller_waits("alice", listens=False)
        bob = await story.caller_waits("bob")
        bob.talks(700)  # a caller who is heard is not asked
        await story.passes(30)
        old = story.sid_of(alice)
        alice.answers = lambda request: request["call-id"] == alice.call_id
        again = await comes_back(story, alice)  # with the old call's questions unanswered from now on
        alice.talks(600)
        assert story.members() == [old, story.sid_of(bob), again]
        await story.tenant.asked("/done", within=200)
        assert story.members() == [again, story.sid_of(bob)]
        await story.passes(10)
        asked = [entry for entry in story.tenant.asked_for("/wait") if entry["CallSid"] == again]
        assert ("QueueResumed" in asked[0], asked[-1]["QueueResumed"], asked[-1]["QueuePosition"]) == (False, "true", "1")

    play(story)


def test_another_caller_behind_the_same_number_who_was_there_before_does_not_inherit() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", waits_with())
        story.tenant.on("/wait", say(400, seconds=5))
        alice, bob = await story.caller_waits("alice"), await story.caller_waits("bob")
        colleague = story.phone("colleague")
        colleague.number, colleague.host = alice.number, alice.host
        await colleague.calls(NUMBER)
        await story.passes(10)
        await drops(alice)
        await story.passes(1)
        assert story.members() == [story.sid_of(bob), story.sid_of(colleague)]
        again = await comes_back(story, alice)
        assert story.members() == [again, story.sid_of(bob), story.sid_of(colleague)]

    play(story)


def test_one_place_is_resumed_once() -> None:
    async def story(story: Story) -> None:
        alice, bob, carol = await three_wait(story)
        await drops(alice)
        again = await comes_back(story, alice)
        impostor = story.phone("impostor")
        impostor.number = alice.number
        other = await comes_back(story, impostor)
        assert story.members() == [again, story.sid_of(bob), story.sid_of(carol), other]

    play(story)


def test_a_resumed_place_can_be_lost_and_resumed_again() -> None:
    async def story(story: Story) -> None:
        alice, bob, carol = await three_wait(story)
        again = ""
        for _ in range(3):
            await story.passes(20)
            await drops(alice)
            await story.passes(5)
            again = await comes_back(story, alice)
            assert story.members() == [again, story.sid_of(bob), story.sid_of(carol)]
        asked = next(entry for entry in story.tenant.asked_for("/wait") if entry["CallSid"] == again)
        assert int(asked["QueueTime"]) >= 75

    play(story)


def test_another_caller_id_and_another_number_have_no_claim_to_the_place() -> None:
    async def story(story: Story) -> None:
        alice, bob, carol = await three_wait(story)
        await story.has_number("+15550177", voice_url="/voice")
        await drops(alice)
        stranger = await comes_back(story, story.phone("stranger"))
        elsewhere = await comes_back(story, alice, "+15550177")
        assert story.members() == [story.sid_of(bob), story.sid_of(carol), stranger, elsewhere]

    play(story)


def test_another_accounts_queue_of_the_same_name_does_not_know_the_place() -> None:
    async def story(story: Story) -> None:
        alice, *_ = await three_wait(story)
        other = await story.opens_account("tenant b")
        await story.has_number("+15550188", account=other, voice_url="/voice")
        await drops(alice)
        await comes_back(story, alice, "+15550188")
        asked = story.tenant.asked_for("/wait")[-1]
        assert (asked["AccountSid"], asked["QueuePosition"], "QueueResumed" in asked) == (other.sid, "1", False)

    play(story)


@pytest.mark.parametrize("number", ["anonymous", "+266696687", "Restricted"])
def test_a_caller_who_does_not_say_who_it_is_cannot_resume(number: str) -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", waits_with())
        story.tenant.on("/wait", say(400, seconds=5))
        alice = story.phone("alice")
        alice.number = number
        await comes_back(story, alice)
        bob = await story.caller_waits("bob")
        await drops(alice)
        again = await comes_back(story, alice)
        assert story.members() == [story.sid_of(bob), again]

    play(story)


def test_who_calls_after_the_window_has_lost_its_place_and_nothing_is_kept() -> None:
    async def story(story: Story) -> None:
        alice, bob, carol = await three_wait(story)
        await drops(alice)
        await story.passes(61)
        again = await comes_back(story, alice)
        assert story.members() == [story.sid_of(bob), story.sid_of(carol), again]
        await story.passes(300)
        assert await story.store.live_states("place") == []
        assert len(story.control.places) == 0

    play(story)


def test_who_calls_within_the_window_and_hears_a_greeting_first_has_its_place() -> None:
    async def story(story: Story) -> None:
        alice, bob, carol = await three_wait(story)
        await drops(alice)
        story.tenant.on("/voice", "<Say>500 Hz for 30 s</Say>" + waits_with().removeprefix("<Response>").removesuffix("</Response>"))
        await story.passes(55)
        await alice.calls(NUMBER)
        again = story.sid_of(alice)
        await story.passes(32)
        assert story.members() == [again, story.sid_of(bob), story.sid_of(carol)]

    play(story)


@pytest.mark.parametrize(("queue_s", "attribute", "resumes"), [(60, None, True), (60, "0", False), (0, "60", True), (0, None, False)])
def test_the_attribute_wins_over_the_queues_setting(queue_s: int, attribute: str | None, resumes: bool) -> None:
    async def story(story: Story) -> None:
        await story.rest("POST", "/Queues.json", {"FriendlyName": "support", "ResumeWindow": str(queue_s)})
        alice, bob, carol = await three_wait(story, enqueue() if attribute is None else waits_with(attribute))
        await drops(alice)
        again = await comes_back(story, alice)
        others = [story.sid_of(bob), story.sid_of(carol)]
        assert story.members() == ([again, *others] if resumes else [*others, again])

    play(story)


def test_an_agent_who_waits_gets_the_resumed_caller_at_once() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        story.tenant.on("/voice", waits_with())
        alice = await story.caller_waits("alice")
        await drops(alice)
        agent = story.phone("agent")
        await agent.calls("+15550199")
        agent.talks(1000)
        await alice.calls(NUMBER)
        await alice.hears(1000)
        agent.hangs_up()
        done = await story.tenant.asked("/done", count=2)
        assert (done["QueueResult"], done["QueueResumed"]) == ("bridged", "true")

    play(story)


def test_a_full_queue_refuses_who_comes_back_and_keeps_the_place() -> None:
    async def story(story: Story) -> None:
        await story.has_queue(max_size=3)
        alice, bob, carol = await three_wait(story)
        await drops(alice)
        dave = await story.caller_waits("dave")
        await alice.calls(NUMBER)
        done = await story.tenant.asked("/done", count=2)
        assert done["QueueResult"] == "queue-full"
        alice.hangs_up()
        dave.hangs_up()
        await story.passes(1)
        again = await comes_back(story, alice)
        assert story.members() == [again, story.sid_of(bob), story.sid_of(carol)]

    play(story)


def test_the_tenants_new_priority_counts_and_among_its_equals_the_old_place() -> None:
    async def story(story: Story) -> None:
        answers = [Answer(body=waits_with(priority=priority)) for priority in ("1", "1", "5", "5", "5")]
        story.tenant.on("/voice", *answers)
        story.tenant.on("/wait", say(400, seconds=5))
        alice, bob, carol = await story.caller_waits("alice"), await story.caller_waits("bob"), await story.caller_waits("carol")
        await drops(alice)
        again = await comes_back(story, alice)
        assert story.members() == [story.sid_of(bob), again, story.sid_of(carol)]

    play(story)


def test_a_kept_place_survives_a_death_of_control_and_is_resumed_once() -> None:
    async def story(story: CrashingStory) -> None:
        alice, bob, carol = await three_wait(story)
        await story.passes(20)
        await drops(alice)
        await story.passes(1)
        await story.crashes(for_s=2)
        again = await comes_back(story, alice)
        assert story.members() == [again, story.sid_of(bob), story.sid_of(carol)]
        await story.crashes()
        assert story.members() == [again, story.sid_of(bob), story.sid_of(carol)]
        await story.passes(6)
        asked = story.tenant.asked_for("/wait")
        assert int([entry for entry in asked if entry["CallSid"] == again][-1]["QueueTime"]) >= 23
        impostor = story.phone("impostor")
        impostor.number = alice.number
        assert story.members()[-1] != await comes_back(story, impostor)
        alice.hangs_up()
        done = await story.tenant.asked("/done", count=2)
        assert done["QueueResumed"] == "true"

    play_with_crashes(story)


def test_a_kept_place_is_let_go_by_a_later_control_when_its_time_is_over() -> None:
    async def story(story: CrashingStory) -> None:
        alice, *_ = await three_wait(story)
        await drops(alice)
        await story.passes(1)
        await story.dies()
        await story.follows(after_s=30)
        assert len(await story.store.live_states("place")) == 1
        await story.passes(335)
        assert await story.store.live_states("place") == []

    play_with_crashes(story)
