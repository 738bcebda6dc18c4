"""Pairs of pictures and their distances: against combinations and NumPy in float64."""

from itertools import combinations

import numpy as np
import pytest
import torch
from torch import Tensor

from firstsight.evaluation import pairs as module
from firstsight.evaluation.pairs import Pairs, drawn_pairs, index_pairs, pair_distances, picture_pairs, templates
from firstsight.functional.quantize import quantize


def unit_vectors(count: int, size: int = 16, seed: int = 0) -> Tensor:
    x_ND = torch.randn(count, size, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(x_ND)


def test_every_two_pictures_are_a_pair_once() -> None:
    left_P, right_P, complete = index_pairs(torch.tensor([0, 1, 1, 0, 2]))
    assert list(zip(left_P.tolist(), right_P.tolist(), strict=True)) == list(combinations(range(5), 2))
    assert complete


def test_a_sample_is_half_same_half_different_and_always_the_same_one() -> None:
    labels_N = torch.tensor([0] * 40 + [1] * 10 + [2] * 25 + [3])
    left_P, right_P, complete = index_pairs(labels_N, max_pairs=2000)
    same_P = labels_N[left_P] == labels_N[right_P]
    assert not complete
    assert len(left_P) == 2000
    assert int(same_P.sum()) == 1000
    assert bool((left_P != right_P).all())
    again = index_pairs(labels_N, max_pairs=2000)
    assert torch.equal(left_P, again[0])
    assert torch.equal(right_P, again[1])
    # of the 780 + 45 + 300 same pairs each is as likely as any other
    share_I = torch.bincount(labels_N[left_P[same_P]], minlength=4) / 1000
    assert share_I.tolist() == pytest.approx([780 / 1125, 45 / 1125, 300 / 1125, 0], abs=0.05)


def test_a_sample_of_singletons_has_only_different_pairs() -> None:
    left_P, right_P, _ = index_pairs(torch.arange(100), max_pairs=50)
    assert len(left_P) == 50
    assert bool((left_P != right_P).all())


def test_distances_are_those_of_the_templates_in_float64() -> None:
    x_ND = unit_vectors(30)
    unit_ND = quantize(x_ND).numpy().astype(np.float64)
    unit_ND /= np.linalg.norm(unit_ND, axis=1, keepdims=True)
    pairs = picture_pairs(x_ND, torch.arange(30))
    expected_P = np.square(unit_ND[pairs.left] - unit_ND[pairs.right]).sum(1)
    np.testing.assert_allclose(pairs.distances, expected_P, atol=1e-6)


def test_the_two_ways_to_the_distances_agree_bit_for_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    x_ND = unit_vectors(60, 128)
    x_ND[3] = x_ND[4]
    left_P, right_P, _ = index_pairs(torch.arange(60))
    whole = pair_distances(x_ND, left_P, right_P)
    monkeypatch.setattr(module, "DISTANCES_AT_ONCE", 0)
    assert torch.equal(whole, pair_distances(x_ND, left_P, right_P))
    assert float(whole[(left_P == 3) & (right_P == 4)]) == 0


def test_what_could_not_be_embedded_is_at_distance_4_from_everything() -> None:
    x_ND = unit_vectors(4)
    x_ND[2] = torch.nan
    pairs = picture_pairs(x_ND, torch.tensor([0, 0, 1, 1]))
    touches = (pairs.left == 2) | (pairs.right == 2)
    assert pairs.distances[touches].tolist() == [4.0, 4.0, 4.0]
    assert bool((pairs.distances[~touches] < 4).all())
    assert templates(x_ND)[1].tolist() == [True, True, False, True]


def test_two_identities_count_for_at_most_a_hundred_comparisons() -> None:
    """20 x 20 pairs count as 100, 20 x 3 as 60, twice."""
    labels_N = torch.tensor([0] * 20 + [5] * 20 + [9] * 3)
    pairs = picture_pairs(unit_vectors(43), labels_N)
    assert pairs.comparisons == 100 + 60 + 60
    assert pairs.identities == 3


def test_drawn_pairs_are_what_the_probes_met_each_once() -> None:
    """Two trials: 0 and 2 enrolled, 1 and 3 probes; then 1 and 3 enrolled, 0 a probe, which meets 1 again."""
    x_ND, labels_N = unit_vectors(4), torch.tensor([0, 0, 1, 1])
    drawn = [(np.array([0, 2]), np.array([1, 3])), (np.array([1, 3]), np.array([0]))]
    pairs = drawn_pairs(x_ND, labels_N, drawn)
    assert list(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)) == [(0, 1), (0, 3), (1, 2), (2, 3)]
    assert pairs.same.tolist() == [True, False, False, True]
    assert pairs.complete
    first = drawn_pairs(x_ND, labels_N, [*drawn, (np.array([0]), np.array([2]))], max_pairs=6)
    assert torch.equal(first.left, pairs.left)
    assert not first.complete


def test_identities_are_those_that_were_compared() -> None:
    index = torch.tensor([0]), torch.tensor([2])
    pairs = Pairs(*index, torch.tensor([False]), torch.tensor([1.0]), torch.tensor([7, 7, 8, 9]), False)
    assert pairs.identities == 2
