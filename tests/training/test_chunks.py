"""Batches larger than memory: chunk by chunk, the gradient is that of the undivided batch, at the memory of a chunk.

B batch, C channels, H height, W width, F features, D embedding.
"""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from firstsight.config import Recipe
from firstsight.functional.triplets import triplet_loss
from firstsight.model_config import ModelConfig
from firstsight.models.registry import build_network
from firstsight.recipes import with_flags
from firstsight.training.loss import LossFunction, make_loss
from firstsight.training.randomness import generator_for, reseed
from firstsight.training.step import train_step


class Witness(torch.optim.SGD):
    """Keeps the gradients that a step would use, and leaves the weights as they are."""

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.seen = [
            torch.zeros_like(weight) if weight.grad is None else weight.grad.clone()
            for weight in self.param_groups[0]["params"]
        ]


def gradients(network: nn.Module, loss: LossFunction, x: Tensor, labels_B: Tensor, *, chunk: int) -> list[Tensor]:
    witness = Witness(network.parameters(), lr=0.1)
    train_step(network, loss, witness, x, labels_B, chunk=chunk)
    return witness.seen


def relative_error(found: list[Tensor], expected: list[Tensor]) -> float:
    """‖found − expected‖ / ‖expected‖ over all weights."""
    flat = [torch.cat([gradient.flatten() for gradient in side]) for side in (found, expected)]
    return float((flat[0] - flat[1]).norm() / flat[1].norm())


def conv(norm: str, size: int = 8, channels: tuple[int, ...] = (8, 16)) -> nn.Module:
    recipe = with_flags(
        Recipe(), height=size, width=size, color="gray", channels=channels, norm=norm, embedding_size=16
    )
    return build_network(ModelConfig(network=recipe.network, preprocessing=recipe.preprocessing)).train()


def batch(identities: int, each: int, *, size: int = 8, noise: float = 1.5) -> tuple[Tensor, Tensor]:
    """Pictures of identities, and whose they are. With much noise, many triplets are active."""
    generator = generator_for(5)
    labels_B = torch.arange(identities).repeat_interleave(each)
    pattern_BCHW = torch.randn(identities, 1, size, size, generator=generator)[labels_B]
    return pattern_BCHW + noise * torch.randn(pattern_BCHW.shape, generator=generator), labels_B


def triplets(select: str) -> LossFunction:
    return make_loss(with_flags(Recipe(), select=select))


def undivided(network: nn.Module, select: str, x: Tensor, labels_B: Tensor) -> list[Tensor]:
    """By plain automatic differentiation, without the step."""
    value = triplet_loss(network(x), labels_B, select=select).value  # type: ignore[arg-type]
    return list(torch.autograd.grad(value, list(network.parameters())))


@pytest.mark.parametrize("select", ["all", "semihard"])
@pytest.mark.parametrize("chunk", [16, 179, 180, 500])
def test_chunks_give_the_gradient_of_the_undivided_batch(select: str, chunk: int) -> None:
    """180 pictures; the last chunk is smaller, a chunk as large as the batch is the batch."""
    network = conv("group")
    x_BCHW, labels_B = batch(12, 15)
    expected = undivided(network, select, x_BCHW, labels_B)
    assert relative_error(gradients(network, triplets(select), x_BCHW, labels_B, chunk=chunk), expected) < 1e-5
    assert relative_error(expected, [*expected[:-1], torch.zeros_like(expected[-1])]) > 1e-3, "the measure can tell"


@pytest.mark.slow
@pytest.mark.parametrize("select", ["all", "semihard"])
def test_facenets_batch_at_a_fraction_of_its_memory(select: str) -> None:
    """B = 1,800, 40 pictures an identity, chunks of 128. More noise than this, and 1e-5 is less than what the order of
    summation does to an undivided batch in float32."""
    network = conv("group", size=32, channels=(16, 32, 64))
    x_BCHW, labels_B = batch(45, 40, size=32, noise=0.2)
    with graph_bytes() as whole:
        expected = undivided(network, select, x_BCHW, labels_B)
    with graph_bytes() as chunked:
        found = gradients(network, triplets(select), x_BCHW, labels_B, chunk=128)
    assert relative_error(found, expected) < 1e-5
    assert chunked() < whole() * 1.2 * 128 / 1800


def test_what_is_kept_for_the_backward_pass_is_a_chunks() -> None:
    network = conv("group")
    x_BCHW, labels_B = batch(12, 15)
    with graph_bytes() as whole:
        undivided(network, "all", x_BCHW, labels_B)
    with graph_bytes() as chunked:
        gradients(network, triplets("all"), x_BCHW, labels_B, chunk=16)
    assert 0 < chunked() < whole() * 1.5 * 16 / 180


class Dropping(nn.Module):
    """Half of 32 units are dropped; the size of each batch that passes is noted."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 4))
        self.passed: list[tuple[int, bool]] = []

    def forward(self, x_BF: Tensor) -> Tensor:
        self.passed.append((len(x_BF), torch.is_grad_enabled()))
        x_BD: Tensor = nn.functional.normalize(self.layers(x_BF), dim=1)
        return x_BD


def test_dropout_draws_the_same_masks_in_both_passes() -> None:
    """Oracle: the chunks one after the other through a graph that is kept whole."""
    network = Dropping()
    x_BF, labels_B = torch.randn(22, 6, generator=generator_for(6)), torch.arange(22) % 4
    cpu = torch.device("cpu")
    reseed(cpu, 7)
    output_BD = torch.cat([network(chunk) for chunk in x_BF.split(5)])
    after = torch.rand(3)
    expected = torch.autograd.grad(triplet_loss(output_BD, labels_B, select="all").value, list(network.parameters()))
    network.passed.clear()
    reseed(cpu, 7)
    found = gradients(network, triplets("all"), x_BF, labels_B, chunk=5)
    assert torch.equal(torch.rand(3), after), "and what is drawn later is what one pass would leave"
    assert relative_error(found, list(expected)) < 1e-6
    assert network.passed == [(n, False) for n in (5, 5, 5, 5, 2)] + [(n, True) for n in (5, 5, 5, 5, 2)]
    reseed(cpu, 8)
    assert relative_error(gradients(network, triplets("all"), x_BF, labels_B, chunk=5), list(expected)) > 0.1


def test_batch_normalization_sees_each_chunk_by_itself() -> None:
    """As the step's description says: another gradient than that of the undivided batch, namely that of chunks which
    are normalized one by one."""
    network = conv("batch")
    x_BCHW, labels_B = batch(8, 6)
    expected = undivided(network, "all", x_BCHW, labels_B)
    in_parts_BD = torch.cat([network(chunk) for chunk in x_BCHW.split(12)])
    by_parts = torch.autograd.grad(triplet_loss(in_parts_BD, labels_B, select="all").value, list(network.parameters()))
    found = gradients(network, triplets("all"), x_BCHW, labels_B, chunk=12)
    assert relative_error(found, expected) > 0.01
    assert relative_error(found, list(by_parts)) < 1e-5


def test_running_statistics_count_each_chunk_once() -> None:
    """Oracle: the chunks pass through a copy of the network one after the other, once."""
    network, peer = conv("batch"), conv("batch")
    x_BCHW, labels_B = batch(8, 6)
    for chunk in x_BCHW.split(12):
        peer(chunk)
    gradients(network, triplets("all"), x_BCHW, labels_B, chunk=12)
    for found, expected in zip(network.buffers(), peer.buffers(), strict=True):
        torch.testing.assert_close(found, expected)


@contextmanager
def graph_bytes() -> Iterator[Callable[[], int]]:
    """The most bytes that graphs keep for their backward passes at any time within the block; weights included."""
    now = most = 0

    class Kept:
        def __init__(self, tensor: Tensor) -> None:
            nonlocal now, most
            self.tensor = tensor
            size = tensor.numel() * tensor.element_size()
            now += size
            most = max(most, now)
            weakref.finalize(self, free, size)

    def free(size: int) -> None:
        nonlocal now
        now -= size

    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
        yield lambda: most
