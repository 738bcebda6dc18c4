import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstsight.errors import UserError
from firstsight.evaluation import clusters
from firstsight.evaluation.clusters import agreement, cluster, cluster_threshold
from firstsight.model_config import OperatingPoint, Step


def unit(rng: np.random.Generator, count: int, size: int = 4) -> np.ndarray:
    x_ND = rng.normal(size=(count, size))
    return x_ND / np.linalg.norm(x_ND, axis=1, keepdims=True)


def merged(x_ND: np.ndarray, threshold: float) -> set[frozenset[int]]:
    """Average linkage as a plain loop over sets."""
    found = [frozenset([i]) for i in range(len(x_ND))]
    distance_NN = ((x_ND[:, None] - x_ND[None]) ** 2).sum(2)

    def apart(pair: tuple[frozenset[int], frozenset[int]]) -> float:
        return float(np.mean([distance_NN[i, j] for i in pair[0] for j in pair[1]]))

    while len(found) > 1:
        nearest = min(itertools.combinations(found, 2), key=apart)
        if apart(nearest) > threshold:
            break
        found = [each for each in found if each not in nearest] + [nearest[0] | nearest[1]]
    return set(found)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 12), st.floats(0.1, 3.9))
def test_clusters_are_those_of_a_plain_loop_the_largest_first(seed: int, count: int, threshold: float) -> None:
    x_ND = unit(np.random.default_rng(seed), count)
    found_N = cluster(x_ND, threshold)
    sizes = np.bincount(found_N).tolist() if count else []
    assert sizes == sorted(sizes, reverse=True)
    assert {frozenset(np.flatnonzero(found_N == c).tolist()) for c in range(len(sizes))} == merged(x_ND, threshold)


def test_the_threshold_itself_is_still_the_same() -> None:
    x_ND = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert cluster(x_ND, 2.0).tolist() == [0, 0]
    assert cluster(x_ND, 1.999).tolist() == [0, 1]


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(3, 6)), min_size=2, max_size=12))
def test_precision_and_recall_count_pairs(rows: list[tuple[int, int]]) -> None:
    numbers = {old: new for new, old in enumerate(sorted({row[0] for row in rows}))}
    pairs = [(one[0] == other[0], one[1] == other[1]) for one, other in itertools.combinations(rows, 2)]
    together, same = [pair[1] for pair in pairs if pair[0]], [pair[0] for pair in pairs if pair[1]]
    found = agreement(np.array([numbers[row[0]] for row in rows]), np.array([row[1] for row in rows]))
    assert found.precision == (pytest.approx(np.mean(together)) if together else None)
    assert found.recall == (pytest.approx(np.mean(same)) if same else None)
    for share, interval in ((found.precision, found.precision_interval), (found.recall, found.recall_interval)):
        assert interval is None if share is None else interval is not None and interval.low <= share <= interval.high


def test_the_threshold_is_that_for_as_many_as_there_is_evidence_of() -> None:
    steps = tuple(Step(size=size, threshold=2 - size / 100, bound=0.01) for size in (1, 50, 100, 150))
    point = OperatingPoint(threshold=1.99, target=0.01, accepted=1, comparisons=9, identities=400, steps=steps)
    assert [cluster_threshold(point, count) for count in (0, 1, 2, 100, 10_000)] == [1.99, 1.99, 1.5, 1.0, 1.0]


def test_too_many_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "MOST", 3)
    with pytest.raises(UserError, match=r"4 pictures are too many for one clustering. Give 3 at most."):
        cluster(unit(np.random.default_rng(0), 4), 1.0)
