"""Keeping the audit log within bounds: entries go when they are old, or when their account has too many. Nothing else deletes one."""

from __future__ import annotations

from datetime import datetime
from itertools import takewhile

from waitline.bridge.store.codec import to_microseconds
from waitline.bridge.store.drivers import Driver
from waitline.bridge.store.records import AuditEntry
from waitline.bridge.store.schema import KINDS

PORTION = 2_000
"""About 10 ms of the writer's time: calls are kept by the same one."""
_TABLE = KINDS[AuditEntry].table.name


def forget(driver: Driver, *, before: datetime | None, most: int) -> bool:
    """Delete a portion of what is older, or beyond the newest ``most`` of an account (0: no bound); tell whether there may be more."""
    if before is not None and _forget_old(driver, to_microseconds(before)):
        return True
    return bool(most) and any(_forget_beyond(driver, account, most) for account in _with_more(driver, most))


def _forget_old(driver: Driver, before: int) -> bool:
    """The oldest come first in the order of insertion, so only those are looked at."""
    oldest = driver.query(f"SELECT serial, date_created FROM {_TABLE} ORDER BY serial LIMIT {PORTION}")
    old = [serial for serial, _ in takewhile(lambda row: row[1] < before, oldest)]
    if old:
        driver.query(f"DELETE FROM {_TABLE} WHERE serial <= {driver.mark}", (old[-1],))
    return len(old) == PORTION


def _with_more(driver: Driver, most: int) -> list[str]:
    counted = driver.query(f"SELECT account_sid FROM {_TABLE} GROUP BY account_sid HAVING count(*) > {driver.mark}", (most,))
    return [account for (account,) in counted]


def _forget_beyond(driver: Driver, account: str, most: int) -> bool:
    """Delete the oldest of what is too much. True where that was a whole portion."""
    mark = driver.mark
    newest = f"SELECT serial FROM {_TABLE} WHERE account_sid={mark} ORDER BY serial DESC LIMIT 1 OFFSET {mark}"
    ((last,),) = driver.query(newest, (account, most))
    oldest = f"SELECT serial FROM {_TABLE} WHERE account_sid={mark} AND serial <= {mark} ORDER BY serial LIMIT {PORTION}"
    gone = driver.query(f"DELETE FROM {_TABLE} WHERE serial IN ({oldest}) RETURNING serial", (account, last))
    return len(gone) == PORTION
