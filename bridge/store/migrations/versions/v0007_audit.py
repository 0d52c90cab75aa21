"""What REST requests changed, or tried to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXTS = ("sid", "account_sid", "actor_sid", "address", "method", "path", "resource_sid", "changed")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "audit",
        sa.Column("serial", _SERIAL, primary_key=True, autoincrement=True),
        *(sa.Column(name, sa.Text(), nullable=False) for name in _TEXTS),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("status", "error_code", "date_created", "date_updated")),
        sa.UniqueConstraint("sid", name="audit_sid_key"),
    )
    op.create_index("audit_account", "audit", ["account_sid", "serial"])
