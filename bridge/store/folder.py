"""The data folder: what is in it, who may be in it.

::

    waitline.db     the database (with -wal and -shm beside it while open)
    waitline.key    the key of the secrets, mode 0600
    serve.lock      held by the one server, for as long as it runs
    open.lock       held while the folder is being opened: two processes that start at once make one key and one schema
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
        self._serving = self._outage = -1
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
        for descriptor in (self._serving, self._outage):
            if descriptor >= 0:
                os.close(descriptor)
        self._serving = self._outage = -1

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
