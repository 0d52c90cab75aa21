"""A tenant of Waitline in one file: callers wait in a queue with a wait application of their own, agents take them one by one.

The platform asks this server what to do with each call, by a signed POST; the answer is a document of verbs. What happens:

    a caller dials CALLERS_NUMBER   → POST /voice    greeted, then <Enqueue> with our queue's sid
      while it waits                → POST /wait     again and again: music, and one key may be pressed
      a key                         → POST /key      1: says the position; 9: leaves the queue
      when it has left the queue    → POST /done     says goodbye
    an agent dials AGENTS_NUMBER    → POST /agent    <Dial><Queue>: is given the first caller, or waits for one
      to the caller, before         → POST /whisper
      when they have talked         → POST /agent-done

Settings are in the environment, see ../README.md.
"""

import asyncio
import base64
import hashlib
import hmac
import io
import math
import os
import struct
import sys
import wave

import aiohttp
from aiohttp import web

ACCOUNT_SID = os.environ.get("ACCOUNT_SID", "")
AUTH_TOKEN = os.environ.get("AUTH_TOKEN", "")
WAITLINE_URL = os.environ.get("WAITLINE_URL", "http://127.0.0.1:8080")
LISTEN = os.environ.get("LISTEN", "127.0.0.1:9000")
PUBLIC_URL = os.environ.get("PUBLIC_URL", "")
CALLERS_NUMBER = os.environ.get("CALLERS_NUMBER", "+15550100")
AGENTS_NUMBER = os.environ.get("AGENTS_NUMBER", "+15550101")
QUEUE_NAME = "support"


# --- what the platform asks us: a page is a function from the request's parameters to the verbs of a document


def voice(params, queue):
    return (
        f'<Say>Welcome. Press 1 to hear your position, 9 to leave the queue.</Say><Enqueue waitUrl="/wait" action="/done">{queue}</Enqueue>'
    )


def wait(params, queue):
    return '<Gather numDigits="1" timeout="1" action="/key"><Play>/music.wav</Play></Gather>'


def key(params, queue):
    if params.get("Digits") == "9":
        return "<Leave/>"
    if params.get("Digits") == "1":
        return f"<Say>You are number {params['QueuePosition']} of {params['CurrentQueueSize']}.</Say>"
    return ""


def done(params, queue):
    words = {"bridged": "Thank you for calling.", "leave": "You have left the queue."}
    return f"<Say>{words.get(params['QueueResult'], 'We are sorry, that did not work.')} Goodbye.</Say><Hangup/>"


def agent(params, queue):
    return f'<Dial action="/agent-done" timeout="120"><Queue url="/whisper">{queue}</Queue></Dial>'


def whisper(params, queue):
    return "<Say>You are being connected.</Say>"


def agent_done(params, queue):
    return f"<Say>{'The caller has left.' if params.get('DequeueResult') == 'bridged' else 'Nobody is waiting.'}</Say><Hangup/>"


PAGES = {"/voice": voice, "/wait": wait, "/key": key, "/done": done, "/agent": agent, "/whisper": whisper, "/agent-done": agent_done}


def signature(url, form):
    """What a request of our platform carries: base64(HMAC-SHA1(auth token, URL + parameters sorted by name))."""
    text = url + "".join(name + form[name] for name in sorted(form))
    return base64.b64encode(hmac.new(AUTH_TOKEN.encode(), text.encode(), hashlib.sha1).digest()).decode()


class Tenant:
    """The web server."""

    def __init__(self):
        self.public_url, self.queue, self.music = PUBLIC_URL, "", chords()
        self.app = web.Application()
        self.app.add_routes([web.post(path, self.answer) for path in PAGES])
        self.app.router.add_get("/music.wav", self.play)

    async def answer(self, request):
        form = dict(await request.post())
        expected = signature(self.public_url + request.raw_path, form)
        if not hmac.compare_digest(expected, request.headers.get("X-Twilio-Signature", "")):
            return web.Response(status=403)  # somebody else is asking
        told = {name: form[name] for name in ("From", "QueuePosition", "QueueTime", "QueueResult", "Digits") if name in form}
        print(request.path, told, flush=True)
        return web.Response(text=f"<Response>{PAGES[request.path](form, self.queue)}</Response>", content_type="text/xml")

    async def play(self, request):
        return web.Response(body=self.music, content_type="audio/wav", headers={"Cache-Control": "max-age=3600"})


def chords(rate=8000, seconds=2.0):
    """Four soft chords as a WAV file. A file of your own does as well: WAV, MP3, OGG or FLAC."""
    samples = []
    for chord in ((262, 330, 392), (220, 262, 330), (175, 220, 262), (196, 247, 294)):
        for i in range(int(seconds * rate)):
            t = i / rate
            loudness = 2500 * min(1.0, t / 0.4, (seconds - t) / 0.4)
            samples.append(int(loudness * sum(math.sin(2 * math.pi * hz * t) for hz in chord)))
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(struct.pack(f"<{len(samples)}h", *samples))
    return file.getvalue()


# --- what we ask the platform: a queue, and two numbers whose calls we decide on


class Platform:
    """The REST interface, as our account."""

    def __init__(self, session):
        self.session = session

    async def ask(self, method, path, **form):
        url = f"{WAITLINE_URL}/2010-04-01/Accounts/{ACCOUNT_SID}/{path}"
        auth = aiohttp.BasicAuth(ACCOUNT_SID, AUTH_TOKEN)
        async with self.session.request(method, url, data=form or None, auth=auth) as response:
            body = await response.json()
            if response.status >= 400:
                raise SystemExit(f"{method} {path}: {response.status} {body['message']}")
            return body

    async def queue(self, name):
        """Return the sid of the queue of that name; it is created if there is none."""
        for queue in (await self.ask("GET", "Queues.json?PageSize=1000"))["queues"]:
            if queue["friendly_name"] == name:
                return queue["sid"]
        return (await self.ask("POST", "Queues.json", FriendlyName=name))["sid"]

    async def number(self, number, voice_url):
        """Have calls to that number decided by that page."""
        for known in (await self.ask("GET", "IncomingPhoneNumbers.json?PageSize=1000"))["incoming_phone_numbers"]:
            if known["phone_number"] == number:
                await self.ask("POST", f"IncomingPhoneNumbers/{known['sid']}.json", VoiceUrl=voice_url)
                return
        await self.ask("POST", "IncomingPhoneNumbers.json", PhoneNumber=number, VoiceUrl=voice_url)


async def main():
    if not ACCOUNT_SID or not AUTH_TOKEN:
        raise SystemExit("Set ACCOUNT_SID and AUTH_TOKEN to what `waitline account create` prints.")
    tenant = Tenant()
    runner = web.AppRunner(tenant.app, access_log=None)
    await runner.setup()
    try:
        host, _, port = LISTEN.rpartition(":")
        await web.TCPSite(runner, host, int(port)).start()
        tenant.public_url = PUBLIC_URL or "http://{}:{}".format(*runner.addresses[0][:2])
        async with aiohttp.ClientSession() as session:
            platform = Platform(session)
            tenant.queue = await platform.queue(QUEUE_NAME)
            await platform.number(CALLERS_NUMBER, tenant.public_url + "/voice")
            await platform.number(AGENTS_NUMBER, tenant.public_url + "/agent")
        print(f"queue {tenant.queue}; callers dial {CALLERS_NUMBER}, agents {AGENTS_NUMBER}; Ctrl-C ends", flush=True)
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        sys.exit(0)
