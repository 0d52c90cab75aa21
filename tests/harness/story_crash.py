"""A story whose control process may die at any moment, and be followed by another.

``dies`` stops everything the old control could still do to the outside (its wires, its writes, its words to the media worker go nowhere)
before its tasks are cancelled, so nothing of its clean-up is seen: it is as if the process had been killed. What arrives meanwhile waits in
the sockets, as it does in service, where the supervisor keeps them open. ``follows`` makes the next control on what is left: the store, the
media worker with its legs, the frames.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Self

from harness import virtual_time
from harness.story import PLATFORM, SlowLink, Story, ToneSpeech
from waitline.bridge.sip.flow import Flow
from waitline.bridge.store.store import Store
from waitline.bridge.webhook.exchange import HttpRequest, HttpResponse
from waitline.bridge.webhook.faults import Failure, Fault
from waitline.control import Control
from waitline.media.clip_maker import InlineMaker
from waitline.media.clips import ClipLibrary
from waitline.media.frame_store import FrameStore
from waitline.media.plane import MediaPlane


class ControlsStore:
    """The store as one control sees it: nothing of it is written any more once that control is dead."""

    def __init__(self, store: Store, epoch: int) -> None:
        self._store = store
        self.epoch = epoch
        self.dead = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def append(self, record: Any) -> None:
        if not self.dead:
            self._store.append(record)

    def drop(self, kind: str, key: str) -> None:
        if not self.dead:
            self._store.drop(kind, key)

    async def put(self, *records: Any) -> None:
        await self._alive()
        await self._store.put(*records)

    async def delete(self, *records: Any) -> None:
        await self._alive()
        await self._store.delete(*records)

    async def durable(self) -> None:
        if not self.dead:
            await self._store.durable()

    async def _alive(self) -> None:
        if self.dead:
            await asyncio.Event().wait()


class DeadTransport:
    """Where the requests of a dead process go."""

    async def exchange(self, _request: HttpRequest) -> HttpResponse:
        raise Failure(Fault.CONNECTION_LOST, "the process is dead")

    async def close(self) -> None:
        """Nothing is open."""


class DeadWire:
    """Where the datagrams of a dead process go."""

    def send(self, _data: bytes, _flow: Flow) -> None:
        """Nowhere."""


class ControlsLink(SlowLink):
    """The way to the media worker, cut for a control that is dead."""

    def __init__(self, story: CrashingStory) -> None:
        super().__init__(story.media, story)
        self._to_worker = story.media.send
        self.send = self._send_if_alive
        self.dead = False

    def _send_if_alive(self, commands: Any, descriptors: Any = ()) -> None:
        if not self.dead:
            self._to_worker(commands, descriptors)


class CrashingStory(Story):
    """See the module."""

    deaths = 0

    async def __aenter__(self) -> Self:
        self._waiting_datagrams: list[tuple[bytes, tuple[str, int]]] = []
        self._down = False
        await super().__aenter__()
        await self.dies()
        await self.follows()
        return self

    def send_sip(self, data: bytes, source: tuple[str, int]) -> None:
        if self._down:
            self._waiting_datagrams.append((data, source))
        else:
            super().send_sip(data, source)

    async def dies(self) -> None:
        """Kill control."""
        self.falls_silent()
        control = self.control
        control.endpoint.close()
        await control.calls.close()
        await control.tasks.close()
        if self._rest is not None:
            await self._rest.close()
            self._rest = None
        self.deaths += 1

    def falls_silent(self) -> None:
        """From now on nothing of what control does reaches the outside."""
        self._down = True
        control = self.control
        control.endpoint.attach_wire(DeadWire(), PLATFORM)
        for gate in (control._ports.store, *control._ports.plane._links):
            gate.dead = True  # type: ignore[attr-defined]
        control.endpoint._on_event = lambda _event: None
        control._ports.webhooks._courier._transport = DeadTransport()

    async def follows(self, *, after_s: float = 0.0) -> int:
        """Start the next control; returns how many calls go on."""
        await asyncio.sleep(after_s)
        frames = FrameStore(self._frames.frames)
        self.clips = ClipLibrary(frames, InlineMaker(frames, ToneSpeech()), clock=self.clock)
        epoch = self.deaths + 1
        self.plane = MediaPlane([self._controls_link()], host=PLATFORM[0], random=self.random, epoch=epoch)
        ports = self._ports()
        self.control = Control(replace(ports, store=self._controls_store(epoch)))
        self.control.endpoint.attach_wire(self, PLATFORM)
        going_on = await self.control.recover()
        self._down = False
        waiting, self._waiting_datagrams = self._waiting_datagrams, []
        for data, source in waiting:
            self.send_sip(data, source)
        return going_on

    def _controls_link(self) -> ControlsLink:
        return ControlsLink(self)

    def _controls_store(self, epoch: int) -> Any:
        return ControlsStore(self.store, epoch)

    async def crashes(self, *, for_s: float = 0.0) -> int:
        """Kill control and let the next one follow; returns how many calls go on."""
        await self.dies()
        return await self.follows(after_s=for_s)


def play(tell: Callable[[CrashingStory], Awaitable[None]], **settings: Any) -> None:
    """Run a story with crashes to its end on a virtual loop of its own."""

    async def told() -> None:
        async with CrashingStory(**settings) as story:
            await tell(story)

    virtual_time.run(told())
