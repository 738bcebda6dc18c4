"""The gallery's tables, as the newest migration leaves them (a test compares the two). Times are UTC."""

import sqlalchemy as sa

from firstsight.recognition.names import MAX_NAME

FORMAT = "0004"  # the newest migration; a later one counts on
VERSION_TABLE = "gallery_format"

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# One row. Every write locks it first, so writers stand in line and template ids are committed in their order.
gallery = sa.Table(
    "gallery",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("model_identity", sa.String(64), nullable=False),  # empty before the first enrollment
    sa.Column("model_name", sa.String, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),  # identities: counted here, since count(*) reads them all
    sa.Column("key_check", sa.LargeBinary),  # sealed with the key; NULL where nothing is encrypted
    sa.Column("erased", sa.Integer, nullable=False),  # rows of forgotten up to this one left no trace in the files
)

# Ids are never used twice: that is how another process sees what is new.
identities = sa.Table(
    "identities",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(MAX_NAME), nullable=False, unique=True),
    sa.Column("enrolled_at", sa.DateTime, nullable=False),
    sqlite_autoincrement=True,
)

templates = sa.Table(
    "templates",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("identity_id", sa.ForeignKey("identities.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("model_identity", sa.String(64), nullable=False),
    sa.Column("template", sa.LargeBinary, nullable=False),  # D bytes, int8; sealed where the gallery is encrypted
    sa.Column("picture", sa.LargeBinary),  # PNG of the network's input, sealed likewise; NULL: not kept
    sa.Column("enrolled_at", sa.DateTime, nullable=False),
    sa.Column("consent", sa.String),  # what was noted of the consent to it
    sqlite_autoincrement=True,
)

# Identities first ... last are gone: numbers only. That is how another process sees what is to be forgotten.
forgotten = sa.Table(
    "forgotten",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("first_identity", sa.Integer, nullable=False),
    sa.Column("last_identity", sa.Integer, nullable=False),
    sqlite_autoincrement=True,
)

# Backups and exports, each with the oldest and the newest identity in it: who was enrolled between may be in it.
copies = sa.Table(
    "copies",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("path", sa.String, nullable=False),
    sa.Column("kind", sa.String(10), nullable=False),  # backup or export
    sa.Column("made_at", sa.DateTime, nullable=False),
    sa.Column("newest_identity", sa.Integer, nullable=False),
    sa.Column("oldest_identity", sa.Integer, nullable=False, server_default="0"),
)

operating_points = sa.Table(
    "operating_points",
    metadata,
    sa.Column("model_identity", sa.String(64), primary_key=True),
    sa.Column("point", sa.JSON, nullable=False),  # model_config.OperatingPoint
    sa.Column("set_at", sa.DateTime, nullable=False),
)

# One row for each decision, written once; only forget changes it, and takes identities out. These are no foreign keys:
# each deleted identity would be looked for in three columns.
ledger = sa.Table(
    "ledger",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", sa.DateTime, nullable=False, index=True),
    sa.Column("request_id", sa.String(MAX_NAME), unique=True),
    sa.Column("kind", sa.String(16), nullable=False),  # verify, identify
    sa.Column("decision", sa.String(16), nullable=False),
    sa.Column("identity_id", sa.Integer),
    sa.Column("nearest_id", sa.Integer),
    sa.Column("runner_up_id", sa.Integer),
    sa.Column("evidence", sa.JSON, nullable=False),  # decision.Decision without its names
    sa.Column("direction", sa.String(3)),  # in, out
    sa.Column("camera", sa.String(MAX_NAME)),
    sqlite_autoincrement=True,
)

# What an operator said of a row of the ledger; the last one counts.
reviews = sa.Table(
    "reviews",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("ledger_id", sa.ForeignKey("ledger.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("at", sa.DateTime, nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),  # confirmed, corrected
    sa.Column("decision", sa.String(16), nullable=False),  # match, unknown
    sa.Column("identity_id", sa.Integer),
    sqlite_autoincrement=True,
)

probes = sa.Table(
    "probes",
    metadata,
    sa.Column("ledger_id", sa.ForeignKey("ledger.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("picture", sa.LargeBinary, nullable=False),  # PNG of the network's input
    sa.Column("erase_at", sa.DateTime, nullable=False),
)

# One row.
ledger_state = sa.Table(
    "ledger_state",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("retention_days", sa.Integer, nullable=False),  # 0: without end
    sa.Column("purged_at", sa.DateTime, nullable=False),
)
