"""The example tenant: a web server of its own, bound to one account, that knows the platform by its REST interface and webhooks only.

A process (``python -m waitline.demo.tenant``, spoken to as ``pipe.py`` says). Its first line of input says who it is::

    {"host": "127.0.0.1", "platform": "http://127.0.0.1:8080", "account_sid": "AC…", "auth_token": "…"}

Then it says ``{"event": "ready", "base_url": …, "pid": …}``, one ``{"event": "request", …}`` for everything that was asked of it, and
obeys two commands: ``rest`` asks the platform something with the account's credentials, ``know`` tells it the sids of its queues. Requests
for documents must be signed with the account's token; others get 403, as a real tenant would have it.

What it answers is in ``documents.py``; its tones are made here, as WAV at 16 kHz, which is not what goes over the telephone.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

import aiohttp
import numpy as np
from aiohttp import web

from waitline.clock import Clock, SystemClock
from waitline.demo import documents, sound
from waitline.demo.pipe import Command, obey, say
from waitline.demo.rest import Rest

SIGNATURE = "X-Twilio-Signature"
WAV_RATE = 16_000
LONGEST_TONE_S = 30.0
CHORDS = ((262, 330, 392), (220, 262, 330), (175, 220, 262), (196, 247, 294))
CHORD_S = 2.0


def signature(auth_token: str, url: str, form: Mapping[str, str]) -> str:
    """Return what a request of our platform carries: base64(HMAC-SHA1(token, URL + sorted names and values))."""
    text = url + "".join(name + form[name] for name in sorted(form))
    return base64.b64encode(hmac.new(auth_token.encode(), text.encode(), hashlib.sha1).digest()).decode()


def melody() -> sound.Pcm:
    """Return what visitors hear while they wait: four soft chords, at WAV_RATE."""
    chords = [
        sum((sound.tone(hz, CHORD_S, rate=WAV_RATE, amplitude=2500, fade_s=0.4) for hz in chord), np.zeros(1, np.int16)) for chord in CHORDS
    ]
    return np.concatenate(chords).astype(np.int16)


class Tenant:
    """The server."""

    def __init__(self, *, auth_token: str, rest: Rest, clock: Clock) -> None:
        self.queues = documents.Queues()
        self._auth_token = auth_token
        self._rest = rest
        self._clock = clock
        self._melody = sound.wav(melody(), WAV_RATE)
        self.app = web.Application()
        self.app.router.add_get("/tones/{hz:[0-9]+}.wav", self._tone)
        self.app.router.add_get(documents.MELODY, self._play_melody)
        self.app.router.add_route("*", "/{path:.*}", self._document)

    # --- what the platform asks

    async def _document(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        signed = self._is_signed(request, form)
        page = documents.PAGES.get(request.path)
        params = {**request.query, **form}
        status, reply = 200, ""
        if not signed:
            status = 403
        elif page is None:
            status = 404
        else:
            reply = page(params, self.queues)
        self._log(request, params, signed=signed, status=status, reply=reply)
        return web.Response(status=status, text=reply, content_type="text/xml")

    async def _tone(self, request: web.Request) -> web.Response:
        hz = int(request.match_info["hz"])
        try:
            seconds = min(LONGEST_TONE_S, float(request.query.get("seconds", "3")))
        except ValueError:
            return web.Response(status=400)
        self._log(request, dict(request.query), signed=self._is_signed(request, {}), reply=f"WAV, {hz} Hz, {seconds:g} s")
        return _audio(sound.wav(sound.tone(hz, seconds, rate=WAV_RATE), WAV_RATE))

    async def _play_melody(self, request: web.Request) -> web.Response:
        self._log(request, {}, signed=self._is_signed(request, {}), reply="WAV")
        return _audio(self._melody)

    def _is_signed(self, request: web.Request, form: Mapping[str, str]) -> bool:
        """Whether it comes from the platform, for our account."""
        url = f"{request.scheme}://{request.host}{request.raw_path}"
        return hmac.compare_digest(signature(self._auth_token, url, form), request.headers.get(SIGNATURE, ""))

    def _log(self, request: web.Request, params: Mapping[str, str], *, signed: bool, status: int = 200, reply: str) -> None:
        said = {"method": request.method, "path": request.path, "params": params, "signed": signed, "status": status, "reply": reply}
        say(event="request", at=self._clock.now(), **said)

    # --- what the demo wants

    async def handle(self, command: Command) -> dict[str, Any]:
        """Obey one command."""
        match command["do"]:
            case "rest":
                answer = await self._rest.ask(command["method"], command["path"], command.get("form"))
                return {"status": answer.status, "body": answer.body}
            case "know":
                self.queues = documents.Queues(**command["queues"])
                return {}
        raise ValueError(f"a tenant cannot {command['do']}")


def _audio(data: bytes) -> web.Response:
    return web.Response(body=data, content_type="audio/wav", headers={"Cache-Control": "max-age=3600"})


async def serve(settings: Mapping[str, str], clock: Clock) -> None:
    """Serve on a free port until standard input ends."""
    rest = Rest(settings["platform"], settings["account_sid"], settings["auth_token"])
    tenant = Tenant(auth_token=settings["auth_token"], rest=rest, clock=clock)
    runner = web.AppRunner(tenant.app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings["host"], 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        say(event="ready", base_url=f"http://{host}:{port}", pid=os.getpid())
        await obey(tenant.handle, (aiohttp.ClientError, TimeoutError, ValueError))
    finally:
        await runner.cleanup()
        await rest.close()


def main() -> None:
    """Read the first line and serve."""
    asyncio.run(serve(json.loads(sys.stdin.readline()), SystemClock()))


if __name__ == "__main__":
    main()
