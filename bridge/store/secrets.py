"""Secrets at rest."""

from __future__ import annotations

import hashlib
import hmac


def hash_secret(secret: str) -> str:
    """Return what is stored of an API key's secret. The secret is 128 random bits or more, so one SHA-256 is enough."""
    return hashlib.sha256(secret.encode()).hexdigest()


def secret_matches(secret: str, secret_hash: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(hash_secret(secret), secret_hash)
