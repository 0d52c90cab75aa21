"""What was seen from the outside, kept as it came: REST answers, the tenant's log, what phones heard. No opinion; that is ``judge.py``.

Everything has a value that says "never seen", so that a story cut short can be judged as far as it went.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from waitline.demo.rest import Answer
from waitline.demo.sound import Heard, Span, named, spans

NEVER = Answer()
"""What was never asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One line of the tenant's log."""

    method: str = ""
    path: str = ""
    params: dict[str, str] = field(default_factory=dict)
    signed: bool = False
    status: int = 0
    reply: str = ""
    at: float = 0.0

    @property
    def call_sid(self) -> str:
        return self.params.get("CallSid", "")

    def told(self, name: str) -> str:
        """Return a parameter, "" if it was not sent."""
        return self.params.get(name, "")

    @property
    def enqueues(self) -> str:
        """The text of the reply's <Enqueue>; "" without one."""
        found = re.search(r"<Enqueue[^>]*>([^<]*)</Enqueue>", self.reply)
        return found[1] if found else ""

    @property
    def wait_url(self) -> str:
        """The waitUrl of the reply's <Enqueue>; "" without one."""
        found = re.search(r'<Enqueue[^>]*waitUrl="([^"]*)"', self.reply)
        return found[1] if found else ""


@dataclass(slots=True, kw_only=True)
class PhoneSeen:
    """One phone's call."""

    invite: int = 0
    """Status of the final answer to its INVITE."""
    call_sid: str = ""
    record: Answer = NEVER
    """The call over REST, while it waited."""
    queue: Answer = NEVER
    members: Answer = NEVER
    """The queue and its members just after it had joined."""
    elsewhere: Answer = NEVER
    """The members of the account's other queue then."""
    ping: int = 0
    """Status of an OPTIONS inside its dialog while it waited."""
    heard: list[Heard] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    wav: str = ""

    def spans(self) -> list[Span]:
        """Return what it heard, in order."""
        return spans(self.heard, self.figures.get("last_at", 0.0))

    def seconds(self, hz: int) -> float:
        """Return how long it heard that tone."""
        return sum(span.seconds for span in self.spans() if span.what == named(hz))

    def first(self, hz: int) -> float:
        """Return when it first heard that tone; 0 if it never did."""
        return next((item.at for item in self.heard if item.what == named(hz)), 0.0)


@dataclass(slots=True, kw_only=True)
class Evidence:
    """Everything."""

    platform_pid: int = 0
    tenant_pid: int = 0
    tenant_parent: int = 0
    demo_pid: int = 0
    account: str = ""
    other_account: str = ""
    doors: dict[str, int] = field(default_factory=dict)
    """Who used which credentials on which account → HTTP status."""

    created: Answer = NEVER
    fetched: Answer = NEVER
    listed: Answer = NEVER
    all_queues: list[str] = field(default_factory=list)
    """The sids of all queues made, both accounts."""
    others_list: Answer = NEVER
    """The queues of the other account, by its own credentials."""
    others_attempts: dict[str, int] = field(default_factory=dict)
    """What the other account tried → HTTP status."""
    members_after_attempts: Answer = NEVER
    strangers_members: Answer = NEVER
    """Members of the other account's queue after our tenant had named it in an <Enqueue>."""

    requests: list[Request] = field(default_factory=list)
    caller_1: PhoneSeen = field(default_factory=PhoneSeen)
    caller_2: PhoneSeen = field(default_factory=PhoneSeen)
    agent: PhoneSeen = field(default_factory=PhoneSeen)
    members_while_talking: Answer = NEVER
    taken: Answer = NEVER
    """The answer to POST Members/Front.json."""
    queue_at_the_end: Answer = NEVER

    @property
    def queue_sid(self) -> str:
        return str(self.created.get("sid") or "")

    def asked(self, path: str, call_sid: str = "", **params: str) -> list[Request]:
        """Return the requests for that page, of that call, with those parameters."""
        return [
            request
            for request in self.requests
            if request.path == path
            and call_sid in ("", request.call_sid)
            and all(request.told(name) == value for name, value in params.items())
        ]

    def first(self, path: str, call_sid: str = "") -> Request:
        """Return the first such request; an empty one if there was none."""
        return next(iter(self.asked(path, call_sid)), Request())


def requests(events: list[dict[str, Any]]) -> list[Request]:
    """Return the tenant's log from what it said."""
    names = Request.__slots__
    return [Request(**{name: event[name] for name in names}) for event in events if event["event"] == "request"]


def heard(events: list[dict[str, Any]]) -> list[Heard]:
    """Return what a phone said it heard."""
    return [Heard(event["what"], event["at"]) for event in events if event["event"] == "hears"]
