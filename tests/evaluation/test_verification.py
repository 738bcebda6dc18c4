"""Rates of pairs: against scikit-learn, brute force, and examples worked by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor

from firstsight.errors import UserError
from firstsight.evaluation import pairs as module
from firstsight.evaluation.pairs import Pairs, picture_pairs
from firstsight.evaluation.resampling import resampled_rates
from firstsight.evaluation.verification import (
    unsupported,
    verification,
    verify_pairs,
)


def clusters(identities: int, pictures: int, *, spread: float = 0.5, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Unit embeddings scattered around one center an identity, and their labels."""
    generator = torch.Generator().manual_seed(seed)
    labels_N = torch.arange(identities).repeat_interleave(pictures)
    centers_ID = torch.randn(identities, 8, generator=generator)
    x_ND = centers_ID[labels_N] + spread * torch.randn(len(labels_N), 8, generator=generator)
    return torch.nn.functional.normalize(x_ND), labels_N


def listed(distances: list[float], same: list[bool], labels: list[int] | None = None) -> Pairs:
    """Pairs of pictures 0-1, 2-3, ...: each of identities of its own unless labels are given."""
    index_P = 2 * torch.arange(len(same))
    if labels is None:
        labels = [label for i, is_same in enumerate(same) for label in (2 * i, 2 * i + 1 - is_same)]
    return Pairs(index_P, index_P + 1, torch.tensor(same), torch.tensor(distances), torch.tensor(labels), True)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from([0.1, 0.5, 0.7, 1.0, 2.0]), st.booleans()), min_size=2, max_size=40))
def test_auc_is_that_of_scikit_learn_ties_included(drawn: list[tuple[float, bool]]) -> None:
    distances, same = [distance for distance, _ in drawn], [is_same for _, is_same in drawn]
    if len(set(same)) == 2:
        result = verify_pairs(listed(distances, same), fars=())
        assert result.auc == pytest.approx(roc_auc_score(same, -np.array(distances)))
        assert result.average_precision == pytest.approx(average_precision_score(same, -np.array(distances)))


def test_val_at_far_worked_by_hand() -> None:
    """30 different pairs at 1.00, 1.01, ...: FAR 0.1 lets three pass, so distances up to 1.02, a tie included."""
    different = [1 + i / 100 for i in range(30)]
    same = [0.5, 1.0, 1.02, 1.025, 1.03, 2.0]
    result = verify_pairs(listed(same + different, [True] * 6 + [False] * 30), fars=(0.1,))
    (point,) = result.val_at_far
    assert point.threshold == pytest.approx(1.025)
    assert point.far == pytest.approx(3 / 30)
    assert point.val == pytest.approx(4 / 6)
    assert point.interval is not None
    assert point.interval.low < 4 / 6 < point.interval.high


def test_val_at_far_and_equal_error_rate_against_brute_force() -> None:
    x_ND, labels_N = clusters(12, 8, spread=0.8)
    result = verification(x_ND, labels_N, fars=(0.1, 0.01))
    distance_P, same_P = result.pairs.distances.numpy(), result.pairs.same.numpy()
    rates = [(t, (distance_P[~same_P] <= t).mean(), (distance_P[same_P] <= t).mean()) for t in np.unique(distance_P)]
    for point in result.val_at_far:
        threshold, far, val = max(rate for rate in rates if rate[1] <= point.target)
        assert (point.threshold, point.far, point.val) == pytest.approx((threshold, far, val))
    gap, rate = min((abs(far - (1 - val)), (far + 1 - val) / 2) for _, far, val in rates)
    assert result.eer == pytest.approx(rate, abs=gap + 1e-3)
    assert result.mean_same == pytest.approx(distance_P[same_P].mean(), rel=1e-5)
    assert result.mean_different == pytest.approx(distance_P[~same_P].mean(), rel=1e-5)


def test_a_rate_that_the_pairs_cannot_support_is_refused_with_the_tightest_that_they_can() -> None:
    x_ND, labels_N = clusters(5, 4)  # 10 pairs of identities, 16 comparisons each
    result = verification(x_ND, labels_N, fars=(0.1, 0.01))
    supported, refused = result.val_at_far
    assert supported.val is not None
    assert refused.val is refused.threshold is refused.interval is None
    assert refused.refused == (
        "FAR 1e-2 needs 300 comparisons of different identities, and there are 160, of the same two at most 100 "
        "counted: the tightest FAR is 0.019."
    )


def test_three_comparisons_for_each_false_accept_are_enough() -> None:
    """3,000 different pairs support 1e-3, as in the published protocol of 10 folds of 300."""
    enough, fewer = ([2.0] * n for n in (3000, 2999))
    assert unsupported(1e-3, listed([1.0, *enough], [True] + [False] * 3000)) == ""
    assert "needs 3,000" in unsupported(1e-3, listed([1.0, *fewer], [True] + [False] * 2999))


def test_without_a_pair_of_one_identity_there_is_nothing_to_verify() -> None:
    with pytest.raises(UserError, match="No pair of the same identity"):
        verification(clusters(5, 1)[0], torch.arange(5))


def test_resampled_identities_weigh_pairs_as_scikit_learn_weighs_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    x_ND, labels_N = clusters(6, 6, spread=1.5)
    weight_I = np.array([2.0, 0.0, 1.0, 1.0, 1.0, 1.0])
    monkeypatch.setattr(module, "resampled_identities", lambda identities, draws: [weight_I])
    result = verification(x_ND, labels_N, fars=())
    pairs = result.pairs
    left_P, right_P = labels_N[pairs.left].numpy(), labels_N[pairs.right].numpy()
    weight_P = np.where(pairs.same, weight_I[left_P], weight_I[left_P] * weight_I[right_P])
    expected = roc_auc_score(pairs.same, -pairs.distances, sample_weight=weight_P)
    found = (result.auc_interval.low, result.auc_interval.high)
    assert found == pytest.approx(sorted((expected, result.auc))), "the one resampled value, and the value itself"
    precision = average_precision_score(pairs.same, -pairs.distances, sample_weight=weight_P)
    interval = result.average_precision_interval
    assert (interval.low, interval.high) == pytest.approx(sorted((precision, result.average_precision)))
    assert result.auc != pytest.approx(expected, abs=1e-4)


def test_a_thinned_resampling_keeps_the_precision_of_all_pairs() -> None:
    """180 same and 2,376 different pairs, of which 180 and 600 are drawn: without weights it would be 0.69."""
    pairs = picture_pairs(*clusters(12, 6, spread=1.0))
    whole, thinned = (resampled_rates(pairs, (), at_most=most).average_precision_R for most in (60_000, 1200))
    assert np.mean(thinned) == pytest.approx(np.mean(whole), abs=0.03)


def test_intervals_hold_their_figures_and_repeat_themselves() -> None:
    x_ND, labels_N = clusters(12, 8, spread=0.8)
    one, other = verification(x_ND, labels_N), verification(x_ND, labels_N)
    assert one.auc_interval == other.auc_interval
    assert one.auc_interval.low < one.auc < one.auc_interval.high < 1
    assert one.eer_interval.low < one.eer < one.eer_interval.high
    assert one.val_at_far == other.val_at_far


@pytest.mark.parametrize("identities", [2, 5, 6])
def test_few_identities_are_not_sold_as_certainty(identities: int) -> None:
    """Two that are drawn again are the same two, or one of them twice."""
    found = verification(*clusters(identities, 8, spread=0.8))
    for interval in (found.auc_interval, found.average_precision_interval, found.eer_interval):
        if identities < 6:
            assert (interval.low, interval.high, interval.method) == (0, 1, f"{identities} identities tell nothing")
        else:
            assert 0 < interval.high - interval.low < 1


def test_the_histogram_counts_every_pair() -> None:
    result = verification(*clusters(6, 5))
    same, different, edges = result.histogram(bins=20)
    assert (same.sum(), different.sum(), len(edges)) == (6 * 10, 15 * 25, 21)
    assert edges[0] == 0
    assert edges[-1] == pytest.approx(float(result.pairs.distances.max()))
