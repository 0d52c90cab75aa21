"""What a control of an earlier version kept is gone on with: of each form that was released, at each moment that a call may be at."""

from __future__ import annotations

import json

import pytest
from harness.story_crash import CrashingStory, play
from harness.story_snapshots import FOLDER, SITUATIONS, graft, kept, put_in_place

from waitline.bridge.call.forms import unreadable
from waitline.bridge.call.keeping import VERSION
from waitline.bridge.store.records import LiveState

FORMS = {file.stem: json.loads(file.read_text()) for file in sorted(FOLDER.glob("v*.json"))}


def test_the_form_of_this_version_is_among_the_snapshots() -> None:
    assert f"v{VERSION}" in FORMS, "run `python -m harness.story_snapshots` in tests"


@pytest.mark.parametrize("form", FORMS)
def test_this_version_says_that_it_reads_all_of_an_old_snapshot(form: str) -> None:
    records = [LiveState(**record) for situation in FORMS[form].values() for record in situation]
    assert {record.kind for record in records} == {"call", "member", "callback", "conversation", "farewell", "registration"}
    assert unreadable(records) == []


@pytest.mark.parametrize("name", SITUATIONS)
@pytest.mark.parametrize("form", FORMS)
def test_calls_of_an_old_snapshot_go_on(form: str, name: str) -> None:
    async def story(story: CrashingStory) -> None:
        await SITUATIONS[name].before(story)
        up = len(story.control.switchboard)
        await story.dies()
        await put_in_place(story, FORMS[form][name])
        assert await story.follows(after_s=0.5) == up
        await SITUATIONS[name].after(story)

    play(story)


def test_a_field_that_this_version_has_added_is_not_in_an_old_snapshot() -> None:
    async def story(story: CrashingStory) -> None:
        await SITUATIONS["waiting"].before(story)
        (record, *_) = await kept(story)
        old = json.loads(json.dumps(record.data))
        del old["state"]["left"]
        old["state"]["direction"] = "outbound-api"
        old["state"]["sid"] = "CA0"
        grafted = graft(old, record.data)
        assert "left" not in grafted["state"]
        assert grafted["state"]["direction"] == "outbound-api"
        assert grafted["state"]["sid"] == record.key
        assert grafted["dialog"] == record.data["dialog"]

    play(story)
