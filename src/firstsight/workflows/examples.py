"""Examples with targets, from whatever holds them: CSV rows, IDX files, identity folders.

N examples, F features, O outputs.
"""

import csv
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from firstsight.config import Preprocessing, Recipe
from firstsight.data.cache import Skipped, packed_pictures, resolve_color
from firstsight.data.identities import open_pictures
from firstsight.data.idx import read_idx
from firstsight.data.pictures import to_input
from firstsight.data.rows import LabeledRows, Rows, Standardization, read_labeled_rows, read_rows, standardization
from firstsight.errors import DataError, RecipeError
from firstsight.model_config import Columns
from firstsight.models.folder import Model
from firstsight.training.randomness import generator_for
from firstsight.workflows.progress import OnProgress, stage

AT_ONCE = 1024
"""Examples that pass through a network together when it is measured."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Inputs and targets of N examples.

    `inputs` are uint8 pictures N x C x H x W, or standardized rows N x F. `targets` are class numbers N, or
    standardized numbers N x O, of which `raw_targets` are the originals. `columns` is None for pictures. `empty` counts
    the empty cells of each column that has any; they were taken for the mean.
    """

    inputs: Tensor
    targets: Tensor
    raw_targets: Tensor
    outputs: tuple[str, ...]
    preprocessing: Preprocessing
    columns: Columns | None = None
    unreadable: tuple[Skipped, ...] = ()
    empty: tuple[tuple[str, int], ...] = ()

    def select(self, indices: Tensor) -> "Examples":
        return replace(
            self, inputs=self.inputs[indices], targets=self.targets[indices], raw_targets=self.raw_targets[indices]
        )

    def first(self, count: int | None) -> "Examples":
        """The first `count` examples, or all."""
        return self if count is None else self.select(torch.arange(len(self.inputs))[:count])


def open_examples(recipe: Recipe, on_progress: OnProgress) -> tuple[Examples, Examples | None]:
    """What to learn from, and what is held out (None where the recipe holds out nothing).

    Raises:
        DataError: missing or damaged data, or held-out classes that were not learned.
        RecipeError: no target column named, or a task that such data do not have.
    """
    data = recipe.data
    if is_table(data.path):
        return _open_rows(recipe)
    if data.task == "regression":
        raise RecipeError("Regression needs rows.", hint="Give a CSV file and --target COLUMN.")
    _refuse_folder_of_idx(data.path)
    learned = _open_pictures(data.path, recipe.preprocessing, on_progress)
    if data.val:
        held_out = _open_pictures(data.val, learned.preprocessing, on_progress)
        if held_out.inputs.shape[1:] != learned.inputs.shape[1:]:
            sizes = [" x ".join(map(str, found.inputs.shape[1:])) for found in (held_out, learned)]
            raise DataError(f"{data.val} holds pictures of {sizes[0]}, and {data.path} of {sizes[1]}.")
        return learned, _in_order_of(held_out, learned, data.val)
    kept, out = _split(len(learned.inputs), recipe)
    held_out = replace(learned.select(out), unreadable=())  # the same, and said once
    return learned.select(kept), held_out if len(out) else None


def is_table(path: str) -> bool:
    """A CSV file of rows, not a manifest of pictures."""
    if not path.lower().removesuffix(".gz").endswith(".csv"):
        return False
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            names = [name.strip() for name in next(csv.reader(file), [])]
    except (OSError, UnicodeDecodeError, csv.Error):
        return True  # missing, gzipped or damaged: reading it says more
    return not {"path", "label"} <= set(names)


@torch.inference_mode()
def outputs_of(model: Model, inputs: Tensor) -> Tensor:
    """What the network makes of uint8 pictures or standardized rows, N x O on the CPU: scores of classes in float32,
    or numbers in the targets' own units in float64."""
    parts = []
    for batch in inputs.split(AT_ONCE):
        x = batch.to(model.device)
        parts.append(
            model.network(x if model.config.columns else to_input(x, model.config.preprocessing)).float().cpu()
        )
    outputs_NO = torch.cat(parts) if parts else torch.empty(0, len(model.config.outputs))
    columns = model.config.columns
    if columns is None or model.config.task != "regression":
        return outputs_NO
    return Standardization(columns.target_mean, columns.target_std).undo(outputs_NO)


def rows_as_inputs(path: str, columns: Columns) -> Tensor:
    """The rows of a CSV file, standardized as in training.

    Raises:
        DataError: a column is missing, or a cell is no number.
    """
    rows = read_rows(path, (), features=columns.features, empty="nan")
    return Standardization(columns.mean, columns.std).apply(rows.features_NF)


def read_idx_pictures(path: str) -> Tensor:
    """The pictures of an IDX file, uint8 N x H x W.

    Raises:
        DataError: it holds something else, or nothing.
    """
    pixels_NHW = read_idx(path)
    if pixels_NHW.ndim != 3 or pixels_NHW.dtype != torch.uint8 or not pixels_NHW.numel():
        what = f"{str(pixels_NHW.dtype).removeprefix('torch.')} numbers of shape {tuple(pixels_NHW.shape)}"
        raise DataError(f"{path} holds {what}, not pictures.", hint="Give a file like train-images-idx3-ubyte.gz.")
    return pixels_NHW


def _open_rows(recipe: Recipe) -> tuple[Examples, Examples | None]:
    data = recipe.data
    if not data.target:
        raise RecipeError(f"Which column of {data.path} is to be predicted?", hint="Add --target COLUMN.")
    if data.task == "classification" and len(data.target) > 1:
        raise RecipeError("Classes come from one column.", hint="Add one --target.")
    table = _read(data.path, recipe, data.features)
    held_out = _read(data.val, recipe, table.feature_names) if data.val else None
    learned, rest = _split(len(table.features_NF), recipe)
    inputs = standardization(table.features_NF[learned])
    if isinstance(table, LabeledRows):
        columns = Columns(features=table.feature_names, mean=inputs.mean, std=inputs.std)
    else:
        outputs = standardization(table.targets_NO[learned])
        columns = Columns(
            features=table.feature_names, mean=inputs.mean, std=inputs.std,
            target_mean=outputs.mean, target_std=outputs.std,
        )  # fmt: skip
    everything = _examples(table, columns, recipe.preprocessing)
    if held_out is not None:
        found = _examples(held_out, columns, recipe.preprocessing)
        return everything, _in_order_of(found, everything, data.val)
    kept_out = replace(everything.select(rest), empty=())  # the same, and said once
    return everything.select(learned), kept_out if len(rest) else None


def _read(path: str, recipe: Recipe, features: tuple[str, ...]) -> Rows | LabeledRows:
    if recipe.data.task == "classification":
        return read_labeled_rows(path, recipe.data.target[0], features=features or None, empty="nan")
    return read_rows(path, recipe.data.target, features=features or None, empty="nan")


def _examples(table: Rows | LabeledRows, columns: Columns, preprocessing: Preprocessing) -> Examples:
    inputs = Standardization(columns.mean, columns.std).apply(table.features_NF)
    counts = zip(columns.features, table.features_NF.isnan().sum(0).tolist(), strict=True)
    empty = tuple((name, count) for name, count in counts if count)
    if isinstance(table, LabeledRows):
        return Examples(inputs, table.labels_N, table.labels_N, table.names, preprocessing, columns, empty=empty)
    targets = Standardization(columns.target_mean, columns.target_std).apply(table.targets_NO)
    return Examples(inputs, targets, table.targets_NO, table.target_names, preprocessing, columns, empty=empty)


def _open_pictures(path: str, preprocessing: Preprocessing, on_progress: OnProgress) -> Examples:
    if "idx3-ubyte" in Path(path).name:
        return _open_idx(path, preprocessing)
    pictures = open_pictures(path)
    preprocessing = resolve_color(pictures, preprocessing)
    packed = packed_pictures(pictures, preprocessing, on_progress=stage(on_progress, "Reading pictures"))
    labels_N = torch.tensor(packed.kept.labels)
    return Examples(packed.pixels_NCHW, labels_N, labels_N, packed.kept.names, preprocessing, unreadable=packed.skipped)


def _refuse_folder_of_idx(path: str) -> None:
    """Name the file that was meant, of pictures to learn from if there is one."""
    files = sorted(Path(path).glob("*idx3-ubyte*"), key=lambda file: ("train" not in file.name, file.name))
    if files:
        raise DataError(f"{path} is a folder of IDX files, and one of them is needed.", hint=f"Give --data {files[0]}.")


def _open_idx(path: str, preprocessing: Preprocessing) -> Examples:
    """Pictures as published for MNIST, with the labels beside them: images-idx3 -> labels-idx1. The pictures say what
    size the input has."""
    name = Path(path).name
    labels_path = str(Path(path).with_name(name.replace("images", "labels").replace("idx3", "idx1")))
    pixels_NHW, labels_N = read_idx_pictures(path), read_idx(labels_path).long()
    if labels_N.shape != pixels_NHW.shape[:1]:
        raise DataError(
            f"{path} has {len(pixels_NHW)} pictures, and {labels_path} labels of shape {tuple(labels_N.shape)}.",
            hint="Give two files that belong together.",
        )
    height, width = pixels_NHW.shape[1:]
    names = tuple(str(label) for label in range(int(labels_N.max()) + 1))
    settled = replace(preprocessing, height=height, width=width, color="gray")
    return Examples(pixels_NHW[:, None], labels_N, labels_N, names, settled)


def _split(count: int, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Which of `count` examples are learned, and which held out: none where the recipe names others for that."""
    order = torch.randperm(count, generator=generator_for(recipe.training.seed, "split"))
    out = 0 if recipe.data.val else min(round(recipe.data.holdout * count), count - 1)
    return order[out:], order[:out]


def _in_order_of(held_out: Examples, learned: Examples, where: str) -> Examples:
    """The same examples, with their classes numbered as the learned ones."""
    if held_out.outputs == learned.outputs:
        return held_out
    unknown = [name for name in held_out.outputs if name not in learned.outputs]
    if unknown:
        raise DataError(
            f"{where} has the class {unknown[0]}, which was not learned.", hint="Leave it out, or learn it too."
        )
    number = torch.tensor([learned.outputs.index(name) for name in held_out.outputs])
    labels_N = number[held_out.targets]
    return replace(held_out, targets=labels_N, raw_targets=labels_N, outputs=learned.outputs)
