"""A request that may be repeated: the same key gives the same answer, and what was asked happens once.

A client that got no answer (a reset, a time-out, a platform whose control process died) does not know whether its request was carried
out. Where it sends a key of its own with a POST, in ``Idempotency-Key`` or ``I-Twilio-Idempotency-Token``, it may send the same request
again for a day:

=======================================  =================================================================================
the first was answered                   the same status and body again, with ``Idempotent-Replayed: true``
the first is still being carried out     the second waits for it
the same key, another path or body       422, code 20424: a mistake in the client, and nothing is done
the first was begun and never finished   409, code 20423: control died in the middle. Whether it was carried out is for the
                                         client to look up: doing it again could take the next caller out of a queue
=======================================  =================================================================================

That a request is begun is durable before anything is done, and its answer before it is told. Refusals (4xx) are answers like any other;
where the platform could not (429, 5xx) nothing was done, and the key is free again. Bodies may hold secrets that are shown once: they are
encrypted. Keys are an account's own. The newest ``MOST_KEPT`` of all accounts are kept.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import structlog

from waitline.api.wire import Pairs
from waitline.bridge.store.errors import StoreUnavailable
from waitline.bridge.store.records import RestAnswer
from waitline.bridge.store.store import Store
from waitline.clock import Clock
from waitline.errors import ApiError, Refused

HEADERS = ("Idempotency-Key", "I-Twilio-Idempotency-Token")
REPLAYED = ("Idempotent-Replayed", "true")
KEPT_FOR = timedelta(hours=24)
MOST_KEPT = 100_000
SWEEP_S = 600.0
LONGEST_KEY = 255
BEGUN = 0
"""The status of a request that has no answer yet"""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What makes two requests the same."""

    account_sid: str
    key: str
    path: str
    pairs: Pairs

    @property
    def sid(self) -> str:
        return "RA" + _digest(self.account_sid, self.key)[:32]

    @property
    def fingerprint(self) -> str:
        return _digest(self.path, json.dumps(sorted(self.pairs)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """An answer that was kept, or is to be."""

    status: int
    body: Any
    replayed: bool = False


def key_of(headers: Any) -> str:
    """The key that a request brought; "" for none. ApiError 400 for one that cannot be."""
    key = next((headers[name] for name in HEADERS if name in headers), None)
    if key is None:
        return ""
    if not 1 <= len(key) <= LONGEST_KEY or not key.isascii() or not key.isprintable():
        raise ApiError(f"Invalid Idempotency-Key: 1 to {LONGEST_KEY} printable ASCII characters", status=400, code=20001)
    return str(key)


async def once(request: Request, run: Callable[[], Awaitable[Outcome]], *, store: Store, clock: Clock) -> Outcome:
    """Carry the request out, or answer as before; alone for its key. Raises ApiError 409, 422, and what ``run`` raises."""
    known = await store.get(RestAnswer, request.sid)
    if known is not None and clock.utc() - known.date_created < KEPT_FOR:
        return _again(known, request)
    now = clock.utc()
    begun = RestAnswer(
        sid=request.sid, account_sid=request.account_sid, fingerprint=request.fingerprint, status=BEGUN, body="", date_created=now,
        date_updated=now,
    )  # fmt: skip
    await store.put(begun)
    try:
        outcome = await run()
    except (Refused, StoreUnavailable):
        await store.delete(begun)  # nothing was done
        raise
    await store.put(replace(begun, status=outcome.status, body=json.dumps(outcome.body), date_updated=clock.utc()))
    return outcome


def _again(known: RestAnswer, request: Request) -> Outcome:
    if known.fingerprint != request.fingerprint:
        raise ApiError("The Idempotency-Key was used for another request", status=422, code=20424)
    if known.status == BEGUN:
        raise ApiError("The first request with this Idempotency-Key was not finished; look up what it did", status=409, code=20423)
    return Outcome(status=known.status, body=json.loads(known.body), replayed=True)


async def sweep(store: Store, clock: Clock) -> None:
    """Forget what is too old, or too much, for as long as this runs."""
    while True:
        await asyncio.sleep(SWEEP_S)
        try:
            await store.forget_answers(before=clock.utc() - KEPT_FOR, most=MOST_KEPT)
        except StoreUnavailable as error:
            log.warning("answers to repeatable requests not forgotten yet", why=str(error))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
