"""The state of a call: plain data, apart from every task and socket.

A control process may be replaced under a live call, so nothing that is needed after an await may live only in a local variable. All of it
is here, JSON-able as it stands: ``to_plain`` and ``from_plain`` are the whole of its serialisation.

A *script* is a document being run: its verbs, where it came from, the index of the verb that runs and that verb's progress. A verb that
runs documents of its own (Enqueue its wait documents) keeps their scripts inside its progress, so the stack is a tree of plain records.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import Enum
from operator import attrgetter
from typing import Any

from waitline.bridge.events import LeaveReason
from waitline.clock import Clock

Progress = dict[str, Any]
"""What one verb has done so far; JSON-able; the keys are documented by the verb's runner."""


class CallStatus(Enum):
    """The CallStatus values of the contract (platform 4.2)."""

    QUEUED = "queued"
    INITIATED = "initiated"
    RINGING = "ringing"
    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    BUSY = "busy"
    FAILED = "failed"
    NO_ANSWER = "no-answer"
    CANCELED = "canceled"

    @property
    def final(self) -> bool:
        return self in _FINAL


_FINAL = {CallStatus.COMPLETED, CallStatus.BUSY, CallStatus.FAILED, CallStatus.NO_ANSWER, CallStatus.CANCELED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A URL to ask, how, and with what beyond the standard parameters."""

    url: str
    method: str = "POST"
    params: tuple[tuple[str, str], ...] = ()
    token: str = ""
    """Says to the tenant that a repetition is one; given when it is to be asked, see ``Call.tokened``"""
    owed: bool = False
    """A result that the tenant is told even where the call ends meanwhile and nobody needs the reply"""

    def to_plain(self) -> dict[str, Any]:
        plain = {"url": self.url, "method": self.method, "token": self.token, "owed": self.owed}
        return plain | {"params": [list(pair) for pair in self.params]}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Target:
        params = tuple((k, v) for k, v in plain["params"])
        return cls(**(plain | {"params": params}))


@dataclass(slots=True, kw_only=True)
class Application:
    """Which URLs the call's number, domain or REST request named."""

    voice_url: str = ""
    voice_method: str = "POST"
    fallback_url: str = ""
    fallback_method: str = "POST"
    status_callback: str = ""
    status_callback_method: str = "POST"


@dataclass(slots=True, kw_only=True)
class SipFacts:
    """What the INVITE said that webhooks repeat (platform 4.2) and the dialog's handle in the user agent."""

    dialog: str = ""
    call_id: str = ""
    domain: str = ""
    domain_sid: str = ""
    source_ip: str = ""
    username: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    """X- headers of the INVITE"""


@dataclass(slots=True, kw_only=True)
class MediaFacts:
    """The media leg's handle and what offer and answer agreed."""

    leg: int = 0
    worker: int = 0
    host: str = ""
    port: int = 0
    rtcp_port: int = 0
    local_sdp: str = ""
    remote_sdp: str = ""
    """The peer's last description; before our answer the offer of its INVITE, "" where that had none"""
    codec: str = ""
    session_id: int = 0
    version: int = 0
    srtp: str = "off"
    """off | offered | required"""
    srtp_suite: str = ""
    """In use; empty: in the clear"""
    srtp_generation: int = 0
    srtp_seed: str = field(default="", repr=False)
    """Of our keys (see ``sip.sdes``), marked as what it is, so that the store encrypts it; empty until one is needed"""


@dataclass(slots=True, kw_only=True)
class Script:
    """A document being run: the document as plain data, and how far it is."""

    document: dict[str, Any]
    url: str
    """Where it came from; "" for one given inline"""
    index: int = 0
    progress: Progress = field(default_factory=dict)
    following: Progress = field(default_factory=dict)
    """What was made ready of the verb after it; its progress when its turn comes"""

    def to_plain(self) -> dict[str, Any]:
        return {
            "document": self.document,
            "url": self.url,
            "index": self.index,
            "progress": _plain(self.progress),
            "following": _plain(self.following),
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Script:
        return cls(**plain)


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """How a call left the queue it was in last."""

    reason: LeaveReason
    waited_s: float
    resumed: bool = False
    """It had the place of an earlier call of its caller."""


@dataclass(slots=True, kw_only=True)
class CallState:
    """Everything a control process needs to go on with a call."""

    sid: str
    account_sid: str
    direction: str = "inbound"
    from_: str
    to: str
    phone_number_sid: str = ""
    parent_call_sid: str = ""
    caller_name: str = ""
    forwarded_from: str = ""
    status: CallStatus = CallStatus.RINGING
    created_at: datetime
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    created_s: float | None = None
    """As created_at, by the clock that nobody sets (monotonic, seconds); None: a version that did not keep it began the call"""
    answered_s: float | None = None
    ended_s: float | None = None
    end_reason: str = ""
    application: Application = field(default_factory=Application)
    sip: SipFacts = field(default_factory=SipFacts)
    media: MediaFacts = field(default_factory=MediaFacts)
    script: Script | None = None
    """The document that runs"""
    here: Target | None = None
    """Where the next document is being asked for, while none runs"""
    time_limit_s: int = 0
    """How long it may last from its answer; 0: for ever"""
    interruption: dict[str, Any] | None = None
    """What is to end the verb that runs, in plain form, until it has been heeded"""
    evacuated: bool = False
    """It has been sent out of a queue because the platform drains."""
    left: Departure | None = None
    """How it left a queue, until its Enqueue has told the tenant"""
    cookies: list[dict[str, Any]] = field(default_factory=list)
    callback_sequence: int = 0
    requests: int = 0
    """How many requests to the tenant were given a token"""

    def lasted_s(self, clock: Clock) -> float:
        """How long ago it began."""
        return _since(self.created_at, self.created_s, clock)

    def talked_s(self, clock: Clock) -> float:
        """How long it has been answered, or had been when it ended, whoever asks however late; 0 if it was not.

        To the millisecond: the last bits of a difference decide no second.
        """
        if not self.answered_at:
            return 0.0
        if self.ended_at is None:
            return round(_since(self.answered_at, self.answered_s, clock), 3)
        if self.answered_s is not None and self.ended_s is not None and self.answered_s <= self.ended_s:
            return round(self.ended_s - self.answered_s, 3)
        return max(0.0, round((self.ended_at - self.answered_at).total_seconds(), 3))

    def to_plain(self) -> dict[str, Any]:
        """Return a JSON-able record of everything. Shares what it can with the state: write it before the state changes again."""
        plain: dict[str, Any] = dict(zip(_CALL_FIELDS, _call_values(self), strict=True))
        plain["status"] = self.status.value
        for name in _DATES:
            plain[name] = plain[name].isoformat() if plain[name] else None
        for name, names, values in _NESTED:
            plain[name] = dict(zip(names, values(plain[name]), strict=True))
        plain["script"] = self.script.to_plain() if self.script else None
        plain["here"] = self.here.to_plain() if self.here else None
        plain["left"] = [self.left.reason.value, self.left.waited_s, self.left.resumed] if self.left else None
        return plain

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> CallState:
        """The inverse of ``to_plain``."""
        values = dict(plain)
        values["status"] = CallStatus(values["status"])
        for name in _DATES:
            values[name] = datetime.fromisoformat(values[name]) if values[name] else None
        values["application"] = Application(**values["application"])
        sip = dict(values["sip"])
        sip["headers"] = [(name, value) for name, value in sip["headers"]]
        values["sip"] = SipFacts(**sip)
        values["media"] = MediaFacts(**values["media"])
        values["script"] = Script.from_plain(values["script"]) if values["script"] else None
        values["here"] = Target.from_plain(values["here"]) if values["here"] else None
        left = values.get("left")
        values["left"] = Departure(reason=LeaveReason(left[0]), waited_s=left[1], resumed=left[2:] == [True]) if left else None
        return cls(**values)


_CALL_FIELDS = tuple(field.name for field in fields(CallState))
_call_values = attrgetter(*_CALL_FIELDS)
_DATES = ("created_at", "answered_at", "ended_at")
_NESTED = tuple(
    (name, names, attrgetter(*names))
    for name, kind in (("application", Application), ("sip", SipFacts), ("media", MediaFacts))
    for names in (tuple(part.name for part in fields(kind)),)
)


def _since(at: datetime, at_s: float | None, clock: Clock) -> float:
    """Seconds since then; by the wall clock, which may have been set meanwhile, only where there is no other record of this boot."""
    if at_s is not None and at_s <= clock.now():
        return clock.now() - at_s
    return max(0.0, (clock.utc() - at).total_seconds())


def _plain(value: Any) -> Any:
    """A progress with the scripts in it as plain records."""
    if isinstance(value, Script):
        return value.to_plain()
    return {name: _plain(item) for name, item in value.items()} if isinstance(value, dict) else value
