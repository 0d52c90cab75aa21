"""What a waiting caller's requests say of its queue, waiting without an application, and waiting for what comes after a talk."""

from __future__ import annotations

import asyncio

from waitline.bridge.call.call import Call
from waitline.bridge.call.parameters import Parameters
from waitline.bridge.call.sound import Program
from waitline.bridge.call.state import Progress
from waitline.bridge.instructions.outcomes import LeaveQueue
from waitline.bridge.sids import CallSid, QueueSid
from waitline.bridge.store.records import Queue
from waitline.media.clips import silence

AFTER_TALK_S = 1.0
"""A document that comes in time is not announced by a snippet of music"""


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


def hold_on(call: Call) -> None:
    """A talk is over: until the next document is there, which may take the tenant long, its silence ends in the platform's music."""
    segments = (silence(AFTER_TALK_S), call.services.clips.default_music.segment(0))
    call.sound.start(Program(segments=segments, report_after=0))
