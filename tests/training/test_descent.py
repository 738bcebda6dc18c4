"""Gradient descent as taught (equations 2-1 to 2-6), against NumPy in float64, finite differences and sampling theory.

N examples, F inputs, H hidden units, O outputs, B batch, P weights, R repetitions.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from small_runs import CPU
from torch import Tensor, nn

from firstsight.config import Network, Preprocessing, Recipe
from firstsight.functional.losses import quadratic_loss
from firstsight.model_config import ModelConfig
from firstsight.models.registry import build_network
from firstsight.recipes import with_flags
from firstsight.training.feed import Feed, example_feed
from firstsight.training.loop import Update, fit
from firstsight.training.loss import make_loss
from firstsight.training.randomness import generator_for

Array = NDArray[np.float64]
EXAMPLES, INPUTS, HIDDEN, OUTPUTS = 25, 5, 6, 3
PLAIN: dict[str, Any] = {
    "task": "regression", "optimizer": "sgd", "schedule": "constant", "weight_decay": 0.0, "learning_rate": 0.7,
}  # fmt: skip


def examples() -> tuple[Tensor, Tensor]:
    generator = generator_for(0, "descent")
    x_NF = torch.randn(EXAMPLES, INPUTS, generator=generator, dtype=torch.float64)
    return x_NF, torch.rand(EXAMPLES, OUTPUTS, generator=generator, dtype=torch.float64)


def two_layers() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(INPUTS, HIDDEN), nn.Sigmoid(), nn.Linear(HIDDEN, OUTPUTS), nn.Sigmoid()).double()


def descend(network: nn.Module, *, on_update: Callable[[Update], None] = lambda update: None, **flags: Any) -> None:
    recipe = with_flags(Recipe(), **PLAIN | flags)
    fit(network, make_loss(recipe), example_feed(*examples(), recipe), recipe, device=CPU, on_update=on_update)


def flat(tensors: Any) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def full_gradient(network: nn.Module) -> Tensor:
    """Of (2-1) over all n, by its formula."""
    x_NF, target_NO = examples()
    cost = sum(((output - o) ** 2).sum() for output, o in zip(network(x_NF), target_NO, strict=True)) / (2 * EXAMPLES)
    return flat(torch.autograd.grad(cost, list(network.parameters())))


def batch_gradients(epochs: int, size: int, seed: int = 0) -> tuple[Tensor, list[int], nn.Module]:
    """The gradient of each update, R x P, with the weights frozen: what one step at η = 1 takes away, given back."""
    network = two_layers()
    frozen = [weight.detach().clone() for weight in network.parameters()]
    gradients: list[Tensor] = []
    sizes: list[int] = []

    def freeze(update: Update) -> None:
        gradients.append(flat(frozen) - flat(network.parameters()))
        sizes.append(update.examples)
        with torch.no_grad():
            for weight, before in zip(network.parameters(), frozen, strict=True):
                weight.copy_(before)

    descend(network, on_update=freeze, learning_rate=1.0, batch_size=size, epochs=epochs, seed=seed)
    return torch.stack(gradients), sizes, network


def numpy_descent(weights: list[Array], x_NF: Array, target_NO: Array, rate: float, updates: int) -> list[Array]:
    """Equations 2-2 and 2-3 by hand: w <- w − η ∂C/∂w with the gradient of all n, back through two sigmoid layers."""
    w_HF, b_H, w_OH, b_O = (weight.copy() for weight in weights)

    def sigmoid(z: Array) -> Array:
        return 1 / (1 + np.exp(-z))

    for _ in range(updates):
        hidden_NH = sigmoid(x_NF @ w_HF.T + b_H)
        output_NO = sigmoid(hidden_NH @ w_OH.T + b_O)
        delta_NO = (output_NO - target_NO) * output_NO * (1 - output_NO) / len(x_NF)
        delta_NH = delta_NO @ w_OH * hidden_NH * (1 - hidden_NH)
        w_OH = w_OH - rate * delta_NO.T @ hidden_NH
        b_O = b_O - rate * delta_NO.sum(0)
        w_HF = w_HF - rate * delta_NH.T @ x_NF
        b_H = b_H - rate * delta_NH.sum(0)
    return [w_HF, b_H, w_OH, b_O]


def test_full_batch_descent_is_numpys() -> None:
    network = two_layers()
    start = [weight.detach().numpy().copy() for weight in network.parameters()]
    x_NF, target_NO = (tensor.numpy() for tensor in examples())
    descend(network, batch_size="all", epochs=50)
    expected = numpy_descent(start, x_NF, target_NO, 0.7, 50)
    for before, after, peer in zip(start, network.parameters(), expected, strict=True):
        np.testing.assert_allclose(after.detach().numpy(), peer, rtol=0, atol=1e-10)
        assert np.abs(peer - before).max() > 0.01, "it moved"


def test_the_batches_of_an_epoch_make_up_the_full_gradient() -> None:
    """Each batch is divided by its own size, the short one as well: weighted by size, they average to the whole."""
    gradients_RP, sizes, network = batch_gradients(epochs=1, size=4)
    assert sizes == [4, 4, 4, 4, 4, 4, 1]
    weighted_P = (gradients_RP * torch.tensor(sizes)[:, None]).sum(0) / EXAMPLES
    torch.testing.assert_close(weighted_P, full_gradient(network), rtol=0, atol=1e-12)
    assert (gradients_RP.mean(0) - weighted_P).abs().max() > 1e-4, "unweighted they do not"


def test_random_batches_are_right_on_average() -> None:
    """(2-4): the mean gradient of 1,000 random batches lies within its own interval around the full gradient.

    The first batch of each epoch: batches of one epoch depend on each other. 4.5 standard errors leave 81 weights a
    chance of 5e-4 to be outside by luck, and the seed is fixed.
    """
    gradients_RP, sizes, network = batch_gradients(epochs=1000, size=13)
    first_RP = gradients_RP[::2]
    assert sizes == [13, 12] * 1000
    error_P = first_RP.std(0) / 1000**0.5
    full_P = full_gradient(network)
    assert ((first_RP.mean(0) - full_P).abs() < 4.5 * error_P).all()
    assert error_P.norm() < 0.1 * full_P.norm(), "the interval is narrow"
    assert (first_RP[0] - full_P).norm() > 10 * error_P.norm(), "a single batch is far from it"


def test_an_epoch_sees_each_example_once_in_a_new_partition() -> None:
    recipe = with_flags(Recipe(), **PLAIN, batch_size=4)
    feed = example_feed(*examples(), recipe)
    epochs = [[sorted(batch.tolist()) for batch in feed.plan(epoch)] for epoch in (1, 2)]
    for batches in epochs:
        assert sorted(i for batch in batches for i in batch) == list(range(EXAMPLES))
        assert [len(batch) for batch in batches] == [4] * 6 + [1]
    assert sorted(epochs[0]) != sorted(epochs[1])
    assert [sorted(batch.tolist()) for batch in feed.plan(1)] == epochs[0], "the same when asked again"


def test_inputs_stay_with_their_targets() -> None:
    x_NF, target_NO = examples()
    feed = example_feed(x_NF, target_NO, with_flags(Recipe(), **PLAIN, batch_size=10))
    for batch in feed.plan(1):
        input, target = feed.fetch(batch, generator_for(0))
        assert torch.equal(input, x_NF[batch])
        assert torch.equal(target, target_NO[batch])


def test_each_update_reports_the_loss_before_it() -> None:
    network, seen = two_layers(), []
    x_NF, target_NO = examples()
    before = ((network(x_NF) - target_NO) ** 2).sum().item() / (2 * EXAMPLES)
    descend(network, batch_size="all", epochs=30, on_update=seen.append)
    assert seen[0].loss == pytest.approx(before, rel=1e-12)
    losses = [update.loss for update in seen]
    assert losses == sorted(losses, reverse=True), "full descent at a fair rate only descends"
    assert [update.examples for update in seen] == [EXAMPLES] * 30


def picture_network(name: str) -> nn.Module:
    tables = {
        "mlp": Network(name="mlp", hidden=(5,), activation="tanh"),
        "conv": Network(channels=(3, 4), norm="group"),
    }
    shape = Preprocessing(height=8, width=8, color="gray")
    config = ModelConfig(task="classification", network=tables[name], preprocessing=shape, outputs=("a", "b"))
    return build_network(config).double()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("name", ["mlp", "conv"])
def test_the_gradient_through_a_whole_network_is_that_of_finite_differences(
    name: str, reduction: Literal["mean", "sum"]
) -> None:
    """(2-1) and its summed form: both sides of the derivative of the cost by each weight."""
    network = picture_network(name)
    generator = generator_for(3)
    x_BCHW = torch.randn(4, 1, 8, 8, generator=generator, dtype=torch.float64)
    target_BO = torch.rand(4, 2, generator=generator, dtype=torch.float64)
    weights = list(network.parameters())
    gradients = torch.autograd.grad(quadratic_loss(network(x_BCHW), target_BO, reduction=reduction), weights)

    @torch.no_grad()
    def cost_by_hand() -> float:
        divisor = len(x_BCHW) if reduction == "mean" else 1
        return float(((network(x_BCHW) - target_BO).numpy() ** 2).sum() / 2 / divisor)

    step = 1e-6
    for weight, gradient in zip(weights, gradients, strict=True):
        for place in range(0, weight.numel(), max(1, weight.numel() // 6)):
            value = weight.data.view(-1)[place].item()
            sides = []
            for shifted in (value + step, value - step):
                weight.data.view(-1)[place] = shifted
                sides.append(cost_by_hand())
            weight.data.view(-1)[place] = value
            slope = (sides[0] - sides[1]) / (2 * step)
            assert gradient.view(-1)[place].item() == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_the_summed_form_is_n_times_the_mean() -> None:
    output_BO, target_BO = examples()[1].requires_grad_(), examples()[1].flip(0)
    (of_sum,) = torch.autograd.grad(quadratic_loss(output_BO, target_BO, reduction="sum"), output_BO)
    (of_mean,) = torch.autograd.grad(quadratic_loss(output_BO, target_BO), output_BO)
    torch.testing.assert_close(of_sum, output_BO.detach() - target_BO)
    torch.testing.assert_close(of_mean * EXAMPLES, of_sum)


def test_any_network_will_do() -> None:
    """A module of one's own, on inputs of any shape: the loop asks for nothing but a forward pass."""

    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.guess = nn.Parameter(torch.zeros(1, dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            return self.guess.expand(len(x), 1)

    network = Mean()
    values = torch.tensor([[1.0], [2.0], [6.0]], dtype=torch.float64)
    recipe = with_flags(Recipe(), **PLAIN | {"learning_rate": 0.5}, batch_size="all", epochs=60)
    feed = Feed(lambda epoch: [torch.arange(3)], lambda indices, generator: (values[indices], values[indices]))
    fit(network, make_loss(recipe), feed, recipe, device=CPU)
    assert network.guess.item() == pytest.approx(3.0), "the quadratic loss is least at the mean"
