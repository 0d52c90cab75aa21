"""What an operator does to the data from the command line, beside a running server or without one."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from waitline.bridge.config import Config, load_config
from waitline.bridge.store import backup as backups
from waitline.bridge.store.accounts import create_account as create_in
from waitline.bridge.store.opening import Place
from waitline.bridge.store.rotation import rotate
from waitline.bridge.store.store import open_store
from waitline.clock import SystemClock
from waitline.errors import ConfigError


def create_account(name: str, config_file: Path | None = None) -> tuple[str, str]:
    """Create an account; returns its sid and auth token. Makes and migrates the data folder if needed; raises ConfigError."""
    return asyncio.run(_create_account(name, config_file))


async def _create_account(name: str, config_file: Path | None) -> tuple[str, str]:
    config = load_config(config_file)
    clock = SystemClock()
    store = await open_store(config, clock=clock)
    try:
        account = await create_in(store, name, clock=clock, random_bytes=os.urandom)
    finally:
        await store.close()
    return account.sid, account.auth_token


def back_up(file: Path, config_file: Path | None = None, *, with_key: bool = False, force: bool = False) -> str:
    """Copy the data to a file, beside a running platform or without one; returns what to say. Raises ConfigError."""
    config = _embedded(config_file, "back it up with pg_dump")
    made = backups.back_up(config.data, file, with_key=with_key, force=force)
    if made.key_beside:
        key = f"its key is beside it, in {backups.key_beside(file)}"
    elif config.key:
        key = "its secrets open with WAITLINE_KEY: keep that apart from it"
    else:
        key = f"its secrets open with {config.data / 'waitline.key'}: keep a copy of that apart from it, or take --with-key"
    return f"{file}: {made.bytes / 1e6:.1f} MB, {made.accounts} accounts, {made.calls} calls; {key}"


def restore(file: Path, config_file: Path | None = None, *, force: bool = False) -> str:
    """Put a backup in the place of the data; returns what to say. Raises ConfigError, and has changed nothing then."""
    config = _embedded(config_file, "restore it with pg_restore or psql")
    stamp = f"before-{SystemClock().utc():%Y%m%dT%H%M%SZ}"
    done = backups.restore(file, config.data, key=config.key or "", force=force, stamp=stamp)
    kept = f"; what was there before is {done.replaced}" if done.replaced else ""
    return f"{config.data}: {done.accounts} accounts, {done.calls} calls are as they were in {file}{kept}"


def rotate_key(config_file: Path | None = None) -> str:
    """Give the data a new key, while no platform runs; returns what to say. Raises ConfigError."""
    config = load_config(config_file)
    place = Place.of(config.database or config.data, config.data)
    done = rotate(place, key=config.key, next_key=config.key_next)
    if done.kept is None:
        return f"{done.values} secrets are encrypted with WAITLINE_KEY_NEXT: make it WAITLINE_KEY; backups until now need the key before"
    return f"{done.values} secrets are encrypted with a new key in {config.data / 'waitline.key'}; backups made until now need {done.kept}"


def _embedded(config_file: Path | None, instead: str) -> Config:
    config = load_config(config_file)
    if config.database:
        raise ConfigError(
            f"WAITLINE_DATABASE: the data is in PostgreSQL: {instead}, and keep {config.data / 'waitline.key'} (or WAITLINE_KEY)"
        )
    return config
