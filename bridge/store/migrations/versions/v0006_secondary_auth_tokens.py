"""A second auth token of an account, for the time of changing it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column; no account has one yet."""
    with op.batch_alter_table("accounts") as table:
        table.add_column(sa.Column("secondary_auth_token", sa.Text(), nullable=True))
