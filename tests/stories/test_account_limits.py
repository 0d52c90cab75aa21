"""What one account may cost: each limit at its door, told to its tenant, and no other account hears of it."""

from __future__ import annotations

from typing import Any

from harness.story import NUMBER, Story, play
from harness.story_phone import Phone
from harness.story_tenant import HOST, Answer, enqueue, say


async def has_neighbour(story: Story, number: str = "+15550111") -> None:
    """Another account with a number of its own."""
    await story.has_number(number, account=await story.opens_account("tenant b"), voice_url=f"{HOST}/voice")


async def refused(phone: Phone, number: str = NUMBER) -> Any:
    phone.dials(number)
    return await phone.gets(lambda m: m.method == "INVITE" and m.status >= 300)


def test_a_call_more_than_the_account_may_have_is_busy_and_a_call_that_ends_makes_room() -> None:
    async def story(story: Story) -> None:
        await has_neighbour(story)
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", say(400, seconds=60))
        first, second, third, other = (story.phone(name, listens=False) for name in ("a", "b", "c", "d"))
        await first.calls(NUMBER)
        await second.calls(NUMBER)
        answer = await refused(third)
        assert (answer.status, answer["retry-after"]) == (486, "10")
        await other.calls("+15550111")
        first.hangs_up()
        await story.passes(1)
        await third.calls(NUMBER)
        for phone in (second, third, other):
            phone.hangs_up()
        await story.passes(1)
        (told,) = [entry for entry in await story.notifications() if entry.error_code == 10004]
        assert "2 calls at one time" in told.message_text

    play(story, account_calls=2)


def test_new_calls_come_no_faster_than_the_account_may_have_them_and_the_tenant_is_told_once_a_minute() -> None:
    async def story(story: Story) -> None:
        await has_neighbour(story)
        story.tenant.on("/voice", say(500, seconds=1))
        answers = []
        for number in range(20):
            phone = story.phone(f"p{number}", listens=False)
            phone.dials(NUMBER)
            answers.append(await phone.gets(lambda m: m.method == "INVITE" and m.status >= 200))
        statuses = [answer.status for answer in answers]
        assert sorted(set(statuses)) == [200, 480]
        assert 4 <= statuses.count(200) <= 6
        assert {answer["retry-after"] for answer in answers if answer.status == 480} == {"1"}
        await story.phone("other", listens=False).calls("+15550111")
        await story.passes(3)
        assert await story.codes() == [10004]

    play(story, account_calls_per_s=5.0)


def test_callers_beyond_what_all_queues_of_the_account_may_hold_find_their_queue_full() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue(action="/done"))
        story.tenant.on("/wait", say(400, seconds=60))
        story.tenant.on("/done", "<Hangup/>")
        first = await story.caller_waits("a", listens=False)
        second = story.phone("b", listens=False)
        await second.calls(NUMBER)
        done = await story.tenant.asked("/done")
        assert done["QueueResult"] == "queue-full"
        first.hangs_up()
        await story.passes(1)
        third = await story.caller_waits("c", listens=False)
        third.hangs_up()
        await story.passes(1)

    play(story, account_members=1)


def test_a_tenant_that_answers_in_14_seconds_to_everything_does_not_slow_another() -> None:
    async def story(story: Story) -> None:
        await story.has_number("+15550111", account=await story.opens_account("tenant b"), voice_url="/quick")
        story.tenant.on("/voice", Answer(body=say(500), after_s=14))
        story.tenant.on("/quick", say(400, seconds=2))
        for number in range(20):
            story.phone(f"slow{number}", listens=False).dials(NUMBER)
        quick = story.phone("quick")
        before = story.now()
        await quick.calls("+15550111")
        assert story.now() - before < 0.5
        await story.passes(60)

    play(story, account_webhooks=3)


def test_rest_requests_beyond_the_rate_get_429_with_a_time_and_the_neighbour_is_served() -> None:
    async def story(story: Story) -> None:
        neighbour = await story.opens_account("tenant b")
        statuses = [(await story.rest("GET", "/Queues.json")).status for _ in range(15)]
        assert statuses[:10] == [200] * 10
        assert statuses[-1] == 429
        reply = await story.rest("GET", "/Queues.json")
        assert (reply.status, reply["code"], reply["status"]) == (429, 20429, 429)
        assert (await story.rest("GET", "/Queues.json", account=neighbour, owner=neighbour)).status == 200

    play(story, account_requests_per_s=1.0)


def test_an_account_that_is_full_of_records_makes_no_more_and_may_delete() -> None:
    async def story(story: Story) -> None:
        made = [await story.rest("POST", "/Queues.json", {"FriendlyName": f"q{number}"}) for number in range(6)]
        kept = [reply["sid"] for reply in made if reply.status == 201]
        assert [reply.status for reply in made][-1] == 403
        assert made[-1]["code"] == 20010
        assert (await story.rest("DELETE", f"/Queues/{kept[0]}.json")).status == 204
        assert (await story.rest("POST", "/Queues.json", {"FriendlyName": "again"})).status == 201

    play(story, account_records=6)
