"""The triplet loss as it is written, one triplet at a time, in float64: what the fast ones are held against."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Expected(NamedTuple):
    total: Tensor
    considered: int
    active: int


def triplets_of(
    d_MN: list[list[float]], labels: list[int], references: list[int], select: str, fallback: str, own: bool
) -> Iterator[tuple[int, int, int]]:
    """Anchor, positive and negative of every triplet that counts; ties go to the lowest index."""
    for a, label in enumerate(labels):
        d = d_MN[a]
        positives = [p for p, other in enumerate(references) if other == label and not (own and p == a)]
        negatives = [n for n, other in enumerate(references) if other != label]
        if not positives or not negatives:
            continue
        nearest = min(negatives, key=lambda n: (d[n], n))
        farthest = min(negatives, key=lambda n: (-d[n], n))
        if select == "batch-hard":
            positives = [min(positives, key=lambda p: (-d[p], p))]
        for p in positives:
            if select == "all":
                yield from ((a, p, n) for n in negatives)
            elif select in ("hard", "batch-hard"):
                yield a, p, nearest
            else:
                beyond = [n for n in negatives if d[n] > d[p]]
                if beyond:
                    yield a, p, min(beyond, key=lambda n: (d[n], n))
                elif fallback != "skip":
                    yield a, p, farthest if fallback == "farthest" else nearest


def expected_loss(
    embeddings_BD: Tensor,
    labels_B: Tensor,
    *,
    select: str,
    margin: float = 0.2,
    fallback: str = "farthest",
    soft: bool = False,
    reference_ND: Tensor | None = None,
    reference_labels_N: Tensor | None = None,
) -> Expected:
    """The sum of equation 2-7, differentiable, and how many triplets are in it."""
    own = reference_ND is None
    x_BD = embeddings_BD.double()
    y_ND = x_BD if reference_ND is None else reference_ND.double()
    references_N = labels_B if reference_labels_N is None else reference_labels_N
    d_BN = (x_BD[:, None] - y_ND).square().sum(2)
    chosen = list(triplets_of(d_BN.tolist(), labels_B.tolist(), references_N.tolist(), select, fallback, own))
    total, active = (x_BD.sum() + y_ND.sum()) * 0, 0
    for a, p, n in chosen:
        excess = d_BN[a, p] - d_BN[a, n]
        cost = torch.log1p(excess.exp()) if soft else (excess + margin).relu()
        total, active = total + cost, active + int(cost > 0)
    return Expected(total, len(chosen), active)


def numpy_loss(
    x_BD: Tensor, labels_B: Tensor, *, select: str, fallback: str = "farthest", soft: bool = False, margin: float = 0.2
) -> Expected:
    """The same from the papers' wording, an anchor at a time, for batches that are too large for single triplets."""
    x, labels = x_BD.double().numpy(), labels_B.numpy()
    d_BB = ((x[:, None] - x) ** 2).sum(2)
    costs = []
    for anchor, d in enumerate(d_BB):
        positive = d[(labels == labels[anchor]) & (np.arange(len(d)) != anchor)][:, None]
        negative = d[labels != labels[anchor]][None]
        if not positive.size or not negative.size:
            continue
        if select == "semihard":  # FaceNet: "further away from the anchor than the positive exemplar"
            beyond = np.where(negative > positive, negative, np.inf).min(1, keepdims=True)
            instead = {"farthest": negative.max(), "hardest": negative.min(), "skip": np.nan}[fallback]
            negative = np.where(beyond < np.inf, beyond, instead)
        elif select != "all":  # "argmin ‖f(a) − f(n)‖²"
            negative = negative.min(1, keepdims=True)
        if select == "batch-hard":  # Hermans et al.: "the hardest positive and the hardest negative"
            positive = positive.max(0, keepdims=True)
        excess = positive - negative
        excess = excess[~np.isnan(excess)]
        costs.append(np.logaddexp(0, excess) if soft else np.maximum(excess + margin, 0))
    cost = np.concatenate([c.ravel() for c in costs]) if costs else np.zeros(0)
    return Expected(torch.tensor(cost.sum()), cost.size, int((cost > 0).sum()))
