"""What a trained model says of new examples: the `predict` verb. N examples, O outputs."""

import contextlib
import csv
import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from firstsight.atomic import in_utf8, write_atomically
from firstsight.data.arrivals import RowReader
from firstsight.data.files import ZipFiles, pictures_in_zip
from firstsight.data.filling import PICTURE, FolderSource
from firstsight.data.identities import find_pictures
from firstsight.data.pictures import prepare, read_picture
from firstsight.data.rows import Standardization
from firstsight.data.spreadsheet import harmless
from firstsight.data.streams import Offset, Source
from firstsight.errors import DataError, FirstsightError, ModelError, StorageError
from firstsight.models.folder import CONFIG, Model, find_model, load_model
from firstsight.workflows.examples import outputs_of, read_idx_pictures, rows_as_inputs


@dataclass(frozen=True, eq=False)
class Predictions:
    """One row of outputs for each example. `names` say which: the path of a picture, or the number of a row from 1.
    `classes` is empty for numbers."""

    names: list[str]
    outputs_NO: Float[Tensor, "N O"]
    output_names: tuple[str, ...]
    classes: list[str]


def predict(model: Model, data: str) -> Predictions:
    """Put every example of `data` through a model that has classes or numbers as its output.

    Raises:
        ModelError: the model makes embeddings.
        DataError: missing or damaged data, or a column that the model needs is missing.
    """
    _require_outputs(model)
    config = model.config
    names, inputs = _inputs(model, data)
    outputs_NO = outputs_of(model, inputs)
    classes = []
    if config.task == "classification":
        classes = [config.outputs[i] for i in outputs_NO.argmax(1).tolist()]
    return Predictions(names, outputs_NO, config.outputs, classes)


def to_csv(predictions: Predictions) -> str:
    """A header, then a line an example: its name, its class where there are classes, and each output.

    An apostrophe goes before text that a spreadsheet would run: names and classes come from others.
    """
    digits = 6 if predictions.classes else 9  # a number far from zero keeps its last places
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    with_class = ["class"] if predictions.classes else []
    writer.writerow(["example", *with_class, *map(harmless, predictions.output_names)])
    for i, name in enumerate(predictions.names):
        best = [harmless(predictions.classes[i])] if predictions.classes else []
        writer.writerow(
            [harmless(name), *best, *(f"{value:.{digits}g}" for value in predictions.outputs_NO[i].tolist())]
        )
    return text.getvalue()


def write_csv(predictions: Predictions, path: Path) -> None:
    """Write `to_csv` into a file, whole or not at all.

    Raises:
        StorageError: it cannot be written.
    """
    try:
        write_atomically(path, in_utf8(to_csv(predictions)))
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}.", hint="Name another --out.") from error


class NewestModel:
    """The model in a folder that a running stream writes anew now and then: at each look, its newest version.

    Raises:
        ModelError: there is none yet, or it makes embeddings.
    """

    def __init__(self, name: str, *, device: str = "cpu") -> None:
        self._name, self._device = name, device
        self._model = self._load()
        self._seen = self._version()

    def now(self) -> Model:
        """The newest version; the one before it while a new one is put in its place."""
        version = self._version()
        if version not in (None, self._seen):
            with contextlib.suppress(ModelError):
                self._model, self._seen = self._load(), version
        return self._model

    def _load(self) -> Model:
        model = load_model(self._name, device=self._device)
        _require_outputs(model)
        return model

    def _version(self) -> tuple[int, int] | None:
        with contextlib.suppress(ModelError, OSError):
            found = (find_model(self._name) / CONFIG).stat()
            return found.st_ino, found.st_mtime_ns
        return None


def predict_arrivals(
    newest: NewestModel, source: Source, *, on_refused: Callable[[Offset, str], None]
) -> Iterator[dict[str, Any]]:
    """What the newest model says of each arrival, as it comes: `example`, the number of a row or the path of a picture,
    its class and its score or its numbers, and `model`, the identity of the version that said it.

    Raises:
        DataError: rows come, and the model takes pictures, or the other way round.
    """
    pictures = isinstance(source, FolderSource)
    if pictures != (newest.now().config.columns is None):
        takes, come = ("pictures", "rows") if not pictures else ("rows", "pictures")
        raise DataError(f"The model takes {takes}, and {source.name} has {come}.", hint="Name other --data.")
    for arrival in source.arrivals(None):
        if arrival is None:
            continue
        model = newest.now()
        config = model.config
        try:
            if isinstance(arrival.record, str):
                raise DataError(f"{arrival.record}.")
            inputs = _picture(model, arrival.record[PICTURE]) if pictures else _row(model, arrival.record)
        except FirstsightError as error:
            on_refused(arrival.offset, str(error))
            continue
        output_O = outputs_of(model, inputs)[0].tolist()
        if config.task == "classification":
            best = max(range(len(output_O)), key=output_O.__getitem__)
            said: dict[str, Any] = {"class": config.outputs[best], "score": round(output_O[best], 6)}
        else:
            said = dict(zip(config.outputs, output_O, strict=True))
        example = arrival.record[PICTURE] if pictures else arrival.offset
        yield {"example": example, **said, "model": model.identity}


def _row(model: Model, record: dict[str, Any]) -> Tensor:
    columns = model.config.columns
    assert columns is not None
    reader = RowReader("", classes=True, features=columns.features)
    row_1F = torch.tensor([reader.numbers(record)], dtype=torch.float64)
    return Standardization(columns.mean, columns.std).apply(row_1F)


def _picture(model: Model, path: str) -> Tensor:
    return prepare(read_picture(Path(path)), model.config.preprocessing, name=path)[None]


def _require_outputs(model: Model) -> None:
    if model.config.task == "embedding":
        raise ModelError(
            f"The model {model.name} makes embeddings, not predictions.",
            hint="Use: firstsight enroll NAME PICTURE, then firstsight identify PICTURE",
        )


def _inputs(model: Model, data: str) -> tuple[list[str], Tensor]:
    config = model.config
    if config.columns:
        inputs = rows_as_inputs(data, config.columns)
        return [str(i + 1) for i in range(len(inputs))], inputs
    if "idx3-ubyte" in Path(data).name:
        pixels_NCHW = read_idx_pictures(data)[:, None]
        if tuple(pixels_NCHW.shape[1:]) != config.input_shape:
            sizes = [" x ".join(map(str, shape)) for shape in (pixels_NCHW.shape[1:], config.input_shape)]
            raise DataError(f"{data} holds pictures of {sizes[0]}, and the model takes {sizes[1]}.")
        return [str(i + 1) for i in range(len(pixels_NCHW))], pixels_NCHW
    names, pictures = _zipped(Path(data)) if zipfile.is_zipfile(data) else _loose(data)
    named = zip(names, pictures, strict=True)
    return names, torch.stack([prepare(picture, config.preprocessing, name=name) for name, picture in named])


def _loose(data: str) -> tuple[list[str], Iterator[Image.Image]]:
    paths = find_pictures(data)
    return [str(path) for path in paths], map(read_picture, paths)


def _zipped(path: Path) -> tuple[list[str], Iterator[Image.Image]]:
    names = pictures_in_zip(path)
    if not names:
        raise DataError(f"{path} holds no pictures.", hint="Give a folder or zip of pictures.")
    files = ZipFiles(path)
    return names, (read_picture(files.read(name), name=files.where(name)) for name in names)
