"""What is known when a row of a stream arrives: running statistics of the features, the rows and labels before it.

Nothing here looks ahead: each row is standardized by those up to itself, and sees the labels that came before it. How
arrivals fall into batches changes nothing but rounding.

B rows, K labels that came meanwhile, F features, O outputs, S memories, T label inputs for each output, I inputs.
"""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstsight.models.committee import (
    FARTHEST,
    LABEL_LAGS,
    LABEL_MEMORY,
    PER_FEATURE,
    PER_LABEL,
    ROW_MEMORY,
    input_count,
)

Floats = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]
_AT_ONCE = 128  # rows: what is known of a mean at each takes the square of this
LARGEST = 1e100  # its square is still a number


class RunningStandardization:
    """(x - mean) / std by all values so far; NaN, and numbers beyond 1e100, are left out."""

    def __init__(self, features: int) -> None:
        self.count_F = np.zeros(features)
        self.shift_F = np.full(features, np.nan)
        self.sum_F = np.zeros(features)
        self.square_F = np.zeros(features)

    def apply(self, x_BF: Floats) -> Floats:
        """Each row by the statistics up to and including itself. NaN becomes 0, the mean, and so does a constant."""
        known_BF = np.abs(x_BF) < LARGEST
        unshifted_F = np.isnan(self.shift_F)
        if unshifted_F.any():  # a feature's first value: from there on its sums lose no digits
            first_F = x_BF[known_BF.argmax(0), np.arange(x_BF.shape[1])]
            self.shift_F = np.where(unshifted_F & known_BF.any(0), first_F, self.shift_F)
        shifted_BF = x_BF - self.shift_F
        unknown_BF = None if known_BF.all() else ~known_BF
        if unknown_BF is not None:
            shifted_BF[unknown_BF] = 0.0
        so_far_3BF = np.empty((3, 1 + len(x_BF), x_BF.shape[1]))
        so_far_3BF[:, 0] = self.count_F, self.sum_F, self.square_F
        so_far_3BF[0, 1:], so_far_3BF[1, 1:] = known_BF, shifted_BF
        np.multiply(shifted_BF, shifted_BF, out=so_far_3BF[2, 1:])
        so_far_3BF.cumsum(1, out=so_far_3BF)
        self.count_F, self.sum_F, self.square_F = so_far_3BF[:, -1].copy()
        mean_BF, std_BF = _moments(*so_far_3BF[:, 1:])
        shifted_BF -= mean_BF
        shifted_BF /= std_BF
        if unknown_BF is not None:
            shifted_BF[unknown_BF] = 0.0
        return np.asarray(shifted_BF.clip(-FARTHEST, FARTHEST, out=shifted_BF))

    @property
    def moments(self) -> tuple[Floats, Floats]:
        """Mean and standard deviation of each feature so far: 0 and 1 where there was none, 1 for a constant."""
        mean_F, std_F = _moments(self.count_F, self.sum_F, self.square_F)
        return mean_F + np.nan_to_num(self.shift_F), std_F


def _moments(count: Floats, sums: Floats, squares: Floats) -> tuple[Floats, Floats]:
    count = np.maximum(count, 1.0)
    mean = sums / count
    square = squares / count
    var = square - mean * mean
    varies = var > 1e-12 * square  # below that it is rounding, and the feature a constant
    return mean, np.sqrt(np.where(varies, var, 1.0))


class Context:
    """Turns rows into inputs, and remembers what the next ones will be compared with."""

    def __init__(self, features: int, outputs: int) -> None:
        self.standard = RunningStandardization(features)
        self.row_F = np.zeros(features)
        self.rows_SF = np.zeros((len(ROW_MEMORY), features))
        self.lags_LO = np.zeros((LABEL_LAGS, outputs))
        self.means_SO = np.zeros((len(LABEL_MEMORY), outputs))

    def inputs(self, x_BF: Floats, label_KO: NDArray[Any], known_B: NDArray[np.int64]) -> NDArray[np.float32]:
        """The inputs of rows that arrive in this order, and of labels that come between them.

        Args:
            x_BF: the features, NaN where there is none.
            label_KO: labels, or standardized numbers, in the order in which they became known.
            known_B: how many of these were known when each row arrived.
        """
        row_BF = self.standard.apply(x_BF)
        count, features = row_BF.shape
        labels_BOT = self._labels(label_KO)[known_B]
        x_BI = np.empty((count, input_count(features, labels_BOT.shape[1])), np.float32)
        x_BI[:, 0] = 1
        x_BPF = x_BI[:, 1 : 1 + PER_FEATURE * features].reshape(count, PER_FEATURE, features)
        means_SBF = _running_means(ROW_MEMORY, self.rows_SF, row_BF)
        x_BPF[:, 0] = row_BF
        np.subtract(row_BF[0], self.row_F, out=x_BPF[0, 1], casting="same_kind")
        np.subtract(row_BF[1:], row_BF[:-1], out=x_BPF[1:, 1], casting="same_kind")
        np.subtract(row_BF, means_SBF[:, :-1], out=x_BPF[:, 2:].swapaxes(0, 1), casting="same_kind")
        x_BI[:, 1 + PER_FEATURE * features :] = labels_BOT.reshape(count, -1)
        self.row_F, self.rows_SF = row_BF[-1], means_SBF[:, -1]
        return x_BI

    def note(self, label_KO: NDArray[Any]) -> None:
        """Labels that came while no row did."""
        self._labels(label_KO)

    def add_output(self) -> None:
        """A class that was not known before."""
        self.lags_LO = np.pad(self.lags_LO, ((0, 0), (0, 1)))
        self.means_SO = np.pad(self.means_SO, ((0, 0), (0, 1)))

    @property
    def labels_now(self) -> Floats:
        """O x T: what a row that arrives now sees of the labels before it."""
        return np.asarray(self._labels(self.lags_LO[:0])[0])

    @property
    def last_label(self) -> Floats:
        """The last label that is known."""
        return np.asarray(self.lags_LO[-1])

    def _labels(self, label_KO: NDArray[Any]) -> Floats:
        """K + 1 x O x T: what is known of the labels after each of those that came, and before the first."""
        count, outputs = label_KO.shape
        full = np.empty((LABEL_LAGS + count, outputs))
        full[:LABEL_LAGS], full[LABEL_LAGS:] = self.lags_LO, label_KO
        means_SKO = _running_means(LABEL_MEMORY, self.means_SO, full[LABEL_LAGS:])
        known_KOT = np.empty((count + 1, outputs, PER_LABEL))
        for lag in range(1, LABEL_LAGS + 1):
            known_KOT[:, :, lag - 1] = full[LABEL_LAGS - lag : LABEL_LAGS - lag + count + 1]
        known_KOT[:, :, LABEL_LAGS:] = means_SKO.transpose(1, 2, 0)
        self.lags_LO, self.means_SO = full[count:], means_SKO[:, -1]
        return known_KOT

    def arrays(self) -> Arrays:
        """All that it remembers."""
        own = {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        return own | vars(self.standard)

    def load(self, arrays: Arrays) -> None:
        """Go on from there."""
        for name in [*vars(self)]:
            if name in arrays:
                setattr(self, name, arrays[name])
        for name in vars(self.standard):
            setattr(self.standard, name, arrays[name])


def _running_means(memory: tuple[float, ...], mean_SD: Floats, value_BD: Floats) -> Floats:
    """S x B + 1 x D: each running mean before each value, and after the last one."""
    mean_SKD = np.empty((len(memory), len(value_BD) + 1, value_BD.shape[1]))
    mean_SKD[:, 0] = mean_SD
    for first in range(0, len(value_BD), _AT_ONCE):
        value_bD = value_BD[first : first + _AT_ONCE]
        kept_Sb, added_Sbb = _decay(memory, len(value_bD))
        means_SkD = kept_Sb[:, :, None] * mean_SKD[:, first, None] + added_Sbb @ value_bD
        mean_SKD[:, first : first + len(value_bD) + 1] = means_SkD
    return mean_SKD


@functools.lru_cache(maxsize=64)
def _decay(memory: tuple[float, ...], count: int) -> tuple[Floats, Floats]:
    """What is left of the old mean, and of each value, before each value and after the last one."""
    share_S11 = np.array(memory)[:, None, None]
    age = np.arange(count + 1)[:, None] - 1 - np.arange(count)
    added = np.where(age >= 0, (1 - share_S11) * share_S11 ** np.maximum(age, 0), 0.0)
    return np.array(memory)[:, None] ** np.arange(count + 1), added
