"""Keeps what is needed to go on with each call, so that a later control process can.

A call that has changed is *touched*; what was touched in one turn of the loop is written at the turn's end, once, into the same group of
writes as everything else that happened in it. ``durable`` writes first what is touched and returns when all of it survives SIGKILL: it is
awaited before the outside is told of a change that it must not see undone.

What is kept of a call is one plain record: its state (documents and progress included), its dialog as the user agent knows it, the clips
its leg may be playing, and the direction its sound was agreed to have. ``VERSION`` is the form of that record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from waitline.bridge.store.records import LiveState
from waitline.bridge.store.store import Store

if TYPE_CHECKING:
    from waitline.bridge.call.call import Call

CALL, MEMBER, CALLBACK, CONVERSATION = "call", "member", "callback", "conversation"
VERSION = 1


class Keeper:
    """See the module. ``dialog_of`` gives what the user agent knows of a dialog, as plain data."""

    def __init__(self, store: Store, dialog_of: Callable[[str], dict[str, Any] | None]) -> None:
        self._store = store
        self._dialog_of = dialog_of
        self._touched: dict[str, Call] = {}

    def touch(self, call: Call) -> None:
        """The call has changed: keep it as it is at the end of this turn."""
        if not self._touched:
            asyncio.get_running_loop().call_soon(self._write)
        self._touched[call.sid] = call

    def forget(self, call: Call) -> None:
        """The call is over."""
        self._touched.pop(call.sid, None)
        self._store.drop(CALL, call.sid)

    async def durable(self) -> None:
        """Return when everything up to now survives SIGKILL. Raises StoreUnavailable."""
        self._write()
        await self._store.durable()

    def keep(self, kind: str, key: str, data: dict[str, Any]) -> None:
        """Keep something else that is going on."""
        self._store.append(LiveState(kind=kind, key=key, version=VERSION, data=data))

    def drop(self, kind: str, key: str) -> None:
        """It is over."""
        self._store.drop(kind, key)

    def _write(self) -> None:
        touched, self._touched = self._touched, {}
        for call in touched.values():
            self.keep(CALL, call.sid, self._record(call))

    def _record(self, call: Call) -> dict[str, Any]:
        return {
            "state": call.state.to_plain(),
            "leg": call.leg.to_plain(),
            "dialog": self._dialog_of(call.state.sip.dialog),
        }
