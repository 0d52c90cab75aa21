"""Secrets at rest.

Auth tokens sign every webhook and HA1 answers every digest, so they must be readable: they are encrypted (AES-256-GCM, a fresh nonce each
time), bound to the place they are stored at, so that a value copied to another row or column does not decrypt. What only has to be
recognised, an API key's secret, is hashed.

The key comes from WAITLINE_KEY (base64 of 32 bytes, or a pass phrase) or from a file beside the data that is made at first start. The store
keeps a known text encrypted with it, so that a wrong key is found when the data is opened and not when the first call fails.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import stat
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from waitline.bridge.store.errors import StoreError
from waitline.bridge.store.folder import flush
from waitline.errors import ConfigError

KEY_BYTES = 32
_NONCE_BYTES = 12
_FORMAT = "1:"
"""In front of each value, so that a later way to encrypt can be told from this one. No JSON text and no URL begins with it."""


class SecretBox:
    """Encrypts and decrypts values, each bound to where it is stored."""

    def __init__(self, key: bytes, *, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self._cipher = AESGCM(key)
        self._random_bytes = random_bytes

    def encrypt(self, text: str, *place: str) -> str:
        """Return ``text`` encrypted for that place (table, sid, field)."""
        nonce = self._random_bytes(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, text.encode(), _associated(place))
        return _FORMAT + base64.b64encode(sealed).decode()

    def decrypt(self, stored: str, *place: str) -> str:
        """Return the text. Raises StoreError if the value is damaged, of another key or of another place."""
        try:
            sealed = base64.b64decode(stored.removeprefix(_FORMAT), validate=True)
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _associated(place)).decode()
        except (InvalidTag, ValueError) as error:
            raise StoreError(f"the secret at {'/'.join(place)} does not decrypt: it is damaged, or encrypted with another key") from error


def _associated(place: tuple[str, ...]) -> bytes:
    return "\0".join(place).encode()


def is_encrypted(stored: str) -> bool:
    """Tell an encrypted value from plain data in a column that may hold either."""
    return stored.startswith(_FORMAT)


def key_from_setting(text: str, *, salt: bytes, name: str = "WAITLINE_KEY") -> bytes:
    """Return the key that WAITLINE_KEY (``name``) says: base64 of 32 bytes, or derived from a pass phrase. Raises ConfigError."""
    try:
        decoded = base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if len(decoded) == KEY_BYTES:
        return decoded
    if len(text) < 12:
        raise ConfigError(f"{name}: neither base64 of 32 bytes nor a pass phrase of 12 characters or more")
    return hashlib.scrypt(text.encode(), salt=salt, n=2**14, r=8, p=1, dklen=KEY_BYTES)


def read_key_file(path: Path) -> bytes | None:
    """Return the key in the file, None where there is no file. Raises ConfigError if it is unreadable, open to others, or no key."""
    try:
        mode = path.stat().st_mode
        decoded = base64.b64decode(path.read_text().strip(), validate=True)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: the key cannot be read: {error}") from error
    if stat.S_IMODE(mode) & 0o077:
        raise ConfigError(f"{path}: other users may read the key (mode {stat.S_IMODE(mode):04o}); run chmod 600 on it")
    if len(decoded) != KEY_BYTES:
        raise ConfigError(f"{path}: not a key: {len(decoded)} bytes, not {KEY_BYTES}")
    return decoded


def make_key_file(path: Path, *, random_bytes: Callable[[int], bytes] = os.urandom) -> bytes:
    """Make a new key and its file (mode 0600), whole or not at all. Raises ConfigError."""
    key = random_bytes(KEY_BYTES)
    temporary = path.with_suffix(".new")
    try:
        temporary.unlink(missing_ok=True)
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(base64.b64encode(key) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        flush(path.parent)
    except OSError as error:
        raise ConfigError(f"{path}: the key cannot be written: {error.strerror}") from error
    return key


def hash_secret(secret: str) -> str:
    """Return what is stored of an API key's secret. The secret is 128 random bits or more, so one SHA-256 is enough."""
    return hashlib.sha256(secret.encode()).hexdigest()


def secret_matches(secret: str, secret_hash: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(hash_secret(secret), secret_hash)
