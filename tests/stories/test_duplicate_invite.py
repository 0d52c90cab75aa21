"""The probe that every permissive SIP package failed: duplicates and losses around one INVITE, in virtual time, on the whole platform."""

from __future__ import annotations

from harness.sip_message import Message
from harness.story import NUMBER, Story, play
from harness.story_phone import Phone
from harness.story_tenant import Answer, enqueue, say


def answered(message: Message) -> bool:
    return message.status == 200 and message.method == "INVITE"


async def rings(story: Story) -> Phone:
    """A phone whose tenant thinks for five seconds."""
    story.tenant.on("/voice", Answer(body=enqueue(), after_s=5))
    story.tenant.on("/wait", say(400, seconds=60))
    caller = story.phone("alice")
    caller.dials(NUMBER)
    await caller.gets(lambda message: message.status == 180)
    return caller


def test_a_duplicate_while_ringing_is_answered_by_the_transaction_and_is_no_second_call() -> None:
    async def story(story: Story) -> None:
        caller = await rings(story)
        for _ in range(3):
            caller.again()
            await story.passes(0.5)
        assert caller.count(lambda message: message.status == 180) == 4
        await caller.is_answered()
        await caller.hears(400)
        assert len(story.tenant.asked_for("/voice")) == 1
        assert len(story.members()) == 1
        assert len({message.tag("to") for _, message in caller.received if message.status >= 180}) == 1, "one dialog"

    play(story)


def test_a_duplicate_after_the_answer_gets_the_answer_again() -> None:
    async def story(story: Story) -> None:
        caller = await rings(story)
        caller.acknowledges = False
        invite = caller.last_sent
        await caller.is_answered()
        story.send_sip(invite, caller.address)
        await story.passes(0.1)
        assert caller.count(answered) == 2
        caller.acknowledge(next(message for _, message in caller.received if answered(message)))
        story.send_sip(invite, caller.address)
        await story.passes(2)
        assert caller.count(answered) == 3, "once: it is acknowledged already, and is not sent again by a timer"
        assert len(story.tenant.asked_for("/voice")) == 1
        assert len(story.members()) == 1

    play(story)


def test_an_unacknowledged_answer_is_sent_again_and_again_until_its_ack_comes() -> None:
    async def story(story: Story) -> None:
        caller = await rings(story)
        caller.acknowledges = False
        response = await caller.is_answered()
        begun = story.now()
        await story.passes(4)
        times = [round(at - begun, 1) for at, message in caller.received if answered(message)]
        assert times == [0.0, 0.5, 1.5, 3.5]
        caller.acknowledge(response)
        await story.passes(20)
        assert caller.count(answered) == 4
        await caller.hears(400)

    play(story)


def test_a_lost_ack_is_made_good_by_the_next_one() -> None:
    async def story(story: Story) -> None:
        caller = await rings(story)
        caller.acknowledges = False
        await caller.is_answered()
        caller.acknowledges = True
        await story.passes(1)
        assert caller.count(answered) == 2
        await story.passes(40)
        assert len(story.members()) == 1, "the call does not die at 32 seconds"

    play(story)


def test_an_answer_that_is_never_acknowledged_ends_the_call_after_thirty_two_seconds() -> None:
    async def story(story: Story) -> None:
        caller = await rings(story)
        caller.acknowledges = False
        await caller.is_answered()
        begun = story.now()
        await caller.is_hung_up_on(within=40)
        assert round(story.now() - begun) == 32
        assert story.members() == []

    play(story)


def test_a_duplicate_bye_gets_its_200_again() -> None:
    async def story(story: Story) -> None:
        caller = await rings(story)
        await caller.is_answered()
        await caller.hears(400)
        caller.hangs_up()
        await story.passes(0.5)
        caller.again()
        await story.passes(0.5)
        byes = [message.status for _, message in caller.received if message.status and message.method == "BYE"]
        assert byes == [200, 200]
        assert len(story.tenant.asked_for("/done")) == 1

    play(story)


def test_a_lost_bye_of_ours_is_sent_again() -> None:
    async def story(story: Story) -> None:
        caller = await rings(story)
        await caller.is_answered()
        await caller.hears(400)
        sent: list[bytes] = []

        def loses_two(data: bytes) -> bool:
            if data.startswith(b"BYE"):
                sent.append(data)
            return data.startswith(b"BYE") and len(sent) < 3

        story.lost_sip = loses_two
        await story.control.switchboard.hangup(story.sid_of(caller))
        await caller.is_hung_up_on()
        assert len(sent) == 3
        assert len(set(sent)) == 1

    play(story)


def test_a_cancel_while_ringing_gets_487_and_the_tenant_is_told_nothing_more() -> None:
    async def story(story: Story) -> None:
        caller = await rings(story)
        caller.cancels()
        assert await caller.is_refused() == 487
        await story.passes(10)
        assert not story.tenant.asked_for("/wait")
        [cancelled] = [message.status for _, message in caller.received if message.status >= 200 and message.method == "CANCEL"]
        assert cancelled == 200

    play(story)


def test_everything_sent_twice_is_one_call() -> None:
    """A network that duplicates each datagram, both ways, changes nothing that anybody is told."""

    async def story(story: Story) -> None:
        once = story.send_sip

        def twice(data: bytes, source: tuple[str, int]) -> None:
            once(data, source)
            once(data, source)

        story.send_sip = twice  # type: ignore[method-assign]
        caller = await rings(story)
        await caller.is_answered()
        await caller.holds("sendonly")
        await caller.resumes()
        await caller.hears(400)
        caller.hangs_up()
        await story.tenant.asked("/done")
        await story.passes(5)
        paths = [asked.path for asked in story.tenant.requests]
        assert (paths.count("/voice"), paths.count("/wait"), paths.count("/done")) == (1, 1, 1)

    play(story)
