"""Of all other pictures, which are of the same identity? N pictures, D embedding, B queries at a time, R relevant."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from firstsight.data.identities import PictureSet, require_identities
from firstsight.errors import UserError
from firstsight.evaluation.bounds import Interval, share_interval
from firstsight.evaluation.embedded import CONFIDENCE, Embedded, embed, with_interval
from firstsight.evaluation.identification import Mistake, TemplateSpace, confusions_of, worst_mistakes
from firstsight.evaluation.pairs import DISTANCES_AT_ONCE, FARTHEST, templates
from firstsight.evaluation.progress import OnProgress, counter, silent
from firstsight.evaluation.verification import Verification, verification, verification_figures
from firstsight.functional.quantize import template_distances
from firstsight.models.folder import Model


@dataclass(frozen=True, eq=False)
class Retrieval:
    """Means over all queries: pictures of an identity that has another one. R is how many others it has.

    - `precision_at_1`: the nearest picture is of the same identity.
    - `r_precision`: the share of the same identity among the R nearest.
    - `map_at_r`: (1/R) Σ P(i)·rel(i) over the R nearest, P(i) being the precision among the first i (Musgrave,
      Belongie, Lim 2020, section 3.2).
    """

    precision_at_1: float
    r_precision: float
    map_at_r: float
    intervals: tuple[Interval, Interval, Interval]
    queries: int
    scores: NDArray[np.float64]
    """The three figures of each picture, N x 3; a row of NaN where it is no query."""
    probed: NDArray[np.int64]
    """1 for each of the N pictures that is a query."""
    recognized: NDArray[np.int64]
    """1 where the nearest is of the same identity."""
    confusions: tuple[tuple[int, int, int], ...]
    """(true label, label of the nearest, how often), most frequent first."""
    mistakes: tuple[Mistake, ...]
    """Those where the nearest was nearer than the nearest of the same identity by most."""


@dataclass(frozen=True, eq=False, kw_only=True)
class RetrievalEvaluation(Embedded):
    """Retrieval among the pictures of a set."""

    retrieval: Retrieval
    verification: Verification

    def to_json(self) -> dict[str, Any]:
        """One flat dict of plain values; shares are fractions. `accuracy` is precision@1."""
        found = self.retrieval
        first, second, third = found.intervals
        return {
            **self.about("retrieval"),
            **with_interval("accuracy", found.precision_at_1, first),
            "error": 1 - found.precision_at_1,
            **with_interval("precision_at_1", found.precision_at_1, first),
            **with_interval("r_precision", found.r_precision, second),
            **with_interval("map_at_r", found.map_at_r, third),
            "confidence": CONFIDENCE,
            **self.counts(),
            **verification_figures(self.verification),
            "queries": found.queries,
        }


def evaluate_retrieval(model: Model, pictures: PictureSet, *, on_progress: OnProgress = silent) -> RetrievalEvaluation:
    """Search each picture among all others of its set.

    Args:
        model: what to measure.
        pictures: of identities that it was not trained on.
        on_progress: hears how far each stage is.

    Raises:
        DataError: fewer than two identities, none with two pictures, or no picture can be read.
    """
    require_identities(pictures, 2)
    require_identities(pictures, 1, with_pictures=2)
    embedded = embed(model, pictures, on_progress=on_progress)
    found = retrieval(embedded.embeddings, embedded.labels, on_progress=on_progress)
    pairs = verification(embedded.embeddings, embedded.labels, own=model.config.operating_point)
    return RetrievalEvaluation(**vars(embedded), retrieval=found, verification=pairs)


def retrieval(
    x_ND: Float[Tensor, "N D"],
    labels_N: Int64[Tensor, "N"],
    *,
    on_progress: OnProgress = silent,
) -> Retrieval:
    """Rank all other pictures by the distances of their templates, for every picture that has another of its identity.

    Of equal distances those to other identities come first: ties never flatter. A row of NaN is at distance 4 from
    everything. Memory grows with N, not with N².

    Raises:
        UserError: no identity has two pictures.
    """
    q_ND, embedded_N = templates(x_ND)
    _, place_N, count_I = torch.unique(labels_N, return_inverse=True, return_counts=True)
    relevant_N = count_I[place_N] - 1
    query_Q = relevant_N.nonzero().flatten()
    if not len(query_Q):
        raise UserError("No identity has two pictures to find each other.", hint="Give two pictures of an identity.")
    scores_N3 = torch.full((len(x_ND), 3), torch.nan, dtype=torch.float64)
    on_done = counter(on_progress, "Ranking", len(query_Q))
    wrong: list[Tensor] = []
    for query_B in torch.split(query_Q, max(1, DISTANCES_AT_ONCE // len(x_ND))):
        d_BN = template_distances(q_ND[query_B], q_ND).double()
        d_BN[~embedded_N[query_B]] = FARTHEST
        d_BN[:, ~embedded_N] = FARTHEST
        same_BN = labels_N[query_B, None] == labels_N
        d_BN[same_BN] = torch.nextafter(d_BN[same_BN], d_BN.new_tensor(torch.inf))
        d_BN[torch.arange(len(query_B)), query_B] = torch.inf
        scores_N3[query_B], nearest_B = _scores(d_BN, same_BN, relevant_N[query_B])
        wrong_B = (labels_N[nearest_B] != labels_N[query_B]) & embedded_N[query_B] & embedded_N[nearest_B]
        right_M = d_BN[wrong_B].where(same_BN[wrong_B], torch.inf).argmin(1)
        wrong.append(torch.stack([query_B[wrong_B], nearest_B[wrong_B], right_M]))
        on_done(len(query_B))
    return _retrieval(scores_N3.numpy(), labels_N.numpy(), TemplateSpace(x_ND), torch.cat(wrong, dim=1).numpy())


def _scores(
    d_BN: Float[Tensor, "B N"], same_BN: Tensor, relevant_B: Int64[Tensor, "B"]
) -> tuple[Float[Tensor, "B 3"], Int64[Tensor, "B"]]:
    """Precision@1, R-precision and MAP@R of each query, and the nearest picture to it."""
    most = int(relevant_B.max())
    nearest_BR = d_BN.topk(most, largest=False).indices
    rank_R = torch.arange(1, most + 1)
    hit_BR = (same_BN.gather(1, nearest_BR) & (rank_R <= relevant_B[:, None])).double()
    precision_BR = hit_BR.cumsum(1) / rank_R
    means = hit_BR.sum(1) / relevant_B, (precision_BR * hit_BR).sum(1) / relevant_B
    return torch.stack([hit_BR[:, 0], *means], dim=1), nearest_BR[:, 0]


def _retrieval(
    scores_N3: NDArray[np.float64], labels_N: NDArray[np.int64], space: TemplateSpace, wrong_3M: NDArray[np.int64]
) -> Retrieval:
    queries = np.isfinite(scores_N3).all(1)
    scores_Q3, labels_Q = scores_N3[queries], labels_N[queries]
    once_Q = np.ones(len(labels_Q), np.int64)
    first, second, third = (share_interval(scores_Q3[:, i], once_Q, labels_Q) for i in range(3))
    means = scores_Q3.mean(0)
    return Retrieval(
        precision_at_1=float(means[0]),
        r_precision=float(means[1]),
        map_at_r=float(means[2]),
        intervals=(first, second, third),
        queries=len(labels_Q),
        scores=scores_N3,
        probed=np.asarray(queries, np.int64),
        recognized=np.asarray(scores_N3[:, 0] == 1, np.int64),
        confusions=confusions_of(labels_N[wrong_3M[0]], labels_N[wrong_3M[1]]),
        mistakes=worst_mistakes(space, wrong_3M),
    )
