"""Curves, against scikit-learn, the definitions by brute force, and ties worked by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from firstsight.errors import UserError
from firstsight.functional.curves import auc, average_precision, equal_error_rate, roc, val_at_far

# Few distinct distances, so that ties abound.
pairs = st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=2, max_size=40).filter(
    lambda pairs: len({same for _, same in pairs}) == 2
)


def tensors(pairs: list[tuple[int, bool]]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([d / 4 for d, _ in pairs]), torch.tensor([same for _, same in pairs])


@given(pairs)
def test_curve_and_area_as_scikit_learn_finds_them(pairs: list[tuple[int, bool]]) -> None:
    from sklearn.metrics import roc_auc_score, roc_curve

    distances_N, same_N = tensors(pairs)
    far, val, thresholds = roc_curve(same_N.numpy(), -distances_N.numpy(), drop_intermediate=False)
    curve = roc(distances_N, same_N)
    np.testing.assert_allclose(curve.far, far)
    np.testing.assert_allclose(curve.val, val)
    np.testing.assert_array_equal(curve.thresholds, -thresholds)
    assert auc(curve) == pytest.approx(roc_auc_score(same_N.numpy(), -distances_N.numpy()))


@given(pairs)
def test_curve_and_average_precision_as_torchmetrics_finds_them(pairs: list[tuple[int, bool]]) -> None:
    from sklearn.metrics import average_precision_score
    from torchmetrics.functional.classification import binary_auroc, binary_average_precision, binary_roc

    distances_N, same_N = tensors(pairs)
    likeness_N = 1 - distances_N / 4  # torchmetrics takes what leaves 0 ... 1 for logits
    curve = roc(distances_N, same_N)
    far, val, _ = binary_roc(likeness_N, same_N.long())
    np.testing.assert_allclose(curve.far, far, rtol=1e-6)
    np.testing.assert_allclose(curve.val, val, rtol=1e-6)
    assert auc(curve) == pytest.approx(float(binary_auroc(likeness_N, same_N.long())), abs=1e-6)
    precision = average_precision(curve, same=float(same_N.double().mean()))
    assert precision == pytest.approx(float(binary_average_precision(likeness_N, same_N.long())), abs=1e-6)
    assert precision == pytest.approx(average_precision_score(same_N.numpy(), -distances_N.numpy()))


@given(pairs, st.floats(0, 1))
def test_val_at_far_by_definition(pairs: list[tuple[int, bool]], far: float) -> None:
    distances_N, same_N = tensors(pairs)
    different = [d for d, same in zip(distances_N.tolist(), same_N.tolist(), strict=True) if not same]
    alike = [d for d, same in zip(distances_N.tolist(), same_N.tolist(), strict=True) if same]

    def share(distances: list[float], threshold: float) -> float:
        return sum(d <= threshold for d in distances) / len(distances)

    allowed = [d for d in [-np.inf, *distances_N.tolist()] if share(different, d) <= far]
    found = val_at_far(distances_N, same_N, far)
    assert found.threshold == max(allowed)
    assert found.far == share(different, found.threshold) <= far
    assert found.val == share(alike, found.threshold)


def test_ties_worked_by_hand() -> None:
    distances_N = torch.tensor([1.0, 2.0, 2.0, 2.0, 3.0])
    same_N = torch.tensor([True, True, True, False, False])
    curve = roc(distances_N, same_N)
    assert curve.thresholds.tolist() == [-np.inf, 1, 2, 3]
    assert curve.far.tolist() == [0, 0, 0.5, 1]
    assert curve.val.tolist() == pytest.approx([0, 1 / 3, 1, 1])
    assert auc(curve) == pytest.approx(5 / 6)  # of 6 pairs of pairs, 4 in order and 2 tied
    assert average_precision(curve, same=3 / 5) == pytest.approx(1 / 3 * 1 + 2 / 3 * 3 / 4)
    assert val_at_far(distances_N, same_N, 0.49) == (pytest.approx(1 / 3), 1, 0)  # 2 would accept half: <= counts
    assert val_at_far(distances_N, same_N, 0.5) == (1, 2, 0.5)


def test_the_threshold_lies_at_the_last_same_pair_before_the_first_impostor() -> None:
    found = val_at_far(torch.tensor([0.1, 0.4, 0.7, 0.9]), torch.tensor([True, True, False, True]), 0.0)
    assert found.threshold == pytest.approx(0.4)
    assert found.val == pytest.approx(2 / 3)


def test_no_threshold_will_do() -> None:
    assert val_at_far(torch.tensor([0.1, 0.4]), torch.tensor([False, True]), 0.9) == (0, -np.inf, 0)


@pytest.mark.parametrize(
    ("alike", "different", "expected"),
    [
        ([1, 2], [3, 4], 0.0),
        ([3, 4], [1, 2], 1.0),
        ([1, 3], [2, 4], 0.5),
        ([1, 1], [1, 1], 0.5),
        ([1, 2, 3, 6], [4, 5, 7, 8], 0.25),
        ([1, 2, 6], [3, 7, 8, 9], 0.25),
        ([1, 2], [2, 3, 3], 0.2),  # on the slope of a tie: FAR s/3 meets 1 - VAL (1 - s)/2 at s = 0.6
    ],
)
def test_equal_error_rate(alike: list[int], different: list[int], expected: float) -> None:
    same_N = torch.tensor([True] * len(alike) + [False] * len(different))
    assert equal_error_rate(roc(torch.tensor([*alike, *different]).float(), same_N)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("same", "message"), [([True, True], "No pair of the different identity"), ([False, False], "No pair of the same")]
)
def test_pairs_of_one_kind_only(same: list[bool], message: str) -> None:
    with pytest.raises(UserError, match=message):
        roc(torch.tensor([0.1, 0.2]), torch.tensor(same))


def test_a_distance_that_is_no_number() -> None:
    with pytest.raises(UserError, match="Pair 1 has no distance"):
        roc(torch.tensor([0.1, torch.nan]), torch.tensor([True, False]))


def test_a_rate_that_is_none() -> None:
    with pytest.raises(UserError, match=r"A false accept rate of 1.5 is none"):
        val_at_far(torch.tensor([0.1, 0.4]), torch.tensor([False, True]), 1.5)
