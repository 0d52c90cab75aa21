"""The whole platform in virtual time: the engine's own code, with wires, store, clips and tenant in memory.

::

    def test_a_caller_hears_its_wait_application() -> None:
        async def story(story: Story) -> None:
            story.tenant.on("/voice", "<Enqueue waitUrl='/wait'>support</Enqueue>")
            story.tenant.on("/wait", say(400))
            caller = story.phone("alice")
            await caller.calls(NUMBER)
            await caller.hears(400)

        play(story)

``play`` runs the story, hangs up what is left, and fails where the platform logged an error, lost a clip's hold, a queue's seat or a media
leg: so each story is a leak test too. ``play(story, wait_retry_s=5)`` passes settings.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import ip_network
from types import TracebackType
from typing import Any, Self

import numpy as np
import structlog
from aiohttp.test_utils import TestClient, TestServer

from harness import virtual_time
from harness.audio import FRAME, tone
from harness.rest import basic
from harness.story_ear import MUSIC, RINGING, SILENCE, Ear, Known
from harness.story_phone import Phone
from harness.story_tenant import HOST, Tenant
from waitline.bridge.config import Address, Config
from waitline.bridge.queues.queue import MemberView
from waitline.bridge.sids import CallSid, QueueSid
from waitline.bridge.sip.flow import Flow
from waitline.bridge.store.accounts import create_account
from waitline.bridge.store.drivers import Driver, Row
from waitline.bridge.store.errors import StoreError, StoreUnavailable
from waitline.bridge.store.records import Account, CallRecord, IncomingPhoneNumber, Notification, Queue
from waitline.bridge.store.store import Store
from waitline.bridge.webhook.client import Limits, WebhookClient
from waitline.bridge.webhook.memory import MemoryTransport
from waitline.clock import VirtualClock
from waitline.control import Control, Ports
from waitline.media.clip_maker import InlineMaker
from waitline.media.clips import ClipLibrary
from waitline.media.frame_store import FrameStore
from waitline.media.memory import MemoryMedia
from waitline.media.messages import Bridged, Report
from waitline.media.plane import MediaPlane
from waitline.media.speech import Spoken

NUMBER, AGENTS = "+15550100", "+15550199"
PHONES = ip_network("198.51.100.0/24")
PLATFORM = ("192.0.2.1", 5060)
STORE_FRAMES = 12_000  # four minutes of clips
KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


@lru_cache(maxsize=256)
def _spoken_tone(frequency: float, seconds: float) -> Spoken:
    """Most stories say the same few tones."""
    pcm = tone(frequency, seconds)
    pcm.setflags(write=False)
    return Spoken(pcm, 8000, None)


@lru_cache(maxsize=64)
def _config(**settings: Any) -> Config:
    """Settings are frozen, and reading them is a quarter of what it takes to begin a story."""
    return Config(sip=Address(*PLATFORM), sip_trust=(PHONES,), rtp_host=PLATFORM[0], **settings)


class ToneSpeech:
    """Speaks "400 Hz for 2.0 s" as just that; any other text as a second of 3000 Hz."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        """(text, voice, language)"""

    def languages(self) -> tuple[str, ...]:
        return ("en-US",)

    def synthesise(self, text: str, voice: str, language: str) -> Spoken:
        self.asked.append((text, voice, language))
        words = text.split()
        if len(words) == 5 and words[1] == "Hz":
            return _spoken_tone(float(words[0]), float(words[3]))
        return _spoken_tone(3000, 1.0)


@dataclass(frozen=True)
class RestReply:
    status: int
    body: Any

    def __getitem__(self, name: str) -> Any:
        return self.body[name]


class SlowLink:
    """The way to the media worker, and how long it takes to report a bridge (see plane.WorkerLink)."""

    def __init__(self, media: MemoryMedia, story: Story) -> None:
        self._media = media
        self._story = story
        self.on_lost: Callable[[str], None] = lambda _why: None
        self.send, self.ready, self.close = media.send, media.ready, media.close

    def attach(self, on_reports: Callable[[list[Report], list[int]], None], on_lost: Callable[[str], None]) -> None:
        def deliver(reports: list[Report], descriptors: list[int]) -> None:
            if self._story.bridge_takes_s and any(isinstance(report, Bridged) for report in reports):
                self._story.loop.call_later(self._story.bridge_takes_s, on_reports, reports, descriptors)
            else:
                on_reports(reports, descriptors)

        self.on_lost = on_lost
        self._media.attach(deliver, on_lost)


class StoryDisk:
    """The database's driver, on a disk that is full while the story says so."""

    def __init__(self, driver: Driver, story: Story) -> None:
        self._driver = driver
        self._story = story

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)

    def write(self, rows: Sequence[Row]) -> None:
        if self._story.store_fails:
            raise StoreUnavailable("the disk is full", reason="full")
        self._driver.write(rows)


class Story:
    """The platform, a tenant, and as many phones as it takes."""

    def __init__(self, **settings: Any) -> None:
        self.loop = asyncio.get_running_loop()
        self.clock = VirtualClock(self.loop.time)
        self.random = random.Random(1)
        self.tenant = Tenant()
        self.speech = ToneSpeech()
        self.platform = PLATFORM
        self.phones: dict[tuple[str, int], Phone] = {}
        self.lost_sip: Callable[[bytes], bool] = lambda _data: False
        """Which datagrams of the platform's SIP never arrive."""
        self._settings = settings
        self._log = structlog.testing.LogCapture()
        self._rest: TestClient[Any, Any] | None = None
        self._faults: list[str] = []
        self.bridge_takes_s = 0.0
        """How long the media worker takes to report a bridge."""
        self.store_takes_s = 0.0
        """How long the store takes for a write that is waited for."""
        self.store_fails = False
        """Nothing can be written."""
        self.may_fail = False
        """Errors in the log are part of the story."""

    # --- beginning and end

    async def __aenter__(self) -> Self:
        structlog.configure(processors=[structlog.contextvars.merge_contextvars, self._log])
        self.loop.set_exception_handler(lambda _loop, context: self._faults.append(str(context.get("exception") or context)))
        self.config = _config(**self._settings)
        self.store = await Store.open(
            ":memory:", clock=self.clock, key=KEY, inline=True, refresh_s=None, wrap_driver=lambda driver: StoryDisk(driver, self)
        )
        self._slow_down(self.store)
        self._frames = FrameStore.in_memory(STORE_FRAMES)
        self.clips = ClipLibrary(self._frames, InlineMaker(self._frames, self.speech), clock=self.clock)
        self.media = MemoryMedia(self._frames.frames, random=self.random, host=PLATFORM[0], quiet_s=int(self.config.quiet_limit_s))
        self.link = SlowLink(self.media, self)
        self.plane = MediaPlane([self.link], host=PLATFORM[0], random=self.random)
        self.control = Control(self._ports())
        self.control.endpoint.attach_wire(self, PLATFORM)
        self._known = self._own_sounds()
        self.account = await self.opens_account("tenant a")
        await self.has_number(NUMBER, voice_url="/voice")
        await self.has_number(AGENTS, voice_url="/agent")
        return self

    def _slow_down(self, store: Store) -> None:
        put, when_durable = store.put, store.when_durable

        async def write(*records: Any) -> None:
            if self.store_takes_s:
                await asyncio.sleep(self.store_takes_s)
            await put(*records)

        def when_written(told: Callable[[StoreError | None], None]) -> None:
            if self.store_takes_s:
                asyncio.get_running_loop().call_later(self.store_takes_s, when_durable, told)
            else:
                when_durable(told)

        store.put = write  # type: ignore[method-assign]
        store.when_durable = when_written  # type: ignore[method-assign]

    def _ports(self) -> Ports:
        webhooks = WebhookClient(transport=MemoryTransport(self.tenant.take), clock=self.clock, limits=Limits.of(self.config))
        return Ports(
            clock=self.clock, config=self.config, random=self.random, store=self.store, plane=self.plane, clips=self.clips,
            webhooks=webhooks, realm="waitline", nonce_key=bytes(32), random_bytes=self.random.randbytes,
        )  # fmt: skip

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for phone in self.phones.values():
            phone.stops_talking()
        if self._rest is not None:
            await self._rest.close()
        await self.control.close()
        held = [entry.clip.key for entry in self.clips._entries.values() if entry.holds]
        legs = self.plane.stats["legs"]
        self.control.endpoint.close()
        await self.clips.close()
        await self.plane.close()
        await self.store.close()
        structlog.reset_defaults()
        if error is None:
            self._check(held, legs)

    def _check(self, held: list[str], legs: float) -> None:
        errors = [entry for entry in self._log.entries if entry["log_level"] in ("error", "critical")]
        assert self.may_fail or not (errors or self._faults), f"the platform logged {errors} {self._faults}"
        assert not self.tenant.repeated, f"sent twice: {self.tenant.repeated}"
        totals = self.control.queues.totals()
        assert (totals.waiting, totals.claimed) == (0, 0), "members have outlived their calls"
        assert not len(self.control.switchboard), "calls have outlived their ends"
        assert not legs, "media legs were not given back"
        assert not held, f"clips are still held: {held}"

    # --- time

    def now(self) -> float:
        return self.loop.time()

    async def passes(self, seconds: float) -> None:
        """Let that much time pass."""
        await asyncio.sleep(seconds)

    def media_dies(self) -> None:
        """The media worker is gone, nobody can take its place, and all legs are lost."""
        self.link.on_lost("killed")

    async def media_is_replaced(self, after_s: float = 0.3, *, without: Collection[int] = ()) -> None:
        """The media worker is killed, and so much later another goes on with its legs, but for those whose sockets are lost."""
        self.media.die()
        await self.passes(after_s)
        self.media.succeed(without=without)

    # --- wires

    def send(self, data: bytes, flow: Flow) -> None:
        """Take a datagram of the platform's (see net.endpoint.Wire)."""
        phone = self.phones.get(flow.remote)
        if phone is not None and not self.lost_sip(data):
            self.loop.call_soon(phone.take_sip, data)

    def send_sip(self, data: bytes, source: tuple[str, int]) -> None:
        phone = self.phones.get(source)
        transport = phone.transport if phone is not None else "udp"
        self.loop.call_soon(self.control.endpoint.datagram, data, Flow(transport, PLATFORM, source))

    def listen(self, phone: Phone) -> None:
        """Let a phone hear what is sent to its RTP port."""
        self.media.listen(phone.rtp, lambda packet, _source: phone.take_rtp(packet))

    def send_rtp(self, packet: bytes, source: tuple[str, int], to: tuple[str, int]) -> None:
        self.media.inject(packet, source, to[1])

    # --- who takes part

    def phone(self, name: str, *, listens: bool = True, host: str = "") -> Phone:
        """A phone at an address of its own; one that does not listen costs nothing while time passes.

        ``host``: another address than one of those the operator trusts.
        """
        index = len(self.phones) + 1
        host = host or f"198.51.100.{index}"
        phone = Phone(self, name, f"+1555020{index:02}", host, Ear(self.now, self._known))
        self.phones[phone.address] = phone
        if listens:
            self.listen(phone)
        return phone

    async def caller_waits(self, name: str, *, number: str = NUMBER, listens: bool = True) -> Phone:
        """A phone that calls and is in a queue when this returns."""
        phone = self.phone(name, listens=listens)
        await phone.calls(number)
        await self.passes(0.02)
        assert self.control.queues.view(CallSid(self.sid_of(phone))), f"{name} is in no queue"
        return phone

    async def opens_account(self, name: str) -> Account:
        return await create_account(self.store, name, clock=self.clock, random_bytes=self.random.randbytes)

    async def has_number(self, number: str, *, account: Account | None = None, **fields: Any) -> IncomingPhoneNumber:
        """Give the tenant a number; URLs may be paths of its server."""
        now = self.clock.utc()
        fields = {name: _absolute(value) for name, value in fields.items()}
        record = IncomingPhoneNumber(
            sid=self.control.sids.new("PN"),
            account_sid=(account or self.account).sid,
            phone_number=number,
            friendly_name=number,
            date_created=now,
            date_updated=now,
            **fields,
        )
        await self.store.put(record)
        return record

    async def changes_number(self, number: str = NUMBER, **fields: str) -> None:
        """Change a number's URLs: ``voice_url``, ``voice_fallback_url``, ``status_callback`` …"""
        record = self.store.image.numbers.by_number(number)
        assert record is not None
        await self.store.put(replace(record, **{name: _absolute(value) for name, value in fields.items()}))

    async def has_queue(self, name: str = "support", *, max_size: int = 1000, wait_retry_s: float = 0.0) -> Queue:
        """Make a queue as REST would."""
        queue = await self.control.directory.create(self.account.sid, name, max_size=max_size)
        if wait_retry_s:
            queue = replace(queue, wait_retry_s=wait_retry_s)
            await self.store.put(queue)
        return queue

    # --- looking inside

    def sid_of(self, phone: Phone) -> str:
        """The CallSid of the phone's newest call, while it is up."""
        return next(call.sid for call in self.control.switchboard if call.state.sip.call_id == phone.call_id)

    def queue(self, name: str = "support") -> Queue:
        queue = self.control.directory.find(self.account.sid, name)
        assert queue is not None, f"there is no queue {name}"
        return queue

    def members(self, name: str = "support") -> list[str]:
        """The CallSids that wait, from the front."""
        return [view.member.call for view in self._views(name)]

    def _views(self, name: str) -> tuple[MemberView, ...]:
        return self.control.queues.snapshot(QueueSid(self.queue(name).sid), limit=1000).members

    async def notifications(self, account: Account | None = None) -> list[Notification]:
        """What the tenant was told of, the oldest first."""
        found, _ = await self.store.page(Notification, account_sid=(account or self.account).sid, limit=1000)
        return list(reversed(found))

    async def codes(self) -> list[int]:
        return [entry.error_code for entry in await self.notifications()]

    async def record(self, call_sid: str) -> CallRecord:
        found = await self.store.get(CallRecord, call_sid)
        assert found is not None
        return found

    # --- REST

    async def rest(
        self, method: str, path: str, form: Mapping[str, str] | None = None, *, account: Account | None = None, owner: Account | None = None
    ) -> RestReply:
        """Ask the REST interface over loopback as ``account`` for a path of ``owner``, such as ``/Queues.json``."""
        account, owner = account or self.account, owner or self.account
        if self._rest is None:
            self._rest = TestClient(TestServer(self.control.app))
            await self._rest.start_server()
        headers = {"Authorization": basic(account.sid, account.auth_token)}
        async with self._rest.request(method, f"/2010-04-01/Accounts/{owner.sid}{path}", data=form, headers=headers) as response:
            return RestReply(response.status, await response.json() if response.content_type == "application/json" else None)

    def _own_sounds(self) -> dict[str, Known]:
        """Payload → name of the platform's own sounds, for both codecs."""
        known: dict[str, Known] = {}
        for index, codec in enumerate(("PCMU", "PCMA")):
            frames = self._frames.frames[index]
            ringing, music = (frames[clip.start : clip.start + clip.frames] for clip in (self.clips.ringback, self.clips.default_music))
            known[codec] = dict(_named(ringing.tobytes(), music.tobytes(), np.asarray(frames[0]).tobytes()))
        return known


@lru_cache(maxsize=8)
def _named(ringing: bytes, music: bytes, silence: bytes) -> Known:
    """The same for every story, as long as the platform's sounds are."""
    return {
        sound[at : at + FRAME]: name
        for sound, name in ((ringing, RINGING), (music, MUSIC), (silence, SILENCE))
        for at in range(0, len(sound), FRAME)
    }


def _absolute(value: Any) -> Any:
    return HOST + value if isinstance(value, str) and value.startswith("/") else value


def play(tell: Callable[[Story], Awaitable[None]], **settings: Any) -> None:
    """Run a story to its end on a virtual loop of its own."""

    async def told() -> None:
        async with Story(**settings) as story:
            await tell(story)

    virtual_time.run(told())
