"""Who asks, and for which account they may.

Basic authentication: an account's sid with its token (or its second one, while it has two), or an API key's sid with its secret. An account
may act on itself and on the accounts it owns; anything else does not exist for it (404, in the same words as a mistyped identifier). An
account that is suspended or closed is refused at the door, its keys with it; its owner still reads it, and may wake a suspended one.

Comparisons take the same time whatever is wrong, and an unknown sid is compared with as well.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass

from waitline.api.problems import unauthenticated
from waitline.bridge.sids import is_sid
from waitline.bridge.store.image import Image
from waitline.bridge.store.records import Account
from waitline.bridge.store.secrets import hash_secret
from waitline.bridge.store.store import Store
from waitline.errors import ApiError


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The authenticated account, and whether by its token (which shows the tokens it owns) or by a key."""

    account: Account
    sid: str
    """What they came with: the account's, or the key's"""
    by_token: bool


async def admit(store: Store, header: str | None) -> Principal:
    """The principal of an Authorization header. ApiError 401/20003 for all that is wrong.

    An account or key that is not known may have been made by another process a moment ago, so the store looks before it is refused.
    """
    user, password = _credentials(header)
    if not _is_known(store.image, user) and (is_sid(user, "AC") or is_sid(user, "SK")):
        await store.refresh()
    return _authenticate(store.image, user, password)


def _is_known(image: Image, sid: str) -> bool:
    return image.accounts.get(sid) is not None or image.keys.get(sid) is not None


def _authenticate(image: Image, user: str, password: str) -> Principal:
    principal = _by_key(image, user, password) if user.startswith("SK") else _by_token(image, user, password)
    if principal is None:
        raise unauthenticated()
    if principal.account.status != "active":
        raise unauthenticated(f"the account is {principal.account.status}")
    return principal


def may_act_on(principal: Principal, account: Account) -> bool:
    """Itself, or an account it owns."""
    return principal.account.sid in {account.sid, account.owner_account_sid}


def check_active(account: Account) -> None:
    """Refuse changes in the name of an account that is suspended or closed (its owner's request: its own do not come this far)."""
    if account.status != "active":
        raise ApiError(f"Account {account.sid} is {account.status}", status=403, code=20005)


def _credentials(header: str | None) -> tuple[str, str]:
    scheme, _, encoded = (header or "").partition(" ")
    if scheme.lower() != "basic":
        raise unauthenticated()
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise unauthenticated() from error
    user, _, password = text.partition(":")
    return user, password


def _by_token(image: Image, sid: str, token: str) -> Principal | None:
    account = image.accounts.get(sid)
    right = _same(account.auth_token if account else "", token) | _same((account and account.secondary_auth_token) or "", token)
    return Principal(account=account, sid=sid, by_token=True) if account and right else None


def _by_key(image: Image, sid: str, secret: str) -> Principal | None:
    key = image.keys.get(sid)
    right = _same(key.secret_hash if key else "", hash_secret(secret))
    account = image.accounts.get(key.account_sid) if key else None
    return Principal(account=account, sid=sid, by_token=False) if account and right else None


def _same(expected: str, given: str) -> bool:
    return bool(expected) & hmac.compare_digest(expected.encode(), given.encode())
