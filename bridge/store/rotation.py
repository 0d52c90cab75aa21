"""A new key for the data: everything that is encrypted is encrypted again, all of it or nothing.

The order makes every moment safe to die in: the new key is on the disk (``waitline.key.next``, or the operator's WAITLINE_KEY_NEXT) before
anything is encrypted with it; one transaction re-encrypts every value and the known text that tells the key; then the files change names.
Until the transaction is through the data opens with the key before, from then on with the new one, and whoever opens it has both
(``keys.py``).

Nobody else may have the data open meanwhile: what another process encrypted with the key before would be unreadable. So the platform has to
be stopped for it; it takes as long as reading and writing the secrets, some 20 µs each.

What the new key does not do: change the secrets themselves. Who had the old key and a copy of the data knows them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from waitline.bridge.store.codec import Codec
from waitline.bridge.store.drivers import Driver, Row
from waitline.bridge.store.errors import StoreError
from waitline.bridge.store.folder import DataFolder
from waitline.bridge.store.keys import Key, known_text, settle
from waitline.bridge.store.opening import Opened, Place, open_data
from waitline.bridge.store.schema import KINDS
from waitline.bridge.store.secrets import SecretBox, is_encrypted, key_from_setting, make_key_file
from waitline.bridge.store.settings import KEY_CHECK, KEY_SALT, fix_setting
from waitline.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotated:
    """What has been done, for people."""

    values: int
    kept: Path | None
    """Where the key before is kept; None where it was a setting"""


def rotate(place: Place, *, key: str, next_key: str, random_bytes: Callable[[int], bytes] = os.urandom) -> Rotated:
    """Give the data a new key: ``next_key`` (WAITLINE_KEY_NEXT), or a fresh one in the file. Raises ConfigError."""
    if place.folder is None:
        raise ConfigError("WAITLINE_DATA: a data folder is needed to change the key")
    if key and not next_key:
        raise ConfigError("WAITLINE_KEY_NEXT: the key is in WAITLINE_KEY, so say there which one it is to be")
    opened = open_data(place, key=key, next_key=next_key, serve=True, random_bytes=random_bytes)
    try:
        place.folder.use_alone()
        return _rotate(opened, place.folder, next_key, random_bytes)
    except StoreError as error:
        raise ConfigError(f"the key was not changed: {error}") from error
    finally:
        opened.driver.close()
        place.folder.unlock()


def _rotate(opened: Opened, folder: DataFolder, setting: str, random_bytes: Callable[[int], bytes]) -> Rotated:
    new = _new_key(opened.driver, folder, setting, random_bytes)
    box = SecretBox(new.key, random_bytes=random_bytes)
    if opened.driver.dialect == "sqlite":  # the files must not change names before the transaction is on the disk itself
        opened.driver.query("PRAGMA synchronous=FULL")
    rows = list(_encrypted_again(opened.driver, opened.box, box))
    opened.driver.write([*rows, _known_row(opened.driver, box)])
    settle(folder, new)
    return Rotated(values=len(rows), kept=folder.old_keys[0] if new.file else None)


def _new_key(driver: Driver, folder: DataFolder, setting: str, random_bytes: Callable[[int], bytes]) -> Key:
    if setting:
        salt = fix_setting(driver, KEY_SALT, random_bytes(16).hex()).encode()
        return Key(key_from_setting(setting, salt=salt, name="WAITLINE_KEY_NEXT"), None)
    return Key(make_key_file(folder.next_key, random_bytes=random_bytes), folder.next_key)


def _encrypted_again(driver: Driver, old: SecretBox, new: SecretBox) -> Iterator[Row]:
    """Every row that holds something encrypted. Raises StoreError for what does not decrypt."""
    for kind in KINDS.values():
        codec: Codec[object] = Codec(kind, old)
        for name in codec.sealable:
            yield from _column(driver, codec, name, new)


def _column(driver: Driver, codec: Codec[object], name: str, new: SecretBox) -> Iterator[Row]:
    kind, table, serial = codec.kind, codec.kind.table.name, codec.kind.serial
    names = ", ".join(f'"{column}"' for column in kind.read)
    found = driver.query(f'SELECT "{serial}", {names} FROM "{table}" WHERE "{name}" LIKE {driver.mark}', ("1:%",))
    update = f'UPDATE "{table}" SET "{name}"={driver.mark} WHERE "{serial}"={driver.mark}'
    for row in found:
        if is_encrypted(row[1 + kind.read.index(name)]):
            yield Row(table, update, (codec.sealed_by(new, name, row[1:]), row[0]))


def _known_row(driver: Driver, box: SecretBox) -> Row:
    return Row("settings", f"UPDATE settings SET value={driver.mark} WHERE name={driver.mark}", (known_text(box), KEY_CHECK))
