"""Forgetting answers to requests that may be repeated: nobody repeats them after a day, and they must not fill the disk before."""

from __future__ import annotations

from datetime import datetime

from waitline.bridge.store.codec import to_microseconds
from waitline.bridge.store.drivers import Driver
from waitline.bridge.store.records import RestAnswer
from waitline.bridge.store.schema import KINDS


def forget(driver: Driver, *, before: datetime, most: int) -> None:
    """Delete answers made before that moment, and all but the newest ``most``."""
    name, mark = KINDS[RestAnswer].table.name, driver.mark
    too_many = f"serial <= (SELECT COALESCE(MAX(serial), 0) FROM {name}) - {mark}"
    driver.query(f"DELETE FROM {name} WHERE date_created < {mark} OR {too_many}", (to_microseconds(before), most))
