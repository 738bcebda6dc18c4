"""The files that a gallery was imported from hold only those who came with them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("copies", sa.Column("oldest_identity", sa.Integer(), nullable=False, server_default="0"))
