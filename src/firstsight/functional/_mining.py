"""Which triplets count, what they cost, and how they pull: in plain torch, on any device, none of them listed.

M: anchors; N: references; C: members, the references of an anchor's own label; K: its positives, nearest first. Both
are padded to the most that one anchor has. T: slots of an anchor's table; S: a matrix, flattened.

Weights: a loss that is the sum over triplets of h(d_ap − d_an) has the gradient Σ W_ij ∂d_ij, where each triplet adds
h' to W_ap and −h' to W_an. For the hinge, h' is 1 where it is positive: W holds whole numbers, exact in fp32.
"""

from collections import defaultdict
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64, Integer
from torch import Tensor
from torch.nn.functional import pad, softplus

Select = Literal["all", "semihard", "hard", "batch-hard"]
Fallback = Literal["farthest", "hardest", "skip"]
AT_ONCE = defaultdict(lambda: 2**26, cpu=2**19)  # distances: on the CPU, as many as its cache holds through ten passes


class Rule(NamedTuple):
    """Which triplets count, and for how much."""

    margin: float
    select: Select
    fallback: Fallback
    soft: bool


class Members(NamedTuple):
    """The references of each anchor's label: order[start[a] : end[a]], by ascending index.

    Where the references are the anchors themselves, each is a member of its own, but no positive: `own` is then the
    index of the first anchor among them.
    """

    order: Int64[Tensor, "N"]
    start: Int64[Tensor, "M"]
    end: Int64[Tensor, "M"]
    own: int | None

    def some(self, first: int, count: int) -> "Members":
        """Those of some of the anchors."""
        part = slice(first, first + count)
        own = None if self.own is None else self.own + first
        return Members(self.order, self.start[part], self.end[part], own)


class Mined(NamedTuple):
    """Sums over triplets (total, considered, active) and over pairs (same, different), float64; and the weights."""

    sums: Float[Tensor, "5"]
    weights: Float[Tensor, "M N"]


class Positives(NamedTuple):
    """Each anchor's positives, nearest first: where they are, how far (padded with inf), and which are no padding."""

    at: Int64[Tensor, "M K"]
    distance: Float[Tensor, "M K"]
    real: Bool[Tensor, "M K"]


def members_of(
    labels_M: Integer[Tensor, "M"], reference_labels_N: Integer[Tensor, "N"] | None, device: torch.device
) -> Members:
    """Group the references by label; without any, the anchors are the references."""
    labels_M = labels_M.to(device, torch.int64)
    all_N = labels_M if reference_labels_N is None else reference_labels_N.to(device, torch.int64)
    sorted_N, order_N = all_N.sort(stable=True)
    start_M, end_M = torch.searchsorted(sorted_N, labels_M), torch.searchsorted(sorted_N, labels_M, right=True)
    return Members(order_N, start_M, end_M, own=0 if reference_labels_N is None else None)


def mine(d_MN: Float[Tensor, "M N"], members: Members, rule: Rule) -> Mined:
    """Apply the rule to squared distances. d_MN is used up: the weights may take its place."""
    M, N = d_MN.shape
    count_M = members.end - members.start
    slots_C = torch.arange(int(count_M.max()) if M else 0, device=d_MN.device)
    present_MC = slots_C < count_M[:, None]
    index_MC = members.order[(members.start[:, None] + slots_C).clamp(max=N - 1)]
    distance_MC = torch.where(present_MC, d_MN.gather(1, index_MC), 0)
    positives = _positives(index_MC, distance_MC, present_MC, members.own)
    same = torch.where(positives.real, positives.distance, 0).sum(dtype=torch.float64)
    different = d_MN.sum(1).sum(dtype=torch.float64) - distance_MC.sum(dtype=torch.float64)
    different *= (count_M < N).any()  # without a negative, what is left is rounding
    if not positives.real.shape[1]:
        return Mined(torch.stack([*same.new_zeros(3), same, different]), d_MN.zero_())

    flat_S = (index_MC + torch.arange(M, device=d_MN.device)[:, None] * N)[present_MC]
    d_MN.view(-1).index_fill_(0, flat_S, torch.inf)  # no member is a negative
    if rule.select == "all":
        sums, weights_MN = _every(d_MN, positives, flat_S, N - count_M, rule.margin)
    else:
        sums, weights_MN = _chosen(d_MN, positives, rule)
    return Mined(torch.stack([*(x.double() for x in sums), same, different]), weights_MN)


def _positives(index_MC: Tensor, distance_MC: Tensor, present_MC: Tensor, own: int | None) -> Positives:
    if own is not None:
        anchor_M = torch.arange(own, own + len(index_MC), device=index_MC.device)
        present_MC = present_MC & (index_MC != anchor_M[:, None])
    distance_MC, order_MC = distance_MC.masked_fill(~present_MC, torch.inf).sort(stable=True)
    K = max(distance_MC.shape[1] - (own is not None), 0)
    real_MK = torch.arange(K, device=index_MC.device) < present_MC.sum(1, keepdim=True)
    return Positives(index_MC.gather(1, order_MC)[:, :K], distance_MC[:, :K], real_MK)


def _every(
    d_MN: Tensor, positives: Positives, members_S: Tensor, negatives_M: Tensor, margin: float
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Every triplet, none listed: of each pair, only the number of its partners inside the margin is needed.

    With c_p the number of negatives nearer than t_p = d_ap + margin, and c_n the number of positives whose t_p is
    farther than d_an, an anchor's hinges sum to Σ c_p t_p − Σ c_n d_an, and c_p and −c_n are the weights.
    """
    real_MK = positives.real
    threshold_MK = positives.distance + margin
    rank_S, T = _rank(threshold_MK, d_MN)
    nearer_MK = rank_S.bincount(minlength=len(d_MN) * T).view(-1, T).cumsum(1)[:, : real_MK.shape[1]] * real_MK
    none_M1 = torch.arange(len(d_MN), device=d_MN.device)[:, None] * T + real_MK.sum(1, keepdim=True)
    weights_MN = rank_S.view_as(d_MN).sub_(none_M1.to(rank_S.dtype)).to(d_MN.dtype)
    weights_MN.view(-1).index_fill_(0, members_S, 0)
    d_MN.view(-1).index_fill_(0, members_S, 0)
    total = (nearer_MK * torch.where(real_MK, threshold_MK, 0).double()).sum()
    total += d_MN.mul_(weights_MN).sum(1).sum(dtype=torch.float64)
    weights_MN.scatter_add_(1, positives.at, nearer_MK.to(d_MN.dtype))
    return (total, (real_MK.sum(1) * negatives_M).sum(), nearer_MK.sum()), weights_MN


def _chosen(d_MN: Tensor, positives: Positives, rule: Rule) -> tuple[tuple[Tensor, ...], Tensor]:
    """One negative for each positive that counts."""
    if rule.select == "batch-hard":
        farthest_M1 = torch.where(positives.real, positives.distance, 0).amax(1, keepdim=True)
        first_M1 = (positives.distance >= farthest_M1).byte().argmax(1, keepdim=True)  # of ties, the lowest index
        positives = Positives(*(x.gather(1, first_M1) for x in positives))
    if rule.select == "semihard":
        negative_MK, at_MK = _nearest_beyond(positives.distance, d_MN)
        none_MK = positives.real & (negative_MK == torch.inf)
        if rule.fallback != "skip" and none_MK.any():
            other_M1, other_at_M1 = _farthest(d_MN) if rule.fallback == "farthest" else d_MN.min(1, keepdim=True)
            negative_MK, at_MK = torch.where(none_MK, other_M1, negative_MK), torch.where(none_MK, other_at_M1, at_MK)
    else:
        nearest_M1, nearest_at_M1 = d_MN.min(1, keepdim=True)
        negative_MK, at_MK = nearest_M1.expand_as(positives.real), nearest_at_M1.expand_as(positives.real)

    chosen_MK = positives.real & negative_MK.isfinite()
    excess_MK = positives.distance - negative_MK if rule.soft else positives.distance + rule.margin - negative_MK
    excess_MK = torch.where(chosen_MK, excess_MK, -torch.inf)
    cost_MK = softplus(excess_MK) if rule.soft else excess_MK.relu()
    pull_MK = excess_MK.sigmoid() if rule.soft else (excess_MK > 0).to(d_MN.dtype)
    weights_MN = d_MN.zero_().scatter_add_(1, positives.at, pull_MK).scatter_add_(1, at_MK, -pull_MK)
    return (cost_MK.sum(dtype=torch.float64), chosen_MK.sum(), (cost_MK > 0).sum()), weights_MN


def _farthest(d_MN: Tensor) -> tuple[Tensor, Tensor]:
    values_M1, at_M1 = torch.where(d_MN < torch.inf, d_MN, -torch.inf).max(1, keepdim=True)
    return values_M1, at_M1


def _nearest_beyond(distance_MK: Tensor, d_MN: Tensor) -> tuple[Tensor, Tensor]:
    """For each positive, the nearest negative that is strictly farther, and its index; inf where there is none.

    A reference of rank r is farther than the r nearest positives: the nearest beyond positive k is the nearest of
    the first rank above k that is not empty.
    """
    (M, K), N = distance_MK.shape, d_MN.shape[1]
    rank_S, T = _rank(distance_MK.nextafter(distance_MK.new_tensor(torch.inf)), d_MN)
    d_S = d_MN.view(-1)
    nearest_S = d_S.new_full((M * T,), torch.inf).scatter_reduce_(0, rank_S.long(), d_S, "amin")
    hits_S = (nearest_S.index_select(0, rank_S) == d_S).nonzero().squeeze(1)
    column_S = hits_S.new_full((M * T,), N).scatter_reduce_(0, rank_S[hits_S].long(), hits_S % N, "amin")
    above_MK, slot_MK = nearest_S.view(M, T)[:, 1 : K + 1].flip(1).cummin(1)
    index_MK = column_S.view(M, T)[:, 1 : K + 1].flip(1).gather(1, slot_MK)
    return above_MK.flip(1), index_MK.flip(1).clamp(max=N - 1)


def _rank(threshold_MK: Tensor, d_MN: Tensor) -> tuple[Tensor, int]:
    """How many of its row's ascending thresholds are at most each distance, by bisection of all rows at once.

    Flattened, and offset by the start of the row in a table of T slots a row: ready to index that table.
    """
    M, K = threshold_MK.shape
    T = 1 << K.bit_length()
    table_S = pad(threshold_MK, (0, T - K), value=torch.inf).view(-1)
    start_M1 = torch.arange(0, M * T, T, device=d_MN.device, dtype=torch.int32 if M * T < 2**31 else torch.int64)
    rank_S = start_M1[:, None].repeat(1, d_MN.shape[1]).view(-1)
    d_S, probe_S = d_MN.view(-1), torch.empty_like(d_MN).view(-1)
    for step in (1 << bit for bit in reversed(range(K.bit_length()))):
        torch.index_select(table_S[step - 1 :], 0, rank_S, out=probe_S)
        rank_S += probe_S.le_(d_S).mul_(step).to(rank_S.dtype)
    return rank_S, T
