"""Whether the calls of a SIP domain are encrypted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column; what is there does as the platform does."""
    with op.batch_alter_table("sip_domains") as table:
        table.add_column(sa.Column("media_encryption", sa.Text(), nullable=False, server_default=""))
    with op.batch_alter_table("sip_domains") as table:
        table.alter_column("media_encryption", server_default=None)
