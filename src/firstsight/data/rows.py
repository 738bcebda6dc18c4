"""Tables of numbers: CSV rows in, tensors out, and their standardization.

Shapes: N rows, F features, O targets.
"""

import csv
import gzip
import math
import re
import shlex
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from firstsight.errors import DataError

MOST_NAMED = 12
"""Columns that a hint lists."""
_DECIMAL_COMMA = re.compile(r"[+-]?[\d.]*,\d+(e[+-]?\d+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Rows:
    """Examples with number targets."""

    features_NF: Float64[Tensor, "N F"]
    targets_NO: Float64[Tensor, "N O"]
    feature_names: tuple[str, ...]
    target_names: tuple[str, ...]


@dataclass(frozen=True)
class LabeledRows:
    """Examples with a class: row i is of class `names[labels_N[i]]`."""

    features_NF: Float64[Tensor, "N F"]
    labels_N: Int64[Tensor, " N"]
    feature_names: tuple[str, ...]
    names: tuple[str, ...]


def read_rows(
    path: str | Path,
    targets: Sequence[str],
    *,
    features: Sequence[str] | None = None,
    empty: Literal["refuse", "nan"] = "refuse",
) -> Rows:
    """Read a CSV file (.gz or not) with a header, all of whose used cells are finite numbers.

    Args:
        path: the file, in UTF-8.
        targets: the columns to be predicted; none where there is nothing to compare with.
        features: the columns to predict from, in this order; all others by default.
        empty: what an empty feature cell means: an error, or NaN, which `Standardization` takes for the mean.

    Raises:
        DataError: a file that is missing or not CSV, a missing column, a ragged row, or a cell that is no number; the
            message names the line and the column.
    """
    names, lines = read_table(path)
    chosen = _columns(path, names, targets, features)
    split = len(chosen) - len(targets)
    numbers = [
        _numbers(path, line, row, names, chosen, features=split, empty=empty, optional=bool(targets))
        for line, row in lines
    ]
    if not numbers:
        raise DataError(f"{path} has no rows.", hint="Its first line is the header; add rows below it.")
    values = torch.tensor(numbers, dtype=torch.float64).reshape(len(numbers), len(chosen))
    used = tuple(names[i] for i in chosen)
    return Rows(values[:, :split], values[:, split:], used[:split], used[split:])


def read_labeled_rows(
    path: str | Path,
    label: str,
    *,
    features: Sequence[str] | None = None,
    empty: Literal["refuse", "nan"] = "refuse",
) -> LabeledRows:
    """Read a CSV file as `read_rows` does, with one column of class names (any text), numbered in sorted order."""
    names, lines = read_table(path)
    chosen = _columns(path, names, [label], features)
    numbers, labels = [], []
    for line, row in lines:
        inputs, text = chosen[:-1], row[chosen[-1]].strip()
        numbers.append(_numbers(path, line, row, names, inputs, features=len(inputs), empty=empty))
        if not text:
            raise DataError(f"{path}, line {line}: {label} is empty.", hint="Fill it in or remove the line.")
        labels.append(text)
    if not numbers:
        raise DataError(f"{path} has no rows.", hint="Its first line is the header; add rows below it.")
    classes = sorted(set(labels))
    number = {name: i for i, name in enumerate(classes)}
    return LabeledRows(
        torch.tensor(numbers, dtype=torch.float64).reshape(len(numbers), len(chosen) - 1),
        torch.tensor([number[text] for text in labels]),
        tuple(names[i] for i in chosen[:-1]),
        tuple(classes),
    )


@dataclass(frozen=True)
class Standardization:
    """Brings columns to mean 0 and standard deviation 1, by the statistics of the training rows."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def apply(self, values_NF: Float64[Tensor, "N F"]) -> Float32[Tensor, "N F"]:
        """(x - mean) / std, in float64 before it is rounded; NaN becomes 0, the mean."""
        standard_NF = (values_NF - torch.tensor(self.mean, dtype=torch.float64)) / torch.tensor(
            self.std, dtype=torch.float64
        )
        return standard_NF.nan_to_num(nan=0.0).to(torch.float32)

    def undo(self, standard_NF: Float32[Tensor, "N F"]) -> Float64[Tensor, "N F"]:
        """x · std + mean."""
        std_F = torch.tensor(self.std, dtype=torch.float64)
        return standard_NF * std_F + torch.tensor(self.mean, dtype=torch.float64)


def standardization(values_NF: Float64[Tensor, "N F"]) -> Standardization:
    """The mean and the population standard deviation of each column, NaN left out.

    A constant column has the standard deviation 1, so it becomes 0; one without any number is taken for 0.
    """
    mean_F = values_NF.nanmean(dim=0).nan_to_num(nan=0.0)
    var_F = (values_NF - mean_F).square().nanmean(dim=0).nan_to_num(nan=0.0)
    lowest_F = values_NF.nan_to_num(nan=math.inf).amin(dim=0)
    highest_F = values_NF.nan_to_num(nan=-math.inf).amax(dim=0)
    # rounding gives a constant column a mean beside its value, and a tiny deviation to divide by
    constant_F = lowest_F >= highest_F
    mean_F = torch.where(lowest_F == highest_F, lowest_F, mean_F)
    std_F = torch.where(constant_F | (var_F == 0), 1.0, var_F.sqrt())
    return Standardization(tuple(mean_F.tolist()), tuple(std_F.tolist()))


def read_table(path: str | Path) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """The header, and the rows with their line numbers, each as long as the header."""
    names, lines = read_lines(path)
    return names, _rectangular(path, len(names), lines)


def read_lines(path: str | Path) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """The header, and the rows with their line numbers, however long they are."""
    lines = _lines(path)
    _, names = next(lines, (0, []))
    names = [name.strip() for name in names]
    if not names:
        raise DataError(f"{path} is empty.", hint="Give a CSV file whose first line names the columns.")
    check_header(path, names)
    return names, lines


def check_header(source: str | Path, names: Sequence[str]) -> None:
    """Refuse a header with which cells cannot be told apart.

    Raises:
        DataError: two columns share a name, or what lies between cells is no comma.
    """
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise DataError(f"{source} has two columns {twice!r}.", hint="Rename one of them.")
    for mark, said in ((";", "semicolons"), ("\t", "tabs")):
        if len(names) == 1 and mark in names[0]:
            raise DataError(
                f"{source} has {said} between its cells, not commas.", hint="Save it with commas, and decimal points."
            )


def _lines(path: str | Path) -> Iterator[tuple[int, list[str]]]:
    try:
        with open(path, "rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
        opened = gzip.open if zipped else open
        with opened(path, "rt", encoding="utf-8-sig", newline="") as text:
            reader = csv.reader(text, strict=True)
            for row in reader:
                if row:
                    yield reader.line_num, row
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist.", hint="Check the path.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8.", hint="Save it as CSV in UTF-8.") from error
    except (csv.Error, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is not CSV text or is damaged ({error}).", hint="Save it as CSV in UTF-8.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", hint="Give a CSV file.") from error


def _rectangular(
    path: str | Path, width: int, lines: Iterator[tuple[int, list[str]]]
) -> Iterator[tuple[int, list[str]]]:
    for line, row in lines:
        if len(row) != width:
            raise DataError(
                f"{path}, line {line}: {len(row)} cells, and the header has {width}.", hint="Mend or remove the line."
            )
        yield line, row


def _columns(path: str | Path, names: list[str], targets: Sequence[str], features: Sequence[str] | None) -> list[int]:
    """Positions of the feature columns, then of the target columns."""
    for name in (*targets, *(features or ())):
        if name not in names:
            raise DataError(f"{path} has no column {name!r}.", hint=f"It has {', '.join(names)}.")
    for name in features or ():
        if name in targets or (features or ()).count(name) > 1:
            raise DataError(
                f"The column {name} of {path} is named twice among features and targets.", hint="Name it once."
            )
    chosen = [name for name in names if name not in targets] if features is None else list(features)
    return [names.index(name) for name in (*chosen, *targets)]


def _numbers(
    path: str | Path,
    line: int,
    row: list[str],
    names: list[str],
    columns: list[int],
    *,
    features: int,
    empty: Literal["refuse", "nan"],
    optional: bool = True,
) -> list[float]:
    """The cells of `columns` as numbers: first the features, which may be left out where they are `optional`."""
    numbers = []
    for place, column in enumerate(columns):
        cell = row[column].strip()
        if not cell and place < features and empty == "nan":
            numbers.append(math.nan)
            continue
        number = _number(cell)
        if not math.isfinite(number):
            what = f"{cell!r} is not a finite number" if cell else "the cell is empty"
            others = [
                names[i] for i in columns[:features] if i != column and math.isfinite(_number(row[i].strip() or "0"))
            ]
            mend = _without(others) if optional and place < features else "Mend it, or remove the line."
            if cell and place < features and empty == "nan":
                mend = f"Empty the cell, for which the mean is taken. {mend}"
            hint = decimal_hint(cell) or mend
            raise DataError(f"{path}, line {line}, column {names[column]}: {what}.", hint=hint)
        numbers.append(number)
    return numbers


def _number(cell: str) -> float:
    """NaN where it is none."""
    try:
        return float(cell)
    except ValueError:
        return math.nan


def decimal_hint(cell: str) -> str:
    """What to do with a cell such as 1,5; empty for others."""
    return "Use decimal points, not commas." if _DECIMAL_COMMA.fullmatch(cell.strip()) else ""


def _without(others: list[str]) -> str:
    """What to type to leave a column out."""
    if not others:
        return "Mend it, or leave the column out."
    shown = " ".join(map(shlex.quote, others[:MOST_NAMED]))
    more = f" … ({len(others) - MOST_NAMED} more)" if len(others) > MOST_NAMED else ""
    return f"Mend it, or leave the column out: --features {shown}{more}"
