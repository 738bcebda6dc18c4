"""The triplet loss of FaceNet, every triplet at the price of the distances. B: batch; N: references; D: embedding."""

import difflib
import functools
from types import ModuleType
from typing import Any, Literal, NamedTuple, get_args

import torch
from jaxtyping import Float, Int64, Integer
from torch import Tensor

from firstsight.errors import RecipeError, UserError
from firstsight.functional import _mining
from firstsight.functional._mining import Fallback, Members, Rule, Select, members_of
from firstsight.functional.distances import squared_distances

Reduction = Literal["active", "mean", "sum"]


class TripletResult(NamedTuple):
    """What `triplet_loss` finds: scalars on the device of the embeddings. Only `value` carries a gradient.

    Attributes:
        value: the loss.
        considered: the triplets that the selection gave.
        active: those of them that cost anything. At 0, such batches have nothing left to teach.
        spread: mean squared distance of the embeddings to their mean; at most 1 for unit vectors, 0 where they have
            collapsed to one point, nan for an empty batch.
        mean_same: mean squared distance of the pairs of one label; nan where there is no such pair.
        mean_different: that of the pairs of two labels.
    """

    value: Float[Tensor, ""]
    considered: Int64[Tensor, ""]
    active: Int64[Tensor, ""]
    spread: Float[Tensor, ""]
    mean_same: Float[Tensor, ""]
    mean_different: Float[Tensor, ""]


def triplet_loss(
    embeddings_BD: Float[Tensor, "B D"],
    labels_B: Integer[Tensor, "B"],
    *,
    margin: float = 0.2,
    select: Select = "semihard",
    reduction: Reduction = "active",
    fallback: Fallback = "farthest",
    soft: bool = False,
    reference_ND: Float[Tensor, "N D"] | None = None,
    reference_labels_N: Integer[Tensor, "N"] | None = None,
) -> TripletResult:
    """L = Σ [‖f(a) − f(p)‖² − ‖f(a) − f(n)‖² + α]₊ (equation 2-7; FaceNet, section 3.2) over the triplets of a batch.

    No triplet is listed. Time grows with B² log K for K pictures an identity; at most a few million distances are held
    at a time. A label may occur any number of times; without a single triplet the loss is 0, and so is its gradient.

    Args:
        embeddings_BD: f(x). The paper's have length 1; the formula holds for any. fp16 and bf16 are compared in fp32.
        labels_B: who is on each picture.
        margin: α, squared L2.
        select: the triplets of each anchor a that count.
            all: each positive p with each negative n.
            semihard: each p, with the nearest n that is strictly farther than p.
            hard: each p, with the nearest n.
            batch-hard: the farthest p, with the nearest n (Hermans et al. 2017).
        reduction: sum: to the letter. mean: over the triplets considered. active: over those with a positive hinge,
            a number that the gradient takes for a constant. Neither divides by less than 1.
        fallback: what semihard does with a p that no negative is farther than. farthest: take the farthest negative,
            so that the loss stays continuous as p moves away. hardest: take the nearest. skip: drop the pair.
        soft: for batch-hard, ln(1 + exp(d_ap − d_an)) in place of the hinge; it has no margin.
        reference_ND: where positives and negatives are taken from instead of the batch: a reservoir, a queue, another
            model's embeddings. The anchors are then summed one by one, so a stream may be cut anywhere.
        reference_labels_N: whose they are.

    Of equally distant positives or negatives, the one with the lowest index is taken. Differentiable once. Where
    embeddings are not finite, neither is the loss.

    Raises:
        UserError: shapes that do not fit, or what is no tensor of floats, with labels that are one of integers.
        RecipeError: a margin below 0; a `select`, `reduction` or `fallback` that does not exist; `soft` without
            batch-hard.

    Example:
        >>> embeddings_BD = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8]], requires_grad=True)
        >>> loss = triplet_loss(embeddings_BD, torch.tensor([7, 7, 9]), select="all")
        >>> loss.value, loss.considered, loss.active
        (tensor(0.5200, grad_fn=<_TripletLossBackward>), tensor(2), tensor(1))
        >>> loss.value.backward()
    """
    _refuse_wrong_rule(margin, select, reduction, fallback, soft)
    _refuse_wrong_types(embeddings_BD, labels_B, reference_ND, reference_labels_N)
    _refuse_wrong_shapes(embeddings_BD, labels_B, reference_ND, reference_labels_N)
    members = members_of(labels_B, reference_labels_N, embeddings_BD.device)
    points = [embeddings_BD, reference_ND]
    if not torch.is_grad_enabled():
        points = [None if x is None else x.detach() for x in points]
    rule = Rule(margin, select, fallback, soft)
    return TripletResult(*_TripletLoss.apply(*points, members, rule, reduction))  # type: ignore[no-untyped-call]


class _TripletLoss(torch.autograd.Function):
    """The gradient is found along with the value, so that the distances need not be kept for it."""

    @staticmethod
    def forward(
        ctx: Any, embeddings_BD: Tensor, reference_ND: Tensor | None, members: Members, rule: Rule, reduction: Reduction
    ) -> tuple[Tensor, ...]:
        with torch.autocast(embeddings_BD.device.type, enabled=False):
            x_BD, y_ND = _centered(embeddings_BD, reference_ND)
            sums, *gradients = _sums_and_gradients(x_BD, y_ND, members, rule, *ctx.needs_input_grad[:2])
            total, considered, active, same, different = sums
            divisor = {"active": active, "mean": considered, "sum": torch.ones_like(total)}[reduction].clamp(min=1)
            ctx.save_for_backward(*(None if g is None else g.mul_(2 / divisor.to(g.dtype)) for g in gradients))
            ctx.dtypes = [None if x is None else x.dtype for x in (embeddings_BD, reference_ND)]

            value = (total + 0 * (same + different)) / divisor  # what is no number is in no hinge, but must be seen
            spread = (x_BD - x_BD.mean(0)).square().sum(1).mean()
            shared = (members.end - members.start).sum()
            mean_same = same / (shared if members.own is None else shared - len(x_BD))
            mean_different = different / (len(x_BD) * len(y_ND) - shared)
        value, mean_same, mean_different = (x.to(x_BD.dtype) for x in (value, mean_same, mean_different))
        rest = (considered.long(), active.long(), spread, mean_same, mean_different)
        ctx.mark_non_differentiable(*rest)
        return value, *rest

    @staticmethod
    def backward(ctx: Any, of_value: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # or a penalty on the gradient would be ignored in silence
            raise UserError("the gradient of triplet_loss has no gradient.", hint="Leave out create_graph.")
        gradients = zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        return *(None if g is None else (g * of_value).to(dtype) for g, dtype in gradients), None, None, None


def _centered(embeddings_BD: Tensor, reference_ND: Tensor | None) -> tuple[Tensor, Tensor]:
    """Embeddings and references in fp32 or better, seen from their midst where they lie close together.

    The distances are the same, but seen from afar they would lose their digits: at a spread of 0.01, as a network may
    have before it learns, fp32 would take many a wrong negative for the nearest.
    """
    y_ND = embeddings_BD if reference_ND is None else reference_ND
    dtype = torch.promote_types(torch.promote_types(embeddings_BD.dtype, y_ND.dtype), torch.float32)
    x_BD, y_ND = embeddings_BD.to(dtype), y_ND.to(dtype)
    mean_D = y_ND.mean(0)
    if mean_D.square().sum() > 0.5 * y_ND.square().sum(1).mean():
        # One of the points rather than the mean: round numbers stay round, and exact ties stay ties.
        midst_D = y_ND[(y_ND - mean_D).square().sum(1).argmin()]
        x_BD, y_ND = x_BD - midst_D, y_ND - midst_D
    return (y_ND if reference_ND is None else x_BD), y_ND


def _sums_and_gradients(
    x_BD: Tensor, y_ND: Tensor, members: Members, rule: Rule, for_x: bool, for_y: bool
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """The sums of `mine`, and half of Σ W_ij ∂‖x_i − y_j‖² with respect to x and y, some anchors at a time.

    The rows of W sum to 0, for each triplet adds as much as it takes away: Wx is all there is of x, and −W1 x of y.
    """
    miner = _miner(x_BD.device.type)
    rows = max(miner.AT_ONCE[x_BD.device.type] // max(len(y_ND), 1), 1)
    of_x_BD = torch.zeros_like(x_BD) if for_x else None
    of_y_ND = of_x_BD if members.own is not None else torch.zeros_like(y_ND) if for_y else None
    sums, pull_N = torch.zeros(5, dtype=torch.float64, device=x_BD.device), x_BD.new_zeros(len(y_ND))
    for first in range(0, len(x_BD), rows):
        some_BD = x_BD[first : first + rows]
        found, weights_BN = miner.mine(squared_distances(some_BD, y_ND), members.some(first, rows), rule)
        sums += found
        if of_x_BD is not None:
            of_x_BD[first : first + rows].addmm_(weights_BN, y_ND, alpha=-1)
        if of_y_ND is not None:
            of_y_ND.addmm_(weights_BN.T, some_BD, alpha=-1)
            pull_N += weights_BN.sum(0)
    if of_y_ND is not None:
        of_y_ND.addcmul_(y_ND, pull_N[:, None])
    return sums, of_x_BD, None if members.own is not None else of_y_ND


def _miner(device: str) -> ModuleType:
    return (_kernels() if device == "cpu" else None) or _mining


@functools.cache
def _kernels() -> ModuleType | None:
    """The compiled kernels, where numba (extra `fast`) is installed."""
    try:
        from firstsight.functional import _kernels
    except ImportError:
        return None
    return _kernels


def _refuse_wrong_rule(margin: float, select: str, reduction: str, fallback: str, soft: bool) -> None:
    known = {"select": (select, Select), "reduction": (reduction, Reduction), "fallback": (fallback, Fallback)}
    for name, (value, kind) in known.items():
        if value not in get_args(kind):
            near = difflib.get_close_matches(value, get_args(kind), n=1)
            hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(get_args(kind))}."
            raise RecipeError(f"triplet_loss: there is no {name} {value}.", hint=hint)
    if not margin >= 0:
        raise RecipeError(f"triplet_loss: the margin {margin} is not 0 or more.", hint="Take margin 0.2.")
    if soft and select != "batch-hard":
        raise RecipeError(f"triplet_loss: soft is not for select {select}.", hint="Take select batch-hard.")


def _refuse_wrong_types(
    embeddings_BD: object, labels_B: object, reference_ND: object, reference_labels_N: object
) -> None:
    for what, x in (("embeddings", embeddings_BD), ("references", reference_ND)):
        if x is not None and not (isinstance(x, Tensor) and x.is_floating_point()):
            raise _wrong_type(what, "floats", x, "x).float()")
    for what, x in (("labels", labels_B), ("labels of references", reference_labels_N)):
        if x is not None and not (isinstance(x, Tensor) and not x.is_floating_point() and not x.is_complex()):
            raise _wrong_type(what, "integers", x, "labels).long()")


def _wrong_type(what: str, needed: str, found: object, hint: str) -> UserError:
    kind = found.dtype if isinstance(found, Tensor) else type(found).__name__
    message = f"triplet_loss: {what} are a tensor of {needed}, not {kind}."
    return UserError(message, hint=f"Give torch.as_tensor({hint}.")


def _refuse_wrong_shapes(
    embeddings_BD: Tensor, labels_B: Tensor, reference_ND: Tensor | None, reference_labels_N: Tensor | None
) -> None:
    if (reference_ND is None) != (reference_labels_N is None):
        raise UserError("triplet_loss: references and their labels go together.", hint="Give both, or neither.")
    rows = [("embeddings", embeddings_BD, labels_B)]
    if reference_ND is not None and reference_labels_N is not None:
        rows.append(("references", reference_ND, reference_labels_N))
    for what, points, labels in rows:
        shape = tuple(points.shape)
        if points.ndim != 2 or labels.shape != points.shape[:1]:
            message = f"triplet_loss: {what} of shape {shape} do not go with labels of shape {tuple(labels.shape)}."
            raise UserError(message, hint="Give one row and one label each.")
        if points.shape[1] != embeddings_BD.shape[1]:
            message = f"triplet_loss: {what} of shape {shape} cannot be compared with {tuple(embeddings_BD.shape)}."
            raise UserError(message, hint="Both need the same length.")
