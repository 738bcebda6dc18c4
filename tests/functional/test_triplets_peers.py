"""The triplet loss against pytorch-metric-learning, an independent implementation that lists every triplet.

Its sets and reducers differ: its semihard miner gives every negative with 0 < d_an − d_ap <= margin, where FaceNet
takes the nearest; its default reducer divides by the triplets with a positive cost, as "active" does.
"""

import pytest
import torch
from torch import Tensor

from firstsight.functional.triplets import triplet_loss

distances = pytest.importorskip("pytorch_metric_learning.distances", reason="comes with the extra losses")
losses = pytest.importorskip("pytorch_metric_learning.losses")
miners = pytest.importorskip("pytorch_metric_learning.miners")
reducers = pytest.importorskip("pytorch_metric_learning.reducers")

SQUARED = {"distance": distances.LpDistance(normalize_embeddings=False, p=2, power=2)}


@pytest.fixture(params=[[0] * 6 + [1] * 6 + [2] * 6, [0] * 9 + [1] * 2 + [2, 3, 4, 4]], ids=["equal", "unequal"])
def batch(request: pytest.FixtureRequest) -> tuple[Tensor, Tensor]:
    labels_B = torch.tensor(request.param)
    generator = torch.Generator().manual_seed(0)
    x_BD = torch.randn(len(labels_B), 4, generator=generator, dtype=torch.float64)
    return torch.nn.functional.normalize(x_BD).requires_grad_(), labels_B


@pytest.mark.parametrize(
    ("reduction", "reducer"),
    [("active", reducers.AvgNonZeroReducer), ("mean", reducers.MeanReducer), ("sum", reducers.SumReducer)],
)
def test_all(batch: tuple[Tensor, Tensor], reduction: str, reducer: type) -> None:
    x_BD, labels_B = batch
    theirs = losses.TripletMarginLoss(margin=0.2, reducer=reducer(), **SQUARED)(x_BD, labels_B)
    ours = triplet_loss(x_BD, labels_B, select="all", reduction=reduction).value  # type: ignore[arg-type]
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(torch.autograd.grad(ours, x_BD), torch.autograd.grad(theirs, x_BD))


@pytest.mark.parametrize(("select", "positives"), [("hard", "all"), ("batch-hard", "hard")])
def test_hard_and_batch_hard(batch: tuple[Tensor, Tensor], select: str, positives: str) -> None:
    x_BD, labels_B = batch
    mined = miners.BatchEasyHardMiner(pos_strategy=positives, neg_strategy="hard", **SQUARED)(x_BD, labels_B)
    theirs = losses.TripletMarginLoss(margin=0.2, **SQUARED)(x_BD, labels_B, mined)
    ours = triplet_loss(x_BD, labels_B, select=select).value  # type: ignore[arg-type]
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(torch.autograd.grad(ours, x_BD), torch.autograd.grad(theirs, x_BD))


def test_semihard_takes_the_nearest_of_theirs(batch: tuple[Tensor, Tensor]) -> None:
    x_BD, labels_B = batch
    a_T, p_T, n_T = miners.TripletMarginMiner(margin=0.2, type_of_triplets="semihard", **SQUARED)(x_BD, labels_B)
    d_BB = torch.cdist(x_BD, x_BD).square().detach()
    nearest: dict[tuple[int, int], int] = {}
    for a, p, n in zip(a_T.tolist(), p_T.tolist(), n_T.tolist(), strict=True):
        nearest[a, p] = min(nearest.get((a, p), n), n, key=lambda n: float(d_BB[a, n]))
    indices = tuple(torch.tensor([(*pair, n) for pair, n in nearest.items()]).T)
    theirs = losses.TripletMarginLoss(margin=0.2, **SQUARED)(x_BD, labels_B, indices)
    ours = triplet_loss(x_BD, labels_B, select="semihard", fallback="skip")
    assert 10 < int(ours.active) == len(nearest) <= len(a_T)
    torch.testing.assert_close(ours.value, theirs)
    torch.testing.assert_close(torch.autograd.grad(ours.value, x_BD), torch.autograd.grad(theirs, x_BD))
