"""The ledger: decisions, what operators said of them, and probes."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "ledger",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("request_id", sa.String(200)),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("decision", sa.String(16), nullable=False),
        sa.Column("identity_id", sa.Integer()),
        sa.Column("nearest_id", sa.Integer()),
        sa.Column("runner_up_id", sa.Integer()),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("direction", sa.String(3)),
        sa.Column("camera", sa.String(200)),
        sa.PrimaryKeyConstraint("id", name="pk_ledger"),
        sa.UniqueConstraint("request_id", name="uq_ledger_request_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_ledger_at", "ledger", ["at"])
    op.create_table(
        "reviews",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("ledger_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("decision", sa.String(16), nullable=False),
        sa.Column("identity_id", sa.Integer()),
        sa.PrimaryKeyConstraint("id", name="pk_reviews"),
        sa.ForeignKeyConstraint(["ledger_id"], ["ledger.id"], name="fk_reviews_ledger_id", ondelete="CASCADE"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_reviews_ledger_id", "reviews", ["ledger_id"])
    op.create_table(
        "probes",
        sa.Column("ledger_id", sa.Integer(), nullable=False),
        sa.Column("picture", sa.LargeBinary(), nullable=False),
        sa.Column("erase_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("ledger_id", name="pk_probes"),
        sa.ForeignKeyConstraint(["ledger_id"], ["ledger.id"], name="fk_probes_ledger_id", ondelete="CASCADE"),
    )
    if op.get_context().dialect.name == "postgresql":  # see 0001: the planner keeps no samples
        op.execute("ALTER TABLE probes ALTER COLUMN picture SET STATISTICS 0")
        for column in ("request_id", "camera"):
            op.execute(f"ALTER TABLE ledger ALTER COLUMN {column} SET STATISTICS 0")
    state = op.create_table(
        "ledger_state",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("retention_days", sa.Integer(), nullable=False),
        sa.Column("purged_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ledger_state"),
    )
    op.bulk_insert(state, [{"id": 1, "retention_days": 90, "purged_at": datetime(2000, 1, 1)}])
