"""The audit log's side of a request: an entry when a change begins, completed when it is answered.

The entry is handed to the store before the handler runs, so it is written before the change or in the same transaction: no change is on
the disk that the log does not have. What the outcome was is written after it. Where the process died between the two the entry says that
the outcome is unknown (status 0), and who did what to which address all the same.

What is logged are names: of the parameters that were sent, as far as the route knows them. Values are not, for some are secrets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import structlog

from waitline.api.params import Param
from waitline.api.wire import Pairs
from waitline.bridge.sids import SID_PATTERN
from waitline.bridge.store.errors import StoreUnavailable
from waitline.bridge.store.records import AuditEntry
from waitline.bridge.store.store import Store
from waitline.clock import Clock
from waitline.errors import ApiError, DocumentError, Refused

UNKNOWN = 0
"""The status of a change that nobody knows the outcome of, or that is going on."""
LONGEST_PATH = 400
SWEEP_S = 3600.0
PAUSE_S = 0.05
"""Between two portions of what is forgotten: others want to write."""

log = structlog.get_logger(__name__)


def names_of(params: tuple[Param, ...], pairs: Pairs) -> str:
    """The names of the parameters that were sent, sorted; a name that the route does not know may be anything, and is left out."""
    known = {param.name for param in params}
    return " ".join(sorted({name for name, _ in pairs} & known))


def resource(names: Mapping[str, str], account_sid: str) -> str:
    """The identifier that a path ends in; the account's own where it has none."""
    last = list(names.values())[-1] if names else account_sid
    return last if SID_PATTERN.fullmatch(last) else ""


def answered(entry: AuditEntry, clock: Clock, *, status: int, body: Mapping[str, Any] | None) -> AuditEntry:
    """The entry of a change that was made; what was created has its identifier in the body."""
    sid = str((body or {}).get("sid", "")) or entry.resource_sid
    return replace(entry, status=status, resource_sid=sid, date_updated=clock.utc())


def refused(entry: AuditEntry, clock: Clock, error: Exception) -> AuditEntry:
    """The entry of a change that was not."""
    status, code = _outcome(error)
    return replace(entry, status=status, error_code=code, date_updated=clock.utc())


def _outcome(error: Exception) -> tuple[int, int]:
    if isinstance(error, ApiError):
        return error.status, error.code
    if isinstance(error, DocumentError):
        return 400, error.code
    return (503, 20503) if isinstance(error, Refused | StoreUnavailable) else (500, 20500)


async def sweep(store: Store, clock: Clock, *, days: float, most: int) -> None:
    """Forget what is older than so many days (0: nothing is), or beyond an account's newest ``most``, for as long as this runs."""
    while True:
        before = clock.utc() - timedelta(days=days) if days else None
        try:
            more = await store.forget_audit(before=before, most=most)
        except StoreUnavailable as error:
            log.warning("old entries of the audit log not forgotten yet", why=str(error))
            more = False
        await asyncio.sleep(PAUSE_S if more else SWEEP_S)
