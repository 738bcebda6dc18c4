"""The watch for drift: what it finds does not depend on where it was gone on from."""

import numpy as np
import pytest

pytest.importorskip("river")

from firstsight.training.drift import KEPT, DriftWatch


def test_whoever_goes_on_from_its_errors_finds_the_same_drifts() -> None:
    """The share of errors jumps up, down and up; the drifts are found soon after the jumps up, wherever one goes on."""
    generator = np.random.default_rng(0)
    errors = np.concatenate(
        [generator.random(count) < share for count, share in ((900, 0.1), (700, 0.5), (900, 0.05), (600, 0.4))]
    )
    watch = DriftWatch()
    copies: list[DriftWatch] = []
    found = []
    for place, step in enumerate(np.split(errors, len(errors) // 10)):
        worse = watch.add(step)
        for copy in copies:
            assert copy.add(step) == worse
            np.testing.assert_array_equal(copy.errors, watch.errors)
        if worse:
            found.append(10 * place)
        if place % 30 == 7:
            copies.append(DriftWatch())
            copies[-1].load(watch.errors)
    assert len(found) == 2
    assert all(jump <= at < jump + 150 for jump, at in zip((900, 2500), found, strict=True))


def test_it_keeps_no_more_errors_than_it_needs() -> None:
    watch = DriftWatch()
    assert not watch.add(np.random.default_rng(1).random(5 * KEPT) < 0.2)
    assert len(watch.errors) == 2 * KEPT
