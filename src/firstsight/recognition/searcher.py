"""Search in a gallery: by an index in memory that follows the database, or by the database itself.

M probes, D their length, K nearest.
"""

import threading

from jaxtyping import Int8
from torch import Tensor

from firstsight.recognition.decision import Match
from firstsight.recognition.index import Index
from firstsight.recognition.rows import (
    Standing,
    count_templates,
    drop_forgotten,
    load_new,
    names_of,
    standing_of,
    template_size,
)
from firstsight.recognition.storage import Storage
from firstsight.recognition.terms import Terms

Found = list[list[tuple[int, float]]]
"""Of each probe the nearest identities with their distances."""


class Searcher:
    """The nearest of all who are enrolled, exactly. What anybody enrolled or forgot before a call is seen by it.

    Each method is given the gallery's terms, and raises:
        OtherModel: the gallery holds templates of another model than the one bound.
        GalleryError: no model was bound; the probes have another length; it was encrypted since it was opened.
        StorageError: the database fails.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._lock = threading.Lock()  # guards all that follows
        self._index = Index()  # stays empty where the database searches
        self._count = 0  # of templates, where the database searches
        self._seen = Standing()  # what the index, or the count, is true to
        self._terms: Terms | None = None  # on which that was read; None if it may have changed since

    def search(self, terms: Terms, templates_MD: Int8[Tensor, "M D"], k: int) -> list[list[Match]]:
        """The `k` nearest of each probe, nearest first."""
        while True:
            by = self._found_by_server if self._storage.nearest else self._found_in_index
            found = by(terms, templates_MD, k)
            ids = {identity for nearest in found for identity, _ in nearest}
            with self._storage.reading() as connection:
                name_of = names_of(connection, ids)
            if len(name_of) == len(ids):
                return [[Match(name_of[identity], distance) for identity, distance in nearest] for nearest in found]
            self._terms = None  # one was forgotten just now

    def count(self, terms: Terms) -> int:
        """How many templates a search looks at."""
        with self._lock:
            self._follow(terms)
            return self._count if self._storage.nearest else len(self._index)

    def drop_forgotten(self) -> None:
        """Take whoever is forgotten out of memory, now."""
        with self._lock, self._storage.reading() as connection:
            drop_forgotten(connection, self._index)

    def _found_in_index(self, terms: Terms, templates_MD: Int8[Tensor, "M D"], k: int) -> Found:
        size = templates_MD.shape[1]
        with self._lock:
            self._follow(terms)
            terms.refuse_other_size(size, self._index.size or size)
            return self._index.search(templates_MD, min(k, self._seen.state.size))

    def _found_by_server(self, terms: Terms, templates_MD: Int8[Tensor, "M D"], k: int) -> Found:
        assert self._storage.nearest
        size = templates_MD.shape[1]
        with self._storage.reading() as connection:  # the model and what is found are of one moment
            held = terms.state(connection)
            terms.refuse_other_model(held)
            terms.refuse_other_size(size, template_size(connection) or size)
            return self._storage.nearest(connection, templates_MD, min(k, held.size))

    def _follow(self, terms: Terms) -> None:
        """Bring the index, or the count, to what the database holds now; where nothing was written since, unread."""
        if self._storage.changed() or terms is not self._terms:
            self._terms = None
        if self._terms is not None:
            return
        with self._storage.reading() as connection:
            now = standing_of(connection)
            terms.refuse_other_key(now.state)
            terms.refuse_other_model(now.state)
            if self._storage.nearest:
                if now[1:] != self._seen[1:]:
                    self._count = count_templates(connection)
            else:
                if now.last_forgotten > self._index.last_forgotten:
                    drop_forgotten(connection, self._index)
                if now.last_template > self._index.last_template:
                    load_new(connection, self._index, terms.cipher)
        self._seen, self._terms = now, terms
