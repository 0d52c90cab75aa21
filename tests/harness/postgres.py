"""A private PostgreSQL server for tests: its own data folder, a Unix socket, no network; gone when the tests end.

The server refuses to run as root, so root starts it as the user the package made (``postgres``).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

START_S = 30


def find_binaries() -> Path | None:
    """The newest installed server's programs; None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("postgres")
    return Path(on_path).parent if on_path else None


class PostgresServer:
    """A running server that gives each test a schema of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._schemas = count()

    def url(self, *, schema: str = "public") -> str:
        options = f"&options={quote(f'-csearch_path={schema}', safe='')}"
        return f"postgresql://waitline@/postgres?host={quote(str(self._folder), safe='')}{options}"

    def new_schema(self) -> str:
        """Make a schema and return the URL whose tables are in it."""
        import psycopg

        name = f"s{next(self._schemas)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}".encode())
        return self.url(schema=name)


@contextmanager
def postgres_server(binaries: Path) -> Iterator[PostgresServer]:
    """Run a server; nothing of it is left afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="waitline-pg-"))  # short: a socket's path has at most 107 bytes
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user, user)
    who: dict[str, Any] = {"user": user, "group": user, "extra_groups": []} if user else {}
    data = folder / "data"
    try:
        options = ["--auth=trust", "--username=waitline", "--encoding=UTF8", "--no-locale", "--no-sync"]
        initdb: list[str | Path] = [binaries / "initdb", "-D", data, *options]
        subprocess.run(initdb, check=True, capture_output=True, cwd="/", **who)
        serve: list[str | Path] = [binaries / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"]
        server = subprocess.Popen(serve, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd="/", **who)
        try:
            _await_ready(server)
            yield PostgresServer(folder)
        finally:
            server.send_signal(signal.SIGQUIT)  # at once: nothing of it is wanted any more
            server.communicate(timeout=START_S)
    finally:
        shutil.rmtree(folder)


def _await_ready(server: subprocess.Popen[str]) -> None:
    assert server.stderr
    for line in server.stderr:
        if "ready to accept connections" in line:
            return
    raise RuntimeError(f"PostgreSQL ended with {server.wait(START_S)}")
