"""Two small tables of the platform itself: settings that are fixed once, and counters.

A setting is something that data depends on and that must not change with the environment: the SIP realm (HA1 is a hash over it), the salt
of a pass phrase. Counters are durable when they return.
"""

from __future__ import annotations

from waitline.bridge.store.drivers import Driver, Row

REALM = "sip_realm"
NONCE_KEY = "sip_nonce_key"
KEY_SALT = "key_salt"
KEY_CHECK = "key_check"
OPENINGS = "openings"
PROBES = "probes"


def read_setting(driver: Driver, name: str) -> str | None:
    """Return the setting, None if it was never fixed."""
    rows = driver.query(f"SELECT value FROM settings WHERE name={driver.mark}", (name,))
    return str(rows[0][0]) if rows else None


def fix_setting(driver: Driver, name: str, value: str) -> str:
    """Return the setting; if it was never fixed, it is ``value`` from now on, also if two processes fix it at once."""
    driver.query(f"INSERT INTO settings (name, value) VALUES ({driver.mark}, {driver.mark}) ON CONFLICT (name) DO NOTHING", (name, value))
    return read_setting(driver, name) or value


def count(driver: Driver, name: str, by: int) -> int:
    """Add to a counter (0 at first) and return its value."""
    insert = f"INSERT INTO counters (name, value) VALUES ({driver.mark}, {driver.mark})"
    rows = driver.query(f"{insert} ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value RETURNING value", (name, by))
    return int(rows[0][0])


def probe(driver: Driver) -> Row:
    """Return a row whose writing says whether the database can be written: it changes something, so it needs the disk."""
    mark = driver.mark
    sql = f"INSERT INTO counters (name, value) VALUES ({mark}, {mark}) ON CONFLICT (name) DO UPDATE SET value = counters.value + 1"
    return Row("counters", sql, (PROBES, 1))
