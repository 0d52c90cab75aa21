"""The calls that wait in a queue: list, look at one, take one out.

A member is named by its call's sid or as ``Front``. A CLAIMED member (an agent is about to talk to it) is not listed and cannot be looked
at, but the tenant may still take it out by its sid: that wins over the claim.
"""

from __future__ import annotations

import re

from waitline.api import shapes
from waitline.api.paging import PAGING, envelope, window
from waitline.api.params import Method, Param, Url
from waitline.api.problems import invalid
from waitline.api.render import Json, address, rfc2822
from waitline.api.routing import ACCOUNT, Answer, Ask, Route
from waitline.bridge.queues.queue import MemberView, OrderKey
from waitline.bridge.sids import CallSid, QueueSid
from waitline.bridge.store.records import CallRecord, Queue
from waitline.errors import ApiError

FRONT = "Front"
COLLECTION = ACCOUNT + "/Queues/{queue_sid}/Members.json"
ITEM = ACCOUNT + "/Queues/{queue_sid}/Members/{call_sid}.json"
SHAPE = shapes.record(
    queue_sid=shapes.sid("QU"), call_sid=shapes.sid("CA"), date_enqueued=shapes.DATE, position=shapes.INTEGER, wait_time=shapes.INTEGER,
    uri=shapes.STRING,
)  # fmt: skip


def render(view: MemberView) -> Json:
    member = view.member
    return {
        "queue_sid": member.queue,
        "call_sid": member.call,
        "date_enqueued": rfc2822(member.enqueued_at),
        "position": view.position,
        "wait_time": int(view.wait_s),
        "uri": address(member.account, "Queues", member.queue, "Members", member.call),
    }


async def page(ask: Ask) -> Answer:
    queue, at = _queue(ask), window(ask)
    after = None if at.token is None else _parse_place(at.token)
    views = ask.services.authority.snapshot(QueueSid(queue.sid), limit=at.size + 1, after=after).members
    token = _format_place(views[at.size - 1].member.key) if len(views) > at.size else None
    return envelope(ask, "queue_members", [render(view) for view in views[: at.size]], at, next_token=token)


async def fetch(ask: Ask) -> Answer:
    queue, name = _queue(ask), ask.names["call_sid"]
    authority = ask.services.authority
    view = authority.front(QueueSid(queue.sid)) if name == FRONT else authority.view(CallSid(name))
    if view is None or view.member.queue != queue.sid or view.position == 0:
        raise ask.not_found()
    return Answer(body=render(view))


async def dequeue(ask: Ask) -> Answer:
    queue, name = _queue(ask), ask.names["call_sid"]
    await _check_member(ask, queue, name)
    given = ask.given()
    view = await ask.services.switchboard.dequeue(queue.sid, name, url=given["url"], method=given.get("method", "POST"))
    return Answer(body=render(view))


async def _check_member(ask: Ask, queue: Queue, name: str) -> None:
    """ApiError 404 for a call that does not exist here, 400 for one that does and is not in this queue (any more)."""
    authority = ask.services.authority
    member = authority.front(QueueSid(queue.sid)) if name == FRONT else authority.member(CallSid(name))
    if isinstance(member, MemberView) or (member is not None and member.queue == queue.sid):
        return
    call = None if name == FRONT else await ask.services.store.get(CallRecord, name)
    if call is None or call.account_sid != ask.account.sid:
        raise ask.not_found()
    raise ApiError(f"Call {name} is not in queue {queue.sid}", status=400, code=21220)


def _queue(ask: Ask) -> Queue:
    return ask.own(ask.services.store.image.queues, "queue_sid")


def _format_place(key: OrderKey) -> str:
    return f"{key.priority}-{key.sequence}"


def _parse_place(token: str) -> OrderKey:
    match = re.fullmatch(r"([0-9]{1,6})-([0-9]{1,18})", token)
    if match is None:
        raise invalid("PageToken", "it is not one of this list")
    return OrderKey(int(match[1]), int(match[2]))


ROUTES = (
    Route(
        method="GET", path=COLLECTION, handler=page, summary="List the waiting calls, the front first", params=PAGING,
        answer=shapes.envelope("queue_members", SHAPE),
    ),
    Route(method="GET", path=ITEM, handler=fetch, summary="Fetch a waiting call, or Front", answer=SHAPE),
    Route(
        method="POST", path=ITEM, handler=dequeue, summary="Take a call, or Front, out of the queue: it runs the document at Url",
        params=(
            Param(name="Url", field="url", kind=Url(), required=True, code=21205),
            Param(name="Method", field="method", kind=Method(), code=21209),
        ), answer=SHAPE,
    ),
)  # fmt: skip
