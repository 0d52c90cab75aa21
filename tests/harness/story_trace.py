"""A story that writes down what went over its wires, so that it can be compared with a golden trace.

A trace is text to be read as a conversation: when, who, and what. SIP is its start line, CSeq and what the description offers; a webhook is
its method, path and parameters; REST is the request and its status; what a phone heard is a line for each sound. The last lines sum up the
RTP of each phone. Times are virtual seconds. Identifiers are numbered in the order in which they appear (``CA1``, ``QU1``); tags, branches,
Call-IDs and ports are left out: they are random by intention and say nothing of the flow.

``compare`` judges a trace by ``tests/golden/NAME.trace``; ``make golden`` (which sets ``GOLDEN=write``) writes the files anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from harness import virtual_time
from harness.sip_message import Message
from harness.story import RestReply, Story
from harness.story_ear import FRAME_S
from harness.story_phone import Phone
from harness.story_tenant import Tenant, read
from waitline.bridge.sip.flow import Flow
from waitline.bridge.webhook.exchange import HttpRequest, HttpResponse

GOLDEN = Path(__file__).parent.parent / "golden"
SHORTEST_SOUND_S = 3 * FRAME_S
EVERYWHERE = (
    "AccountSid",
    "ApiVersion",
    "CallerName",
    "Called",
    "Caller",
    "Direction",
    "Timestamp",
    "CallbackSource",
    "SipCallId",
    "SipSourceIp",
)
"""Parameters that say the same in each webhook of a trace"""
_PAYLOADS = {"0": "PCMU", "8": "PCMA", "101": "events"}


class Line(NamedTuple):
    """One thing that happened."""

    at: float
    who: str
    what: str


class NotingTenant(Tenant):
    """Tells of each request and its answer."""

    def __init__(self, note: Callable[[str, str], None]) -> None:
        super().__init__()
        self._note = note

    async def take(self, request: HttpRequest) -> HttpResponse:
        asked, _ = read(request)
        said = " ".join(f"{name}={value}" for name, value in asked.params.items() if name not in EVERYWHERE)
        self._note("tenant", f"<- {asked.method} {asked.path}  {said}".rstrip())
        response = await super().take(request)
        self._note("tenant", f"-> {response.status} {_verbs(response)}".rstrip())
        return response


class TracedStory(Story):
    """See the module."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._lines: list[Line] = []
        self.tenant = NotingTenant(self._note)

    def _note(self, who: str, what: str) -> None:
        self._lines.append(Line(self.now(), who, what))

    def send(self, data: bytes, flow: Flow) -> None:
        if phone := self.phones.get(flow.remote):
            self._note(phone.name, f"<- {_sip(data)}")
        super().send(data, flow)

    def send_sip(self, data: bytes, source: tuple[str, int]) -> None:
        self._note(self.phones[source].name, f"-> {_sip(data)}")
        super().send_sip(data, source)

    async def rest(self, method: str, path: str, *form: Any, **whose: Any) -> RestReply:
        owner = "" if whose.get("account", self.account) is self.account else " by a stranger"
        fields = " ".join(f"{name}={value}" for given in form for name, value in given.items())
        self._note("REST", f"<- {method} {path}{owner}  {fields}".rstrip())
        reply = await super().rest(method, path, *form, **whose)
        self._note("REST", f"-> {reply.status}")
        return reply

    def trace(self) -> str:
        """What happened so far."""
        heard = [line for phone in self.phones.values() for line in _heard(phone)]
        lines = sorted([*self._lines, *heard], key=lambda line: round(line.at, 2))
        width = max(len(line.who) for line in lines)
        told = [f"{line.at:7.2f}  {line.who:{width}}  {line.what}" for line in lines]
        return _numbered("\n".join([*told, "", *(_rtp(phone) for phone in self.phones.values())]) + "\n")


def _sip(data: bytes) -> str:
    message = Message.parse(data)
    start = message.start.removesuffix(" SIP/2.0") if not message.status else message.start.removeprefix("SIP/2.0 ")
    description = f"  [{_description(message)}]" if message.body.startswith("v=0") else ""
    return f"{_without_hosts(start)}  (CSeq {message['cseq']}){description}"


def _description(message: Message) -> str:
    payloads = " ".join(_PAYLOADS[number] for number in message.sdp("m")[0].split()[3:])
    return f"{payloads}, {message.direction}"


def _without_hosts(text: str) -> str:
    return re.sub(r"(sips?:[^@\s]+)@\S+|(sips?):[\d.:]+\S*", lambda match: match[1] or f"{match[2]}:platform", text)


def _verbs(response: HttpResponse) -> str:
    """The names of a document's elements, in order."""
    return " ".join(name for name in re.findall(r"<([A-Z]\w+)", response.body.decode()) if name != "Response")


def _heard(phone: Phone) -> list[Line]:
    """The phone's sounds between its first packet and its last."""
    if not phone.ear.frames:
        return []
    runs = [run for run in phone.heard(phone.ear.frames[0].at, phone.ear.frames[-1].at + FRAME_S).runs if run.seconds >= SHORTEST_SOUND_S]
    return [Line(run.since, phone.name, f"hears {_named(run.sound)} for {run.seconds:.2f} s") for run in runs]


def _named(sound: int | str) -> str:
    return f"{sound} Hz" if isinstance(sound, int) else sound


def _rtp(phone: Phone) -> str:
    """How the stream of the platform was: complete, in order, and on time."""
    frames, sequences = phone.ear.frames, phone.ear.sequences
    if not frames:
        return f"{phone.name}: no RTP"
    jumps = sum((after - before) % 0x10000 != 1 for before, after in pairwise(sequences))
    gap = max((after.at - before.at for before, after in pairwise(frames)), default=0.0)
    return f"{phone.name}: {len(sequences)} packets, {jumps} jumps in their numbers, at most {gap * 1000:.0f} ms apart"


def _numbered(text: str) -> str:
    names: dict[str, str] = {}

    def name(match: re.Match[str]) -> str:
        kind = match[0][:2]
        return names.setdefault(match[0], f"{kind}{1 + sum(known.startswith(kind) for known in names)}")

    return re.sub(r"\b[A-Z]{2}[0-9a-f]{32}\b", name, text)


def compare(name: str, trace: str) -> None:
    """Fail where the trace is not the golden one of that name."""
    path = GOLDEN / f"{name}.trace"
    if os.environ.get("GOLDEN") == "write":
        path.write_text(trace)
    assert trace == path.read_text(), f"another conversation than {path.name}; if it is the one you meant: make golden, and read the diff"


def play(tell: Callable[[TracedStory], Awaitable[None]], **settings: Any) -> str:
    """Run a story to its end on a virtual loop of its own, and return its trace."""

    async def told() -> str:
        async with TracedStory(**settings) as story:
            await tell(story)
            return story.trace()

    return virtual_time.run(told())
