"""The n-th datagram is lost, doubled (at once, or late), delayed, or overtaken by the next, for every n, and the outside sees the same.

``harness.story_outside`` has the scenarios and the view, ``harness.story_wires`` the faults. Each run takes a few, chosen by
chance from all but always the same ones, and ``make disturb`` takes all, in half a minute.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from harness import virtual_time
from harness.story_outside import FORGOTTEN_S, Desk, Door, Keys, Scenario, View, differences, view_of
from harness.story_wires import DisturbedStory, Fault

ALL = "DISTURB_ALL" in os.environ
Make = Callable[[Any], Scenario]


async def _run(make: Make, wire: str, fault: Fault | None, number: int) -> tuple[View, list[str]]:
    async with DisturbedStory() as story:
        scenario = make(story)
        scenario.prepare()
        await story.has_queue()
        await story.changes_number(status_callback="/status")
        way = story.sip if wire == "sip" else story.rtp
        way.fault, way.number = fault, number
        await asyncio.wait_for(scenario.tell(), 120)
        await story.passes(2.0)  # what was delayed has come, the tenant is told what it was not told
        await story.passes(FORGOTTEN_S)
        return await view_of(story, scenario), way.seen


@cache
def undisturbed(make: Make, wire: str) -> tuple[View, list[str]]:
    return virtual_time.run(_run(make, wire, None, 0))


def _numbers(fault: Fault, seen: list[str], sample: int) -> list[int]:
    every = range(1, len(seen) + 1)
    return list(every) if ALL else sorted(random.Random(fault.value).sample(every, min(sample, len(every))))


def _compare(make: Make, wire: str, fault: Fault, sample: int) -> None:
    expected, seen = undisturbed(make, wire)
    assert not expected.kept
    differing = []
    for number in _numbers(fault, seen, sample):
        try:
            view, _ = virtual_time.run(_run(make, wire, fault, number))
        except Exception as error:
            differing.append(f"{number}, {seen[number - 1]}: {error!r}"[:600])
        else:
            if view != expected:
                differing.append(f"{number}, {seen[number - 1]}: {differences(view, expected)}")
    assert not differing, f"{len(differing)} of {len(seen)}\n" + "\n".join(differing)


@pytest.mark.slow
@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.value)
@pytest.mark.parametrize("scenario", [Desk, Door])
def test_whichever_message_of_sip_is_disturbed_the_outside_sees_the_same(scenario: Make, fault: Fault) -> None:
    _compare(scenario, "sip", fault, 2)


@pytest.mark.slow
@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.value)
def test_whichever_packet_of_a_key_is_disturbed_each_key_counts_once(fault: Fault) -> None:
    _compare(Keys, "rtp", fault, 2)
