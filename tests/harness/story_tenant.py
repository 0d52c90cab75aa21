"""A story's tenant: a table of path → answers behind the webhook client's port, and a log of what was asked.

::

    tenant.on("/voice", "<Enqueue waitUrl='/wait'>support</Enqueue>")       a document; the Response around it may be left out
    tenant.on("/wait", say(400), Answer(status=500), say(600))              one after the other, the last again and again
    tenant.on("/wait", lambda asked: say(400 + 50 * int(asked["QueuePosition"])))
    tenant.on("/music.wav", wav(500, seconds=2))

A path without answers is a 404. ``dies`` makes the whole server refuse connections, ``revives`` ends that.
"""

from __future__ import annotations

import asyncio
import io
import wave
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit
from xml.sax.saxutils import quoteattr

from harness.audio import RATE, tone
from waitline.bridge.webhook.exchange import HttpRequest, HttpResponse
from waitline.bridge.webhook.faults import Failure, Fault

HOST = "http://tenant.example"
DEFAULT = "(attribute left out)"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One HTTP answer; ``after_s`` virtual seconds, or never where the platform gives up before."""

    body: str | bytes = "<Response/>"
    status: int = 200
    content_type: str = "text/xml"
    after_s: float = 0.0
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Asked:
    """One request: when, what, and the parameters as the tenant's framework would show them."""

    at: float
    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str] = field(repr=False, default_factory=dict)
    url: str = ""
    """As it was requested, query included"""

    def __getitem__(self, name: str) -> str:
        return self.params[name]

    def __contains__(self, name: str) -> bool:
        return name in self.params


Reply = str | Answer | Callable[[Asked], "str | Answer"]


def say(hz: int, *, seconds: float = 1.0) -> str:
    """A document that is heard as a tone of ``hz`` (see the story's speech)."""
    return f"<Response>{spoken(hz, seconds=seconds)}</Response>"


def spoken(hz: int, *, seconds: float = 1.0) -> str:
    """The verb alone."""
    return f"<Say>{hz} Hz for {seconds} s</Say>"


def enqueue(queue: str = "support", *, then: str = "", **attributes: str) -> str:
    """A document that enqueues; ``waitUrl`` is /wait unless given (``DEFAULT`` leaves an attribute out)."""
    given = {"waitUrl": "/wait", "action": "/done", **attributes}
    return f"<Response><Enqueue{_written(given)}>{queue}</Enqueue>{then}</Response>"


def dial(queue: str = "support", *, whisper: str = "", then: str = "", **attributes: str) -> str:
    """A document that takes a caller out of a queue; ``whisper`` is the noun's URL."""
    noun = _written({"url": whisper or DEFAULT})
    given = {"action": "/agent-done", **attributes}
    return f"<Response><Dial{_written(given)}><Queue{noun}>{queue}</Queue></Dial>{then}</Response>"


def _written(attributes: dict[str, str]) -> str:
    return "".join(f" {name}={quoteattr(value)}" for name, value in attributes.items() if value != DEFAULT)


def wav(hz: int, *, seconds: float = 1.0, after_s: float = 0.0, cache: str = "max-age=3600") -> Answer:
    """A WAV file of a tone."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(tone(hz, seconds).tobytes())
    return Answer(body=file.getvalue(), content_type="audio/wav", after_s=after_s, headers=(("Cache-Control", cache),))


def document(body: str) -> str:
    return body if body.lstrip().startswith("<?xml") or "<Response" in body else f"<Response>{body}</Response>"


class Tenant:
    """See the module."""

    def __init__(self) -> None:
        self.requests: list[Asked] = []
        self.refuses = False
        self.repeated: set[str] = set()
        """Parameters that some request had twice: no framework shows both"""
        self._answers: dict[str, list[Reply]] = {}
        self._waiting: list[asyncio.Event] = []

    def on(self, path: str, *answers: Reply) -> None:
        """Answer requests for ``path`` so, from now on."""
        self._answers[path] = list(answers)

    def runs_a_desk(self, *, whisper: str = "") -> None:
        """The usual: callers wait to 400 Hz and hear 800 Hz afterwards; agents dial the queue and hear 900 Hz afterwards."""
        self.on("/voice", enqueue())
        self.on("/wait", say(400, seconds=10))
        self.on("/done", say(800, seconds=60))
        self.on("/agent", dial(whisper=whisper))
        self.on("/agent-done", say(900, seconds=60))
        self.on("/whisper", say(600, seconds=1))

    def dies(self) -> None:
        self.refuses = True

    def revives(self) -> None:
        self.refuses = False

    def asked_for(self, path: str) -> list[Asked]:
        """All requests for a path so far."""
        return [asked for asked in self.requests if asked.path == path]

    async def asked(self, path: str, *, count: int = 1, within: float = 10.0) -> Asked:
        """Wait for the ``count``-th request for a path and return it."""
        arrived = asyncio.Event()
        self._waiting.append(arrived)
        try:
            async with asyncio.timeout(within):
                while len(self.asked_for(path)) < count:
                    arrived.clear()
                    await arrived.wait()
        except TimeoutError:
            paths = [(round(asked.at, 2), asked.path) for asked in self.requests]
            raise AssertionError(f"{path} was not asked {count} times within {within} s; asked were {paths}") from None
        finally:
            self._waiting.remove(arrived)
        return self.asked_for(path)[count - 1]

    async def take(self, request: HttpRequest) -> HttpResponse:
        """Be the network: the function given to the webhook client."""
        asked, repeated = read(request)
        self.requests.append(asked)
        self.repeated |= {f"{name} of {asked.path}" for name in repeated}
        for waiter in self._waiting:
            waiter.set()
        if self.refuses:
            raise Failure(Fault.CONNECTION_REFUSED, HOST)
        answer = self._next(asked)
        if answer.after_s:
            await asyncio.sleep(answer.after_s)
        body = document(answer.body).encode() if isinstance(answer.body, str) else answer.body
        return HttpResponse(status=answer.status, headers=(("Content-Type", answer.content_type), *answer.headers), body=body)

    def _next(self, asked: Asked) -> Answer:
        answers = self._answers.get(asked.path)
        if not answers:
            return Answer(body="not here", status=404, content_type="text/plain")
        reply = answers.pop(0) if len(answers) > 1 else answers[0]
        made = reply(asked) if callable(reply) else reply
        return made if isinstance(made, Answer) else Answer(body=made)


def read(request: HttpRequest) -> tuple[Asked, set[str]]:
    """The request, and the names that are in it more than once."""
    parts = urlsplit(request.url)
    pairs = parse_qsl(parts.query, keep_blank_values=True) + parse_qsl(request.body.decode(), keep_blank_values=True)
    names = [name for name, _ in pairs]
    asked = Asked(asyncio.get_running_loop().time(), request.method, parts.path, dict(pairs), dict(request.headers), request.url)
    return asked, {name for name in names if names.count(name) > 1}
