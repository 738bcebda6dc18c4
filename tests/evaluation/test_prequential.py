"""Prequential figures against plain counting."""

import numpy as np
import pytest

from firstsight.evaluation.prequential import Prequential, headlines


def test_figures_are_plain_counts_since_the_start_and_over_the_window() -> None:
    generator = np.random.default_rng(0)
    error, no_change, loss = (generator.random((3, 57)) < 0.4).astype(float)
    found = Prequential(10, classes=True)
    assert found.figures()["accuracy"] is None
    for step in np.split(np.arange(57), [1, 9, 40]):
        found.add(error[step], no_change[step], loss[step])
    figures = found.figures()
    for prefix, chosen in (("", slice(None)), ("window_", slice(-10, None))):
        right, baseline = 1 - error[chosen].mean(), 1 - no_change[chosen].mean()
        assert figures[f"{prefix}accuracy"] == pytest.approx(right)
        assert figures[f"{prefix}no_change_accuracy"] == pytest.approx(baseline)
        assert figures[f"{prefix}loss"] == pytest.approx(loss[chosen].mean())
        assert figures[f"{prefix}kappa_temporal"] == pytest.approx((right - baseline) / (1 - baseline))  # as published
    assert figures["rows"] == 57
    assert headlines(figures)[0].note.startswith("no-change: ")


def test_a_step_longer_than_the_window_leaves_its_end_there() -> None:
    found = Prequential(3, classes=False)
    found.add(np.array([9.0, 9, 1, 2, 3]), np.full(5, 4.0), np.zeros(5))
    figures = found.figures()
    assert (figures["mae"], figures["window_mae"]) == (pytest.approx(4.8), pytest.approx(2.0))
    assert figures["window_skill_temporal"] == pytest.approx(0.5)
