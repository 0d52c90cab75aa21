"""Queues. The directory decides about names and sizes and says its refusals itself (20002, 20422, 22002, 22003).

Extensions: ``WaitRetry`` is for how many seconds a failing wait application is retried before the caller leaves with ``error``; 0, the
default, is for ever. It is taken and kept, and not shown: client libraries know the fields of a queue. ``ResumeWindow`` is for how many
seconds the place of a caller is kept whose line drops; 0, the default, is not at all. ``DrainUrl`` is the document that callers run who
wait when the platform drains. These two are shown.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from waitline.api import shapes
from waitline.api.paging import PAGING, listing
from waitline.api.params import Param, Text, Url, Whole
from waitline.api.render import Json, address, dates
from waitline.api.routing import ACCOUNT, Answer, Ask, Route
from waitline.bridge.queues.directory import DEFAULT_MAX_SIZE, LARGEST_MAX_SIZE, LONGEST_NAME
from waitline.bridge.sids import QueueSid
from waitline.bridge.store.records import Queue

NAME = Param(name="FriendlyName", field="friendly_name", kind=Text(shortest=1, longest=LONGEST_NAME), required=True, code=20002)
MAX_SIZE = Param(name="MaxSize", field="max_size", kind=Whole(low=1, high=LARGEST_MAX_SIZE))
WAIT_RETRY = Param(name="WaitRetry", field="wait_retry_s", kind=Whole(low=0, high=86_400))
RESUME_WINDOW = Param(name="ResumeWindow", field="resume_window_s", kind=Whole(low=0, high=86_400))
DRAIN_URL = Param(name="DrainUrl", field="drain_url", kind=Url(clears=True), code=21205)
EXTENSIONS = (WAIT_RETRY, RESUME_WINDOW, DRAIN_URL)
COLLECTION, ITEM = ACCOUNT + "/Queues.json", ACCOUNT + "/Queues/{sid}.json"
SHAPE = shapes.record(
    sid=shapes.sid("QU"), account_sid=shapes.sid("AC"), friendly_name=shapes.STRING, current_size=shapes.INTEGER, max_size=shapes.INTEGER,
    average_wait_time=shapes.INTEGER, resume_window=shapes.INTEGER, drain_url=shapes.STRING, uri=shapes.STRING, **shapes.DATES,
)  # fmt: skip


def render(ask: Ask, queue: Queue) -> Json:
    view = ask.services.authority.snapshot(QueueSid(queue.sid))
    return {
        "sid": queue.sid,
        "account_sid": queue.account_sid,
        "friendly_name": queue.friendly_name,
        "current_size": view.current_size,
        "max_size": queue.max_size,
        "average_wait_time": int(view.average_wait_s),
        "resume_window": int(queue.resume_window_s),
        "drain_url": queue.drain_url,
        "uri": address(queue.account_sid, "Queues", queue.sid),
        **dates(queue),
    }


async def page(ask: Ask) -> Answer:
    records = ask.services.store.image.queues.of_account(ask.account.sid)
    return listing(ask, "queues", records, lambda queue: render(ask, queue))


async def create(ask: Ask) -> Answer:
    given = ask.given()
    size = given.get("max_size", DEFAULT_MAX_SIZE)
    queue = await ask.services.directory.create(ask.account.sid, given["friendly_name"], max_size=size)
    return Answer(status=201, body=render(ask, await _with_extensions(ask, queue, given)))


async def fetch(ask: Ask) -> Answer:
    return Answer(body=render(ask, ask.own(ask.services.store.image.queues)))


async def update(ask: Ask) -> Answer:
    queue, given = ask.own(ask.services.store.image.queues), ask.given()
    changed = await ask.services.directory.update(queue, friendly_name=given.get("friendly_name"), max_size=given.get("max_size"))
    return Answer(body=render(ask, await _with_extensions(ask, changed, given)))


async def delete(ask: Ask) -> Answer:
    await ask.services.directory.delete(ask.own(ask.services.store.image.queues))
    return Answer(status=204)


async def _with_extensions(ask: Ask, queue: Queue, given: dict[str, Any]) -> Queue:
    wanted: dict[str, Any] = {param.field: given[param.field] for param in EXTENSIONS if param.field in given}
    changed = replace(queue, **wanted)
    if changed == queue:
        return queue
    await ask.services.store.put(changed)
    return changed


ROUTES = (
    Route(method="GET", path=COLLECTION, handler=page, summary="List the queues", params=PAGING, answer=shapes.envelope("queues", SHAPE)),
    Route(
        method="POST", path=COLLECTION, handler=create, summary="Create a queue", params=(NAME, MAX_SIZE, *EXTENSIONS), status=201,
        answer=SHAPE,
    ),
    Route(method="GET", path=ITEM, handler=fetch, summary="Fetch a queue with its figures of this moment", answer=SHAPE),
    Route(
        method="POST", path=ITEM, handler=update, summary="Rename or resize a queue; nobody is evicted",
        params=(replace(NAME, required=False), MAX_SIZE, *EXTENSIONS), answer=SHAPE,
    ),
    Route(method="DELETE", path=ITEM, handler=delete, summary="Delete a queue that is empty", status=204),
)  # fmt: skip
