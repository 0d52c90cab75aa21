"""What a control keeps at six moments, as data: written once for each form that is released, and read by every version after it.

A *situation* brings a story to a moment and says what must be true after a death at that moment. ``python -m harness.story_snapshots`` (in
``tests``) writes what this version keeps then to ``data/snapshots/v<form>.json``: done when a form is released, never again for it.

A test runs a situation with today's code, for there must be phones and media legs, kills control, and puts in the place of what it kept
the old records, with today's values for what is no more than a name or a number (``graft``): identifiers, ports, addresses, times. The
old form stays: which fields there are, how they nest, the words that stand for states.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import virtual_time
from harness.sip_message import authorization, challenge
from harness.story import AGENTS, NUMBER
from harness.story_crash import CrashingStory
from harness.story_tenant import HOST, Answer, enqueue, say
from waitline.bridge.call.keeping import VERSION
from waitline.bridge.store.records import LiveState

FOLDER = Path(__file__).parent.parent / "data" / "snapshots"
KINDS = ("call", "member", "callback", "conversation", "farewell", "registration")
DOMAIN, PASSWORD = "desk.sip.example", "Correct1Horse"
Act = Callable[[CrashingStory], Awaitable[None]]
_WORD = re.compile("[A-Za-z][a-z-]*")


@dataclass(frozen=True)
class Situation:
    """How to come to a moment, and what must be true when another control has taken over at it."""

    before: Act
    after: Act


# --- the situations


async def _waiting(story: CrashingStory) -> None:
    story.tenant.runs_a_desk()
    for name in ("alice", "bob"):
        await story.caller_waits(name)
    await story.passes(3)


async def _goes_on_waiting(story: CrashingStory) -> None:
    alice, bob = list(story.phones.values())[:2]
    assert story.members() == [story.sid_of(alice), story.sid_of(bob)]
    await story.passes(12)
    assert alice.heard(alice.since + 1).sounds == [400]
    assert int(story.tenant.asked_for("/wait")[-1]["QueueTime"]) >= 9
    await _an_agent_takes(story, "alice")


async def _whispering(story: CrashingStory) -> None:
    story.tenant.runs_a_desk(whisper="/whisper")
    story.tenant.on("/whisper", say(600, seconds=4))
    caller = await story.caller_waits("alice")
    agent = story.phone("agent")
    await agent.calls(AGENTS)
    await caller.hears(600)
    agent.talks(1000)


async def _is_whispered_to_again(story: CrashingStory) -> None:
    caller, _agent = story.phones.values()
    assert story.members() == [story.sid_of(caller)]
    await caller.hears(1000, within=20)


async def _bridged(story: CrashingStory) -> None:
    story.tenant.runs_a_desk()
    caller = await story.caller_waits("alice")
    agent = story.phone("agent")
    await agent.calls(AGENTS)
    agent.talks(1000)
    await caller.hears(1000)
    await story.passes(2)


async def _talks_on(story: CrashingStory) -> None:
    caller, agent = story.phones.values()
    await story.passes(3)
    assert caller.heard(story.now() - 2.5).sounds == [1000]
    agent.hangs_up()
    done = await story.tenant.asked("/done")
    assert (done["QueueResult"], int(done["QueueTime"])) == ("bridged", 0)


async def _gathering(story: CrashingStory) -> None:
    story.tenant.on("/voice", "<Gather numDigits='4' action='/keys'><Play>/tone/400</Play></Gather>")
    story.tenant.on("/keys", say(600))
    caller = story.phone("alice")
    await caller.calls(NUMBER)
    caller.presses("12")
    await story.passes(1)


async def _gathers_on(story: CrashingStory) -> None:
    (caller,) = story.phones.values()
    caller.presses("34")
    assert (await story.tenant.asked("/keys"))["Digits"] == "1234"


async def _calling_back(story: CrashingStory) -> None:
    await story.changes_number(status_callback="/status")
    story.tenant.on("/voice", enqueue())
    story.tenant.on("/wait", say(400, seconds=10))
    story.tenant.on("/status", Answer(after_s=9))
    caller = await story.caller_waits("alice")
    caller.hangs_up()
    await story.tenant.asked("/status")


async def _calls_back_again(story: CrashingStory) -> None:
    await story.passes(10)
    first, second = story.tenant.asked_for("/status")
    assert first["CallStatus"] == second["CallStatus"] == "completed"
    assert first.headers["I-Twilio-Idempotency-Token"] == second.headers["I-Twilio-Idempotency-Token"]
    assert await story.store.live_states("callback") == []


async def _ringing(story: CrashingStory) -> None:
    story.tenant.on("/voice", Answer(body=enqueue(), after_s=3))
    story.tenant.on("/wait", say(400, seconds=10))
    story.phone("alice").dials(NUMBER)
    await story.passes(1)


async def _is_answered(story: CrashingStory) -> None:
    (caller,) = story.phones.values()
    await caller.hears(400, within=10)


async def _registered(story: CrashingStory) -> None:
    await has_guarded_domain(story)
    phone = story.phone("alice")
    phone.target, phone.to = f"sip:{DOMAIN}", f"<sip:alice@{DOMAIN}>"
    phone.send("REGISTER", headers=(("Expires", "600"),))
    given = challenge((await phone.gets(lambda m: m.status == 401))["www-authenticate"])
    word = authorization(given, method="REGISTER", uri=phone.target, username="alice", password=PASSWORD, cnonce="c", nc=1)
    phone.send("REGISTER", headers=(("Expires", "600"), ("Authorization", word)))
    await phone.gets(lambda m: m.status == 200)


async def _stays_registered(story: CrashingStory) -> None:
    (binding,) = story.control.registrations.bindings(f"sip:alice@{DOMAIN}")
    assert binding.uri == "sip:alice@198.51.100.1:5060"
    await story.passes(610)
    assert story.control.registrations.bindings(f"sip:alice@{DOMAIN}") == []


async def has_guarded_domain(story: CrashingStory) -> None:
    """A SIP domain that takes calls and registrations of alice with ``PASSWORD``."""
    domain = await story.rest("POST", "/SIP/Domains.json", {"DomainName": DOMAIN, "VoiceUrl": f"{HOST}/voice", "SipRegistration": "true"})
    credentials = await story.rest("POST", "/SIP/CredentialLists.json", {"FriendlyName": "phones"})
    path = f"/SIP/CredentialLists/{credentials['sid']}/Credentials.json"
    assert (await story.rest("POST", path, {"Username": "alice", "Password": PASSWORD})).status == 201
    for kind in ("Calls", "Registrations"):
        path = f"/SIP/Domains/{domain['sid']}/Auth/{kind}/CredentialListMappings.json"
        assert (await story.rest("POST", path, {"CredentialListSid": credentials["sid"]})).status == 201


async def _an_agent_takes(story: CrashingStory, name: str) -> None:
    caller = next(phone for phone in story.phones.values() if phone.name == name)
    agent = story.phone("agent")
    await agent.calls(AGENTS)
    agent.talks(1000)
    await caller.hears(1000)


SITUATIONS = {
    "waiting": Situation(_waiting, _goes_on_waiting),
    "whispering": Situation(_whispering, _is_whispered_to_again),
    "bridged": Situation(_bridged, _talks_on),
    "in Gather": Situation(_gathering, _gathers_on),
    "callback pending": Situation(_calling_back, _calls_back_again),
    "ringing": Situation(_ringing, _is_answered),
    "registered": Situation(_registered, _stays_registered),
}


# --- writing and reading


async def kept(story: CrashingStory) -> list[LiveState]:
    """All that is kept now, the oldest of each kind first."""
    return [record for kind in KINDS for record in await story.store.live_states(kind)]


async def put_in_place(story: CrashingStory, old: list[dict[str, Any]]) -> None:
    """Have these records kept in the place of what is kept, with the names and numbers of today; control must be dead."""
    today = await kept(story)
    for kind in KINDS:
        before = [record for record in old if record["kind"] == kind]
        now = [record for record in today if record.kind == kind]
        assert len(before) == len(now), f"{kind}: {len(before)} were kept, today {len(now)} are"
        for was, record in zip(before, now, strict=True):
            story.store.append(LiveState(kind=kind, key=record.key, version=was["version"], data=graft(was["data"], record.data)))


def graft(old: Any, new: Any) -> Any:
    """The old form with today's names and numbers; what only one of the two has is as in the old one."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {name: graft(value, new[name]) if name in new else value for name, value in old.items()}
    if isinstance(old, list) and isinstance(new, list):
        return [graft(value, new[index]) if index < len(new) else value for index, value in enumerate(old)]
    if type(old) is not type(new) or (isinstance(old, str) and _WORD.fullmatch(old)):
        return old
    return new


def write() -> None:
    """Write what this version keeps in each situation."""
    found: dict[str, list[dict[str, Any]]] = {}

    async def told() -> None:
        for name, situation in SITUATIONS.items():
            async with CrashingStory() as story:
                await situation.before(story)
                found[name] = [
                    {"kind": record.kind, "key": record.key, "version": record.version, "data": record.data} for record in await kept(story)
                ]

    virtual_time.run(told())
    FOLDER.mkdir(parents=True, exist_ok=True)
    file = FOLDER / f"v{VERSION}.json"
    file.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    write()
