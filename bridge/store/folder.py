"""The data folder: what is in it, who may be in it.

::

    waitline.db     the database (with -wal and -shm beside it while open)
    waitline.key    the key of the secrets, mode 0600; .next while it is being changed, .old-N the ones before (``keys.py``)
    serve.lock      held by the one server, for as long as it runs
    open.lock       held while the folder is being opened: two processes that start at once make one key and one schema
    use.lock        shared by whoever has the data open; held alone while the key is changed
    outage.lock     held by the server while it cannot write: what it knows is in its memory, and must not be taken over from the disk

Locks are flock(2) locks: the kernel lets go of them however their process ends. Their descriptors are not inherited by children.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from waitline.errors import ConfigError

OUTAGE_LOCK = "outage.lock"


def flush(path: Path) -> None:
    """Have a file or a folder's names on the disk, also if the power fails. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def in_outage(path: Path) -> bool:
    """Tell whether a server holds in memory what it cannot write to this folder's database."""
    try:
        with open(path / OUTAGE_LOCK, "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


class DataFolder:
    """The folder that WAITLINE_DATA names; made with mode 0700 if it is not there. Raises ConfigError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database = path / "waitline.db"
        self.key = path / "waitline.key"
        self.next_key = path / "waitline.key.next"
        self._serving = self._outage = self._using = -1
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.database, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise ConfigError(f"WAITLINE_DATA: the folder {path} cannot be used: {error.strerror} ({error.filename})") from error

    def lock_for_serving(self) -> None:
        """Take the folder for the one server, until ``unlock`` or the end of the process. Raises ConfigError if there is another."""
        self._serving = self._open("serve.lock")
        try:
            fcntl.flock(self._serving, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._serving, 20, 0).decode(errors="replace").strip()
            self.unlock()
            raise ConfigError(f"WAITLINE_DATA: the folder {self.path} is in use by another server (pid {holder or 'unknown'})") from error
        self._outage = self._open(OUTAGE_LOCK)  # while that can be done
        os.ftruncate(self._serving, 0)
        os.pwrite(self._serving, f"{os.getpid()}\n".encode(), 0)

    def unlock(self) -> None:
        """Let another server in."""
        for descriptor in (self._serving, self._outage, self._using):
            if descriptor >= 0:
                os.close(descriptor)
        self._serving = self._outage = self._using = -1

    def use(self) -> None:
        """Keep the key as it is until ``unlock``; waits while somebody changes it."""
        self._using = self._open("use.lock")
        fcntl.flock(self._using, fcntl.LOCK_SH)

    def use_alone(self) -> None:
        """Turn ``use`` into holding the data alone. Raises ConfigError if anybody else has it open."""
        try:
            fcntl.flock(self._using, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(f"WAITLINE_DATA: another process has {self.path} open just now; try again when it is done") from error

    @property
    def old_keys(self) -> list[Path]:
        """The keys that were in use before, the newest first."""
        found = self.path.glob(f"{self.key.name}.old-*")
        return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)

    def mark_outage(self, *, on: bool) -> None:
        """Have others know whether the server can write. Needs no disk."""
        if self._outage >= 0:
            fcntl.flock(self._outage, fcntl.LOCK_EX | fcntl.LOCK_NB if on else fcntl.LOCK_UN)

    @contextmanager
    def opening(self) -> Iterator[None]:
        """Keep others from opening the folder meanwhile. Waits for them: they migrate, and the kernel ends the wait if they die."""
        descriptor = self._open("open.lock")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _open(self, name: str) -> int:
        try:
            return os.open(self.path / name, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise ConfigError(f"WAITLINE_DATA: the lock {self.path / name} cannot be opened: {error.strerror}") from error
