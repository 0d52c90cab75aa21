"""What a waiting caller's requests say of its queue, and waiting without an application."""

from __future__ import annotations

import asyncio

from waitline.bridge.call.call import Call
from waitline.bridge.call.parameters import Parameters
from waitline.bridge.call.sound import Program
from waitline.bridge.call.state import Progress
from waitline.bridge.instructions.outcomes import LeaveQueue
from waitline.bridge.sids import CallSid, QueueSid
from waitline.bridge.store.records import Queue


def queue_values(call: Call, queue: Queue) -> Parameters:
    """The queue parameters of platform contract 2.3, as they are at this moment, and whether an earlier call's place was resumed."""
    queues = call.services.queues
    view = queues.view(CallSid(call.sid))
    snapshot = queues.snapshot(QueueSid(queue.sid))
    resumed = (("QueueResumed", "true"),) if view is not None and view.member.resumed else ()
    return (
        ("QueueSid", queue.sid),
        ("QueuePosition", str(view.position if view else 0)),
        ("QueueTime", str(int(view.wait_s) if view else 0)),
        ("AvgQueueTime", str(int(snapshot.average_wait_s))),
        ("CurrentQueueSize", str(snapshot.current_size)),
        ("MaxQueueSize", str(queue.max_size)),
        *resumed,
    )


async def wait_forever(call: Call, progress: Progress, *, silent: bool) -> LeaveQueue:
    """The platform's own music, or silence if the tenant asked for that, until something else happens.

    Progress: ``begun`` once the sound has been chosen; it goes on by itself.
    """
    if progress.get("begun"):
        pass
    elif silent:
        call.sound.stop()
    else:
        call.sound.start(Program(segments=(call.services.clips.default_music.segment(0),), report_after=0))
    progress["begun"] = True
    call.touch()
    await asyncio.get_running_loop().create_future()
    return LeaveQueue()
