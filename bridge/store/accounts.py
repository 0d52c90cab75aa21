"""Making accounts: used by ``waitline account create`` and by the REST interface for sub-accounts."""

from __future__ import annotations

from collections.abc import Callable

from waitline.bridge.sids import SidFactory
from waitline.bridge.store.records import Account
from waitline.bridge.store.store import Store
from waitline.clock import Clock


async def create_account(
    store: Store, friendly_name: str, *, clock: Clock, random_bytes: Callable[[int], bytes], parent: Account | None = None
) -> Account:
    """Create an account with a fresh token (32 hexadecimal digits) and store it; with ``parent``, a sub-account."""
    now = clock.utc()
    sid = SidFactory(random_bytes).account()
    account = Account(
        sid=sid,
        friendly_name=friendly_name,
        auth_token=random_bytes(16).hex(),
        owner_account_sid=parent.sid if parent else sid,
        date_created=now,
        date_updated=now,
    )
    await store.put(account)
    return account
