"""Places of callers whose line dropped, kept for a while, so that who calls again goes on waiting where it was.

A place is what the member was: order key and time. It is no member: it has no seat, no position, is in no list and keeps nobody waiting;
others move up as if it were not there, and make room when it is taken again. Who may take it is known by account, queue, caller id, dialled
number and, where it had proved to be somebody, user name; once, and only by a call that came within the window. Two dropped lines behind
one caller id have two places; the one further to the front is taken first.

A line that went dead is noticed late (quiet for a while, then asked), and the caller may be back by then: it has joined at the end, and
gets its place when the old call turns out to be gone. So ``keep`` looks whether such a call has come since the line fell silent.

The call must *come* within the window. It may be a while on its way to its Enqueue (greetings, a menu), so places are let go ``LATE_S``
after it. What is kept and dropped here is told to the owner, who makes it durable; ``restore`` takes it over in a later process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from waitline.bridge.queues.plain import member_from_plain, member_to_plain
from waitline.bridge.queues.queue import Member
from waitline.bridge.sids import CallSid
from waitline.clock import Clock

LATE_S = 300.0
MOST_PLACES = 10_000
"""The oldest goes for one more: dropped lines are cheap to make."""

Key = tuple[str, str, tuple[str, str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a dropped call leaves."""

    member: Member
    """As it was, unclaimed"""
    until: datetime
    """UTC: who calls later has lost it."""

    def to_plain(self) -> dict[str, Any]:
        return {"member": member_to_plain(self.member), "until": self.until.isoformat()}

    @classmethod
    def from_plain(cls, plain: dict[str, Any], *, clock: Clock) -> Place:
        """The inverse of ``to_plain``."""
        return cls(member=member_from_plain(plain["member"], clock=clock), until=datetime.fromisoformat(plain["until"]))


@dataclass(slots=True)
class _Bundle:
    """All that is known under one key."""

    places: list[Place] = field(default_factory=list)
    waiting: dict[CallSid, Member] = field(default_factory=dict)
    """Members, as they joined, who may inherit a place"""


class KeptPlaces:
    """See the module. ``keep`` and ``drop`` hear of each place, by the call that had it."""

    def __init__(
        self,
        clock: Clock,
        *,
        keep: Callable[[CallSid, dict[str, Any]], None] = lambda _call, _plain: None,
        drop: Callable[[CallSid], None] = lambda _call: None,
    ) -> None:
        self._clock = clock
        self._tell_kept = keep
        self._tell_dropped = drop
        self._bundles: dict[Key, _Bundle] = {}
        self._timers: dict[CallSid, tuple[Key, asyncio.TimerHandle]] = {}

    def __len__(self) -> int:
        return len(self._timers)

    # Who is here

    def arrived(self, member: Member) -> None:
        """A member has joined."""
        if (key := _key(member)) is not None and not member.resumed:
            self._bundles.setdefault(key, _Bundle()).waiting[member.call] = member

    def left(self, member: Member) -> None:
        """A member has left."""
        if (key := _key(member)) is not None and (bundle := self._bundles.get(key)) is not None:
            bundle.waiting.pop(member.call, None)
            self._tidy(key)

    # Places

    def keep(self, member: Member, *, dropped_s: float) -> CallSid | None:
        """Keep the place of a member that has left because its line dropped, so many seconds ago, if that was agreed on.

        Returns the call that its caller has come back by already; then nothing is kept: the place is that call's.
        """
        key = _key(member)
        if key is None or member.caller is None or not member.caller.window_s:
            return None
        now = self._clock.utc()
        heir = self._heir(key, member, now - timedelta(seconds=dropped_s))
        if heir is None:
            place = Place(member=replace(member, hold=None), until=now + timedelta(seconds=member.caller.window_s))
            self._hold(key, place)
            self._tell_kept(member.call, place.to_plain())
        return heir

    def take(self, member: Member) -> Member | None:
        """Hand out the place that a member's caller had, and forget it; None where there is none."""
        key = _key(member)
        if key is None or member.caller is None:
            return None
        called_at = member.caller.called_at
        found = [place for place in self._bundles[key].places if called_at <= place.until and place.member.call != member.call]
        if not found:
            return None
        first = min(found, key=lambda place: place.member.key)
        self._bundles[key].waiting.pop(member.call, None)  # one place is enough
        self._let_go(first.member.call)
        return first.member

    def restore(self, plain: dict[str, Any]) -> None:
        """Take over a place that an earlier process kept; one whose time is over is dropped. Needs a running loop."""
        place = Place.from_plain(plain, clock=self._clock)
        key = _key(place.member)
        if key is not None:
            self._hold(key, place)

    def close(self) -> None:
        """Let go of every timer; what is kept stays kept for a later process."""
        for _, timer in self._timers.values():
            timer.cancel()

    # Steps

    def _heir(self, key: Key, former: Member, since: datetime) -> CallSid | None:
        """Who called by that identity since then, is behind, and has no place of an earlier call yet: the first of them."""
        bundle = self._bundles.get(key)
        waiting = {} if bundle is None else bundle.waiting
        heirs = [
            member
            for member in waiting.values()
            if member.caller is not None and member.caller.called_at >= since and member.key.sequence > former.key.sequence
        ]
        if not heirs:
            return None
        heir = min(heirs, key=lambda member: member.key).call
        waiting.pop(heir)
        return heir

    def _hold(self, key: Key, place: Place) -> None:
        left_s = (place.until - self._clock.utc()).total_seconds() + LATE_S
        timer = asyncio.get_running_loop().call_later(max(0.0, left_s), self._let_go, place.member.call)
        self._timers[place.member.call] = key, timer
        self._bundles.setdefault(key, _Bundle()).places.append(place)
        if len(self._timers) > MOST_PLACES:
            self._let_go(next(iter(self._timers)))

    def _let_go(self, call: CallSid) -> None:
        key, timer = self._timers.pop(call)
        timer.cancel()
        bundle = self._bundles[key]
        bundle.places = [place for place in bundle.places if place.member.call != call]
        self._tidy(key)
        self._tell_dropped(call)

    def _tidy(self, key: Key) -> None:
        bundle = self._bundles.get(key)
        if bundle is not None and not (bundle.places or bundle.waiting):
            del self._bundles[key]


def _key(member: Member) -> Key | None:
    return None if member.caller is None else (member.queue, member.account, member.caller.identity)
