"""Which key opens the data: the operator's, and for a moment one of two.

A key is WAITLINE_KEY or the file ``waitline.key``. While it is changed (``rotation.py``) there are two: the one before, and the next in
WAITLINE_KEY_NEXT or ``waitline.key.next``. The data changes from one to the other in a single transaction, so it is always wholly under one
of them; which one, a known text tells that is encrypted in it. Whoever opens the data after a crash takes the key that opens that text and
brings the files in order: nothing has to be remembered of how far the change had come.

The key before is kept as ``waitline.key.old-N``, because backups made under it need it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import NamedTuple

from waitline.bridge.store.errors import StoreError
from waitline.bridge.store.folder import DataFolder, flush
from waitline.bridge.store.secrets import SecretBox, key_from_setting, read_key_file
from waitline.bridge.store.settings import KEY_CHECK
from waitline.errors import ConfigError

_KNOWN = "waitline"


class Key(NamedTuple):
    """A key and where it comes from; the file is None for a setting."""

    key: bytes
    file: Path | None


def candidates(folder: Path | None, *, setting: str, next_setting: str, salt: bytes) -> Iterator[Key]:
    """All keys that may open the data, the likeliest first. Raises ConfigError for what is no key."""
    if setting:
        yield Key(key_from_setting(setting, salt=salt), None)
    elif folder is not None:
        for path in (folder / "waitline.key", folder / "waitline.key.next"):
            if (key := read_key_file(path)) is not None:
                yield Key(key, path)
    if next_setting:
        yield Key(key_from_setting(next_setting, salt=salt, name="WAITLINE_KEY_NEXT"), None)


def known_text(box: SecretBox) -> str:
    """Return what the data keeps to tell its key by."""
    return box.encrypt(_KNOWN, "settings", KEY_CHECK)


def opens(key: bytes, known: str) -> bool:
    """Tell whether the data that keeps this text is under the key."""
    with suppress(StoreError):
        return SecretBox(key).decrypt(known, "settings", KEY_CHECK) == _KNOWN
    return False


def matching(keys: Iterable[Key], known: str) -> Key:
    """Return the key that opens the data. Raises ConfigError if none does."""
    tried = list(keys)
    if not tried:
        raise ConfigError("waitline.key: the key is missing; the data was encrypted with it (or set WAITLINE_KEY)")
    for key in tried:
        if opens(key.key, known):
            return key
    raise ConfigError("WAITLINE_KEY: the key (or waitline.key) is not the one the data was encrypted with")


def settle(folder: DataFolder, used: Key) -> None:
    """Bring the files in order after the key was changed, or was not: for whoever has the folder alone. Raises ConfigError."""
    if used.file is None or not folder.next_key.exists():
        return
    try:
        if used.file == folder.next_key:
            _set_aside(folder)
            folder.next_key.rename(folder.key)
        else:
            folder.next_key.unlink()
        flush(folder.path)
    except OSError as error:
        raise ConfigError(f"{folder.key}: the key cannot be changed: {error.strerror}") from error


def _set_aside(folder: DataFolder) -> None:
    """Keep the key before under a name of its own, once: a crash may have come between that and the rename."""
    if not folder.key.exists() or any(path.read_bytes() == folder.key.read_bytes() for path in folder.old_keys):
        return
    free = (folder.key.with_name(f"{folder.key.name}.old-{number}") for number in count(1))
    os.link(folder.key, next(path for path in free if not path.exists()))
