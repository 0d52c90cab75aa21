"""The wait application: what is asked of it, what its documents may hold, and what the caller hears (platform contract 2.3)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from harness.sip_message import sdp
from harness.story import AGENTS, NUMBER, Story, play
from harness.story_ear import MUSIC, SILENCE
from harness.story_tenant import DEFAULT, Answer, Asked, enqueue, say, spoken, wav

from waitline.bridge.store.records import Queue

QUEUE_VALUES = ("QueuePosition", "QueueTime", "AvgQueueTime", "CurrentQueueSize", "MaxQueueSize")


def values(asked: Asked) -> tuple[int, ...]:
    """Position, time, average time, current size, largest size."""
    return tuple(int(asked[name]) for name in QUEUE_VALUES)


def test_a_caller_hears_its_wait_application_again_and_again() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", say(400), say(600))
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        await caller.hears(400)
        await caller.hears(600)
        await story.passes(3)
        assert caller.heard().sounds == [400, 600]

    play(story)


def test_every_wait_request_says_who_waits_where_and_for_how_long() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", say(400, seconds=10))
        await story.has_queue(max_size=7)
        caller = await story.caller_waits("alice")
        await story.passes(25)
        asked = story.tenant.asked_for("/wait")
        assert [values(one) for one in asked] == [(1, 0, 0, 1, 7), (1, 9, 9, 1, 7), (1, 19, 19, 1, 7)]
        assert {one["QueueSid"] for one in asked} == {story.queue().sid}
        assert {one["CallSid"] for one in asked} == {story.sid_of(caller)}
        assert {one["CallStatus"] for one in asked} == {"in-progress"}

    play(story)


def test_positions_move_up_and_averages_are_of_those_who_wait() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", say(400, seconds=4))
        first = await story.caller_waits("alice", listens=False)
        await story.passes(4)
        second = await story.caller_waits("bob", listens=False)
        sid = story.sid_of(second)
        await story.passes(0.5)
        asked = [one for one in story.tenant.asked_for("/wait") if one["CallSid"] == sid]
        assert values(asked[0]) == (2, 0, 2, 2, 1000)
        first.hangs_up()
        await story.passes(4)
        asked = [one for one in story.tenant.asked_for("/wait") if one["CallSid"] == sid]
        assert values(asked[-1]) == (1, 3, 3, 1, 1000)

    play(story)


def test_two_calls_of_one_queue_may_have_different_wait_applications() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue(waitUrl="/first"), enqueue(waitUrl="/second"))
        story.tenant.on("/first", say(400, seconds=5))
        story.tenant.on("/second", say(600, seconds=5))
        one, two = await story.caller_waits("alice"), await story.caller_waits("bob")
        await story.passes(8)
        assert (one.heard().sounds, two.heard().sounds) == ([400], [600])

    play(story)


def test_wait_documents_may_be_asked_for_with_get() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue(waitUrlMethod="GET"))
        story.tenant.on("/wait", say(400, seconds=5))
        await story.caller_waits("alice")
        asked = await story.tenant.asked("/wait", count=2)
        assert (asked.method, asked["QueuePosition"]) == ("GET", "1")

    play(story)


def test_a_chain_of_redirects_is_told_the_queue_and_ends_at_the_wait_url() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", f"{spoken(400, seconds=2)}<Redirect>/chained</Redirect>{spoken(1200)}")
        story.tenant.on("/chained", f"{spoken(600, seconds=2)}<Redirect method='GET'>/last?x=1</Redirect>")
        story.tenant.on("/last", say(800, seconds=2))
        caller = await story.caller_waits("alice")
        await story.passes(14)
        assert caller.heard().sounds[:6] == [400, 600, 800, 400, 600, 800]
        last = story.tenant.asked_for("/last")[0]
        assert (last.method, last["x"], values(last)) == ("GET", "1", (1, 4, 4, 1, 1000))
        assert values(story.tenant.asked_for("/chained")[0]) == (1, 2, 2, 1, 1000)
        assert caller.heard(since=1).longest_silence_s <= 0.2

    play(story)


def test_a_gather_in_a_wait_document_asks_its_action_which_is_a_wait_document_too() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", f"<Gather action='/keys' numDigits='2' timeout='5'>{spoken(400, seconds=10)}</Gather>")
        story.tenant.on("/keys", say(600, seconds=2))
        caller = await story.caller_waits("alice")
        await story.passes(2)
        caller.presses("42")
        asked = await story.tenant.asked("/keys")
        assert (asked["Digits"], asked["QueuePosition"], asked["QueueTime"]) == ("42", "1", "2")
        await caller.hears(600)
        await caller.hears(400)
        assert story.members() == [story.sid_of(caller)]

    play(story)


def test_a_gather_without_an_action_asks_for_its_own_document() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", f"{spoken(400)}<Redirect>/menu</Redirect>")
        story.tenant.on("/menu", f"<Gather numDigits='1' timeout='5'>{spoken(600, seconds=9)}</Gather>", say(800, seconds=9))
        caller = await story.caller_waits("alice")
        await caller.hears(600)
        caller.presses("7")
        asked = await story.tenant.asked("/menu", count=2)
        assert (asked["Digits"], asked["QueuePosition"]) == ("7", "1")
        await caller.hears(800)

    play(story)


def test_a_gather_without_keys_goes_on_with_the_next_verb() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", f"<Gather action='/keys' timeout='2'>{spoken(400, seconds=2)}</Gather>{spoken(600, seconds=20)}")
        caller = await story.caller_waits("alice")
        await caller.hears(600, within=6)
        assert not story.tenant.asked_for("/keys")

    play(story)


def test_a_key_lets_the_caller_leave_the_queue() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", f"<Gather action='/keys' numDigits='1' timeout='5'>{spoken(400, seconds=9)}</Gather>")
        story.tenant.on("/keys", "<Leave/>")
        story.tenant.on("/done", say(800, seconds=9))
        caller = await story.caller_waits("alice")
        await story.passes(3)
        caller.presses("1")
        asked = await story.tenant.asked("/done")
        assert (asked["QueueResult"], asked["QueueTime"]) == ("leave", "3")
        await caller.hears(800)

    play(story)


def test_a_bare_audio_answer_is_played_and_asked_for_again() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", wav(400, seconds=3), wav(600, seconds=3))
        caller = await story.caller_waits("alice")
        await story.passes(8)
        assert caller.heard().sounds == [400, 600]
        assert len(story.tenant.asked_for("/wait")) >= 3

    play(story)


def test_music_of_the_tenant_plays_in_a_loop_without_a_gap() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", "<Play>/music.wav</Play>")
        story.tenant.on("/music.wav", wav(500, seconds=4))
        caller = await story.caller_waits("alice")
        await caller.hears(500)
        await story.passes(20)
        assert caller.heard(since=1).runs[0].seconds > 19
        assert len(story.tenant.asked_for("/music.wav")) == 1, "fetched once and kept"

    play(story)


def test_a_pause_is_silence_that_was_asked_for() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", f"{spoken(400)}<Pause length='2'/>{spoken(600, seconds=30)}")
        caller = await story.caller_waits("alice")
        await caller.hears(600)
        assert [(run.sound, round(run.seconds, 1)) for run in caller.heard().runs[:2]] == [(400, 1.0), (SILENCE, 2.0)]

    play(story)


def test_an_empty_wait_document_is_asked_for_once_a_second_over_default_music() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", "<Response/>")
        caller = await story.caller_waits("alice")
        await story.passes(9.5)
        times = [asked.at for asked in story.tenant.asked_for("/wait")]
        assert [round(later - earlier, 3) for earlier, later in pairwise(times)] == [1.0] * 9
        assert caller.heard(since=1).sounds == [MUSIC]

    play(story)


def test_a_short_prompt_is_repeated_no_sooner_than_a_second_after_the_one_before() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", say(400, seconds=0.2))
        await story.caller_waits("alice", listens=False)
        await story.passes(20)
        times = [asked.at for asked in story.tenant.asked_for("/wait")]
        assert all(later - earlier > 0.999 for earlier, later in pairwise(times))

    play(story)


def test_a_redirect_loop_is_slowed_down_to_one_request_a_second() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", "<Redirect>/wait</Redirect>")
        await story.caller_waits("alice", listens=False)
        await story.passes(10)
        assert 8 <= len(story.tenant.asked_for("/wait")) <= 11

    play(story)


def test_no_wait_url_is_the_platforms_own_music() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue(waitUrl=DEFAULT))
        caller = await story.caller_waits("alice")
        await story.passes(60)
        heard = caller.heard(since=0.5)
        assert heard.sounds == [MUSIC]
        assert heard.longest_silence_s <= 0.2

    play(story)


def test_an_empty_wait_url_is_silence() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue(waitUrl=""))
        caller = await story.caller_waits("alice")
        await story.passes(10)
        assert caller.heard(since=0.5).sounds == [SILENCE]
        assert len(caller.ear.frames) > 480, "RTP never stops"

    play(story)


def test_documents_are_fetched_ahead_and_joined_without_a_gap() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        slow = [Answer(body=say(hz, seconds=3), after_s=0.6) for hz in (400, 600, 800, 400)]
        story.tenant.on("/wait", *slow)
        caller = await story.caller_waits("alice")
        await caller.hears(400)
        await story.passes(10)
        runs = [run for run in caller.heard().runs if isinstance(run.sound, int)]
        assert [(run.sound, round(run.seconds, 2)) for run in runs[:3]] == [(400, 3.0), (600, 3.0), (800, 3.0)]
        assert caller.heard(since=runs[0].since).longest_silence_s == 0

    play(story)


def test_nothing_is_fetched_ahead_past_a_redirect_a_gather_or_a_leave() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", f"{spoken(400, seconds=5)}<Redirect>/next</Redirect>")
        story.tenant.on("/next", f"{spoken(600, seconds=5)}<Gather timeout='5'/><Leave/>")
        story.tenant.on("/done", say(800, seconds=20))
        await story.caller_waits("alice", listens=False)
        await story.passes(17)
        asked = [(asked.path, round(asked.at)) for asked in story.tenant.requests[1:]]
        assert asked == [("/wait", 0), ("/next", 5), ("/done", 15)]

    play(story)


@pytest.mark.parametrize(("direction", "host"), [("sendonly", ""), ("inactive", ""), ("sendonly", "0.0.0.0")])
def test_a_caller_who_puts_us_on_hold_keeps_its_place_and_hears_on_when_it_is_back(direction: str, host: str) -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", say(400, seconds=5))
        caller = await story.caller_waits("alice")
        await caller.hears(400)
        answer = await caller.holds(direction, host=host)
        assert answer.direction in ("recvonly", "inactive")
        held = story.now()
        await story.passes(120)
        assert caller.heard(since=held + 0.1).frames == [], "nothing is sent to a phone that wants nothing"
        await caller.resumes()
        await caller.hears(400)
        assert story.members() == [story.sid_of(caller)]
        assert int(story.tenant.asked_for("/wait")[-1]["QueueTime"]) > 110

    play(story)


def test_a_caller_whose_sound_goes_to_another_port_now_hears_on_there() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", say(400, seconds=5))
        caller = await story.caller_waits("alice")
        await caller.hears(400)
        await caller.moves_to_port(42000)
        moved = story.now()
        await story.passes(3)
        assert caller.heard(since=moved).longest_silence_s <= 0.1
        assert story.members() == [story.sid_of(caller)]

    play(story)


def test_a_caller_who_leaves_the_offer_to_us_hears_its_wait_application() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", say(400, seconds=5))
        caller = story.phone("alice")
        caller.dials(NUMBER, offer=False)
        await caller.is_answered()
        await caller.hears(400)

    play(story)


def test_a_caller_who_asks_for_a_fresh_offer_hears_on() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", say(400, seconds=5))
        caller = await story.caller_waits("alice")
        await caller.hears(400)
        response = await caller.offers("")
        assert (response.status, bool(response.body)) == (200, True)
        now = story.now()
        await story.passes(40)
        assert caller.heard(since=now).longest_silence_s <= 0.1
        assert story.members() == [story.sid_of(caller)]

    play(story)


def test_an_offer_that_cannot_be_taken_changes_nothing() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", say(400, seconds=5))
        caller = await story.caller_waits("alice")
        await caller.hears(400)
        response = await caller.offers(sdp(caller.host, 43000, codecs="9"))
        assert response.status == 488
        now = story.now()
        await story.passes(40)
        assert caller.heard(since=now).longest_silence_s <= 0.1
        assert story.members() == [story.sid_of(caller)]

    play(story)


def test_a_caller_with_a_law_hears_the_same() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue(), enqueue(waitUrl=DEFAULT))
        story.tenant.on("/wait", f"{spoken(400, seconds=2)}<Pause length='1'/>{spoken(600, seconds=30)}")
        one, two = story.phone("alice"), story.phone("bob")
        one.codecs = two.codecs = "8"
        await one.calls(NUMBER)
        await two.calls(NUMBER)
        await one.hears(600)
        assert one.heard(since=0.1).sounds == [400, SILENCE, 600]
        assert two.heard(since=0.5).sounds == [MUSIC]

    play(story)


def test_a_key_by_sip_info_counts_like_any_other() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", f"<Gather action='/keys' numDigits='1' timeout='5'>{spoken(400, seconds=10)}</Gather>")
        story.tenant.on("/keys", "<Leave/>")
        caller = await story.caller_waits("alice")
        assert await caller.presses_by_info("5") == 200
        assert (await story.tenant.asked("/keys"))["Digits"] == "5"

    play(story)


def test_a_caller_on_mute_is_asked_whether_it_lives_and_waits_on() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", say(400, seconds=30))
        caller = await story.caller_waits("alice", listens=False)
        await story.passes(300)
        assert caller.count(lambda m: m.method == "OPTIONS" and not m.status) >= 3
        assert story.members() == [story.sid_of(caller)]

    play(story)


def test_a_caller_who_is_gone_without_a_bye_leaves_the_queue() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", say(400, seconds=30))
        caller = await story.caller_waits("alice", listens=False)
        sid = story.sid_of(caller)
        caller.answers = lambda _request: False
        asked = await story.tenant.asked("/done", within=200)
        assert asked["QueueResult"] == "hangup"
        await story.passes(0.1)
        assert (await story.record(sid)).end_reason == "media-timeout"

    play(story)


def test_a_queue_is_created_on_demand_and_found_by_name_and_by_sid() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue(" sales "), enqueue("small"))
        story.tenant.on("/wait", say(400, seconds=30))
        first = await story.caller_waits("alice", listens=False)
        queue = story.queue("sales")
        assert queue.max_size == 1000
        story.tenant.on("/voice", enqueue(queue.sid), enqueue("small", maxQueueSize="3"))
        second = await story.caller_waits("bob", listens=False)
        assert story.members("sales") == [story.sid_of(first), story.sid_of(second)]
        await story.caller_waits("carol", listens=False)
        assert story.queue("small").max_size == 3

    play(story)


def test_the_sid_of_another_accounts_queue_is_an_error_and_never_matches() -> None:
    async def story(story: Story) -> None:
        other = await story.opens_account("tenant b")
        foreign = await story.control.directory.create(other.sid, "support")
        story.tenant.on("/voice", enqueue(foreign.sid))
        story.tenant.on("/done", say(800, seconds=10))
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        asked = await story.tenant.asked("/done")
        assert asked["QueueResult"] == "error"
        assert story.control.queues.seats(foreign.sid) == 0  # type: ignore[arg-type]

    play(story)


def test_the_same_name_in_two_accounts_is_two_queues() -> None:
    async def story(story: Story) -> None:
        other = await story.opens_account("tenant b")
        await story.has_number("+15550300", account=other, voice_url="/voice")
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", say(400, seconds=30))
        await story.caller_waits("alice", listens=False)
        await story.caller_waits("bob", number="+15550300", listens=False)
        positions = [(asked["AccountSid"], asked["QueuePosition"]) for asked in story.tenant.asked_for("/wait")]
        assert positions == [(story.account.sid, "1"), (other.sid, "1")]

    play(story)


def test_a_low_priority_number_goes_first_and_equals_stay_in_order() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue(priority="5"), enqueue(priority="1"), enqueue(priority="5"), enqueue())
        story.tenant.on("/wait", say(400, seconds=30))
        phones = [await story.caller_waits(name, listens=False) for name in ("five", "one", "five2", "none")]
        five, one, five_too, none = [story.sid_of(phone) for phone in phones]
        assert story.members() == [none, one, five, five_too]

    play(story)


def test_two_calls_that_name_a_new_queue_at_once_share_it() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", Answer(body=enqueue(), after_s=0.2))
        story.tenant.on("/wait", say(400, seconds=30))
        phones = [story.phone(name, listens=False) for name in ("alice", "bob", "carol")]
        for phone in phones:
            phone.dials(NUMBER)
            await story.passes(0.01)
        story.store_takes_s = 0.5
        await story.passes(3)
        assert story.members() == [story.sid_of(phone) for phone in phones]
        assert len((await story.rest("GET", "/Queues.json"))["queues"]) == 1

    play(story)


def test_a_sound_for_ever_is_one_request_and_may_be_left_by_being_dequeued() -> None:
    async def story(story: Story) -> None:
        story.tenant.runs_a_desk()
        story.tenant.on("/wait", "<Play loop='0'>/music.wav</Play>")
        story.tenant.on("/music.wav", wav(500, seconds=3))
        caller, agent = await story.caller_waits("alice"), story.phone("bob")
        await caller.hears(500)
        await story.passes(60)
        assert caller.heard(since=1).sounds == [500]
        assert len(story.tenant.asked_for("/wait")) == 1
        agent.talks(1700)
        await agent.calls(AGENTS)
        await caller.hears(1700)

    play(story)


def test_keys_played_to_a_waiting_caller_stand_between_its_sounds() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", f"{spoken(400, seconds=2)}<Play digits='12'/>{spoken(600, seconds=30)}")
        caller = await story.caller_waits("alice")
        await caller.hears(600, within=10)
        assert caller.ear.digits == ["1", "2"]
        assert caller.heard(since=0.1).longest_silence_s <= 0.5, "as long as the keys take"

    play(story)


def test_a_queue_deleted_under_a_call_that_names_it_is_made_anew() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", Answer(body=enqueue(), after_s=0.2))
        story.tenant.on("/wait", say(400, seconds=30))
        queue = await story.has_queue()
        caller = story.phone("alice", listens=False)
        caller.dials(NUMBER)
        await story.tenant.asked("/voice")
        delete = story.store.delete

        async def slow_delete(*records: Queue) -> None:
            await story.passes(0.5)
            await delete(*records)

        story.store.delete = slow_delete  # type: ignore[method-assign]
        await story.passes(0.1)
        await story.control.directory.delete(queue)
        await story.passes(1)
        assert story.members() == [story.sid_of(caller)]
        assert story.queue().sid != queue.sid

    play(story)
