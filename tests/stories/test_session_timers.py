"""Session timers (RFC 4028) on calls: a peer that stops to refresh is gone, one that we refresh hears no gap."""

from __future__ import annotations

from harness.story import NUMBER
from harness.story_crash import CrashingStory
from harness.story_crash import play as play_with_crashes
from harness.story_tenant import enqueue, say

TIMER = ("Supported", "timer")


def test_a_waiting_caller_whose_refreshes_stop_is_hung_up_on_and_its_place_is_free() -> None:
    async def story(story: CrashingStory) -> None:
        story.tenant.on("/voice", enqueue(action="/done"))
        story.tenant.on("/wait", say(400, seconds=10))
        caller = story.phone("alice")
        caller.dials(NUMBER, headers=(TIMER, ("Session-Expires", "90;refresher=uac")))
        ok = await caller.is_answered()
        assert ok["session-expires"] == "90;refresher=uac"
        await caller.is_hung_up_on(within=70)
        assert 58 <= story.now() - caller.since <= 62
        done = await story.tenant.asked("/done")
        assert done["QueueResult"] == "hangup"
        assert story.members() == []

    play_with_crashes(story)


def test_a_caller_whom_we_refresh_hears_its_music_without_a_gap_across_a_death_of_control() -> None:
    async def story(story: CrashingStory) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", say(400, seconds=10))
        caller = story.phone("alice")
        caller.dials(NUMBER, headers=(TIMER, ("Session-Expires", "90;refresher=uas")))
        await caller.is_answered()
        await story.passes(30)
        await story.crashes()
        again = await caller.gets(lambda m: not m.status and m.method == "INVITE", within=46)
        assert again["session-expires"] == "90;refresher=uac"
        await story.passes(100)  # this phone's 200 names no interval: it wants no timer any more
        heard = caller.heard(caller.since + 1)
        assert heard.sounds == [400]
        assert heard.longest_silence_s <= 0.1
        assert len(story.members()) == 1

    play_with_crashes(story)
