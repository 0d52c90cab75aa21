from __future__ import annotations

import json

from harness.virtual_time import run
from unit.queues.kit import ACCOUNT, AGENT, QUEUE, World

from waitline.bridge.events import LeaveReason, ReleaseReason
from waitline.bridge.queues.event_log import as_record
from waitline.bridge.sids import CallSid


def test_every_event_is_a_row_with_what_only_its_kind_has():
    async def story() -> None:
        world = World()
        world.join("A")
        claim = await world.authority.claim(QUEUE, by=AGENT)
        world.authority.release(claim.id, ReleaseReason.BRIDGE_FAILED)
        world.now = 5
        world.authority.leave(CallSid("A"), LeaveReason.LEAVE)
        rows = [as_record(event) for event in world.logged]
        assert [row.kind for row in rows] == ["joined", "claimed", "released", "left"]
        assert {(row.account_sid, row.queue_sid, row.call_sid) for row in rows} == {(ACCOUNT, QUEUE, "A")}
        assert [row.detail for row in rows] == [
            {"position": 1},
            {"claim": "claim-1", "by": AGENT},
            {"claim": "claim-1", "by": AGENT, "reason": "bridge-failed"},
            {"reason": "leave", "waited_s": 5.0, "claim": None, "by": None},
        ]
        assert all(json.dumps(row.detail) for row in rows)

    run(story())
