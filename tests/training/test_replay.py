"""What is replayed in NumPy is what autograd finds. B batch, F inputs, O outputs."""

from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import parts, read_metrics, run_into, weights_digest
from torch import Tensor, nn

from firstsight.config import Recipe
from firstsight.recipes import with_flags
from firstsight.training import loop, replay
from firstsight.training.loss import LossFunction, LossResult, make_loss
from firstsight.training.replay import UPDATES, can_replay, replayed

QUADRATIC = make_loss(with_flags(Recipe(), task="regression"))
LOSSES = {
    "quadratic": QUADRATIC,
    "cross-entropy": make_loss(with_flags(Recipe(), task="classification", loss="cross-entropy")),
}


def network(activation: type[nn.Module] = nn.Sigmoid, dtype: torch.dtype = torch.float32) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [nn.Linear(7, 5), activation(), nn.Linear(5, 6), activation(), nn.Linear(6, 3), nn.Sigmoid()]
        return nn.Sequential(nn.Flatten(), *layers).to(dtype)


def batch(loss: str, size: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(size)
    x_BF = torch.randn(size, 7, generator=generator, dtype=dtype)
    if loss == "quadratic":
        return x_BF, torch.rand(size, 3, generator=generator, dtype=dtype)
    return x_BF, torch.randint(0, 3, (size,), generator=generator)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", [nn.ReLU, nn.Sigmoid, nn.Tanh])
def test_it_is_the_gradient_of_autograd(activation: type[nn.Module], loss: str, dtype: torch.dtype) -> None:
    """Each layer and each loss; batches of two sizes; and again after the weights have moved."""
    found = network(activation, dtype)
    weights = list(found.parameters())
    gradient = replayed(found, LOSSES[loss], weights)
    for size in (4, 1, 4):
        x_BF, target = batch(loss, size, dtype)
        expected = LOSSES[loss](found(x_BF), target).value
        result, gradients = gradient(x_BF, target)
        torch.testing.assert_close(result.value, expected.detach())
        for ours, peer in zip(gradients, torch.autograd.grad(expected, weights), strict=True):
            torch.testing.assert_close(ours, peer)
        with torch.no_grad():
            for weight, step in zip(weights, gradients, strict=True):
                assert step is not None
                weight -= step


def test_a_loss_that_is_not_finite_is_given_back_without_a_warning() -> None:
    found = network(nn.ReLU)
    x_BF, target_BO = batch("quadratic", 4, torch.float32)
    result, _ = replayed(found, QUADRATIC, list(found.parameters()))(x_BF * torch.inf, target_BO)
    assert not result.value.isfinite()


def hooked() -> nn.Module:
    found = network()
    found[1].register_forward_hook(lambda layer, inputs, output: output * 2)
    return found


def frozen() -> nn.Module:
    found = network()
    found[1].weight.requires_grad_(False)
    return found


def watched() -> nn.Module:
    found = network()
    found[1].weight.register_hook(lambda gradient: gradient * 2)
    return found


def twice() -> nn.Module:
    layer = nn.Linear(7, 7)
    return nn.Sequential(layer, nn.Tanh(), layer)


def tied() -> nn.Module:
    one, other = nn.Linear(7, 7), nn.Linear(7, 7)
    other.weight = one.weight
    return nn.Sequential(one, other)


class OwnLayer(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 2


def other_loss(output: Tensor, target: Tensor) -> LossResult:
    return LossResult(output.sum(), {})


@pytest.mark.parametrize(
    ("found", "loss", "updates"),
    [
        (network(), QUADRATIC, UPDATES - 1),
        (network(), other_loss, UPDATES),
        (nn.Sequential(nn.Linear(7, 3), nn.Dropout(0.1)), QUADRATIC, UPDATES),
        (nn.Sequential(nn.Linear(7, 3), nn.BatchNorm1d(3)), QUADRATIC, UPDATES),
        (nn.Sequential(OwnLayer(7, 3)), QUADRATIC, UPDATES),
        (hooked(), QUADRATIC, UPDATES),
        (watched(), QUADRATIC, UPDATES),
        (frozen(), QUADRATIC, UPDATES),
        (twice(), QUADRATIC, UPDATES),
        (tied(), QUADRATIC, UPDATES),
        (nn.Sequential(nn.Linear(7, 3), nn.ReLU(inplace=True)), QUADRATIC, UPDATES),
        (nn.Linear(7, 3, dtype=torch.bfloat16), QUADRATIC, UPDATES),
        (nn.Linear(7, 3, device="meta"), QUADRATIC, UPDATES),
    ],
    ids=[
        "short",
        "another-loss",
        "draws",
        "counts",
        "own-layer",
        "hook",
        "weight-hook",
        "frozen",
        "twice",
        "tied",
        "in-place",
        "bf16",
        "elsewhere",
    ],
)
def test_what_may_differ_from_call_to_call_is_left_to_autograd(
    found: nn.Module, loss: LossFunction, updates: int
) -> None:
    assert can_replay(network(), QUADRATIC, UPDATES)
    assert not can_replay(found, loss, updates)


def test_several_ranks_are_left_to_autograd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "rank_count", lambda: 2)
    assert not can_replay(network(), QUADRATIC, UPDATES)


def test_weights_that_have_moved_are_followed() -> None:
    """A callback may give a network other memory for its weights."""
    found = network()
    x_BF, target_BO = batch("quadratic", 4, torch.float32)
    gradient = replayed(found, QUADRATIC, list(found.parameters()))
    gradient(x_BF, target_BO)
    found.double().float()
    with torch.no_grad():
        for weight in found.parameters():
            weight.mul_(0.5)
    torch.testing.assert_close(
        gradient(x_BF, target_BO)[0].value, QUADRATIC(found(x_BF), target_BO).value.detach(), rtol=1e-5, atol=0
    )


RUN: dict[str, Any] = {"task": "regression", "optimizer": "momentum", "checkpoint_every": 4}


def test_a_run_that_is_replayed_ends_where_autograd_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("autograd", "replay"):
        (tmp_path / name).mkdir()
    by_autograd = run_into(tmp_path / "autograd", **RUN)
    monkeypatch.setattr(replay, "UPDATES", 1)
    monkeypatch.setattr(loop, "replayed", lambda *parts: seen.append(parts) or replayed(*parts))
    seen: list[Any] = []
    by_replay = run_into(tmp_path / "replay", **RUN)
    assert len(seen) == 1
    for ours, peer in zip(by_replay.parameters(), by_autograd.parameters(), strict=True):
        torch.testing.assert_close(ours, peer)


@pytest.mark.parametrize("flags", [{"chunk_size": 3}, {"precision": "bf16"}], ids=["chunks", "bf16"])
def test_what_numpy_does_not_do_is_left_to_autograd(
    flags: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "UPDATES", 1)
    monkeypatch.setattr(loop, "replayed", lambda *parts: pytest.fail("replayed"))
    (tmp_path / "run").mkdir()
    run_into(tmp_path / "run", **RUN | flags)


def test_a_run_that_is_replayed_is_resumed_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole runs are counted, so the rest of a run is replayed as well, however few updates are left."""
    total = 3 * len(parts(**RUN).feed.plan(1))
    monkeypatch.setattr(replay, "UPDATES", total)
    for name in ("peer", "cut"):
        (tmp_path / name).mkdir()
    peer = run_into(tmp_path / "peer", **RUN)

    def cut(update: loop.Update) -> None:
        if update.number == total - 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_into(tmp_path / "cut", on_update=cut, **RUN)
    assert weights_digest(run_into(tmp_path / "cut", **RUN)) == weights_digest(peer)
    assert read_metrics(tmp_path / "cut")[-1]["resumed_from"] > 4
