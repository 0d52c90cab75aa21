from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.postgres import PostgresServer, find_binaries, postgres_server
from unit.store.kit import Database


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'waitline[postgres]'")
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server is installed: apt-get install postgresql")
    with postgres_server(binaries) as server:
        yield server


@pytest.fixture(params=["sqlite inline", "sqlite thread", "postgres thread"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """A fresh database of each kind, under virtual time where the store is inline."""
    kind, _, driver = request.param.partition(" ")
    folder = tmp_path / "data"
    where = request.getfixturevalue("postgres").new_schema() if kind == "postgres" else folder
    return Database(where=where, folder=folder, inline=driver == "inline")
