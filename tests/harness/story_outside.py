"""What the outside sees of a story, and three scenarios to see it in: for tests that disturb one thing at a time and compare.

``view_of`` is the view: who was dequeued in which order, what each call's URLs were told and under how many tokens, who heard what, how
often each caller took and left a place, how each call ended by its record, and what is kept when all is over (nothing). Moments are no part
of it.

``Desk`` is the main scenario: two callers wait; an agent dials the queue, the first caller hears the whisper, the two talk, the agent hangs
up; the tenant dequeues the second caller by REST, which hears another document and hangs up.

``Door`` is what happens at the edges of a call: one is refused, one is given up while it rings, one presses keys, goes on hold and back
while it waits, leaves the queue by a key, and is hung up on.

``Keys`` is keys alone, as events in RTP: two for a menu, one to leave the queue.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, fields
from typing import Any, Protocol

import aiohttp

from harness.story import AGENTS, NUMBER
from harness.story_gate import GatedStory
from harness.story_phone import Phone
from harness.story_tenant import HOST, Answer, dial, enqueue, say, spoken
from waitline.bridge.store.records import CallRecord, QueueEventRecord
from waitline.bridge.store.schema import KINDS

AGENT_SPEAKS, CALLER_SPEAKS, WHISPER, MOVED, DONE, KEYS = 1000, 1100, 600, 700, 800, 900
REPEATED = ("/wait", "/whisper")
"""What may be asked again as time goes by; everything else is asked for a call once, by token."""
SAID = ("QueueResult", "DequeueResult", "DialCallStatus", "CallStatus", "Digits")
KEPT_KINDS = ("call", "member", "callback", "conversation", "farewell")
LONGEST_SILENCE_S = 0.35
FORGOTTEN_S = 34.0
"""After so long nothing of a call is kept: no transaction of its dialog is open any more"""


@dataclass(frozen=True)
class View:
    """What the outside saw."""

    order: tuple[str, ...]
    told: tuple[Any, ...]
    """Of each phone and path: what was said, and under how many tokens"""
    heard: tuple[Any, ...]
    """Of each phone: its tones, in the order of their first time"""
    places: tuple[Any, ...]
    """Of each caller: how often it joined and left a queue"""
    finals: tuple[Any, ...]
    """Of each phone: the final answers to its INVITEs"""
    ends: tuple[Any, ...]
    """Of each call's record: status and why"""
    kept: tuple[str, ...]


class Scenario(Protocol):
    order: list[str]

    def __init__(self, story: GatedStory) -> None: ...
    def prepare(self) -> None: ...
    async def tell(self) -> None: ...


class Desk:
    """The main scenario."""

    within = 10.0
    """How long any one thing may take, seconds"""
    whispers = True
    """Whether the whisper is to be heard"""

    def __init__(self, story: GatedStory) -> None:
        self.story = story
        self.order: list[str] = []

    def prepare(self) -> None:
        tenant = self.story.tenant
        tenant.on("/voice", enqueue())
        tenant.on("/wait", say(400, seconds=2))
        tenant.on("/done", say(DONE, seconds=0.4))
        tenant.on("/agent", dial(whisper="/whisper"))
        tenant.on("/whisper", say(WHISPER, seconds=0.4))
        tenant.on("/agent-done", "<Hangup/>")
        tenant.on("/moved", say(MOVED, seconds=30))

    async def tell(self) -> None:
        alice, bob = self.story.phone("alice"), self.story.phone("bob")
        for caller in (alice, bob):
            await caller.calls(NUMBER, within=30)
            await caller.hears(400, within=self.within)
        await self._agent_takes(alice)
        await self._tenant_moves(bob)
        assert silence_of(bob) <= LONGEST_SILENCE_S, bob.heard()
        await is_over(alice, within=self.within)

    async def _agent_takes(self, caller: Phone) -> None:
        agent, begun = self.story.phone("agent"), self.story.now()
        await agent.calls(AGENTS, within=30)
        agent.talks(AGENT_SPEAKS)
        if self.whispers:
            await caller.hears(WHISPER, within=self.within, since=begun)
        await caller.hears(AGENT_SPEAKS, within=self.within)
        self.order.append(caller.name)
        caller.talks(CALLER_SPEAKS)
        await agent.hears(CALLER_SPEAKS, within=self.within)
        agent.hangs_up()
        caller.stops_talking()
        await caller.hears(DONE, within=self.within)

    async def _tenant_moves(self, caller: Phone) -> None:
        """By REST, asked again where the connection broke, as a client does; what was done already is done."""
        sid = next(asked["CallSid"] for asked in self.story.tenant.asked_for("/voice") if asked["From"] == caller.number)
        for _ in range(20):
            if await self._dequeued(sid):
                break
            await self.story.passes(0.1)
        await caller.hears(MOVED, within=self.within)
        self.order.append(caller.name)
        caller.hangs_up()

    async def _dequeued(self, sid: str) -> bool:
        if self.story.is_down:
            return False
        died, path = self.story.struck_at, f"/Queues/{self.story.queue().sid}/Members/{sid}.json"
        try:
            reply = await self.story.rest("POST", path, {"Url": f"{HOST}/moved"})
        except (aiohttp.ClientError, OSError):
            return False
        return died == self.story.struck_at and reply.status in (200, 400, 404)  # what a dead process says does not arrive


FIRST: dict[str, str | Answer] = {"refused": "<Reject reason='busy'/>", "hasty": Answer(after_s=3), "alice": "<Redirect>/menu</Redirect>"}
"""What each caller of ``Door`` is told first, however often that is asked."""


class Door:
    """The edges of a call."""

    def __init__(self, story: GatedStory) -> None:
        self.story = story
        self.order: list[str] = []

    def prepare(self) -> None:
        tenant = self.story.tenant
        tenant.on("/voice", lambda asked: FIRST[asked["CallerName"]])
        tenant.on("/menu", f"<Gather numDigits='2' action='/keys' timeout='9'>{spoken(KEYS, seconds=3)}</Gather>")
        tenant.on("/keys", enqueue())
        tenant.on("/wait", f"<Gather numDigits='1' action='/left' timeout='9'>{spoken(400, seconds=9)}</Gather>")
        tenant.on("/left", "<Leave/>")
        tenant.on("/done", say(DONE, seconds=0.4))

    async def tell(self) -> None:
        story = self.story
        refused = story.phone("refused", listens=False)
        refused.dials(NUMBER)
        assert await refused.is_refused() == 486
        await self._gives_up(story.phone("hasty", listens=False))
        await self._waits_and_leaves(story.phone("alice"))

    async def _gives_up(self, caller: Phone) -> None:
        caller.dials(NUMBER)
        await caller.gets(lambda m: 100 <= m.status < 200)
        await self.story.passes(0.5)
        caller.cancels()
        assert await caller.is_refused() == 487

    async def _waits_and_leaves(self, caller: Phone) -> None:
        caller.dials(NUMBER)
        await caller.is_answered()
        await caller.hears(KEYS)
        for key in "12":  # by INFO, which a phone repeats: a key in RTP is said once, and lost with who heard it
            await caller.presses_by_info(key)
        await caller.hears(400, within=10)
        await caller.holds("sendonly")
        await caller.resumes()
        await caller.hears(400, within=10)
        await caller.presses_by_info("3")
        await caller.hears(DONE, within=10)
        await is_over(caller)


class Keys:
    """Keys by RFC 4733."""

    def __init__(self, story: GatedStory) -> None:
        self.story = story
        self.order: list[str] = []

    def prepare(self) -> None:
        tenant = self.story.tenant
        tenant.on("/voice", f"<Gather numDigits='2' action='/keys' timeout='9'>{spoken(KEYS, seconds=3)}</Gather>")
        tenant.on("/keys", enqueue())
        tenant.on("/wait", f"<Gather numDigits='1' action='/left' timeout='9'>{spoken(400, seconds=9)}</Gather>")
        tenant.on("/left", "<Leave/>")
        tenant.on("/done", say(DONE, seconds=0.4))

    async def tell(self) -> None:
        caller = self.story.phone("alice")
        await caller.calls(NUMBER)
        await caller.hears(KEYS)
        caller.presses("12")
        await caller.hears(400, within=10)
        caller.presses("3")
        await caller.hears(DONE, within=10)
        await is_over(caller)


async def is_over(phone: Phone, *, within: float = 10.0) -> None:
    await phone._until(lambda: not phone.is_up, within, lambda: "be over")


def silence_of(phone: Phone) -> float:
    """The longest silence from the first packet to the last, seconds."""
    frames = phone.ear.frames
    return phone.heard(frames[0].at, frames[-1].at).longest_silence_s


async def view_of(story: GatedStory, scenario: Scenario) -> View:
    numbers = {phone.number: phone.name for phone in story.phones.values()}
    calls = {asked["CallSid"]: numbers[asked["From"]] for asked in story.tenant.requests if "From" in asked}
    phones = story.phones.values()
    return View(
        order=tuple(scenario.order),
        told=_told(story, calls),
        heard=tuple((phone.name, _tones(phone)) for phone in phones),
        places=await _places(story, calls),
        finals=tuple((phone.name, _finals(phone)) for phone in phones),
        ends=tuple(sorted((numbers[record.from_], record.status, record.end_reason) for record in await _records(story))),
        kept=tuple([kind for kind in KEPT_KINDS if await story.store.live_states(kind)]),
    )


def _told(story: GatedStory, calls: dict[str, str]) -> tuple[Any, ...]:
    told: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for asked in story.tenant.requests:
        if asked.path not in REPEATED:
            said = " ".join(asked.params[name] for name in SAID if name in asked)
            told[calls[asked["CallSid"]], asked.path][said].add(asked.headers["I-Twilio-Idempotency-Token"])
    return tuple(sorted((name, path, tuple((said, len(tokens)) for said, tokens in by.items())) for (name, path), by in told.items()))


async def _places(story: GatedStory, calls: dict[str, str]) -> tuple[Any, ...]:
    table = KINDS[QueueEventRecord].table.name
    rows = await story.store._ask(lambda driver: driver.query(f'SELECT call_sid, kind FROM "{table}"'))
    kinds = [(calls[sid], kind) for sid, kind in rows]
    return tuple((name, kinds.count((name, "joined")), kinds.count((name, "left"))) for name in sorted({name for name, _ in kinds}))


async def _records(story: GatedStory) -> list[CallRecord]:
    records, _ = await story.store.page(CallRecord, account_sid=story.account.sid, limit=100)
    return records


def _tones(phone: Phone) -> tuple[int, ...]:
    return tuple(dict.fromkeys(sound for sound in phone.heard().sounds if isinstance(sound, int)))


def _finals(phone: Phone) -> tuple[int, ...]:
    return tuple(sorted({message.status for _, message in phone.received if message.method == "INVITE" and message.status >= 200}))


def differences(view: View, expected: View) -> str:
    names = [field.name for field in fields(View) if getattr(view, field.name) != getattr(expected, field.name)]
    return "; ".join(f"{name}: {_only(view, expected, name)} instead of {_only(expected, view, name)}" for name in names)


def _only(view: View, other: View, name: str) -> list[Any]:
    return [entry for entry in getattr(view, name) if entry not in getattr(other, name)]
