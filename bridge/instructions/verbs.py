"""The verbs of a tenant's document: one frozen dataclass each, and one table entry that says how XML fills it.

A verb is plain data. It says what the tenant asked for, with every URL absolute and every value typed; how it is run is the business of
``run/<verb>.py``. ``to_plain`` and ``from_plain`` turn verbs into what JSON can hold and back, since the document of a live call must
outlast the process that parsed it.

``VERBS`` is the total table of what can stand directly in a document; to add a verb write its dataclass, its ``Spec`` entry, and its row
in ``contexts.ALLOWED``. ``UNAVAILABLE`` names the verbs of the wire contract that are not built: a tenant is told so, and the
document goes on without them.

Bad values come in two strengths. A *warning*: the default is used. A *fault*: ``verb.fault`` holds the notification code, and the verb
must not be run as written (Enqueue ends with QueueResult ``error``, Dial with DialCallStatus ``failed``, Play is skipped, any other
fails the document). The document's findings tell the tenant of both, so a runner need not notify again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from waitline.bridge.instructions import attributes as kinds
from waitline.bridge.instructions.attributes import Attribute


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """What every verb has."""

    name: ClassVar[str] = ""
    line: int = 0
    """Line in the document, from 1; 0 unknown"""
    fault: int = 0
    """Notification code of what makes the verb unusable as written; 0: nothing"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Say(Verb):
    name: ClassVar[str] = "Say"
    text: str = ""
    """SSML children are flattened to their text."""
    voice: str = "man"
    language: str = "en-US"
    loop: int = 1
    """0: until the call ends"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Play(Verb):
    name: ClassVar[str] = "Play"
    url: str = ""
    loop: int = 1
    """0: until the call ends"""
    digits: str = ""
    """Keys to send instead of, or before, the audio"""
    audio_key: str = ""
    """Names the audio where it was the document's own body, already here; ``url`` is where it came from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause(Verb):
    name: ClassVar[str] = "Pause"
    length_s: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Gather(Verb):
    name: ClassVar[str] = "Gather"
    input: tuple[str, ...] = ("dtmf",)
    action: str | None = None
    """None: the current document's URL"""
    method: str = "POST"
    timeout_s: int = 5
    finish_on_key: str = "#"
    """Any of these keys finishes; "": none does"""
    num_digits: int = 0
    """0: no limit"""
    action_on_empty_result: bool = False
    children: tuple[Verb, ...] = ()
    """Say, Play and Pause, in order"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect(Verb):
    name: ClassVar[str] = "Redirect"
    url: str | None = None
    """None: the current document's URL"""
    method: str = "POST"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hangup(Verb):
    name: ClassVar[str] = "Hangup"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject(Verb):
    name: ClassVar[str] = "Reject"
    reason: str = "rejected"
    """rejected (404) or busy (486)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave(Verb):
    name: ClassVar[str] = "Leave"


@dataclass(frozen=True, slots=True, kw_only=True)
class Enqueue(Verb):
    name: ClassVar[str] = "Enqueue"
    queue: str = ""
    """Name or SID, trimmed"""
    action: str | None = None
    method: str = "POST"
    wait_url: str | None = None
    """None: the platform's own music; "": silence"""
    wait_url_method: str = "POST"
    max_queue_size: int = 0
    """Limit of a queue that this creates; 0: the platform's default"""
    priority: int = 0
    """0..999, low first (an extension)"""
    max_wait_s: int = 0
    """0: no limit (an extension)"""
    resume_window_s: int | None = None
    """How long the place is kept if the caller's line drops; None: as long as the queue says (an extension)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueNoun(Verb):
    """The queue that a Dial takes its next caller from."""

    name: ClassVar[str] = "Queue"
    queue: str = ""
    """Name or SID, trimmed"""
    url: str | None = None
    """The whisper; None: bridged at once"""
    method: str = "POST"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dial(Verb):
    name: ClassVar[str] = "Dial"
    queue: QueueNoun | None = None
    """None: nothing that can be dialled; the runner reports ``failed``."""
    number: str = ""
    """Text of the element: a telephone number, not available yet"""
    action: str | None = None
    method: str = "POST"
    timeout_s: int = 30
    hangup_on_star: bool = False
    time_limit_s: int = 14400
    answer_on_bridge: bool = False
    ring_tone: str = ""
    """A country's ringing tone; "": the default one"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """How an element becomes a verb."""

    make: type[Verb]
    attributes: tuple[Attribute, ...] = ()
    text: Attribute | None = None
    """What the element's own text fills; None: it has none"""
    without_effect: frozenset[str] = frozenset()
    """Attributes that are known and change nothing here"""
    unavailable: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Attributes of what is not built, and the values that ask for nothing"""
    children: Mapping[str, Spec] = field(default_factory=dict)
    children_field: str = ""
    """Where children go: a tuple field takes them all, any other the first"""
    unavailable_children: frozenset[str] = frozenset()
    ignored_children: frozenset[str] = frozenset()
    bad_child: int = 12200
    ssml: bool = False
    """The text of descendants counts as the element's own."""
    check: Callable[[Any], tuple[str, int] | None] = lambda verb: None
    """What no single attribute shows: (message, code of a fault or 0 for a warning)"""


def _method(code: int, xml: str = "method", field_name: str = "method", *, fault: bool = False) -> Attribute:
    return Attribute(xml, field_name, kinds.method, code, fault)


def _action(code: int) -> Attribute:
    return Attribute("action", "action", kinds.url_or_none, code, fault=True)


def _play_has_something(verb: Play) -> tuple[str, int] | None:
    return None if verb.url or verb.digits or verb.fault else ("<Play> has neither a URL nor digits", kinds.BAD_URL)


def _gather_takes_keys(verb: Gather) -> tuple[str, int] | None:
    return ("speech recognition is not available: <Gather> takes keys only", 0) if "speech" in verb.input else None


def _dial_has_a_queue(verb: Dial) -> tuple[str, int] | None:
    return None if verb.queue else ("<Dial> has no <Queue>, and nothing else can be dialled yet", 0)


_RECORD_OFF = frozenset({"do-not-record", "false"})
_RING_TONES = (
    "at au bg br be ch cl cn cz de dk ee es fi fr gr hu il in it lt jp mx my nl no nz ph pl pt ru se sg th uk us us-old tw ve za automatic"
)
_ABOUT_SPEECH = (
    "partialResultCallback partialResultCallbackMethod language hints speechTimeout maxSpeechTime speechModel enhanced profanityFilter"
    " bargeIn debug"
)
_RECORDING = (
    "trim recordingStatusCallback recordingStatusCallbackMethod recordingStatusCallbackEvent recordingTrack recordingConfigurationId"
)

_SAY = Spec(
    make=Say,
    text=Attribute("", "text", kinds.spoken, 13520),
    ssml=True,
    attributes=(
        Attribute("voice", "voice", kinds.text, 13512),
        Attribute("language", "language", kinds.language, 13511),
        Attribute("loop", "loop", kinds.loops, 13510),
    ),
)
_PLAY = Spec(
    make=Play,
    text=Attribute("", "url", kinds.url_or_empty, kinds.BAD_URL, fault=True),
    attributes=(
        Attribute("loop", "loop", kinds.loops, 13410),
        Attribute("digits", "digits", kinds.digits_to_play, 13430),
    ),
    check=_play_has_something,
)
_PAUSE = Spec(make=Pause, attributes=(Attribute("length", "length_s", kinds.whole(0, 86400, clamp=True), 13910),))
_GATHER = Spec(
    make=Gather,
    attributes=(
        Attribute("input", "input", kinds.words_of("dtmf", "speech"), 13335),
        _action(kinds.BAD_URL),
        _method(13312),
        Attribute("timeout", "timeout_s", kinds.whole(0, 3600, clamp=True), 13313),
        Attribute("finishOnKey", "finish_on_key", kinds.keys, 13310),
        Attribute("numDigits", "num_digits", kinds.whole(1, 1000, clamp=True), 13314),
        Attribute("actionOnEmptyResult", "action_on_empty_result", kinds.flag, 13338),
    ),
    # All of these shape the recognition of speech, or repeat what Gather does anyway (bargeIn).
    without_effect=frozenset(_ABOUT_SPEECH.split()),
    check=_gather_takes_keys,
    children={"Say": _SAY, "Play": _PLAY, "Pause": _PAUSE},
    children_field="children",
    bad_child=13320,
)
_ENQUEUE = Spec(
    make=Enqueue,
    text=Attribute("", "queue", kinds.queue_name(too_long=14205), 14204, fault=True),
    attributes=(
        Attribute("action", "action", kinds.url_or_none, 14203, fault=True),
        _method(14201, fault=True),
        Attribute("waitUrl", "wait_url", kinds.url_or_empty, 14202, fault=True),
        _method(14206, "waitUrlMethod", "wait_url_method", fault=True),
        Attribute("maxQueueSize", "max_queue_size", kinds.whole(1, 5000, clamp=True), 12200),
        Attribute("priority", "priority", kinds.whole(0, 999, clamp=True), 12200),
        Attribute("maxWaitTime", "max_wait_s", kinds.whole(0, 31_536_000, clamp=True), 12200),
        Attribute("resumeWindow", "resume_window_s", kinds.whole(0, 86_400, clamp=True), 12200),
    ),
    unavailable={"workflowSid": frozenset()},
    unavailable_children=frozenset({"Task"}),
)
_QUEUE_NOUN = Spec(
    make=QueueNoun,
    text=Attribute("", "queue", kinds.queue_name(too_long=14213), 14212, fault=True),
    attributes=(Attribute("url", "url", kinds.url_or_none, 14211), _method(14210)),
    unavailable={"reservationSid": frozenset(), "postWorkActivitySid": frozenset()},
)
_DIAL = Spec(
    make=Dial,
    text=Attribute("", "number", kinds.text, 13223),
    attributes=(
        _action(kinds.BAD_URL),
        _method(13210),
        Attribute("timeout", "timeout_s", kinds.whole(5, 600, clamp=True), 13212),
        Attribute("hangupOnStar", "hangup_on_star", kinds.flag, 13213),
        Attribute("timeLimit", "time_limit_s", kinds.whole(1, 14400, clamp=True), 13216),
        Attribute("answerOnBridge", "answer_on_bridge", kinds.flag, 12200),
        Attribute("ringTone", "ring_tone", kinds.one_of(*_RING_TONES.split()), 12200),
    ),
    without_effect=frozenset(f"callerId sequential callReason events passports {_RECORDING}".split()),
    unavailable={"record": _RECORD_OFF, "referUrl": frozenset(), "referMethod": frozenset({"GET", "POST"})},
    check=_dial_has_a_queue,
    children={"Queue": _QUEUE_NOUN},
    children_field="queue",
    unavailable_children=frozenset({"Number", "Client", "Sip", "Conference", "Application", "Sim", "WhatsApp"}),
    bad_child=13215,
)

VERBS: Mapping[str, Spec] = {
    "Say": _SAY,
    "Play": _PLAY,
    "Pause": _PAUSE,
    "Gather": _GATHER,
    "Redirect": Spec(make=Redirect, text=Attribute("", "url", kinds.url_or_none, kinds.BAD_URL, fault=True), attributes=(_method(13710),)),
    "Hangup": Spec(make=Hangup, ignored_children=frozenset({"Parameter"})),
    "Reject": Spec(
        make=Reject,
        attributes=(Attribute("reason", "reason", kinds.one_of("rejected", "busy"), 13810),),
        ignored_children=frozenset({"Parameter"}),
    ),
    "Enqueue": _ENQUEUE,
    "Leave": Spec(make=Leave),
    "Dial": _DIAL,
}
"""Element name → how it becomes a verb."""

UNAVAILABLE = frozenset(["Record", "Refer", "Connect", "Start", "Stop", "Pay", "Prompt", "Sms", "Queue", "Echo"])
"""Verbs of the wire contract that are not built."""

_PLAIN: Mapping[str, type[Verb]] = {spec.make.name: spec.make for spec in (*VERBS.values(), _QUEUE_NOUN)}
_FIELDS: Mapping[type[Verb], tuple[str, ...]] = {make: tuple(entry.name for entry in fields(make)) for make in _PLAIN.values()}


def to_plain(verb: Verb) -> dict[str, Any]:
    """What JSON can hold: the fields, headed by the verb's name under ``verb``."""
    return {"verb": verb.name} | {name: _plain(getattr(verb, name)) for name in _FIELDS[type(verb)]}


def _plain(value: Any) -> Any:
    if isinstance(value, Verb):
        return to_plain(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def from_plain(plain: Mapping[str, Any]) -> Verb:
    """The verb of ``to_plain``. Fields unknown here are left out, so that two versions of the program can read each other's.

    Raises KeyError for a verb that is unknown here.
    """
    make = _PLAIN[plain["verb"]]
    known = _FIELDS[make]
    return make(**{name: _unplain(value) for name, value in plain.items() if name in known})


def _unplain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return from_plain(value)
    return tuple(_unplain(item) for item in value) if isinstance(value, list) else value
