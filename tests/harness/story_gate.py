"""A story whose control dies right after its n-th effect on the outside, for any n, and whose phones repeat what is not answered.

An effect is what somebody else can see or what survives: a datagram of SIP, a commit of the store, a batch of commands to the media
worker, a request to the tenant. The store commits a moment after it is written to, as the real one does, so much can happen in between:
what was written and not committed is lost with the process. ``strikes_after`` arms the gate; at that effect nothing more of the control
gets out, in the same instruction, and the next control follows ``GAP_S`` later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Self

from harness.story_crash import ControlsLink, ControlsStore, CrashingStory
from harness.story_phone import Phone
from waitline.bridge.sip.flow import Flow
from waitline.bridge.store.drivers import Row
from waitline.bridge.store.errors import StoreError
from waitline.bridge.store.records import LiveState
from waitline.bridge.store.schema import KINDS
from waitline.bridge.store.store import Store
from waitline.bridge.webhook.exchange import HttpRequest, HttpResponse
from waitline.bridge.webhook.memory import MemoryTransport

GAP_S = 0.2
COMMIT_S = 0.002


class GatedStore(ControlsStore):
    """Commits late, and loses what was not committed when control dies."""

    def __init__(self, store: Store, epoch: int, effect: Callable[[str], None]) -> None:
        self._rows: list[Any] = []
        self._late: list[Callable[[], None]] = []
        self._committed: asyncio.Future[None] | None = None
        self._effect = effect
        super().__init__(store, epoch)

    @property
    def dead(self) -> bool:
        return self._dead

    @dead.setter
    def dead(self, dead: bool) -> None:
        """Whoever of a dead control still waits for a commit waits no longer: the sooner its tasks are gone."""
        self._dead = dead
        if dead and self._committed is not None and not self._committed.done():
            self._committed.set_result(None)

    @property
    def pending(self) -> bool:
        return bool(self._rows or self._late) and not self._dead

    def append(self, record: Any) -> None:
        self._add(self._store._row(record))  # as it is now: it may change before the commit

    def drop(self, kind: str, key: str) -> None:
        self._add(Row(KINDS[LiveState].table.name, self._store._deletes[LiveState], (kind, key)))

    def _add(self, row: Any) -> None:
        if self.dead:
            return
        self._rows.append(row)
        self._commit_soon()

    def before_next(self, source: Callable[[], None]) -> None:
        if not self.dead:
            self._late.append(source)
            self._commit_soon()

    def when_durable(self, told: Callable[[StoreError | None], None]) -> None:
        if self._dead or self._committed is None:
            told(None)
        else:
            self._committed.add_done_callback(lambda _: told(None))

    def _commit_soon(self) -> None:
        if self._committed is None:
            loop = asyncio.get_running_loop()
            self._committed = loop.create_future()
            loop.call_later(COMMIT_S, self._commit)

    def _commit(self) -> None:
        late, self._late = self._late, []
        for source in late:
            source()
        committed, self._committed = self._committed, None
        rows, self._rows = self._rows, []
        if self.dead:
            return
        for row in rows:
            self._store._append(row)
        self._store._flush()
        assert committed is not None
        committed.set_result(None)
        self._effect("commit")

    async def durable(self) -> None:
        if not self._dead and self._committed is not None:
            await asyncio.shield(self._committed)

    async def put(self, *records: Any) -> None:
        await self.durable()
        await super().put(*records)
        self._effect("put")


class GatedLink(ControlsLink):
    """Counts batches of commands."""

    def __init__(self, story: GatedStory) -> None:
        super().__init__(story)
        self._effect = story.effect

    def _send_if_alive(self, commands: Any, descriptors: Any = ()) -> None:
        if not self.dead:
            super()._send_if_alive(commands, descriptors)
            self._effect(f"media {' '.join(type(command).__name__ for command in commands)}")


class GatedStory(CrashingStory):
    """See the module."""

    async def __aenter__(self) -> Self:
        self.effects: list[str] = []
        self.struck_at = ""
        self._strikes_after = 0
        self._armed = False
        self._watch: asyncio.Task[None] | None = None
        self._struck = asyncio.Event()
        await super().__aenter__()
        return self

    @property
    def is_down(self) -> bool:
        """Whether nobody is there now."""
        return self._down

    def strikes_after(self, effects: int) -> None:
        """Count from now on; kill control after so many effects (0: never)."""
        self._armed, self._strikes_after = True, effects
        self._watch = asyncio.create_task(self._succeed())

    def effect(self, what: str) -> None:
        if not self._armed:
            return
        self.effects.append(what)
        if len(self.effects) == self._strikes_after:
            self.struck_at = what
            self.falls_silent()
            self._struck.set()

    async def _succeed(self) -> None:
        await self._struck.wait()
        await self.crashes(for_s=GAP_S)

    async def is_whole(self) -> None:
        """Wait until a control is there again, if one has died; and count no more."""
        if self._watch is not None:
            if self._struck.is_set():
                await self._watch
            self._watch.cancel()
        self._armed = False

    # --- the gates

    def send(self, data: bytes, flow: Flow) -> None:
        super().send(data, flow)
        self.effect(f"sip {data[:24].decode().splitlines()[0]}")

    def phone(self, name: str, *, listens: bool = True, host: str = "") -> Phone:
        phone = super().phone(name, listens=listens, host=host)
        phone.repeats = True
        return phone

    def _controls_link(self) -> ControlsLink:
        return GatedLink(self)

    def _controls_store(self, epoch: int) -> Any:
        return GatedStore(self.store, epoch, self.effect)

    def _ports(self) -> Any:
        take = self.tenant.take

        async def counted(request: HttpRequest) -> HttpResponse:
            self.effect(f"tenant {request.url.partition('?')[0].rpartition('/')[2]}")
            return await take(request)

        ports = super()._ports()
        ports.webhooks._courier._transport = MemoryTransport(counted)
        return ports
