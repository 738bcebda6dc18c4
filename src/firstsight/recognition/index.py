"""Exact search over int8 templates in memory. M probes, N templates, D their length, K nearest."""

import torch
from jaxtyping import Float, Int8, Int64
from torch import Tensor

from firstsight.functional.quantize import paired_distances

_BLOCK = 8192  # templates turned to fp32 at a time: what fits a core's cache (29 ms for 1M; 65,536 take 360 ms)
_SCORES = 1 << 23  # scores held at a time


class Index:
    """The templates of a gallery, each with the id of its identity.

    `last_template` and `last_forgotten` say up to where it follows its database. Not for several threads at once.
    """

    def __init__(self) -> None:
        self.last_template = 0
        self.last_forgotten = 0
        self._count = 0
        self._templates_ND = torch.empty(0, 0, dtype=torch.int8)
        self._identities_N = torch.empty(0, dtype=torch.int64)
        self._scales_N = torch.empty(0)  # 1/‖q‖

    def __len__(self) -> int:
        return self._count

    @property
    def size(self) -> int:
        """D, the length of the templates held; 0 while there are none."""
        return self._templates_ND.shape[1] if self._count else 0

    def add(self, identities_N: Int64[Tensor, "N"], templates_ND: Int8[Tensor, "N D"], *, room: int = 0) -> None:
        """Append templates; if memory must grow, then to hold `room` of them at least."""
        end = self._count + len(identities_N)
        if end > len(self._identities_N) or templates_ND.shape[1] != self._templates_ND.shape[1]:
            self._grow(max(end, room, self._count + self._count // 4), templates_ND.shape[1])
        new = slice(self._count, end)
        self._identities_N[new] = identities_N
        self._templates_ND[new] = templates_ND
        for start in range(self._count, end, _BLOCK):
            rows = slice(start, min(start + _BLOCK, end))
            self._scales_N[rows] = self._templates_ND[rows].float().square_().sum(1).rsqrt_()
        self._count = end

    def _grow(self, room: int, size: int) -> None:
        n = self._count
        grown = torch.empty(room, size, dtype=torch.int8), torch.empty(room, dtype=torch.int64), torch.empty(room)
        for new, old in zip(grown, (self._templates_ND, self._identities_N, self._scales_N), strict=True):
            if n:  # an empty index may have held templates of another size
                new[:n] = old[:n]
        self._templates_ND, self._identities_N, self._scales_N = grown

    def drop(self, first: int, last: int) -> None:
        """Forget the identities `first` ... `last`, and overwrite what is left of them in memory."""
        n = self._count
        keep_N = (self._identities_N[:n] < first) | (self._identities_N[:n] > last)
        self._count = int(keep_N.sum())
        for column in (self._templates_ND, self._identities_N, self._scales_N):
            column[: self._count] = column[:n][keep_N]
            column[self._count : n] = 0

    @torch.inference_mode()
    def search(self, probes_MD: Int8[Tensor, "M D"], k: int) -> list[list[tuple[int, float]]]:
        """The `k` nearest identities of each probe, as (identity, distance), nearest first, ties by the lower id.

        An identity is as near as the nearest of its templates. Distances and their order are those of
        `template_distances` over all templates; an fp32 scan only finds who can be among the nearest.
        """
        if not self._count or k < 1:
            return [[] for _ in probes_MD]
        nearest: list[list[tuple[int, float]]] = []
        for block_MD in torch.split(probes_MD, max(1, _SCORES // self._count)):
            scores_MN = self._scores(block_MD)
            size = block_MD.shape[1]
            # Bounds twice the error of a dot product of D terms, its scaling, and the rounding of a distance.
            slack_M = (size + 8) * 2.0**-22 * block_MD.float().square().sum(1).sqrt()
            floor_M = self._kth_identity(scores_MN, k) - slack_M
            nearest += self._rank(block_MD, (scores_MN >= floor_M[:, None]).nonzero(), k)
        return nearest

    def _scores(self, probes_MD: Int8[Tensor, "M D"]) -> Float[Tensor, "M N"]:
        """⟨probe, q⟩ / ‖q‖. Whole numbers below 256 keep the products exact even where matmul is set to bf16."""
        scores_MN = torch.empty(len(probes_MD), self._count)
        probes_DM = probes_MD.float().T
        with torch.autocast("cpu", enabled=False):
            for start in range(0, self._count, _BLOCK):
                rows = slice(start, min(start + _BLOCK, self._count))
                scores_MN[:, rows] = (self._templates_ND[rows].float() @ probes_DM).T
        return scores_MN.mul_(self._scales_N[: self._count])

    def _kth_identity(self, scores_MN: Float[Tensor, "M N"], k: int) -> Float[Tensor, "M"]:
        """A score that at least `k` different identities of each row reach (all, where there are fewer)."""
        count = scores_MN.shape[1]
        width = min(k, count)
        while True:
            top = scores_MN.topk(width)
            identities = self._identities_N[top.indices].sort(1).values
            distinct_M = 1 + identities.diff(dim=1).ne(0).sum(1)
            if width == count or bool((distinct_M >= k).all()):
                return top.values[:, -1]
            width = min(4 * width, count)

    def _rank(
        self, probes_MD: Int8[Tensor, "M D"], candidates_R2: Int64[Tensor, "R 2"], k: int
    ) -> list[list[tuple[int, float]]]:
        """The `k` nearest identities of each probe among its candidates: rows of (probe, template)."""
        probe_R, row_R = candidates_R2.unbind(1)
        parts = zip(torch.split(probe_R, _BLOCK), torch.split(row_R, _BLOCK), strict=True)
        distance_R = torch.cat([paired_distances(probes_MD[m], self._templates_ND[n]) for m, n in parts])
        identity_R = self._identities_N[row_R]
        order_R = identity_R.argsort(stable=True)  # then by distance, then by probe: stable, so ties stay in order
        order_R = order_R[distance_R[order_R].argsort(stable=True)]
        order_R = order_R[probe_R[order_R].argsort(stable=True)]
        nearest: list[dict[int, float]] = [{} for _ in probes_MD]
        ordered = (column[order_R].tolist() for column in (probe_R, identity_R, distance_R))
        for probe, identity, distance in zip(*ordered, strict=True):
            if len(nearest[probe]) < k:
                nearest[probe].setdefault(identity, distance)
        return [list(found.items()) for found in nearest]
