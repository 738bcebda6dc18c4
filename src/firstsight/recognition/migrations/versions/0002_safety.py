"""Encryption, consent notes, the copies that were made, and how far traces of the forgotten are erased."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("gallery", sa.Column("key_check", sa.LargeBinary()))
    op.add_column("gallery", sa.Column("erased", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("templates", sa.Column("consent", sa.String()))
    if op.get_context().dialect.name == "postgresql":  # see 0001: the planner keeps no samples
        op.execute("ALTER TABLE templates ALTER COLUMN consent SET STATISTICS 0")
    op.create_table(
        "copies",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("made_at", sa.DateTime(), nullable=False),
        sa.Column("newest_identity", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_copies"),
    )
