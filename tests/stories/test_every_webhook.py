"""The n-th request to the tenant fails, for every n, in twelve ways: nobody loses a place, nobody hears silence, and the tenant is told.

``harness.story_outside`` has the scenario (``Desk``), ``harness.story_failing`` the ways. What the fallback can mend is as if nothing had
happened; a wait document that fails is music meanwhile; a whisper that fails is left out.
"""

from __future__ import annotations

import asyncio
import os
import random
from dataclasses import dataclass, replace
from functools import cache

import pytest
from harness import virtual_time
from harness.story import AGENTS, NUMBER
from harness.story_failing import WAYS, FailingStory
from harness.story_outside import FORGOTTEN_S, Desk, View, differences, silence_of, view_of

ALL = "DISTURB_ALL" in os.environ
SAMPLE = 2
PATIENCE_S = 40.0
"""A webhook may take its 15 s, and its fallback follows"""
SILENCE_S = 1.1
"""After a talk; else less"""
WHISPER_LATE = 11200
REPLY_ONLY = ("wrong content type", "broken XML", "empty body")
"""No failures where nobody reads the reply"""


@dataclass(frozen=True, kw_only=True)
class Told:
    """One telling of the scenario."""

    view: View
    paths: tuple[str, ...]
    """Of its webhooks, in order"""
    codes: tuple[int, ...]
    """Of its Notifications"""
    silences: dict[str, float]


async def _tell(number: int, way: str, paths: tuple[str, ...]) -> Told:
    async with FailingStory() as story:
        desk = Desk(story)
        desk.prepare()
        desk.within, desk.whispers = PATIENCE_S, not number or paths[number - 1] != "/whisper"
        await story.has_queue()
        story.tenant.on("/fallback", story.failing.answers_for_the_failed)
        story.tenant.on("/status", "<Response/>")
        for called in (NUMBER, AGENTS):
            await story.changes_number(called, voice_fallback_url="/fallback", status_callback="/status")
        story.failing.fails_at(number, way)
        await asyncio.wait_for(desk.tell(), 300)
        await story.passes(FORGOTTEN_S)
        silences = {phone.name: silence_of(phone) for phone in story.phones.values()}
        return Told(view=await view_of(story, desk), paths=tuple(story.failing.paths), codes=tuple(await story.codes()), silences=silences)


@cache
def undisturbed() -> Told:
    return virtual_time.run(_tell(0, "", ()))


def _is_read(paths: tuple[str, ...], number: int) -> bool:
    """Whether the reply matters: the agent has hung up when its action is asked, and the second caller has been moved elsewhere."""
    path = paths[number - 1]
    return path not in ("/status", "/agent-done") and (path != "/done" or number < paths.index("/moved"))


def _code(path: str, way: str) -> int:
    """A whisper is given up long before a request is, and told so."""
    return WHISPER_LATE if path == "/whisper" and way in ("no answer", "slow on and on") else WAYS[way][0]


def _judge(told: Told, number: int, way: str) -> str:
    """What is wrong with it, "" for nothing."""
    expected = undisturbed()
    codes = (_code(expected.paths[number - 1], way),) if way not in REPLY_ONLY or _is_read(expected.paths, number) else ()
    view = replace(told.view, heard=expected.view.heard, told=tuple(row for row in told.view.told if row[1] != "/fallback"))
    faults = differences(view, expected.view) if view != expected.view else ""
    if told.codes != codes:
        faults += f" the tenant was told {told.codes}"
    if max(told.silences.values()) > SILENCE_S:
        faults += f" silence: {told.silences}"
    return faults


def _numbers(way: str) -> list[int]:
    every = range(1, len(undisturbed().paths) + 1)
    return list(every) if ALL else sorted(random.Random(way).sample(every, SAMPLE))


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_whichever_webhook_fails_nobody_loses_a_place_or_hears_silence_and_the_tenant_is_told(way: str) -> None:
    paths = undisturbed().paths
    differing = []
    for number in _numbers(way):
        try:
            wrong = _judge(virtual_time.run(_tell(number, way, paths)), number, way)
        except Exception as error:
            wrong = f"{error!r}"[:600]
        if wrong:
            differing.append(f"{number}, {paths[number - 1]}: {wrong}")
    assert not differing, "\n".join(differing)
