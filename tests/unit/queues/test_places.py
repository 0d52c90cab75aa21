"""Places that are kept: who gets which, once, in time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from harness.virtual_time import run
from unit.queues.kit import QUEUE, World

from waitline.bridge.events import LeaveReason, MemberResumed
from waitline.bridge.queues import places as places_module
from waitline.bridge.queues.authority import QueueAuthority
from waitline.bridge.queues.places import LATE_S, KeptPlaces
from waitline.bridge.sids import CallSid


class Shop(World):
    """A world that keeps its places where the test sees them."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}
        super().__init__()

    def new_authority(self) -> QueueAuthority:
        self.places = KeptPlaces(self.clock, keep=self.kept.__setitem__, drop=self.kept.pop)
        return QueueAuthority(
            clock=self.clock, next_sequence=self.next_sequence, new_claim=lambda: "claim", log=self.logged.append,
            notify=self.told.append, places=self.places,
        )  # fmt: skip

    def drop(self, name: str, *, dropped_s: float = 0.0) -> None:
        self.authority.leave(CallSid(name), LeaveReason.HANGUP, dropped_s=dropped_s)


def test_two_dropped_lines_of_one_number_have_two_places_and_the_front_one_is_taken_first():
    async def story():
        world = Shop()
        for name in ("a1", "b", "a2", "c"):
            world.join(name, caller=world.caller(name[0]))
        world.drop("a2")
        world.drop("a1")
        world.now += 10
        world.join("a3", caller=world.caller("a"))
        world.join("a4", caller=world.caller("a"))
        world.join("a5", caller=world.caller("a"))
        assert world.waiting() == ["a3", "b", "a4", "c", "a5"]
        assert world.kept == {}
        assert [event.of for event in world.told if isinstance(event, MemberResumed)] == ["a1", "a2"]

    run(story())


def test_the_earliest_of_those_who_have_come_back_inherits_and_each_place_goes_to_one():
    async def story():
        world = Shop()
        world.join("a1", "b", caller=world.caller("a"))
        world.now += 10
        world.join("a2", caller=world.caller("a"))
        world.join("a3", caller=world.caller("a"))
        world.drop("a1", dropped_s=5)
        assert world.waiting() == ["a2", "b", "a3"]
        world.drop("b", dropped_s=15)
        assert world.waiting() == ["a2", "a3"]
        assert world.kept == {}

    run(story())


def test_a_line_that_had_no_window_leaves_no_place():
    async def story():
        world = Shop()
        world.join("a1", caller=world.caller("a", window_s=0))
        world.join("b")
        world.drop("a1")
        world.drop("b")
        assert world.kept == {}

    run(story())


def test_the_call_must_come_within_the_window_however_late_it_is_enqueued():
    async def story():
        world = Shop()
        world.join("a1", "a2", caller=world.caller("a"))
        world.join("b", caller=world.caller("b"))
        world.drop("a1")
        world.drop("a2")
        in_time = world.caller("a", called_at=world.clock.utc() + timedelta(seconds=60))
        too_late = world.caller("a", called_at=world.clock.utc() + timedelta(seconds=60.1))
        world.now += 60 + LATE_S - 1
        world.join("a3", caller=too_late)
        world.join("a4", caller=in_time)
        assert world.waiting() == ["a4", "b", "a3"]

    run(story())


def test_more_places_than_there_is_room_for_cost_the_oldest(monkeypatch):
    async def story():
        monkeypatch.setattr(places_module, "MOST_PLACES", 2)
        world = Shop()
        for name in ("a", "b", "c"):
            world.join(name, caller=world.caller(name))
        for name in ("a", "b", "c"):
            world.drop(name)
        assert list(world.kept) == ["b", "c"]
        assert len(world.places) == 2

    run(story())


def test_a_later_process_hands_the_place_out_and_counts_the_time_from_the_beginning():
    async def story():
        world = Shop()
        world.join("a1", "b", caller=world.caller("a"))
        world.now += 30
        world.drop("a1")
        members, kept = world.authority.to_plain(), dict(world.kept)
        world.places.close()
        world.authority = world.new_authority()
        world.authority.restore(members)
        for plain in kept.values():
            world.places.restore(plain)
        world.now += 10
        world.join("a2", caller=world.caller("a"))
        assert world.waiting() == ["a2", "b"]
        assert [view.wait_s for view in world.authority.snapshot(QUEUE, limit=2).members] == [40, 40]
        assert world.kept == {}

    run(story())
