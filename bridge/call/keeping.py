"""Keeps what is needed to go on with each call, so that a later control process can.

A call that has changed is *touched*; what was touched is written once for each group of writes (see ``store.py``), as it is when the group
goes, together with everything else that happened until then. ``kept`` returns when all of it survives SIGKILL: it is awaited before the
outside is told of a change that it must not see undone; ``once_kept`` is the same without a task.

What is kept of a call is one plain record: its state (documents and progress included), its dialog as the user agent knows it, keys that
nobody has taken yet, the clips its leg may be playing, and what of its session no other record says. ``VERSION`` is the record's form.

A call that is over leaves a *farewell* where its peer may not have heard of it: the leg's last snapshot (a BYE that awaits its answer, the
last word to a peer that was first), for as long as SIP would repeat it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from waitline.bridge.store.errors import StoreError
from waitline.bridge.store.records import LiveState
from waitline.bridge.store.store import Store

if TYPE_CHECKING:
    from waitline.bridge.call.call import Call

CALL, MEMBER, CALLBACK, CONVERSATION, FAREWELL = "call", "member", "callback", "conversation", "farewell"
REGISTRATION, PLACE = "registration", "place"
VERSION = 1
FAREWELL_S = 33.0  # 64*T1 and a moment
FAREWELLS_TOGETHER_S = 0.5  # one group of writes for all that end in this time, not one each
KEPT_WITHIN_S = 2.0  # four times a slow disk's worst; callers notice more

log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Wait:
    """Somebody who goes on when it is durable, or at ``until`` (the loop's time, seconds) at the latest."""

    go_on: Callable[[], object]
    until: float
    over: bool = False


class Keeper:
    """See the module. ``dialog_of`` gives what the user agent knows of a dialog, as plain data."""

    def __init__(self, store: Store, dialog_of: Callable[[str], dict[str, Any] | None]) -> None:
        self._store = store
        self._dialog_of = dialog_of
        self._touched: dict[str, Call] = {}
        self._waits: deque[_Wait] = deque()
        self._patience: asyncio.TimerHandle | None = None
        self._farewells: deque[tuple[float, str, str]] = deque()
        self._sweep: asyncio.TimerHandle | None = None

    @property
    def pending(self) -> bool:
        """Whether anything that happened may not survive SIGKILL yet."""
        return bool(self._touched) or self._store.pending

    def touch(self, call: Call) -> None:
        """The call has changed: keep it with the next group of writes."""
        if call.forgotten:
            return
        if not self._touched:
            self._store.before_next(self._write)
        self._touched[call.sid] = call

    def forget(self, call: Call) -> None:
        """The call is over; what its peer may still ask is kept for half a minute."""
        call.forgotten = True
        self._touched.pop(call.sid, None)
        self._store.drop(CALL, call.sid)
        if (words := self._dialog_of(call.state.sip.dialog)) is not None:
            self.keep(FAREWELL, call.state.sip.dialog, words)
            self.drop_later(FAREWELL, call.state.sip.dialog)

    def drop_later(self, kind: str, key: str) -> None:
        """It is over when SIP repeats it no more. A process that ends before leaves it to the next one, which does the same."""
        loop = asyncio.get_running_loop()
        self._farewells.append((loop.time() + FAREWELL_S, kind, key))
        if self._sweep is None:
            self._sweep = loop.call_later(FAREWELL_S + FAREWELLS_TOGETHER_S, self._drop_due)

    def _drop_due(self) -> None:
        self._sweep = None
        if self._store.closed:
            return
        loop, farewells = asyncio.get_running_loop(), self._farewells
        now = loop.time()
        while farewells and farewells[0][0] <= now:
            _, kind, key = farewells.popleft()
            self.drop(kind, key)
        if farewells:
            self._sweep = loop.call_at(farewells[0][0] + FAREWELLS_TOGETHER_S, self._drop_due)

    async def kept(self) -> None:
        """Return when everything up to now survives SIGKILL.

        A store that cannot now must not cost anybody a call, nor a moment of one: it has what is to be kept, says that it cannot write it
        (``Store.trouble``), and does as soon as it can.
        """
        if self._store.trouble or not self.pending:
            return
        kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._wait(lambda: None if kept.done() else kept.set_result(None))
        await kept

    def once_kept(self, then: Callable[[], None]) -> None:
        """Do ``then`` when everything up to now is ``kept``: at once where it is, and in the order in which this was asked for."""
        if self.pending and not self._store.trouble:
            self._wait(then)
        else:
            then()

    def _wait(self, go_on: Callable[[], object]) -> None:
        loop = asyncio.get_running_loop()
        wait = _Wait(go_on, loop.time() + KEPT_WITHIN_S)
        self._waits.append(wait)
        if self._patience is None:  # one timer for all; one that finds nothing is cheaper than one each
            self._patience = loop.call_at(wait.until, self._lose_patience)
        self._store.when_durable(partial(self._heard, wait))

    def _heard(self, wait: _Wait, error: StoreError | None) -> None:
        if error is not None and not wait.over:
            log.debug("not durable yet", why=str(error))
        self._go_on(wait)
        while self._waits and self._waits[0].over:
            self._waits.popleft()

    def _go_on(self, wait: _Wait) -> None:
        if wait.over:
            return
        wait.over = True
        try:
            wait.go_on()
        except Exception:  # it concerns one call; the others wait behind it
            log.exception("what waited to be durable failed")

    def _lose_patience(self) -> None:
        self._patience = None
        while self._waits and self._waits[0].over:
            self._waits.popleft()
        if not self._waits:
            return
        loop = asyncio.get_running_loop()
        if self._waits[0].until <= loop.time():
            self._store.stalls()
            self._go_on(self._waits[0])
        self._patience = loop.call_at(max(loop.time(), self._waits[0].until), self._lose_patience)

    def keep(self, kind: str, key: str, data: dict[str, Any]) -> None:
        """Keep something else that is going on."""
        self._store.append(LiveState(kind=kind, key=key, version=VERSION, data=data))

    def drop(self, kind: str, key: str) -> None:
        """It is over."""
        self._store.drop(kind, key)

    def last_words(self, *, within_s: float) -> bool:
        """Write everything and let go of the data, blocking, since nothing may change any more; False where that took too long."""
        self._write()
        return self._store.leave(within_s=within_s)

    def _write(self) -> None:
        touched, self._touched = self._touched, {}
        for call in touched.values():
            self.keep(CALL, call.sid, self._record(call))

    def _record(self, call: Call) -> dict[str, Any]:
        return {
            "state": call.state.to_plain(),
            "leg": call.leg.to_plain(),
            "digits": str(call.digits),
            "dialog": self._dialog_of(call.state.sip.dialog),
        }
