"""How long a queue keeps the places of callers whose line drops."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column; what is there keeps none."""
    with op.batch_alter_table("queues") as table:
        table.add_column(sa.Column("resume_window_s", sa.Float(), nullable=False, server_default="0"))
    with op.batch_alter_table("queues") as table:
        table.alter_column("resume_window_s", server_default=None)
