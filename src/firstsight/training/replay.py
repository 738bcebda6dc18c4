"""The gradient of a small network without autograd: traced once, then replayed in NumPy.

Thirty units compute for some 30 microseconds an update. Around that, torch's calls take 100 and autograd another 100
to find its way back through the layers, the same each time. NumPy's calls take a third of torch's, and its matrix
products are faster for small matrices. What is replayed is what torch did, so there is no second network to maintain.

The result is autograd's up to rounding. Whether a run is replayed depends on its network, its number of updates and
its ranks, not on where it was interrupted, so it can be repeated, and resumed, bit for bit.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.special import expit, log_softmax
from torch import Tensor, nn
from torch.func import functional_call

from firstsight.training.loss import PURE, LossFunction, LossResult
from firstsight.training.ranks import Gradients, rank_count

LAYERS = (nn.Flatten, nn.Linear, nn.ReLU, nn.Sequential, nn.Sigmoid, nn.Tanh)
"""Those that compute the same from the same inputs, whatever came before."""
UPDATES = 5_000
"""Fewer updates than these save less time than the tracer takes to load (1.2 s)."""

Array = Any  # of NumPy, or one of its numbers, which its stubs keep apart
Gradient = Callable[[Tensor, Tensor], tuple[LossResult, Gradients]]


def can_replay(network: nn.Module, loss: LossFunction, updates: int) -> bool:
    """Whether replaying is sound, and worth it in a run of so many updates.

    Convolutions compute for so long that nothing would be gained.
    """
    layers = list(network.named_modules(remove_duplicate=False))
    weights = list(network.named_parameters(remove_duplicate=False))
    plain = all(type(layer) in LAYERS and not _interferes(layer) for _, layer in layers)
    plain &= all(_is_plain(weight) for _, weight in weights)
    once = len(layers) == len(list(network.modules())) and len(weights) == len(list(network.parameters()))
    return plain and once and loss in PURE and updates >= UPDATES and rank_count() == 1


def replayed(network: nn.Module, loss: LossFunction, weights: list[Tensor]) -> Gradient:
    """The loss of a batch and its gradient by `weights`, as a function of (input, target)."""
    name_of = {id(weight): name for name, weight in network.named_parameters()}
    names = [name_of[id(weight)] for weight in weights]
    traces: dict[tuple[object, ...], Callable[..., list[Array]]] = {}

    def value_and_gradient(input: Tensor, target: Tensor, *weights: Tensor) -> list[Tensor]:
        output = functional_call(network, dict(zip(names, weights, strict=True)), (input,))
        value = loss(output, target).value
        return [value, *torch.autograd.grad(value, weights)]

    def gradient(input: Tensor, target: Tensor) -> tuple[LossResult, Gradients]:
        kind = (input.shape, input.dtype, target.shape, target.dtype)
        if kind not in traces:
            traces[kind] = _in_numpy(value_and_gradient, input, target, *weights)
        arrays = [weight.detach().numpy() for weight in weights]  # where they lie now: no copies
        with np.errstate(all="ignore"):  # what is not finite is found in the loss
            value, *gradients = traces[kind](input.numpy(), target.numpy(), *arrays)
        return LossResult(torch.from_numpy(np.asarray(value)), {}), [torch.from_numpy(g) for g in gradients]

    return gradient


def _in_numpy(function: Callable[..., list[Tensor]], *inputs: Tensor) -> Callable[..., list[Array]]:
    """The calls that a function makes of torch's operators, as straight Python with NumPy's in their place."""
    from torch.fx.experimental.proxy_tensor import make_fx
    from torch.fx.graph import CodeGen

    module = make_fx(function)(*inputs)
    aten = torch.ops.aten
    for node in module.graph.nodes:
        before: Any = node.args[0] if node.args else None
        if node.target is aten.detach.default:  # only autograd needs it
            node.replace_all_uses_with(before)
        elif node.target is aten.t.default and before.target is aten.t.default:
            node.replace_all_uses_with(before.args[0])
    module.graph.eliminate_dead_code()
    for node in module.graph.nodes:
        if node.op == "call_function":
            node.target = IN_NUMPY.get(node.target, node.target)
    module.graph.set_codegen(CodeGen())  # plain arguments, not a tree of them to be flattened at each call
    module.recompile()
    replay: Callable[..., list[Array]] = module.forward
    return replay


def _interferes(layer: nn.Module) -> bool:
    in_place = getattr(layer, "inplace", False)
    hooks = (layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks, layer._backward_pre_hooks)
    return bool(in_place or any(hooks))


def _is_plain(weight: Tensor) -> bool:
    in_numpy = weight.device.type == "cpu" and weight.dtype in (torch.float32, torch.float64)
    return in_numpy and weight.requires_grad and not weight._backward_hooks


SUM, MEAN = 2, 1  # torch's numbers of reductions


def _t(x: Array) -> Array:
    return x.T


def _mm(x: Array, y: Array) -> Array:
    return x @ y


def _addmm(bias: Array, x: Array, y: Array) -> Array:
    out = x @ y
    out += bias
    return out


def _sum(x: Array, axes: list[int], keepdims: bool) -> Array:
    return x.sum(axis=tuple(axes), keepdims=keepdims)


def _view(x: Array, shape: list[int]) -> Array:
    return x.reshape(shape)


def _div(x: Array, by: float) -> Array:
    return x / by


def _ones_like(x: Array, **_: object) -> Array:
    return np.ones_like(x)


def _sigmoid(x: Array) -> Array:
    return expit(x)


def _sigmoid_backward(grad: Array, out: Array) -> Array:
    return grad * (out * (1 - out))


def _tanh(x: Array) -> Array:
    return np.tanh(x)


def _tanh_backward(grad: Array, out: Array) -> Array:
    return grad * (1 - out * out)


def _relu(x: Array) -> Array:
    return np.maximum(x, 0)


def _threshold_backward(grad: Array, out: Array, threshold: float) -> Array:
    return grad * (out > threshold)


def _mse_loss(x: Array, y: Array, reduction: int) -> Array:
    assert reduction == SUM
    error = x - y
    return np.vdot(error, error)


def _mse_loss_backward(grad: Array, x: Array, y: Array, reduction: int) -> Array:
    assert reduction == SUM
    return (2 * grad) * (x - y)


def _log_softmax(x: Array, axis: int, _: bool) -> Array:
    return log_softmax(x, axis=axis)


def _log_softmax_backward(grad: Array, out: Array, axis: int, _: object) -> Array:
    return grad - np.exp(out) * grad.sum(axis=axis, keepdims=True)


def _nll_loss(x: Array, y: Array, weight: None, reduction: int, ignored: int) -> tuple[Array, None]:
    assert reduction == MEAN
    return -x[np.arange(len(y)), y].mean(), None


def _nll_loss_backward(
    grad: Array, x: Array, y: Array, weight: None, reduction: int, ignored: int, total: None
) -> Array:
    out = np.zeros_like(x)
    out[np.arange(len(y)), y] = -grad / len(y)
    return out


IN_NUMPY = {
    torch.ops.aten.t.default: _t,
    torch.ops.aten.mm.default: _mm,
    torch.ops.aten.addmm.default: _addmm,
    torch.ops.aten.sum.dim_IntList: _sum,
    torch.ops.aten.view.default: _view,
    torch.ops.aten.div.Tensor: _div,
    torch.ops.aten.ones_like.default: _ones_like,
    torch.ops.aten.sigmoid.default: _sigmoid,
    torch.ops.aten.sigmoid_backward.default: _sigmoid_backward,
    torch.ops.aten.tanh.default: _tanh,
    torch.ops.aten.tanh_backward.default: _tanh_backward,
    torch.ops.aten.relu.default: _relu,
    torch.ops.aten.threshold_backward.default: _threshold_backward,
    torch.ops.aten.mse_loss.default: _mse_loss,
    torch.ops.aten.mse_loss_backward.default: _mse_loss_backward,
    torch.ops.aten._log_softmax.default: _log_softmax,
    torch.ops.aten._log_softmax_backward_data.default: _log_softmax_backward,
    torch.ops.aten.nll_loss_forward.default: _nll_loss,
    torch.ops.aten.nll_loss_backward.default: _nll_loss_backward,
}
"""What the tracer meets in networks that `can_replay` lets through; the tests go through all of them."""
