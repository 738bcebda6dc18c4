"""The first format."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    gallery = op.create_table(
        "gallery",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model_identity", sa.String(64), nullable=False),
        sa.Column("model_name", sa.String(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_gallery"),
    )
    op.bulk_insert(gallery, [{"id": 1, "model_identity": "", "model_name": "", "size": 0}])
    op.create_table(
        "identities",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("enrolled_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_identities"),
        sa.UniqueConstraint("name", name="uq_identities_name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "templates",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("identity_id", sa.Integer(), nullable=False),
        sa.Column("model_identity", sa.String(64), nullable=False),
        sa.Column("template", sa.LargeBinary(), nullable=False),
        sa.Column("picture", sa.LargeBinary()),
        sa.Column("enrolled_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_templates"),
        sa.ForeignKeyConstraint(
            ["identity_id"], ["identities.id"], name="fk_templates_identity_id", ondelete="CASCADE"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_templates_identity_id", "templates", ["identity_id"])
    op.create_table(
        "forgotten",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("first_identity", sa.Integer(), nullable=False),
        sa.Column("last_identity", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_forgotten"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "operating_points",
        sa.Column("model_identity", sa.String(64), nullable=False),
        sa.Column("point", sa.JSON(), nullable=False),
        sa.Column("set_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("model_identity", name="pk_operating_points"),
    )
    if op.get_context().dialect.name == "postgresql":
        _keep_no_samples()


def _keep_no_samples() -> None:
    """ANALYZE would copy values into the server's statistics, where `forget` does not reach."""
    for table, column in (("identities", "name"), ("templates", "template"), ("templates", "picture")):
        op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET STATISTICS 0")
