"""Pictures that arrive: what is learned of them is the embedding that a model makes."""

from collections.abc import Iterator
from typing import Any

from firstsight.data.filling import PICTURE
from firstsight.data.streams import LABEL, Arrival, Offset, Source
from firstsight.errors import FirstsightError
from firstsight.models.folder import Model
from firstsight.recognition.embed import embed_pictures


class EmbeddedPictures:
    """A source of pictures as one of rows: a column for each dimension of the embedding. A picture that cannot be read,
    or in which the model finds nothing, says why."""

    def __init__(self, pictures: Source, model: Model, target: str) -> None:
        self.name = pictures.name
        self._pictures, self._model, self._target = pictures, model, target

    def arrivals(self, after: Offset | None) -> Iterator[Arrival | None]:
        for arrival in self._pictures.arrivals(after):
            yield arrival if arrival is None else arrival._replace(record=self._record(arrival.record))

    def _record(self, record: dict[str, Any] | str) -> dict[str, Any] | str:
        if isinstance(record, str):
            return record
        if not record[LABEL]:
            return "it lies in no folder that names an identity"
        try:
            embedding_D = embed_pictures(self._model, [record[PICTURE]])[0]
        except FirstsightError as error:
            return f"it cannot be used: {error.message.removesuffix('.')}"
        return dict(zip(dimensions(self._model), embedding_D.tolist(), strict=True)) | {self._target: record[LABEL]}


def dimensions(model: Model) -> list[str]:
    """What the columns of its embeddings are called."""
    return [f"d{i}" for i in range(1, model.config.network.embedding_size + 1)]
