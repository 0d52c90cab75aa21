"""Which document callers run who wait in a queue when the platform drains."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column; what is there has none."""
    with op.batch_alter_table("queues") as table:
        table.add_column(sa.Column("drain_url", sa.Text(), nullable=False, server_default=""))
    with op.batch_alter_table("queues") as table:
        table.alter_column("drain_url", server_default=None)
