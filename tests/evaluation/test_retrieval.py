"""Retrieval: against pytorch-metric-learning, scikit-learn, and examples worked by hand."""

import json

import numpy as np
import pytest
import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN
from sklearn.metrics import average_precision_score
from templates import unit_vectors
from torch import Tensor

from firstsight.data.identities import PictureSet
from firstsight.errors import UserError
from firstsight.evaluation.retrieval import evaluate_retrieval, retrieval
from firstsight.functional.quantize import quantize, template_distances
from firstsight.models.folder import Model


def scattered(counts: list[int], *, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels_N = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    x_ND = torch.randn(len(counts), 8, generator=generator)[labels_N]
    return torch.nn.functional.normalize(x_ND + torch.randn(len(labels_N), 8, generator=generator)), labels_N


def circle(*degrees: float) -> Tensor:
    radians = torch.tensor(degrees).deg2rad()
    return torch.stack([radians.cos(), radians.sin()], dim=1)


def test_the_figures_are_those_of_pytorch_metric_learning() -> None:
    x_ND, labels_N = scattered([7, 3, 12, 2, 5, 2])
    found = retrieval(x_ND, labels_N)
    include = ("precision_at_1", "r_precision", "mean_average_precision_at_r")
    calculator = AccuracyCalculator(include=include, knn_func=CustomKNN(LpDistance()), device=torch.device("cpu"))
    oracle = calculator.get_accuracy(unit_vectors(quantize(x_ND)).float(), labels_N)
    assert found.precision_at_1 == pytest.approx(oracle["precision_at_1"])
    assert found.r_precision == pytest.approx(oracle["r_precision"])
    assert found.map_at_r == pytest.approx(oracle["mean_average_precision_at_r"])
    assert 0.2 < found.map_at_r < 0.8
    assert found.queries == 31


def test_worked_by_hand() -> None:
    """On a circle: a at 0, 10 and 40 degrees, b at 15 and 180.

    Query 0 sees 10 (a), 15 (b), 40 (a): R = 2, so P@1 1, R-precision 1/2, MAP@R (1)/2. Query 10 sees 15, 0: 0, 1/2,
    (1/2)/2. Query 40 sees 15, 10: the same. The two b see an a first: nothing.
    """
    found = retrieval(circle(0, 10, 40, 15, 180), torch.tensor([0, 0, 0, 1, 1]))
    assert found.scores.tolist() == [[1, 0.5, 0.5], [0, 0.5, 0.25], [0, 0.5, 0.25], [0, 0, 0], [0, 0, 0]]
    assert (found.precision_at_1, found.r_precision, found.map_at_r) == pytest.approx((1 / 5, 1.5 / 5, 1 / 5))


def test_ties_never_flatter() -> None:
    """All at one place: of equal distances those of others come first, so nothing is found."""
    found = retrieval(torch.ones(6, 4), torch.tensor([0, 0, 0, 1, 1, 1]))
    assert (found.precision_at_1, found.r_precision, found.map_at_r) == (0, 0, 0)


def test_what_could_not_be_embedded_is_found_by_nobody_and_finds_nobody() -> None:
    x_ND = circle(0, 5, 90, 95)
    x_ND[1] = torch.nan
    found = retrieval(x_ND, torch.tensor([0, 0, 1, 1]))
    assert found.queries == 4
    assert found.scores[:, 0].tolist() == [0, 0, 1, 1]


def test_the_mistakes_are_the_queries_whose_nearest_is_another() -> None:
    x_ND, labels_N = scattered([7, 3, 12, 2, 5, 2])
    x_ND[4] = torch.nan
    found = retrieval(x_ND, labels_N)
    q_ND = quantize(torch.where(x_ND.isnan(), 1.0, x_ND))
    d_NN = template_distances(q_ND, q_ND).numpy().astype(float)
    np.fill_diagonal(d_NN, np.inf)
    d_NN[4] = d_NN[:, 4] = np.inf
    labels = labels_N.numpy()
    wrong = {i: d_NN[i].argmin() for i in range(31) if i != 4 and labels[d_NN[i].argmin()] != labels[i]}
    assert 3 < len(wrong) < 25
    assert {m.probe: m.taken_for for m in found.mistakes} == wrong
    for mistake in found.mistakes:
        own = np.where(labels == labels[mistake.probe], d_NN[mistake.probe], np.inf)
        assert (mistake.right, mistake.distance_to_right) == (own.argmin(), pytest.approx(own.min()))
    gaps = [mistake.distance_to_right - mistake.distance for mistake in found.mistakes]
    assert gaps == sorted(gaps, reverse=True)
    assert sum(count for *_, count in found.confusions) == len(wrong)
    assert found.recognized.sum() == 31 - len(wrong) - 1


def test_an_identity_with_one_picture_is_no_query_but_stands_in_the_way() -> None:
    found = retrieval(circle(0, 20, 10), torch.tensor([0, 0, 1]))
    assert found.queries == 2
    assert np.isnan(found.scores[2]).all()
    assert found.precision_at_1 == 0


def test_with_one_relevant_picture_map_at_r_bounds_average_precision_from_below() -> None:
    """Where R = 1, MAP@R is precision@1, and average precision gives credit for later ranks as well."""
    x_ND, labels_N = scattered([2] * 15)
    found = retrieval(x_ND, labels_N)
    d_NN = torch.cdist(x_ND, x_ND).numpy()
    for i in range(30):
        others = np.arange(30) != i
        expected = average_precision_score(labels_N[others] == labels_N[i], -d_NN[i, others])
        assert found.scores[i, 2] == found.scores[i, 0] <= expected + 1e-9
        assert (found.scores[i, 2] == 1) == (expected == 1)


def test_it_does_not_depend_on_how_many_are_ranked_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    x_ND, labels_N = scattered([7, 3, 12, 2, 5, 2])
    heard: list[tuple[str, int, int]] = []
    whole = retrieval(x_ND, labels_N)
    real_split = torch.split
    monkeypatch.setattr(torch, "split", lambda tensor, size: real_split(tensor, 10))
    parts = retrieval(x_ND, labels_N, on_progress=lambda *told: heard.append(told))
    np.testing.assert_array_equal(whole.scores, parts.scores)
    assert heard == [("Ranking", done, 31) for done in (10, 20, 30, 31)]


def test_a_set_is_measured_and_told(model: Model, pictures: PictureSet) -> None:
    figures = evaluate_retrieval(model, pictures).to_json()
    assert figures["accuracy"] == figures["precision_at_1"]
    assert (figures["queries"], figures["pictures"], figures["skipped"]) == (27, 28, 1)
    for name in ("precision_at_1", "r_precision", "map_at_r"):
        assert figures[f"{name}_low"] <= figures[name] <= figures[f"{name}_high"]
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


def test_singletons_alone_are_refused() -> None:
    with pytest.raises(UserError, match="No identity has two pictures"):
        retrieval(circle(0, 1, 2), torch.tensor([0, 1, 2]))
