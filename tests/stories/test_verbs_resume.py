"""Each verb goes on from any stored progress: with the process replaced at any of its awaits, nothing is seen from outside (design 2).

What is seen: what the caller hears, frame by frame; the keys it is sent; the SIP messages it gets; what the tenant is asked (a request
under way at that moment is sent again, and counts once); the call's record; the Notifications.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from harness.story import NUMBER, Story, play
from harness.story_phone import Phone
from harness.story_replaced import Replacements
from harness.story_tenant import Answer, Asked, document, wav

from waitline.bridge.instructions import main_loop

MORE_THAN_ENOUGH = 200


@dataclass(frozen=True, kw_only=True)
class Case:
    """A document, and what the caller presses when (seconds → keys). ``{n}`` in it is another number in each call, so nothing is cached."""

    document: str
    presses: tuple[tuple[float, str], ...] = ()
    hangs_up_at: float = 0.0
    """0: the platform does"""


ENQUEUE = "<Enqueue waitUrl='/wait' action='/done'>{n}</Enqueue>"
CASES = {
    "Say": Case(document="<Say voice='{n}' loop='2'>400 Hz for 0.5 s</Say>"),
    "one sound after the other": Case(
        document="<Say voice='{n}'>400 Hz for 0.5 s</Say><Play>/tone.wav?{n}</Play><Pause/><Say voice='{n}'>800 Hz for 0.5 s</Say>"
    ),
    "Play": Case(document="<Play loop='2'>/tone.wav?{n}</Play><Play>/slow.wav?{n}</Play><Play>/none.wav?{n}</Play>"),
    "Play digits": Case(document="<Say voice='{n}'>400 Hz for 0.5 s</Say><Play digits='12w3'/><Play digits='4'>/tone.wav?{n}</Play>"),
    "Pause": Case(document="<Pause length='2'/><Say voice='{n}'>400 Hz for 0.5 s</Say><Pause length='1'/>"),
    "Gather that is answered": Case(
        document="<Gather action='/keys' numDigits='3'><Say voice='{n}'>400 Hz for 1.0 s</Say><Play>/tone.wav?{n}</Play></Gather>",
        presses=((1.2, "1"), (2.0, "23")),
    ),
    "Gather that nobody answers": Case(
        document="<Gather timeout='2'><Say voice='{n}'>400 Hz for 0.5 s</Say><Pause/></Gather><Say voice='{n}'>800 Hz for 0.5 s</Say>"
    ),
    "Gather whose timeout begins anew": Case(
        document="<Gather timeout='1' action='/keys'/>", presses=((0.8, "1"), (1.5, "2"))
    ),
    "Gather and typing ahead": Case(document="<Gather numDigits='1' action='/more'/>", presses=((0.5, "1234"),)),
    "Redirect": Case(document="<Redirect>/next?{n}</Redirect>"),
    "Hangup": Case(document="<Hangup/>"),
    "Reject": Case(document="<Reject reason='busy'/>"),
    "Leave outside of a queue": Case(document="<Leave/><Say voice='{n}'>400 Hz for 0.5 s</Say>"),
    "Enqueue and Leave": Case(document=ENQUEUE, presses=((3.0, "1"),)),
    "Enqueue and hanging up": Case(document=ENQUEUE, hangs_up_at=3.0),
    "Enqueue whose documents are asked for ahead": Case(document="<Enqueue waitUrl='/ahead'>{n}</Enqueue>", hangs_up_at=4.0),
    "Enqueue with the platform's music": Case(document="<Enqueue action='/done'>{n}</Enqueue>", hangs_up_at=2.0),
    "Enqueue that cannot be": Case(document="<Enqueue action='/done'>QU" + "0" * 32 + "</Enqueue>"),
    "Enqueue for so long": Case(document="<Enqueue waitUrl='/wait' maxWaitTime='4'>{n}</Enqueue><Say voice='{n}'>800 Hz for 0.5 s</Say>"),
    "Dial of an empty queue": Case(document="<Dial action='/done' timeout='5'><Queue>empty</Queue></Dial>"),
    "Dial of no queue": Case(document="<Dial action='/done'><Queue>none</Queue></Dial>"),
    "Dial that answers on bridge": Case(document="<Dial answerOnBridge='true' timeout='5'><Queue>empty</Queue></Dial>"),
}  # fmt: skip


def fresh(text: str) -> Callable[[Asked], Answer]:
    """A document that differs from call to call."""
    return lambda asked: Answer(body=document(text.replace("{n}", asked["CallSid"])), after_s=0.02)


def prepare(story: Story, case: Case) -> None:
    tenant = story.tenant
    tenant.on("/voice", fresh(case.document))
    tenant.on("/keys", fresh("<Say voice='{n}'>600 Hz for 0.5 s</Say>"))
    tenant.on("/next", fresh("<Say voice='{n}'>600 Hz for 0.5 s</Say>"))
    tenant.on("/more", fresh("<Gather numDigits='3' action='/keys'><Say voice='{n}'>400 Hz for 5.0 s</Say></Gather>"))
    tenant.on("/done", fresh("<Say voice='{n}'>800 Hz for 0.5 s</Say>"))
    tenant.on(
        "/wait",
        fresh(
            "<Say voice='{n}'>400 Hz for 0.5 s</Say><Gather numDigits='1' timeout='1' action='/leave'><Play>/tone.wav?{n}</Play></Gather>"
        ),
    )
    tenant.on("/ahead", fresh("<Say voice='{n}'>400 Hz for 0.5 s</Say><Play>/tone.wav?{n}</Play><Say voice='{n}'>800 Hz for 0.5 s</Say>"))
    tenant.on("/leave", fresh("<Leave/>"))
    tenant.on("/tone.wav", wav(600, seconds=0.7, after_s=0.02))
    tenant.on("/slow.wav", wav(500, seconds=0.5, after_s=0.5))


@dataclass(frozen=True)
class Seen:
    """What the outside saw of one call."""

    heard: list[tuple[Any, int]]
    keys: list[str]
    messages: list[str]
    asked: list[tuple[str, tuple[tuple[str, str], ...]]]
    record: tuple[str, str, int | None]
    told: list[int]


async def one_call(story: Story, caller: Phone, case: Case) -> Seen:
    """A call from its INVITE, at a whole second so that frames fall alike, to some time after its end."""
    await story.passes(10 - story.now() % 10)
    before, sounds, keys, notifications = (
        len(story.tenant.requests),
        len(caller.ear.frames),
        len(caller.ear.digits),
        len(await story.codes()),
    )
    caller.dials(NUMBER)
    await story.passes(0)
    sid = story.sid_of(caller)
    for at, pressed in case.presses:
        story.loop.call_later(at, caller.presses, pressed)
    if case.hangs_up_at:
        await story.passes(case.hangs_up_at)
        caller.hangs_up()
    async with asyncio.timeout(30):
        while any(call.sid == sid for call in story.control.switchboard):
            await story.passes(0.5)
    await story.passes(1)
    record = await story.record(sid)
    heard = caller.heard(until=story.now())
    return Seen(
        [(run.sound, round(run.seconds * 50)) for run in heard.runs[:-1]] if len(caller.ear.frames) > sounds else [],
        caller.ear.digits[keys:],
        [message.start for _, message in caller.received if message["call-id"] == caller.call_id],
        _once([_without_identity(asked) for asked in story.tenant.requests[before:]]),
        (record.status, record.end_reason, record.duration_s),
        _once((await story.codes())[notifications:]),
    )


def _without_identity(asked: Asked) -> tuple[str, tuple[tuple[str, str], ...]]:
    changing = ("CallSid", "SipCallId", "QueueSid")
    return asked.path, tuple((name, value) for name, value in asked.params.items() if name not in changing and not name.startswith("CA"))


def _once(items: list[Any]) -> list[Any]:
    """Without immediate repetitions: what was under way is done again."""
    return [item for index, item in enumerate(items) if not index or item != items[index - 1]]


@pytest.mark.parametrize("name", CASES)
def test_a_verb_that_is_replaced_at_any_await_goes_on_as_if_nothing_had_happened(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES[name]

    async def story(story: Story) -> None:
        prepare(story, case)
        await story.has_queue("empty")
        replacements = Replacements()
        monkeypatch.setattr(main_loop, "run", replacements.run)
        caller = story.phone("alice")
        await one_call(story, caller, case)  # what is cached for all is cached now
        undisturbed = await one_call(story, caller, case)
        for at in range(1, MORE_THAN_ENOUGH):
            replacements.arm(at)
            seen = await one_call(story, caller, case)
            if not replacements.happened:
                return
            assert seen == undisturbed, f"replaced at await {at}"
        raise AssertionError("the call never came to its end undisturbed")

    play(story)
