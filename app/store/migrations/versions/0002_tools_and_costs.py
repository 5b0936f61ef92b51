"""what a message is, whole answers of tools, pictures, costs

Revision: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("messages", sa.Column("kind", sa.String(32), nullable=False, server_default="message"))
    op.add_column("tool_calls", sa.Column("length", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("tool_calls", sa.Column("artifact_id", sa.String(64)))
    op.add_column("conversations", sa.Column("cost_usd", sa.Float()))
    op.add_column("runs", sa.Column("cost_usd", sa.Float()))
    op.create_table(
        "artifacts",
        sa.Column(
            "conversation_id",
            sa.String(64),
            sa.ForeignKey("conversations.conversation_id", ondelete="CASCADE", name="fk_artifacts_conversation_id"),
            nullable=False,
        ),
        sa.Column("artifact_id", sa.String(64), nullable=False),
        sa.Column("media_type", sa.String(255), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("timestamp", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("conversation_id", "artifact_id", name="pk_artifacts"),
    )


def downgrade() -> None:
    op.drop_table("artifacts")
    for table, column in (
        ("runs", "cost_usd"),
        ("conversations", "cost_usd"),
        ("tool_calls", "artifact_id"),
        ("tool_calls", "length"),
        ("messages", "kind"),
    ):
        op.drop_column(table, column)
