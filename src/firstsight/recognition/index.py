"""Exact search over int8 templates in memory. M probes, N templates, D their length, K nearest.

S strips of neighboring scores: where the highest of a strip is too low, its scores need not be looked at.
"""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Int8, Int64
from torch import Tensor

from firstsight.functional.quantize import paired_distances
from firstsight.functional.scan import most_rounded, template_scores

_SEGMENT = 1 << 23  # bytes of templates allocated at a time; never moved, so growth neither copies nor leaves traces
_BLOCK = 8192  # templates moved or compared at a time
_SCORES = 1 << 23  # scores held at a time
_STRIP = 64


class Index:
    """The templates of a gallery, each with the id of its identity.

    `last_template` and `last_forgotten` say up to where it follows its database. Not for several threads at once.
    """

    def __init__(self) -> None:
        self.last_template = 0
        self.last_forgotten = 0
        self._count = 0
        self._segments: list[Int8[Tensor, "rows D"]] = []
        self._identities_N = torch.empty(0, dtype=torch.int64)
        self._scales_N = torch.empty(0)  # 1/‖q‖

    def __len__(self) -> int:
        return self._count

    @property
    def size(self) -> int:
        """D, the length of the templates held; 0 while there are none."""
        return self._segments[0].shape[1] if self._segments else 0

    def add(self, identities_N: Int64[Tensor, "N"], templates_ND: Int8[Tensor, "N D"]) -> None:
        """Append templates, in any order."""
        if not len(identities_N):
            return
        end = self._count + len(identities_N)
        self._make_room(end, templates_ND.shape[1])
        new = slice(self._count, end)
        self._identities_N[new] = identities_N
        parts = list(self._parts(self._count, end))
        for part, given in zip(parts, torch.split(templates_ND, [len(part) for part in parts]), strict=True):
            part.copy_(given)
        for scale, block in zip(self._scales_N[new].split(_BLOCK), templates_ND.split(_BLOCK), strict=True):
            scale.copy_(block.float().square_().sum(1).rsqrt_())
        self._count = end

    def drop(self, first: int, last: int) -> None:
        """Forget the identities `first` ... `last`: the last rows take their places, and the end is overwritten."""
        n = self._count
        gone_N = (self._identities_N[:n] >= first) & (self._identities_N[:n] <= last)
        kept = n - int(gone_N.sum())
        if kept == n:
            return
        holes_R = gone_N[:kept].nonzero().squeeze(1)
        movers_R = kept + (~gone_N[kept:]).nonzero().squeeze(1)
        for hole_R, mover_R in zip(holes_R.split(_BLOCK), movers_R.split(_BLOCK), strict=True):
            self._put(hole_R, self._take(mover_R))
            for column in (self._identities_N, self._scales_N):
                column[hole_R] = column[mover_R]
        for part in (*self._parts(kept, n), self._identities_N[kept:n], self._scales_N[kept:n]):
            part.zero_()
        self._count = kept
        del self._segments[-(-kept // self._rows) :]

    @torch.inference_mode()
    def search(self, probes_MD: Int8[Tensor, "M D"], k: int) -> list[list[tuple[int, float]]]:
        """The `k` nearest identities of each probe, as (identity, distance), nearest first, ties by the lower id.

        An identity is as near as the nearest of its templates. Distances and their order are those of
        `template_distances` over all templates; the scores only find who can be among the nearest.
        """
        if not self._count or not len(probes_MD) or k < 1:
            return [[] for _ in probes_MD]
        nearest: list[list[tuple[int, float]]] = []
        for block_MD in torch.split(probes_MD, max(1, _SCORES // self._count)):
            scores_MSS = self._scores(block_MD)
            highest_MS = scores_MSS.amax(2)
            # Bounds twice the error of a dot product of D terms, its scaling, and the rounding of a distance.
            share = (self.size + 8) * 2.0**-22 + 2 * most_rounded(len(block_MD), self.size)
            slack_M = share * block_MD.float().square().sum(1).sqrt()
            floor_M = self._kth_identity(scores_MSS, highest_MS, k) - slack_M
            nearest += self._rank(block_MD, *_reaching(scores_MSS, highest_MS, floor_M), k)
        return nearest

    @property
    def _rows(self) -> int:
        """Of a segment."""
        return max(1, _SEGMENT // self.size)

    def _make_room(self, end: int, size: int) -> None:
        rows = max(1, _SEGMENT // size)
        while len(self._segments) * rows < end:
            self._segments.append(torch.empty(rows, size, dtype=torch.int8))
        if end > len(self._identities_N):
            n, room = self._count, max(end, self._count + self._count // 4)
            grown = torch.empty(room, dtype=torch.int64), torch.empty(room)
            for new, old in zip(grown, (self._identities_N, self._scales_N), strict=True):
                new[:n] = old[:n]
            self._identities_N, self._scales_N = grown

    def _parts(self, start: int, end: int) -> Iterator[Int8[Tensor, "rows D"]]:
        """The rows `start` ... `end`, as they lie in their segments."""
        while start < end:
            segment, row = divmod(start, self._rows)
            part = self._segments[segment][row : row + end - start]
            yield part
            start += len(part)

    def _take(self, row_R: Int64[Tensor, "R"]) -> Int8[Tensor, "R D"]:
        q_RD = torch.empty(len(row_R), self.size, dtype=torch.int8)
        segment_R = row_R // self._rows
        for segment in segment_R.unique().tolist():
            here_R = segment_R == segment
            q_RD[here_R] = self._segments[segment][row_R[here_R] % self._rows]
        return q_RD

    def _put(self, row_R: Int64[Tensor, "R"], q_RD: Int8[Tensor, "R D"]) -> None:
        segment_R = row_R // self._rows
        for segment in segment_R.unique().tolist():
            here_R = segment_R == segment
            self._segments[segment][row_R[here_R] % self._rows] = q_RD[here_R]

    def _scores(self, probes_MD: Int8[Tensor, "M D"]) -> Float[Tensor, "M S strip"]:
        """⟨probe, q⟩ / ‖q‖ in strips; after the last template -inf."""
        scores_MN = torch.empty(len(probes_MD), -(-self._count // _STRIP) * _STRIP)
        scores_MN[:, self._count :] = -torch.inf
        start = 0
        for part in self._parts(0, self._count):
            rows = slice(start, start + len(part))
            template_scores(probes_MD, part, self._scales_N[rows], scores_MN[:, rows])
            start += len(part)
        return scores_MN.view(len(probes_MD), -1, _STRIP)

    def _kth_identity(
        self, scores_MSS: Float[Tensor, "M S strip"], highest_MS: Float[Tensor, "M S"], k: int
    ) -> Float[Tensor, "M"]:
        """A score that at least `k` different identities of each row reach (all, where there are fewer)."""
        width = min(k, self._count)
        while True:
            score_MW, row_MW = _top(scores_MSS, highest_MS, width)
            distinct_M = 1 + self._identities_N[row_MW].sort(1).values.diff(dim=1).ne(0).sum(1)
            if width == self._count or bool((distinct_M >= k).all()):
                return score_MW[:, -1]
            width = min(4 * width, self._count)

    def _rank(
        self, probes_MD: Int8[Tensor, "M D"], probe_R: Int64[Tensor, "R"], row_R: Int64[Tensor, "R"], k: int
    ) -> list[list[tuple[int, float]]]:
        """The `k` nearest identities of each probe among its candidates: pairs of a probe and a row."""
        parts = zip(torch.split(probe_R, _BLOCK), torch.split(row_R, _BLOCK), strict=True)
        distance_R = torch.cat([paired_distances(probes_MD[m], self._take(n)) for m, n in parts])
        columns = probe_R.numpy(), distance_R.numpy(), self._identities_N[row_R].numpy()
        order_R = np.lexsort(columns[::-1])  # by probe, then by distance, then by identity
        nearest: list[dict[int, float]] = [{} for _ in probes_MD]
        for probe, distance, identity in zip(*(column[order_R].tolist() for column in columns), strict=True):
            if len(nearest[probe]) < k:
                nearest[probe].setdefault(identity, distance)
        return [list(found.items()) for found in nearest]


def _top(
    scores_MSS: Float[Tensor, "M S strip"], highest_MS: Float[Tensor, "M S"], width: int
) -> tuple[Float[Tensor, "M W"], Int64[Tensor, "M W"]]:
    """The highest scores of each probe and their rows: they lie in as many strips, those with the highest maxima."""
    size = scores_MSS.shape[2]
    strip_MW = highest_MS.topk(min(width, highest_MS.shape[1])).indices
    few_MN = scores_MSS.gather(1, strip_MW[:, :, None].expand(-1, -1, size)).flatten(1)
    score_MW, at_MW = few_MN.topk(width)
    return score_MW, strip_MW.gather(1, at_MW // size) * size + at_MW % size


def _reaching(
    scores_MSS: Float[Tensor, "M S strip"], highest_MS: Float[Tensor, "M S"], floor_M: Float[Tensor, "M"]
) -> tuple[Int64[Tensor, "R"], Int64[Tensor, "R"]]:
    """Each probe and row whose score reaches the probe's floor."""
    probe, strip = (highest_MS >= floor_M[:, None]).nonzero().unbind(1)
    found, at = (scores_MSS[probe, strip] >= floor_M[probe, None]).nonzero().unbind(1)
    return probe[found], strip[found] * scores_MSS.shape[2] + at
