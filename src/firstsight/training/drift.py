"""Has the stream changed? ADWIN (Bifet and Gavaldà 2007) over the errors, by river."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstsight.errors import MissingExtra

KEPT = 4_000
"""Errors that the detector is built anew from at most: river's own state is a pickle, and none is loaded."""


class DriftWatch:
    """Hears of a drift as soon as the newest errors differ from those before, and forgets those then.

    Whoever goes on from its `errors` finds the same drifts.

    Raises:
        MissingExtra: river is not installed.
    """

    def __init__(self) -> None:
        try:
            from river import drift
        except ImportError as error:
            raise MissingExtra("Watching for drift needs river.", extra="streams") from error
        self._kind: Any = drift.ADWIN
        self._detector: Any = None
        self._errors: list[float] = []
        self.load(np.zeros(0))

    def add(self, error_B: NDArray[Any]) -> bool:
        """Whether there is a drift among these errors, and they are more than before: fewer are no reason to act."""
        worse = False
        for error in error_B.tolist():
            before = self._detector.estimation
            self._detector.update(float(error))
            self._errors.append(float(error))
            if self._detector.drift_detected:
                worse |= self._detector.estimation > before
            if len(self._errors) >= 4 * KEPT:
                self.load(self.errors[-min(KEPT, int(self._detector.width)) :])
        return worse

    @property
    def errors(self) -> NDArray[np.float64]:
        """What `load` builds the same detector from."""
        return np.array(self._errors, np.float64)

    def load(self, errors: NDArray[np.float64]) -> None:
        """Go on from these errors."""
        self._detector, self._errors = self._kind(), errors.tolist()
        for error in self._errors:
            self._detector.update(error)
