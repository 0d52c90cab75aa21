"""Keeps what is needed to go on with each call, so that a later control process can.

A call that has changed is *touched*; what was touched in one turn of the loop is written at the turn's end, once, into the same group of
writes as everything else that happened in it. ``durable`` writes first what is touched and returns when all of it survives SIGKILL: it is
awaited before the outside is told of a change that it must not see undone.

What is kept of a call is one plain record: its state (documents and progress included), its dialog as the user agent knows it, keys that
nobody has taken yet, the clips its leg may be playing, and what of its session no other record says. ``VERSION`` is the record's form.

A call that is over leaves a *farewell* where its peer may not have heard of it: the leg's last snapshot (a BYE that awaits its answer, the
last word to a peer that was first), for as long as SIP would repeat it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import structlog

from waitline.bridge.store.errors import StoreUnavailable
from waitline.bridge.store.records import LiveState
from waitline.bridge.store.store import Store

if TYPE_CHECKING:
    from waitline.bridge.call.call import Call

CALL, MEMBER, CALLBACK, CONVERSATION, FAREWELL = "call", "member", "callback", "conversation", "farewell"
REGISTRATION, PLACE = "registration", "place"
VERSION = 1
FAREWELL_S = 33.0  # 64*T1 and a moment
KEPT_WITHIN_S = 2.0  # four times a slow disk's worst; callers notice more

log = structlog.get_logger(__name__)


class Keeper:
    """See the module. ``dialog_of`` gives what the user agent knows of a dialog, as plain data."""

    def __init__(self, store: Store, dialog_of: Callable[[str], dict[str, Any] | None]) -> None:
        self._store = store
        self._dialog_of = dialog_of
        self._touched: dict[str, Call] = {}

    @property
    def pending(self) -> bool:
        """Whether anything that happened may not survive SIGKILL yet."""
        return bool(self._touched) or self._store.pending

    def touch(self, call: Call) -> None:
        """The call has changed: keep it as it is at the end of this turn."""
        if call.forgotten:
            return
        if not self._touched:
            asyncio.get_running_loop().call_soon(self._write)
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
        asyncio.get_running_loop().call_later(FAREWELL_S, self._drop_if_open, kind, key)

    def _drop_if_open(self, kind: str, key: str) -> None:
        if not self._store.closed:
            self.drop(kind, key)

    async def durable(self) -> None:
        """Return when everything up to now survives SIGKILL. Raises StoreUnavailable."""
        self._write()
        await self._store.durable()

    async def kept(self) -> None:
        """``durable`` for what must happen all the same: a store that cannot now must not cost anybody a call, nor a moment of one.

        It has what is to be kept, says that it cannot write it (``Store.trouble``), and does as soon as it can.
        """
        if self._store.trouble or not self.pending:
            return
        try:
            async with asyncio.timeout(KEPT_WITHIN_S):
                await self.durable()
        except StoreUnavailable as error:
            log.debug("not durable yet", why=str(error))
        except TimeoutError:
            self._store.stalls()

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
