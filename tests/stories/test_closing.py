"""The platform ends."""

from harness.story import Story, play


def test_an_idle_platform_ends_at_once_though_its_chores_never_do() -> None:
    async def story(story: Story) -> None:
        story.control.chores.spawn(story.control.registrations.sweep(), name="sweep")
        before = story.loop.time()
        await story.control.close()
        assert story.loop.time() == before

    play(story)
