"""why a tool failed

Revision: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tool_calls", sa.Column("code", sa.String(32)))


def downgrade() -> None:
    op.drop_column("tool_calls", "code")
