"""A stream with all that can happen in one: a class that comes later, late labels, broken records, missing cells."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from firstsight.config import Learner, Stream, StreamRecipe

ARRIVALS = 330
STREAM = StreamRecipe(
    stream=Stream(target="label", id="id", checkpoint_every=100, window=50, every=8),
    learner=Learner(hidden=8, rates=(0.1,)),
)


def small_stream() -> Iterator[tuple[Any, ...]]:
    """330 arrivals, the same each time: every fifth label comes seven arrivals late, every fiftieth row is broken."""
    generator = np.random.default_rng(0)
    owed: list[tuple[int, str]] = []
    for number in range(ARRIVALS):
        if owed and owed[0][0] <= number:
            due, label = owed.pop(0)
            yield None, label, f"row {due - 7}"
            continue
        x = generator.normal(size=3).tolist()
        label = "high" if x[0] > 0 else "low"
        if number > 150 and x[1] > 1:
            label = "new"
        if number % 50 == 49:
            yield {"x0": "broken", "x1": 1.0, "x2": 2.0}, label
        elif number % 5 == 0:
            owed.append((number + 7, label))
            yield x, None, f"row {number}"
        else:
            yield [None if number % 11 == 0 else x[0], *x[1:]], label
