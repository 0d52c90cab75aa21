"""A REST interface over loopback with a store in memory, two tenants, and calls that are stand-ins: for tests of what the interface says.

The queues, their directory and the store are the real ones; the calls and their switchboard are not.
"""

from __future__ import annotations

import asyncio
import base64
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry
from yarl import URL

from waitline.api.app import create_app
from waitline.api.ports import CallChanges, Services
from waitline.api.render import BASE
from waitline.bridge.events import LeaveReason, QueueEvent
from waitline.bridge.queues.authority import QueueAuthority
from waitline.bridge.queues.directory import QueueDirectory
from waitline.bridge.queues.queue import MemberView
from waitline.bridge.sids import AccountSid, CallSid, QueueSid, SidFactory
from waitline.bridge.store.accounts import create_account
from waitline.bridge.store.records import Account, CallRecord, Queue
from waitline.bridge.store.store import Store
from waitline.clock import Clock, VirtualClock
from waitline.errors import ApiError, DocumentError

REALM = "waitline"
FORM = "application/x-www-form-urlencoded"


@dataclass(eq=False)
class StandIn:
    """A call that obeys at once and remembers what it was told."""

    record: CallRecord
    live: bool = True
    heard: list[str] = field(default_factory=list)

    @property
    def sid(self) -> str:
        return self.record.sid


class Board:
    """A switchboard of stand-ins, over the real queues: what REST may do to calls, by the rules of the real one."""

    def __init__(self, store: Store, queues: QueueAuthority) -> None:
        self._store = store
        self._queues = queues
        self.calls: dict[str, StandIn] = {}
        self.adjusted: list[tuple[str, CallChanges]] = []

    def live(self, call_sid: str) -> StandIn | None:
        call = self.calls.get(call_sid)
        return call if call is not None and call.live else None

    async def redirect(self, call_sid: str, *, url: str, method: str) -> None:
        self._tell(call_sid, f"{method} {url}", LeaveReason.REDIRECTED)

    async def run_document(self, call_sid: str, twiml: str) -> None:
        if not twiml.startswith("<Response"):
            raise DocumentError("the root is not Response", code=12102)
        self._tell(call_sid, twiml, LeaveReason.REDIRECTED)

    async def adjust(self, call_sid: str, changes: CallChanges) -> None:
        self.adjusted.append((call_sid, changes))

    async def hangup(self, call_sid: str) -> None:
        call = self._tell(call_sid, "hangup", LeaveReason.HANGUP)
        call.live = False
        self._store.append(replace(call.record, status="completed", duration_s=7))

    async def dequeue(self, queue_sid: str, call_sid: str, *, url: str, method: str) -> MemberView:
        view = self._queues.front(QueueSid(queue_sid)) if call_sid == "Front" else self._queues.view(CallSid(call_sid))
        if view is None or view.member.queue != queue_sid:
            raise ApiError(f"No member {call_sid} is waiting in queue {queue_sid}", status=404, code=20404)
        await self.redirect(view.member.call, url=url, method=method)
        return view

    def _tell(self, call_sid: str, word: str, reason: LeaveReason) -> StandIn:
        call = self.live(call_sid)
        if call is None:
            raise ApiError("Call is not in-progress. Cannot redirect.", status=400, code=21220)
        self._queues.leave(CallSid(call_sid), reason)
        call.heard.append(word)
        return call


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: Any
    headers: Any

    @property
    def code(self) -> int:
        assert set(self.body) == {"code", "message", "more_info", "status"}, self.body
        assert self.body["status"] == self.status
        return int(self.body["code"])


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@dataclass
class Rest:
    """A client for one account, and the platform behind."""

    services: Services
    board: Board
    client: TestClient[Any, Any]
    account: Account
    other: Account

    @property
    def auth(self) -> str:
        return basic(self.account.sid, self.account.auth_token)

    @property
    def store(self) -> Store:
        return self.services.store

    def as_other(self) -> Rest:
        return replace(self, account=self.other, other=self.account)

    async def get(self, path: str, **query: object) -> Reply:
        return await self.request("GET", path + ("?" + urlencode(query) if query else ""))

    async def post(self, path: str, form: Mapping[str, Any] | Sequence[tuple[str, Any]] = (), **more: Any) -> Reply:
        return await self.request("POST", path, data=urlencode([*(form.items() if isinstance(form, Mapping) else form), *more.items()]))

    async def delete(self, path: str) -> Reply:
        return await self.request("DELETE", path)

    async def request(
        self, method: str, path: str, *, data: Any = None, auth: str | None = "", content_type: str | None = FORM, headers: Any = ()
    ) -> Reply:
        """``path`` is relative to the account unless it begins with the version or with ``//`` (the server's root)."""
        sent = dict(headers)
        if auth is not None:
            sent["Authorization"] = auth or self.auth
        if data is not None and content_type is not None:
            sent["Content-Type"] = content_type
        async with self.client.request(method, self._full(path), data=data, headers=sent, allow_redirects=False) as response:
            is_json = response.content_type == "application/json"
            body = await response.json() if is_json else (await response.text() or None)
            return Reply(response.status, body, response.headers)

    def _full(self, path: str) -> Any:
        full = path if path.startswith(BASE) else path[1:] if path.startswith("//") else f"{BASE}/Accounts/{self.account.sid}{path}"
        return URL(full, encoded=True)

    async def queue(self, name: str = "support", **more: Any) -> Queue:
        reply = await self.post("/Queues.json", FriendlyName=name, **more)
        assert reply.status == 201, reply.body
        queue = self.store.image.queues.get(reply.body["sid"])
        assert queue is not None
        return queue

    def call(self, *, status: str = "in-progress", live: bool = True, **more: Any) -> StandIn:
        """A call of the account, in the store and, if live, on the switchboard."""
        now = self.services.clock.utc()
        record = CallRecord(
            sid=self.services.sids.call(), account_sid=self.account.sid, status=status, date_created=now, date_updated=now,
            **{"to": "+15550100", "from_": "+15550199", "start_time": now, **more},
        )  # fmt: skip
        call = self.board.calls[record.sid] = StandIn(record, live)
        self.store.append(record)
        return call

    def enqueue(self, queue: Queue, **more: Any) -> StandIn:
        """A live call that waits in the queue."""
        call = self.call()
        self.services.authority.join(
            QueueSid(queue.sid), CallSid(call.sid), account=AccountSid(queue.account_sid), max_size=queue.max_size, **more
        )
        return call


@asynccontextmanager
async def rest(*, clock: Clock | None = None, seed: int = 1, not_ready: Callable[[], Sequence[str]] = tuple) -> AsyncIterator[Rest]:
    """A platform with two unrelated accounts, on the running loop."""
    clock = clock or VirtualClock(asyncio.get_running_loop().time)
    random_bytes = random.Random(seed).randbytes
    store = await Store.open(":memory:", clock=clock, inline=True, refresh_s=None)
    board, services = _services(store, clock, random_bytes, not_ready)
    account = await create_account(store, "first", clock=clock, random_bytes=random_bytes)
    other = await create_account(store, "second", clock=clock, random_bytes=random_bytes)
    async with TestClient(TestServer(create_app(services))) as client:
        yield Rest(services, board, client, account, other)
    await store.close()


def _services(
    store: Store, clock: Clock, random_bytes: Callable[[int], bytes], not_ready: Callable[[], Sequence[str]]
) -> tuple[Board, Services]:
    sids = SidFactory(random_bytes)
    events: list[QueueEvent] = []
    authority = QueueAuthority(
        clock=clock, next_sequence=store.next_sequence, new_claim=lambda: random_bytes(8).hex(), log=events.append, notify=events.append
    )
    board = Board(store, authority)
    directory = QueueDirectory(store=store, authority=authority, sids=sids, clock=clock)
    return board, Services(
        store=store, authority=authority, directory=directory, switchboard=board, clock=clock, sids=sids, realm=REALM,
        registry=CollectorRegistry(), not_ready=not_ready, random_bytes=random_bytes,
    )  # fmt: skip
