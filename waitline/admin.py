"""What an operator does to the data from the command line, beside a running server or without one."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from waitline.bridge.config import load_config
from waitline.bridge.store.accounts import create_account as create_in
from waitline.bridge.store.store import open_store
from waitline.clock import SystemClock


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
