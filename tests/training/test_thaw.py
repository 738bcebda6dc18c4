"""Fine-tuning in the loop: the last layer first, then all at a share of the rate, with the statistics left alone."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import CPU, Parts, parts, weights_digest
from torch import Tensor, nn

from firstsight.config import Start
from firstsight.training.checkpoint import Place
from firstsight.training.loop import Update, fit


def tuned(*, frozen: int = 1, share: float = 0.1, **flags: Any) -> Parts:
    """A run that begins with a model: the loop needs no more than that it is one."""
    run = parts(schedule="constant", **flags)
    start = Start(model="before", frozen_epochs=frozen, thawed_rate=share)
    return run._replace(recipe=replace(run.recipe, start=start))


def fitted(run: Parts, **options: Any) -> Place:
    return fit(run.network, run.loss, run.feed, run.recipe, device=CPU, **options)


def state(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("optimizer", ["momentum", "adamw"])
def test_the_last_layer_learns_first_then_all_and_statistics_never(optimizer: str) -> None:
    run = tuned(optimizer=optimizer, epochs=2)
    before = state(run.network)
    after_epoch: dict[int, dict[str, Tensor]] = {}
    rates: dict[int, float] = {}

    def note(update: Update) -> None:
        after_epoch[update.epoch], rates[update.epoch] = state(run.network), update.learning_rate

    fitted(run, on_update=note)
    changed = {
        epoch: {name for name, tensor in found.items() if not torch.equal(tensor, before[name])}
        for epoch, found in after_epoch.items()
    }
    statistics = {name for name in before if "running" in name or "num_batches" in name}
    assert len(statistics) == 6
    assert changed == {1: {"1.0.weight", "1.0.bias"}, 2: set(before) - statistics}
    assert rates == {1: 0.05, 2: pytest.approx(0.005)}
    assert all(weight.requires_grad for weight in run.network.parameters()), "nothing stays frozen"


def test_weights_that_were_frozen_by_hand_stay_so() -> None:
    run = tuned(frozen=0, epochs=1)
    first = next(run.network.parameters()).requires_grad_(False)
    before = first.clone()
    fitted(run)
    assert torch.equal(first, before)
    assert not first.requires_grad


def figures(*values: float) -> Callable[[nn.Module], float]:
    """A held-out figure for each epoch."""
    left = iter(values)
    return lambda network: next(left)


@pytest.mark.parametrize(
    ("found", "best_epoch", "epochs"),
    [
        ((0.9, 0.8, 0.9, 0.7), 0, 3),  # nothing is better than the model at the start
        ((0.9, 0.95, 0.8, 0.7), 1, 3),
        ((0.9, 0.8, 0.8, 0.92), 3, 3),  # patience does not begin before all learns
    ],
)
def test_the_model_at_the_start_is_the_first_to_be_beaten(
    found: tuple[float, ...], best_epoch: int, epochs: int
) -> None:
    run = tuned(frozen=2, epochs=3, patience=1)
    place = fitted(run, to_beat=found[0], validate=figures(*found[1:]))
    assert (place.best, place.best_epoch, place.epoch - 1) == (max(found), best_epoch, epochs)


def test_patience_ends_a_run_once_all_of_it_learned() -> None:
    run = tuned(frozen=1, epochs=9, patience=2)
    place = fitted(run, to_beat=0.9, validate=figures(0.8, 0.8, 0.7))
    assert (place.best_epoch, place.epoch - 1) == (0, 3)


@pytest.mark.parametrize("stop_at", [2, 5])
def test_a_resumed_run_ends_as_one_never_interrupted(tmp_path: Path, stop_at: int) -> None:
    """Of three updates an epoch, the first epoch frozen: stopped while frozen, and thereafter."""

    class PowerCutError(Exception):
        pass

    def cut(update: Update) -> None:
        if update.number == stop_at + 1:
            raise PowerCutError

    flags: dict[str, Any] = {"epochs": 3, "checkpoint_every": 1, "optimizer": "adamw", "patience": 9}
    whole = tuned(**flags)
    fitted(whole, to_beat=0.5, validate=figures(0.4, 0.6, 0.55))
    with pytest.raises(PowerCutError):
        fitted(tuned(**flags), to_beat=0.5, validate=figures(0.4, 0.6, 0.55), on_update=cut, checkpoint=tmp_path)
    resumed = tuned(**flags)
    rest = {2: (0.4, 0.6, 0.55), 5: (0.6, 0.55)}[stop_at]
    place = fitted(resumed, to_beat=0.5, validate=figures(*rest), checkpoint=tmp_path)
    assert weights_digest(resumed.network) == weights_digest(whole.network)
    assert (place.best, place.best_epoch) == (0.6, 2)
