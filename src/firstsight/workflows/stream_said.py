"""What a stream said of rows when they arrived, kept until their labels come. B rows, I inputs, O outputs."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from firstsight.training.context import Arrays, Floats
from firstsight.training.online import Float32s


class Said(NamedTuple):
    """Rows as inputs, and what was said of each when it arrived.

    `no_change_B` is the label before it, NaN where there was none; `scale_B2` the mean and the standard deviation of
    the numbers before it, in which `mixed_BO` is.
    """

    x_BI: Float32s
    mixed_BO: Float32s
    no_change_B: Floats
    scale_B2: Floats

    def rows(self, which: Sequence[int] | NDArray[Any]) -> "Said":
        """A copy of some of them."""
        return Said._make(array[which] for array in self)


def with_labels(said: Said | None, own: list[int | None], late: list[Said]) -> Said:
    """The rows whose labels are known: those of this step, then those of before."""
    if said is None:
        return _joined(late)
    if None in own:
        said = said.rows([i for i, label in enumerate(own) if label is not None])
    return _joined([said, *late]) if late else said


def _joined(parts: list[Said]) -> Said:
    """Rows under each other; those from before there were so many outputs are filled up."""
    return Said._make(np.concatenate(_as_wide(arrays)) for arrays in zip(*parts, strict=True))


def packed(part: str, rows: list[Said]) -> Arrays:
    """One array for each field, and how wide each row is."""
    if not rows:
        return {}
    widths = np.array([[row.x_BI.shape[1], row.mixed_BO.shape[1]] for row in rows])
    return {f"{part}.{name}": array for name, array in _joined(rows)._asdict().items()} | {f"{part}.widths": widths}


def unpacked(arrays: Arrays) -> list[Said]:
    """The rows again, one by one."""
    if not arrays:
        return []
    whole = Said(**{name: array for name, array in arrays.items() if name != "widths"})
    found = []
    for i, (inputs, outputs) in enumerate(arrays["widths"].tolist()):
        row = whole.rows([i])
        found.append(row._replace(x_BI=row.x_BI[:, :inputs], mixed_BO=row.mixed_BO[:, :outputs]))
    return found


def _as_wide(arrays: Sequence[NDArray[Any]]) -> Sequence[NDArray[Any]]:
    if arrays[0].ndim == 1 or len({array.shape[1] for array in arrays}) == 1:
        return arrays
    widest = max(array.shape[1] for array in arrays)
    return [np.pad(array, ((0, 0), (0, widest - array.shape[1]))) for array in arrays]
