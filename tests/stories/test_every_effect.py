"""Control dies right after its n-th effect, for every n, and the outside cannot tell.

Two scenarios (see ``harness.story_outside``), each run once undisturbed and then once for every effect (see ``harness.story_gate``); the
view of the outside is compared.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from harness import virtual_time
from harness.story_gate import GatedStory
from harness.story_outside import FORGOTTEN_S, Desk, Door, Scenario, View, differences, view_of


async def _run(make: Callable[[GatedStory], Scenario], strikes_after: int) -> tuple[View, list[str], str]:
    async with GatedStory() as story:
        scenario = make(story)
        scenario.prepare()
        await story.has_queue()
        await story.changes_number(status_callback="/status")
        story.strikes_after(strikes_after)
        try:
            await asyncio.wait_for(scenario.tell(), 120)
        except AssertionError as error:
            raise AssertionError(f"after {story.struck_at}: {error}") from error
        await story.passes(2.0)  # phones repeat what was not answered, the tenant is told what it was not told
        await story.is_whole()
        await story.passes(FORGOTTEN_S)
        return await view_of(story, scenario), story.effects, story.struck_at


def run(make: Callable[[GatedStory], Scenario] = Desk, strikes_after: int = 0) -> tuple[View, list[str], str]:
    return virtual_time.run(_run(make, strikes_after))


@pytest.mark.slow
@pytest.mark.parametrize("scenario", [Desk, Door])
def test_whichever_effect_is_the_last_of_a_control_the_outside_sees_the_same(scenario: Callable[[GatedStory], Scenario]) -> None:
    expected, effects, _ = run(scenario)
    assert not expected.kept
    differing = []
    for number in range(1, len(effects) + 1):
        try:
            view, _, struck_at = run(scenario, number)
        except Exception as error:
            differing.append(f"{number}: {error!r}"[:600])
        else:
            if view != expected:
                differing.append(f"{number}, {struck_at}: {differences(view, expected)}")
    assert not differing, f"{len(differing)} of {len(effects)}\n" + "\n".join(differing)
