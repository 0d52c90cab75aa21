"""A tenant that answers in 14 s to everything, with as many calls as it likes, costs another tenant nothing."""

from __future__ import annotations

from harness.story import NUMBER, Story, play
from harness.story_tenant import Answer, enqueue, say

SLOW_NUMBER, SLOW_S, CALLERS = "+15550300", 14, 40


def test_a_tenant_that_is_slow_in_everything_does_not_slow_another() -> None:
    async def story(story: Story) -> None:
        slow = await story.opens_account("slow")
        await story.has_number(SLOW_NUMBER, account=slow, voice_url="/slow", status_callback="/slow")
        story.tenant.on("/slow", Answer(body=enqueue(waitUrl="/slow-wait", action="/slow"), after_s=SLOW_S))
        story.tenant.on("/slow-wait", Answer(body=say(500, seconds=3), after_s=SLOW_S))
        story.tenant.runs_a_desk()
        crowd = [story.phone(f"crowd{n}", listens=False) for n in range(CALLERS)]
        for phone in crowd:
            phone.dials(SLOW_NUMBER)
        await story.passes(20)  # some are answered, most have their requests wait for those before them
        for n in range(5):
            caller, called_at = story.phone(f"caller{n}"), story.now()
            await caller.calls(NUMBER)
            await caller.hears(400)
            assert story.now() - called_at < 0.5
            caller.hangs_up()
            await story.passes(7)
        assert len(story.tenant.asked_for("/slow")) < CALLERS
        for phone in crowd:
            phone.hangs_up() if phone.is_up else phone.cancels()

    play(story, account_webhooks=4)
