"""The loop: epochs of updates, from wherever a checkpoint left off. It reports through callbacks, and decides
nothing else than when to stop."""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import FrameType

import torch
from torch import Tensor, nn

from firstsight.config import Recipe
from firstsight.errors import TrainingError
from firstsight.models.conv import channels_last
from firstsight.models.device import Precision, fitting_threads, prefers_bf16
from firstsight.models.registry import CUSTOM
from firstsight.training.checkpoint import (
    FILE,
    Place,
    Weights,
    how_to_resume,
    load_checkpoint,
    run_key,
    save_checkpoint,
)
from firstsight.training.feed import Feed
from firstsight.training.loss import LossFunction, LossResult
from firstsight.training.optimizer import learning_rate_at, make_optimizer
from firstsight.training.randomness import reseed
from firstsight.training.ranks import any_rank, from_first, rank, rank_count, same_start
from firstsight.training.replay import can_replay, replayed
from firstsight.training.step import train_step
from firstsight.training.thaw import is_frozen, learning_mode, let_learn, rate_share


@dataclass(frozen=True)
class Update:
    """What one update did. `number` and `epoch` count from 1; `progress` is the share of the run that is done.

    `figures` are those of the loss; the last update of an epoch has `held_out` as well, where that is measured.
    """

    number: int
    epoch: int
    progress: float
    learning_rate: float
    loss: float
    examples: int
    seconds: float
    figures: dict[str, float]


class Stopped(KeyboardInterrupt):
    """Ctrl-C or SIGTERM came; where there is a folder for it, the checkpoint is written. The text says what to type."""


def fit(
    network: nn.Module,
    loss: LossFunction,
    feed: Feed,
    recipe: Recipe,
    *,
    device: torch.device,
    checkpoint: Path | None = None,
    on_update: Callable[[Update], None] = lambda update: None,
    on_start: Callable[[Place], None] = lambda place: None,
    on_checkpoint: Callable[[], None] = lambda: None,
    validate: Callable[[nn.Module], float] | None = None,
    to_beat: float | None = None,
    rate_at: Callable[[float], float] | None = None,
) -> Place:
    """Train `network` in place, for `recipe.training.epochs` epochs, and say where the run ended.

    Args:
        network: any module that maps the feed's inputs to what the loss takes.
        loss: of (output, target).
        feed: the batches of each epoch.
        recipe: its batch, optimizer and training tables are obeyed.
        device: where to compute.
        checkpoint: a folder. Where it holds a checkpoint, the run goes on from there; the weights after the last
            update are then, bit for bit, those of a run never interrupted (same machine, same number of threads).
        on_update: called after each update.
        on_start: called once with the place that the run starts from.
        on_checkpoint: called before a checkpoint is written.
        validate: gives a held-out figure after each epoch, the larger the better. The run ends after
            `recipe.training.patience` epochs without a better one, with the weights of the best epoch (0: neither).
        to_beat: the held-out figure that the network begins with. The weights are then those of the best epoch in any
            case; where none is better than that, `best_epoch` is 0.
        rate_at: the learning rate when a share (0 ... 1) of the run is done, in place of the recipe's schedule.

    Raises:
        TrainingError: a loss that is not finite; says at which update.
        Stopped: interrupted, with the checkpoint written.
    """
    channels_last(network.to(device))
    recipe = with_precision(recipe, network, device)
    optimizer = make_optimizer(network, recipe.optimizer)
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    first_plan = feed.plan(1)
    best: Weights = {}
    place, key = Place(), run_key(recipe, first_plan)
    if checkpoint and (checkpoint / FILE).exists():
        place, best = load_checkpoint(checkpoint, key, network, optimizer)
    same_start(network, place.number)
    if not place.number:
        place = replace(place, best=to_beat)
    learning_mode(network, recipe)
    on_start(place)

    def settle(*, due: bool) -> None:
        """Write a checkpoint where one is due or a signal came; then stop, if it came."""
        stop = any_rank(interrupted(), device)
        if (due or stop) and checkpoint and rank() == 0:
            on_checkpoint()
            save_checkpoint(checkpoint, place, key, network, optimizer, best)
        if stop:
            raise Stopped(f"Go on with: {how_to_resume(checkpoint)}" if checkpoint else "")

    step = _step(network, loss, optimizer, recipe, updates=recipe.training.epochs * len(first_plan))
    every = recipe.training.checkpoint_every
    threads = fitting_threads(network, len(first_plan[0]))
    rate_at = rate_at or partial(learning_rate_at, config=recipe.optimizer)
    with torch.random.fork_rng(devices=[]), threads, deferred_signals() as interrupted:
        while place.epoch <= recipe.training.epochs and not _exhausted(place, recipe):
            plan = feed.plan(place.epoch)
            let_learn(network, weights, last_alone=is_frozen(recipe, place.epoch))
            for batch in range(place.batch, len(plan)):
                place = replace(place, number=place.number + 1, batch=batch + 1)
                update = _update(step, feed, recipe, optimizer, rate_at, place, plan, device)
                if place.batch == len(plan):
                    place, update = _after_epoch(place, update, network, recipe, validate)
                    keeping = recipe.training.patience or to_beat is not None
                    if keeping and place.epoch == place.best_epoch + 1:
                        best = {name: tensor.clone() for name, tensor in network.state_dict().items()}
                on_update(update)
                settle(due=place.number % every == 0 if every else place.batch == 0)
    let_learn(network, weights)
    if best:
        network.load_state_dict(best)
    network.eval()
    return place


def with_precision(recipe: Recipe, network: nn.Module, device: torch.device) -> Recipe:
    """The recipe with the precision that `auto` stands for: bf16 where every rank has it in hardware and it is gained.

    The last layer of a network of one's own may need its digits, so there it is fp32.
    """
    name = recipe.training.precision
    if name == "auto":
        fast = recipe.network.name != CUSTOM and prefers_bf16(network, device)
        name = "fp32" if any_rank(not fast, device) else "bf16"
    return replace(recipe, training=replace(recipe.training, precision=name))


def _step(
    network: nn.Module, loss: LossFunction, optimizer: torch.optim.Optimizer, recipe: Recipe, *, updates: int
) -> Callable[[Tensor, Tensor], LossResult]:
    """`train_step` as a function of (input, target), set up for a run of so many updates."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    precision: Precision = "bf16" if recipe.training.precision == "bf16" else "fp32"
    plain = precision == "fp32" and not recipe.batch.chunk
    replay = replayed(network, loss, weights) if plain and can_replay(network, loss, updates) else None
    return partial(train_step, network, loss, optimizer, precision=precision, chunk=recipe.batch.chunk, replay=replay)


def _update(
    step: Callable[[Tensor, Tensor], LossResult],
    feed: Feed,
    recipe: Recipe,
    optimizer: torch.optim.Optimizer,
    rate_at: Callable[[float], float],
    place: Place,
    plan: list[Tensor],
    device: torch.device,
) -> Update:
    started = time.perf_counter()
    done = (place.epoch - 1 + (place.batch - 1) / len(plan)) / recipe.training.epochs
    rate = rate_at(done) * rate_share(recipe, place.epoch)
    for group in optimizer.param_groups:
        group["lr"] = rate
    indices_B = plan[place.batch - 1]
    seed = recipe.training.seed
    input, target = feed.fetch(indices_B, reseed(device, seed, place.number))
    if rank_count() > 1:
        reseed(device, seed, place.number, rank())  # dropout: each rank has other examples
    try:
        result = step(input.to(device), target.to(device))
    except TrainingError as error:
        where = f"Update {place.number} (epoch {place.epoch})"
        raise TrainingError(f"{where}: {error.message}", hint=error.hint) from error
    progress = (place.epoch - 1 + place.batch / len(plan)) / recipe.training.epochs
    seconds = time.perf_counter() - started
    return Update(
        place.number, place.epoch, progress, rate, result.value.item(), len(indices_B), seconds, result.figures
    )


def _after_epoch(
    place: Place, update: Update, network: nn.Module, recipe: Recipe, validate: Callable[[nn.Module], float] | None
) -> tuple[Place, Update]:
    """On to the next epoch; before that, the held-out figure of this one."""
    after = replace(place, epoch=place.epoch + 1, batch=0)
    if validate is None:
        return after, update
    figure = from_first(validate(network.eval()) if rank() == 0 else 0.0)
    learning_mode(network, recipe)
    update = replace(update, figures=update.figures | {"held_out": figure})
    if figure > (-math.inf if place.best is None else place.best):  # not where it is no number
        return replace(after, best=figure, best_epoch=place.epoch, stale=0), update
    return replace(after, stale=place.stale + 1), update


def _exhausted(place: Place, recipe: Recipe) -> bool:
    """Whether patience is at its end; it does not begin before all of the network learns."""
    frozen = recipe.start.frozen_epochs if recipe.start.model else 0
    return 0 < recipe.training.patience <= min(place.stale, place.epoch - 1 - frozen)


@contextmanager
def deferred_signals() -> Iterator[Callable[[], bool]]:
    """Let the update that is under way end before Ctrl-C or SIGTERM takes effect. A second one acts at once."""
    caught: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        if caught:
            raise KeyboardInterrupt
        caught.append(number)

    try:
        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # signals reach the main thread alone
        before = {}
    try:
        yield lambda: bool(caught)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
