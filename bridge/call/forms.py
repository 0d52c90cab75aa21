"""The forms of what is kept, and which of them this version reads.

A form is the number that a ``LiveState`` carries. To change what a kind of record holds: raise ``keeping.VERSION``, read the older form
where the record is read, keep a snapshot of the old form in ``tests/data/snapshots``, and have its test pass. A field that is added with a
default, or one that is left out where the reader has a default, needs no new form in that direction; but a version before would not know a
new field, and says so here.

A version that is to take over from another looks at the other's records first (``unreadable``) and refuses while nothing has happened yet.
One that finds itself in the other's place with no choice drops what it cannot read, and says so (``router.recovery``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from waitline.bridge.call.keeping import CALL, CALLBACK, CONVERSATION, FAREWELL, MEMBER, PLACE, REGISTRATION, VERSION
from waitline.bridge.call.state import CallState, Target
from waitline.bridge.queues.places import Place
from waitline.bridge.queues.plain import member_from_plain
from waitline.bridge.sip import snapshot
from waitline.bridge.sip.flow import Flow
from waitline.bridge.sip.registrar import Binding
from waitline.bridge.store.records import LiveState
from waitline.clock import VirtualClock

OLDEST = 1
_NEVER = VirtualClock(lambda: 0.0)
_TALK = ("agent", "caller", "bridged_at", "waited_s", "ticket", "queue")


def foreign(record: LiveState) -> str:
    """Say why the record is of a version whose records are not read here, or nothing."""
    if record.kind not in _READERS:
        return f"this version knows no {record.kind}"
    if not OLDEST <= record.version <= VERSION:
        return f"its form is {record.version}, this version reads {OLDEST} to {VERSION}"
    return ""


def unreadable(records: Iterable[LiveState]) -> list[str]:
    """Return a line for each record that this version could not go on with: empty where it reads all of them."""
    found = ((record, foreign(record) or _trouble(record)) for record in records)
    return [f"{record.kind} {record.key}: {why}" for record, why in found if why]


def _trouble(record: LiveState) -> str:
    try:
        _READERS[record.kind](record.data)
    except Exception as error:  # whatever it is: it would be the same in the middle of a take-over
        return f"it cannot be read: {type(error).__name__}: {error}"
    return ""


def _call(plain: dict[str, Any]) -> None:
    CallState.from_plain(plain["state"])
    Flow.from_plain(plain["leg"]["flow"])
    if plain["dialog"] is not None:
        _leg(plain["dialog"])


def _leg(plain: dict[str, Any]) -> None:
    if plain.get("version", 0) > snapshot.VERSION:
        raise ValueError(f"its SIP leg has form {plain['version']}, this version reads up to {snapshot.VERSION}")


def _talk(plain: dict[str, Any]) -> None:
    for name in _TALK:
        plain[name]


def _callback(plain: dict[str, Any]) -> None:
    Target.from_plain(plain["target"])
    plain["account"], plain["call"]


def _registration(plain: dict[str, Any]) -> None:
    for binding in plain["bindings"]:
        Binding.from_json(binding)


_READERS: dict[str, Callable[[dict[str, Any]], object]] = {
    CALL: _call,
    MEMBER: lambda plain: member_from_plain(plain, clock=_NEVER),
    CONVERSATION: _talk,
    CALLBACK: _callback,
    FAREWELL: _leg,
    REGISTRATION: _registration,
    PLACE: lambda plain: Place.from_plain(plain, clock=_NEVER),
}
