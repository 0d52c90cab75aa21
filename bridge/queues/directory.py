"""The names of queues: (account, sid or name) → the queue's record.

A text of the form ``QU`` + 32 hexadecimal digits is an identifier and is looked up inside the account only; nothing is created for it.
Any other text is a name: trimmed, case-sensitive, 1 to 64 characters, one queue of that name per account. An Enqueue creates the queue it
names; a Dial does not.

Creating, renaming and deleting wait for the store, so two of them may meet. Whatever changes what a name means happens alone for that
name: whoever comes second looks again when the first is done, and two calls that enqueue to a new name at once share one queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Protocol

from waitline.bridge.queues.authority import QueueAuthority
from waitline.bridge.sids import QUEUE_SID_PATTERN, QueueSid, SidFactory
from waitline.bridge.store.errors import StoreUnavailable
from waitline.bridge.store.records import Queue
from waitline.clock import Clock
from waitline.errors import ApiError, DocumentError, PeerError

DEFAULT_MAX_SIZE = 1000
LARGEST_MAX_SIZE = 5000
LONGEST_NAME = 64


class QueueNotFound(PeerError):
    """No queue of that identifier in this account."""


class QueueIndex(Protocol):
    """The queues in memory, all accounts."""

    def get(self, sid: str, /) -> Queue | None: ...

    def by_name(self, account_sid: str, name: str, /) -> Queue | None: ...


class Image(Protocol):
    @property
    def queues(self) -> QueueIndex: ...


class QueueStore(Protocol):
    """What the directory needs of the store: writes are durable and in the image when they return."""

    @property
    def image(self) -> Image: ...

    async def put(self, record: Queue, /) -> None: ...

    async def delete(self, record: Queue, /) -> None: ...

    def adopt(self, record: Queue, /) -> None:
        """In the image now, on disk when that can be written again."""


class QueueDirectory:
    """See the module. Refusals of the REST interface are ApiErrors with the code they are answered with."""

    def __init__(self, *, store: QueueStore, authority: QueueAuthority, sids: SidFactory, clock: Clock) -> None:
        self._store = store
        self._authority = authority
        self._sids = sids
        self._clock = clock
        self._busy: dict[tuple[str, str], asyncio.Event] = {}

    def find(self, account: str, body: str) -> Queue | None:
        """The queue of that identifier or name, of this account; never creates one."""
        text = body.strip()
        if QUEUE_SID_PATTERN.fullmatch(text):
            queue = self._store.image.queues.get("QU" + text[2:].lower())
            return queue if queue is not None and queue.account_sid == account else None
        return self._store.image.queues.by_name(account, text)

    async def resolve(self, account: str, body: str, *, max_size: int | None = None) -> Queue:
        """The queue an Enqueue means, created on demand (with ``max_size``, kept within 1 to 5000) if it is a name that is new.

        Raises QueueNotFound for an identifier this account has not, DocumentError 14204 or 14205 for a name too short or too long.
        """
        name = body.strip()
        if QUEUE_SID_PATTERN.fullmatch(name):
            return self._known(account, name)
        _check_document_name(name)
        if (account, name) not in self._busy and (queue := self.find(account, name)) is not None:
            return queue
        async with self._alone(account, name):
            return self.find(account, name) or await self._create_on_demand(account, name, _clamped(max_size))

    async def create(self, account: str, friendly_name: str, *, max_size: int = DEFAULT_MAX_SIZE) -> Queue:
        """A new queue. ApiError 20002 for its name, 20422 for its size, 22003 if the account has one of that name."""
        name = _checked_name(friendly_name)
        _check_max_size(max_size)
        async with self._alone(account, name):
            self._check_free(account, name)
            return await self._create(account, name, max_size)

    async def update(self, queue: Queue, *, friendly_name: str | None = None, max_size: int | None = None) -> Queue:
        """Rename or resize; nobody is evicted by a smaller size. ApiError as for ``create``, 20404 if it was deleted meanwhile."""
        name = queue.friendly_name if friendly_name is None else _checked_name(friendly_name)
        size = queue.max_size if max_size is None else max_size
        _check_max_size(size)
        async with self._alone(queue.account_sid, queue.sid, queue.friendly_name, name):
            current = self._current(queue)
            if name != current.friendly_name:
                self._check_free(queue.account_sid, name)
            changed = replace(current, friendly_name=name, max_size=size, date_updated=self._clock.utc())
            await self._store.put(changed)
            return changed

    async def delete(self, queue: Queue) -> None:
        """Delete a queue without seats; ApiError 22002 if it has any, waiting or claimed, 20404 if it is gone."""
        sid = QueueSid(queue.sid)
        async with self._alone(queue.account_sid, queue.sid, queue.friendly_name):
            current = self._current(queue)
            if not self._authority.forget(sid):
                raise ApiError(f"Queue {queue.sid} is not empty", status=400, code=22002)
            try:
                await self._store.delete(current)
            except BaseException:
                self._authority.remember(sid)
                raise

    def _known(self, account: str, sid: str) -> Queue:
        queue = self.find(account, sid)
        if queue is None:
            raise QueueNotFound(f"this account has no queue {sid}")
        return queue

    def _current(self, queue: Queue) -> Queue:
        current = self._store.image.queues.get(queue.sid)
        if current is None:
            raise ApiError(f"Queue {queue.sid} was not found", status=404, code=20404)
        return current

    def _check_free(self, account: str, name: str) -> None:
        if self._store.image.queues.by_name(account, name) is not None:
            raise ApiError(f"A queue with the name {name} already exists", status=400, code=22003)

    async def _create(self, account: str, name: str, max_size: int) -> Queue:
        queue = self._new(account, name, max_size)
        await self._store.put(queue)
        return queue

    async def _create_on_demand(self, account: str, name: str, max_size: int) -> Queue:
        """For a caller, who must not be sent away for the disk's sake."""
        queue = self._new(account, name, max_size)
        try:
            await self._store.put(queue)
        except StoreUnavailable:
            self._store.adopt(queue)
        return queue

    def _new(self, account: str, name: str, max_size: int) -> Queue:
        now = self._clock.utc()
        return Queue(
            sid=self._sids.queue(), account_sid=account, friendly_name=name, max_size=max_size, date_created=now, date_updated=now
        )  # fmt: skip

    @asynccontextmanager
    async def _alone(self, account: str, *names: str) -> AsyncIterator[None]:
        """Nobody else changes what these names (or sids) mean. Taken in one order, so that two renames cannot wait for each other."""
        async with AsyncExitStack() as stack:
            for name in sorted(set(names)):
                await stack.enter_async_context(self._turn((account, name)))
            yield

    @asynccontextmanager
    async def _turn(self, name: tuple[str, str]) -> AsyncIterator[None]:
        while (busy := self._busy.get(name)) is not None:
            await busy.wait()  # bounded by the store's own deadline: only its writes happen inside
        done = self._busy[name] = asyncio.Event()
        try:
            yield
        finally:
            del self._busy[name]
            done.set()


def _clamped(max_size: int | None) -> int:
    return DEFAULT_MAX_SIZE if max_size is None else min(max(max_size, 1), LARGEST_MAX_SIZE)


def _check_document_name(name: str) -> None:
    if not name:
        raise DocumentError("Enqueue needs the name of a queue", code=14204)
    if len(name) > LONGEST_NAME:
        raise DocumentError(f"Enqueue: a queue's name has at most {LONGEST_NAME} characters, this one {len(name)}", code=14205)


def _checked_name(friendly_name: str) -> str:
    name = friendly_name.strip()
    if not 1 <= len(name) <= LONGEST_NAME:
        raise ApiError(f"Invalid FriendlyName: 1 to {LONGEST_NAME} characters", status=400, code=20002)
    if QUEUE_SID_PATTERN.fullmatch(name):
        raise ApiError("Invalid FriendlyName: it has the form of a queue's identifier", status=400, code=20002)
    return name


def _check_max_size(max_size: int) -> None:
    if not 1 <= max_size <= LARGEST_MAX_SIZE:
        raise ApiError(f"Invalid MaxSize: 1 to {LARGEST_MAX_SIZE}", status=400, code=20422)
