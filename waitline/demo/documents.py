"""The tenant's application: what it answers to each request, as pure functions from parameters to a document.

Two applications live here. The *scripted* one is what the demo's own phones meet: two callers in one queue with a wait application each,
told apart by what they play, an agent, and a call that names a queue of another account. The *visitors'* one is what people meet who
dial in with a softphone (``waitline demo --keep``); it is also ``examples/queue-tenant``.

To add a page, add a function and a line in ``PAGES``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from xml.sax.saxutils import escape

Params = Mapping[str, str]

CALLERS_NUMBER, AGENTS_NUMBER, STRANGERS_NUMBER = "+15550190", "+15550191", "+15550192"
VISITORS_NUMBER, VISITORS_AGENT_NUMBER = "+15550100", "+15550101"

ONE_HZ, TWO_HZ, WHISPER_HZ, TAKEN_HZ = 440, 587, 784, 988
"""What the two wait applications, the whisper and the document after REST play."""
CALLER_HZ, AGENT_HZ = 1175, 1397
"""What caller and agent say when they talk."""
TONES = (ONE_HZ, TWO_HZ, WHISPER_HZ, TAKEN_HZ, CALLER_HZ, AGENT_HZ)

WAIT_TONE_S, WHISPER_TONE_S, TAKEN_TONE_S = 3.0, 1.0, 2.0
MELODY = "/melody.wav"


@dataclass(slots=True)
class Queues:
    """What the tenant knows of its queues: their names, and the sids that the platform gave them."""

    support: str = ""
    stranger: str = ""
    """A queue of another account: naming it must lead nowhere."""
    visitors: str = ""


def response(*verbs: str) -> str:
    """Return a document."""
    return '<?xml version="1.0" encoding="UTF-8"?>\n<Response>' + "".join(verbs) + "</Response>"


def say(text: str) -> str:
    return f"<Say>{escape(text)}</Say>"


def play(hz: int, seconds: float) -> str:
    return f"<Play>/tones/{hz}.wav?seconds={seconds:g}</Play>"


def enqueue(queue: str, *, wait: str, action: str) -> str:
    return f'<Enqueue waitUrl="{wait}" waitUrlMethod="POST" action="{action}">{escape(queue)}</Enqueue>'


def dial_queue(queue: str, *, whisper: str, action: str, timeout_s: int) -> str:
    return f'<Dial action="{action}" timeout="{timeout_s}"><Queue url="{whisper}">{escape(queue)}</Queue></Dial>'


HANG_UP = "<Hangup/>"


# The scripted application


def _voice(params: Params, queues: Queues) -> str:
    """Caller 1 is enqueued by the queue's sid, caller 2 by its name; each brings a wait application of its own."""
    if "caller-1" in params.get("From", ""):
        return response(say("Welcome."), enqueue(queues.support, wait="/wait/one", action="/done"))
    return response(enqueue("support", wait="/wait/two", action="/done"))


def _strangers_voice(_: Params, queues: Queues) -> str:
    return response(enqueue(queues.stranger, wait="/wait/stranger", action="/strangers/done"))


def _wait_one(_: Params, __: Queues) -> str:
    return response(play(ONE_HZ, WAIT_TONE_S))


def _wait_two(_: Params, __: Queues) -> str:
    return response(play(TWO_HZ, WAIT_TONE_S))


def _agent(_: Params, queues: Queues) -> str:
    return response(dial_queue(queues.support, whisper="/whisper", action="/agentdone", timeout_s=20))


def _whisper(_: Params, __: Queues) -> str:
    return response(play(WHISPER_HZ, WHISPER_TONE_S))


def _taken(_: Params, __: Queues) -> str:
    return response(play(TAKEN_HZ, TAKEN_TONE_S), HANG_UP)


def _over(_: Params, __: Queues) -> str:
    return response(HANG_UP)


# The visitors' application


def _visitor(_: Params, queues: Queues) -> str:
    welcome = say("Welcome to Waitline. Press 1 to hear your position, 9 to leave the queue.")
    return response(welcome, enqueue(queues.visitors, wait="/visitors/wait", action="/visitors/done"))


def _visitor_waits(_: Params, __: Queues) -> str:
    return response(f'<Gather numDigits="1" timeout="1" action="/visitors/key"><Play>{MELODY}</Play></Gather>')


def _visitor_pressed(params: Params, _: Queues) -> str:
    if params.get("Digits") == "9":
        return response("<Leave/>")
    if params.get("Digits") != "1":
        return response()
    position, size, waited = (params.get(name, "?") for name in ("QueuePosition", "CurrentQueueSize", "QueueTime"))
    return response(say(f"You are number {position} of {size}. You have waited {waited} seconds."))


def _visitor_done(params: Params, _: Queues) -> str:
    words = {"leave": "You have left the queue. Goodbye.", "bridged": "Thank you for calling. Goodbye."}
    return response(say(words.get(params.get("QueueResult", ""), "We are sorry, that did not work. Goodbye.")), HANG_UP)


def _visitors_agent(_: Params, queues: Queues) -> str:
    return response(
        say("The next caller."), dial_queue(queues.visitors, whisper="/visitors/whisper", action="/visitors/agentdone", timeout_s=120)
    )


def _visitors_whisper(_: Params, __: Queues) -> str:
    return response(say("You are being connected."))


def _visitors_agent_done(params: Params, _: Queues) -> str:
    words = "The caller has left." if params.get("DequeueResult") == "bridged" else "Nobody is waiting."
    return response(say(f"{words} Goodbye."), HANG_UP)


PAGES: Mapping[str, Callable[[Params, Queues], str]] = {
    "/voice": _voice,
    "/strangers/voice": _strangers_voice,
    "/strangers/done": _over,
    "/wait/one": _wait_one,
    "/wait/two": _wait_two,
    "/agent": _agent,
    "/whisper": _whisper,
    "/taken": _taken,
    "/done": _over,
    "/agentdone": _over,
    "/visitors/voice": _visitor,
    "/visitors/wait": _visitor_waits,
    "/visitors/key": _visitor_pressed,
    "/visitors/done": _visitor_done,
    "/visitors/agent": _visitors_agent,
    "/visitors/whisper": _visitors_whisper,
    "/visitors/agentdone": _visitors_agent_done,
}
NUMBERS = {CALLERS_NUMBER: "/voice", AGENTS_NUMBER: "/agent", STRANGERS_NUMBER: "/strangers/voice"}
VISITORS_NUMBERS = {VISITORS_NUMBER: "/visitors/voice", VISITORS_AGENT_NUMBER: "/visitors/agent"}
"""Which page is the voice URL of which number."""
