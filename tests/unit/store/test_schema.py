"""Records, tables and migrations say the same thing."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import make_url
from unit.store.kit import Database, account, driver_of

from waitline.bridge.store.migrations import upgrade
from waitline.bridge.store.schema import KINDS, METADATA, SCHEMA_VERSION
from waitline.errors import ConfigError


@pytest.fixture(params=["sqlite", "postgres"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "postgres":
        url = make_url(request.getfixturevalue("postgres").new_schema())
        return url.set(drivername="postgresql+psycopg").render_as_string()
    return f"sqlite:///{tmp_path}/waitline.db"


@pytest.mark.parametrize("record", KINDS, ids=lambda record: record.__name__)
def test_each_field_of_a_record_has_a_column(record: type):
    kind = KINDS[record]
    assert {*kind.table.c.keys()} == {field.name for field in fields(record)} | {kind.serial}
    assert set(kind.key) <= set(kind.written) <= set(kind.read)


def _differences(engine: Engine) -> list[object]:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, METADATA))


def test_the_migrations_lead_to_the_tables_of_the_schema(empty: str):
    engine = create_engine(empty)
    upgrade(engine)
    assert _differences(engine) == []
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").all() == [(SCHEMA_VERSION,)]
    engine.dispose()


def _definitions(engine: Engine) -> list[tuple[str, str]]:
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").all()
    ours = [(name, sql) for name, sql in rows if name != "alembic_version"]
    return [(name, " ".join(sql.replace('"', "").split())) for name, sql in ours]


def test_a_new_database_is_the_same_as_a_migrated_one(tmp_path: Path):
    import asyncio

    async def made():
        await (await Database(where=tmp_path / "new", folder=tmp_path, inline=True).open()).close()

    asyncio.run(made())
    new, migrated = create_engine(f"sqlite:///{tmp_path}/new/waitline.db"), create_engine(f"sqlite:///{tmp_path}/old.db")
    upgrade(migrated)
    assert [(name, _unordered(sql)) for name, sql in _definitions(new)] == [(name, _unordered(sql)) for name, sql in _definitions(migrated)]
    new.dispose()
    migrated.dispose()


def _unordered(sql: str) -> list[str]:
    return sorted(part.strip() for part in sql.replace("(", ",").replace(")", ",").split(","))


def test_data_without_tables_yet_is_migrated_when_it_is_opened(database: Database):
    async def story():
        await (await database.open()).close()
        driver = driver_of(database)
        driver.script([f'DROP TABLE "{table.name}"' for table in METADATA.sorted_tables] + ["DELETE FROM alembic_version"])
        driver.close()
        (database.folder / "waitline.key").unlink()
        store = await database.open()
        await store.put(account())
        await store.close()

    database.run(story())


def test_data_of_a_newer_version_is_refused(database: Database):
    async def story():
        await (await database.open()).close()
        driver = driver_of(database)
        driver.script(["UPDATE alembic_version SET version_num = '9999'"])
        driver.close()
        with pytest.raises(ConfigError, match="newer version"):
            await database.open()

    database.run(story())


def test_opening_current_data_does_not_import_alembic():
    code = """
import asyncio, sys
from waitline.bridge.store import Store
from waitline.clock import SystemClock
async def main():
    await (await Store.open(":memory:", clock=SystemClock(), inline=True)).close()
asyncio.run(main())
sys.exit("alembic" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
