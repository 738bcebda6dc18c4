"""What another threshold costs, by the pairs that were counted."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from firstsight.evaluation.bounds import binomial_upper_bound
from firstsight.evaluation.calibration import calibrate
from firstsight.evaluation.cost import cost_of
from firstsight.functional.quantize import quantize, template_distances
from firstsight.model_config import DISTANCE_STEP


def test_rates_are_those_of_a_plain_count_of_the_pairs() -> None:
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(12, 16))
    x = torch.from_numpy(centers[np.repeat(np.arange(12), 3)] + 0.5 * rng.normal(size=(36, 16))).float()
    x_ND = torch.nn.functional.normalize(x)
    labels_N = torch.arange(12).repeat_interleave(3)
    point = calibrate(x_ND, labels_N, target=0.5)
    assert point.distances is not None
    cost = cost_of(point.distances, point.identities)
    d_NN = template_distances(quantize(x_ND), quantize(x_ND)).numpy()
    same_NN = (labels_N[:, None] == labels_N[None, :]).numpy()
    same = d_NN[same_NN & np.triu(np.ones_like(same_NN), 1)]
    assert sum(point.distances.same) == len(same) == 36
    assert sum(point.distances.different) == point.comparisons
    for i, threshold in enumerate(cost.threshold):
        assert cost.frr[i] == pytest.approx((same > threshold + 1e-9).mean())
        assert cost.frr_low[i] <= cost.frr[i] <= cost.frr_high[i]
        assert cost.far[i] <= cost.far_bound[i]
    assert cost.far == tuple(sorted(cost.far))
    assert (cost.threshold[-1], cost.far[-1], cost.frr[-1]) == (4.0, 1.0, 0.0)
    assert cost.far_bound[0] == pytest.approx(binomial_upper_bound(0, 6))
    accepted = cost.far[int(np.ceil(point.threshold / DISTANCE_STEP))] * point.comparisons
    assert accepted >= point.accepted


def test_curves_do_not_change_the_name_of_a_calibration() -> None:
    x_ND = torch.nn.functional.normalize(torch.randn(20, 8, generator=torch.Generator().manual_seed(0)))
    point = calibrate(x_ND, torch.arange(20), target=0.5)
    assert point.distances is not None
    assert point.distances.repeated == 0
    assert cost_of(point.distances, 20).frr == ()
    assert replace(point, distances=None).version == point.version
    assert replace(point, threshold=1.0).version != point.version
