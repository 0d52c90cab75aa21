"""What a version says of the records of another before it takes over."""

from __future__ import annotations

from dataclasses import replace

import pytest
from harness.story import Story, play
from harness.story_tenant import enqueue, say

from waitline.bridge.call.forms import unreadable
from waitline.bridge.call.keeping import CALL, MEMBER, VERSION
from waitline.bridge.store.records import LiveState

KINDS = (CALL, MEMBER, "callback", "conversation", "farewell", "place", "registration")


def test_records_of_this_version_are_readable() -> None:
    async def story(story: Story) -> None:
        story.tenant.on("/voice", enqueue())
        story.tenant.on("/wait", say(400, seconds=10))
        caller = await story.caller_waits("alice", listens=False)
        records = [record for kind in KINDS for record in await story.store.live_states(kind)]
        assert {record.kind for record in records} == {CALL, MEMBER}
        assert unreadable(records) == []
        call = next(record for record in records if record.kind == CALL)
        newer_state = call.data | {"state": call.data["state"] | {"mood": "good"}}
        newer_leg = call.data | {"dialog": call.data["dialog"] | {"version": 99}}
        lines = unreadable([replace(call, data=newer_state), replace(call, data=newer_leg)])
        assert len(lines) == 2
        assert "mood" in lines[0]
        assert "its SIP leg has form 99" in lines[1]
        caller.hangs_up()
        await story.passes(1)

    play(story)


@pytest.mark.parametrize("version", [0, VERSION + 1])
def test_a_record_of_a_form_that_is_not_known_is_named_with_its_form(version: int) -> None:
    record = LiveState(kind=CALL, key="CA1", version=version, data={})
    assert unreadable([record]) == [f"call CA1: its form is {version}, this version reads 1 to {VERSION}"]


def test_a_kind_of_record_that_is_not_known_is_named() -> None:
    record = LiveState(kind="conference", key="CF1", version=1, data={})
    assert unreadable([record]) == ["conference CF1: this version knows no conference"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_record_of_any_kind_is_said_to_be_so(kind: str) -> None:
    data: dict[str, object] = {"version": 99} if kind == "farewell" else {}
    (line,) = unreadable([LiveState(kind=kind, key="X1", version=1, data=data)])
    assert line.startswith(f"{kind} X1: it cannot be read: ")
