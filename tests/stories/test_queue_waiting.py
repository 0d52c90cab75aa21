"""What a caller hears while it waits, and what its wait application is told (platform contract 2.3)."""

from __future__ import annotations

from harness.story import NUMBER, Story, play
from harness.story_tenant import say


def test_a_caller_hears_its_wait_application_again_and_again() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", "<Enqueue waitUrl='/wait'>support</Enqueue>")
        story.tenant.on("/wait", say(400), say(600))
        caller = story.phone("alice")
        await caller.calls(NUMBER)
        await caller.hears(400)
        await caller.hears(600)
        await story.passes(3)
        assert caller.heard().sounds == [400, 600]

    play(story)
