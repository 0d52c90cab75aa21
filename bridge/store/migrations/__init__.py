"""Changes of the schema, in order. Run at start when the data's version differs; Alembic is not imported otherwise: it costs 0.2 s.

A new data base is made from ``schema.py`` at once and marked with ``SCHEMA_VERSION``; a test proves that the migrations lead to the same
tables. Migrations go forward only.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine

from waitline.errors import ConfigError

KNOWN_VERSIONS = tuple(sorted(path.stem[1:].partition("_")[0] for path in (Path(__file__).parent / "versions").glob("v*.py")))
"""The revisions that can be brought to the newest, the oldest first."""


def upgrade(engine: Engine, *, revision: str = "head") -> None:
    """Bring the schema to that revision, all of it or nothing. Raises ConfigError if the data is newer than this program."""
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, revision)
        except CommandError as error:
            raise ConfigError(f"the data cannot be migrated, a newer version has written it: {error}") from error
