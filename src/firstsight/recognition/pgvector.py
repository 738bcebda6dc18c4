"""Search by a PostgreSQL server with pgvector, for galleries larger than memory. M probes, D their length, K nearest.

The server's distances only find candidates. Their order and their distances are those of `template_distances`, as in
index.py: the exact search returns what the index would.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from jaxtyping import Int8
from torch import Tensor

from firstsight.errors import GalleryError, StorageError
from firstsight.functional.quantize import template_distances
from firstsight.recognition.rows import stacked, state_of, template_size
from firstsight.recognition.sealing import sealed_from_server
from firstsight.recognition.storage import Nearest, Storage

_CANDIDATES = 100  # templates asked for at first, and searched for by HNSW
_EXTENSION = "vector"
# A column that the server fills from each template, whoever enrolls it. halfvec holds whole numbers to 2048.
_PREPARE = (
    """CREATE FUNCTION template_vector(template bytea) RETURNS halfvec LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (SELECT CAST(array_agg(b - CASE WHEN b > 127 THEN 256 ELSE 0 END ORDER BY i) AS halfvec)
    FROM (SELECT i, get_byte(template, i) AS b FROM generate_series(0, length(template) - 1) AS i) AS bytes)""",
    "ALTER TABLE templates ADD COLUMN vector halfvec GENERATED ALWAYS AS (template_vector(template)) STORED",
    "ALTER TABLE templates ALTER COLUMN vector SET STATISTICS 0",
)
_PREPARED = sa.text("SELECT to_regproc('template_vector') IS NOT NULL")
# `<=>` is 1 - cosine: half a squared distance. Only the typed column is the one in the HNSW index.
_NEAREST = """SELECT identity_id, template, {column} <=> CAST(:probe AS halfvec({size})) AS half FROM templates
    WHERE vector_dims(vector) = {size} ORDER BY half LIMIT :limit"""

# Is the index there? It goes on searching where the first candidates are too few.
_HNSW = sa.text(
    "SELECT to_regclass(:index) IS NOT NULL, set_config('hnsw.ef_search', :candidates, true),"
    " set_config('hnsw.iterative_scan', 'strict_order', true)"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recall:
    """How much of what the exact search finds the HNSW index finds, on this gallery."""

    found: int
    of: int
    probes: int
    nearest: int  # asked for of each probe


def server_search(storage: Storage, kind: str | tuple[str, ...]) -> Nearest:
    """Have the database ready for the search that a URL asks for: `server` is exact, `hnsw` is not.

    Raises:
        GalleryError: another kind; the server has no pgvector. From the search: there is no HNSW index yet.
    """
    if kind not in ("server", "hnsw"):
        raise GalleryError(f"There is no search={kind}.", hint="Use search=server or search=hnsw, or leave it away.")
    _have_vectors(storage)
    return _exact if kind == "server" else _hnsw


def make_hnsw(storage: Storage, *, probes: int = 200, k: int = 10) -> Recall:
    """Make the HNSW index if it is not there, and measure its recall: of the `k` nearest others of enrolled templates.

    Raises:
        GalleryError: nobody is enrolled; no PostgreSQL, or without pgvector.
    """
    with storage.reading() as connection:
        if connection.dialect.name != "postgresql":
            raise GalleryError(f"{storage.where} needs no index: it is searched in memory, exactly.", hint="")
    _have_vectors(storage)
    with storage.writing() as connection:
        size = template_size(connection)
        if size is None:
            raise GalleryError(f"Nobody is enrolled in {storage.where}.", hint="Enroll first: the index is made of it.")
        connection.exec_driver_sql(
            f"CREATE INDEX IF NOT EXISTS {_index_name(size)} ON templates"
            f" USING hnsw (CAST(vector AS halfvec({size})) halfvec_cosine_ops) WHERE vector_dims(vector) = {size}"
        )
    with storage.reading() as connection:
        return _recall(connection, probes, k)


def _recall(connection: sa.Connection, probes: int, k: int) -> Recall:
    found = of = 0
    rows = connection.execute(
        sa.text("SELECT identity_id, template FROM templates ORDER BY random() LIMIT :n"), {"n": probes}
    ).all()
    for identity, template in rows:
        probe_1D = stacked([template])
        exact, approximate = (
            {other for other, _ in search(connection, probe_1D, k + 1)[0]} - {identity} for search in (_exact, _hnsw)
        )
        found, of = found + len(exact & approximate), of + len(exact)
    return Recall(found=found, of=of, probes=len(rows), nearest=k)


def _have_vectors(storage: Storage) -> None:
    with storage.reading() as connection:
        if state_of(connection).key_check is not None:
            raise sealed_from_server(storage.where)
        if connection.scalar(_PREPARED):
            return
    try:
        with storage.writing() as connection:
            connection.exec_driver_sql(f"CREATE EXTENSION IF NOT EXISTS {_EXTENSION}")
    except StorageError as error:
        raise GalleryError(
            f"The server of {storage.where} has no pgvector, which its search needs.",
            hint="Have its administrator install pgvector and type CREATE EXTENSION vector, or leave ?search= away.",
        ) from error
    with storage.writing() as connection:
        connection.exec_driver_sql("LOCK TABLE templates")  # two may come to prepare at once
        if not connection.scalar(_PREPARED):
            for statement in _PREPARE:
                connection.exec_driver_sql(statement)


def _index_name(size: int) -> str:
    return f"ix_templates_vector_{size}"


def _exact(connection: sa.Connection, probes_MD: Int8[Tensor, "M D"], k: int) -> list[list[tuple[int, float]]]:
    # Twice the error of sums of D terms in fp32, and of a distance's rounding; see Index.search.
    slack = (probes_MD.shape[1] + 8) * 2.0**-22
    return [_search_one(connection, probe_D[None], k, "vector", slack) for probe_D in probes_MD]


def _hnsw(connection: sa.Connection, probes_MD: Int8[Tensor, "M D"], k: int) -> list[list[tuple[int, float]]]:
    size = probes_MD.shape[1]
    if k > 0 and not connection.scalar(_HNSW, {"index": _index_name(size), "candidates": str(_CANDIDATES)}):
        raise GalleryError(
            "The gallery has no HNSW index yet.",
            hint="Make it, and see how much it finds: firstsight gallery index --gallery URL",
        )
    column = f"CAST(vector AS halfvec({size}))"
    return [_search_one(connection, probe_D[None], k, column, None) for probe_D in probes_MD]


def _search_one(
    connection: sa.Connection, probe_1D: Int8[Tensor, "1 D"], k: int, column: str, slack: float | None
) -> list[tuple[int, float]]:
    """The `k` nearest identities. With `slack`, until no template that was left out can be as near as the k-th."""
    if k < 1:
        return []
    query = sa.text(_NEAREST.format(column=column, size=probe_1D.shape[1]))
    probe, limit = str(probe_1D[0].tolist()), max(_CANDIDATES, 4 * k)
    while True:
        rows = connection.execute(query, {"probe": probe, "limit": limit}).all()
        nearest: dict[int, float] = {}
        for identity, _, half in rows:
            nearest.setdefault(identity, half)
        enough = len(nearest) >= k and (slack is None or rows[-1].half > list(nearest.values())[k - 1] + slack)
        if enough or len(rows) < limit:
            return _ranked(probe_1D, rows)[:k]
        limit *= 8


def _ranked(probe_1D: Int8[Tensor, "1 D"], rows: Sequence[Any]) -> list[tuple[int, float]]:
    if not rows:
        return []
    distances = template_distances(probe_1D, stacked([template for _, template, _ in rows]))[0].tolist()
    nearest: dict[int, float] = {}
    for (identity, _, _), distance in zip(rows, distances, strict=True):
        nearest[identity] = min(distance, nearest.get(identity, distance))
    return sorted(nearest.items(), key=lambda found: (found[1], found[0]))
