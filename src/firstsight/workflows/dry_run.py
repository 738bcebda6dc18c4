"""A dry run: everything that `train` does, once, with nothing written."""

import copy
import itertools
import math
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from firstsight.config import Recipe
from firstsight.data.cache import Skipped
from firstsight.training.loop import Update
from firstsight.training.loss import loss_name
from firstsight.training.randomness import generator_for
from firstsight.training.ranks import from_first, joined_ranks, rank
from firstsight.workflows.job import Job
from firstsight.workflows.prepare import given_recipe, prepare
from firstsight.workflows.progress import OnProgress, silent
from firstsight.workflows.trials import count_in_words, fit_while

TIMED = 20
"""Updates that are timed, after the first, which also pays for what is set up once."""
ENOUGH_SECONDS = 5.0
"""After so long enough was timed, however few they are."""
MEASURED = 64
"""Held-out examples that are measured."""


class Layer(NamedTuple):
    """One part of a network, the shape of its output for one example, and how many weights it has."""

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int


@dataclass(frozen=True)
class DryRun:
    """What a dry run found. `figures` are flat and ready for JSON; `layers` are the parts of the network in order."""

    recipe: Recipe
    layers: list[Layer]
    figures: dict[str, Any]
    unreadable: Sequence[Skipped]

    def to_json(self) -> dict[str, Any]:
        """One flat dict: the figures, and of each layer its output's shape and its weights."""
        flat = dict(self.figures)
        for layer in self.layers:
            flat[f"shape_{layer.name}_{layer.kind}"] = list(layer.shape)
            flat[f"parameters_{layer.name}_{layer.kind}"] = layer.parameters
        return flat

    def rows(self) -> list[tuple[str, str]]:
        """The figures in words, in the order of the run."""
        found = self.figures
        triplets = f"{found['considered']:,.0f} considered, {found['active']:,.0f} active" if "active" in found else ""
        held_out = (
            f"{count_in_words(found, 'held_out_')}; a batch of them was measured"
            if any(name.startswith("held_out_") for name in found)
            else "nothing"
        )
        epochs = f"{found['epochs']:,} epochs, without measuring and checkpoints"
        rows = [
            ("learned from", count_in_words(found)),
            ("held out", held_out),
            ("unreadable", f"{found['unreadable']:,}"),
            ("input", _shape(found["input_shape"])),
            ("batch", _shape(found["batch_shape"])),
            ("parameters", f"{found['parameters']:,}"),
            (f"loss of the first batch ({found['loss_name']})", f"{found['loss']:.4g}"),
            ("triplets", triplets),
            ("updates an epoch", f"{found['updates_per_epoch']:,}"),
            ("time an update", f"{_time(found['seconds_per_update'])} (median of {found['updates_timed']}, after one)"),
            ("time an epoch", f"about {_time(found['seconds_per_epoch'])}"),
            ("time of the run", f"about {_time(found['seconds_for_the_run'])} ({epochs})"),
            (f"memory at peak ({found['device']})", f"{found['peak_memory_bytes'] / 1e6:,.0f} MB"),
        ]
        return [row for row in rows if row[1]]


def dry_run(
    recipe: Recipe | str | Path, *, network: nn.Module | None = None, on_progress: OnProgress = silent
) -> DryRun:
    """Open the data, build the network, and send batches through all that `train` does with them; write nothing.

    The first batch gives the loss; the next few updates are timed. One batch of the held-out data is measured. Only
    the cache of prepared pictures is filled, for the run to come.

    Raises:
        as `train` does.
    """
    recipe = given_recipe(recipe)
    on_progress = on_progress if rank() == 0 else silent
    job, network, device = prepare(recipe, copy.deepcopy(network), on_progress)
    with joined_ranks(device):
        plan = job.feed.plan(1)
        input, _ = job.feed.fetch(plan[0], generator_for(recipe.training.seed, "dry run"))
        layers = _layers(network.to(device), input[:1].to(device))
        first, seconds = _timed_updates(job, len(plan), network, device, on_progress)
        if job.held_out and rank() == 0:
            job.validate(network.eval(), MEASURED)
    figures: dict[str, Any] = {
        "data": recipe.data.path, **job.learned, **{f"held_out_{name}": count for name, count in job.held_out.items()},
        "unreadable": len(job.unreadable), "input_shape": list(job.config.input_shape),
        "parameters": sum(weight.numel() for weight in network.parameters()), "layers": len(layers),
        "batch_shape": [len(plan[0]), *input.shape[1:]], "loss_name": loss_name(recipe), "loss": first.loss,
        **{name: first.figures[name] for name in ("considered", "active") if name in first.figures},
        **_durations(seconds, len(plan), recipe.training.epochs), "device": str(device),
        "peak_memory_bytes": _peak_memory(device),
    }  # fmt: skip
    return DryRun(job.recipe, layers, figures, job.unreadable)


def _timed_updates(
    job: Job, updates_per_epoch: int, network: nn.Module, device: torch.device, on_progress: OnProgress
) -> tuple[Update, list[float]]:
    """The first update, and the seconds from each update to the next.

    Only a run too short to be timed is made longer: how many updates there are decides how they are made.
    """
    updates: list[Update] = []
    ends: list[float] = []

    def going_on(update: Update) -> bool:
        updates.append(update)
        ends.append(time.perf_counter())
        on_progress("Dry run", len(updates), 1 + TIMED, {"loss": update.loss})
        return len(ends) < 2 or (len(ends) <= TIMED and from_first(ends[-1] - ends[0]) < ENOUGH_SECONDS)

    epochs = max(job.recipe.training.epochs, math.ceil((1 + TIMED) / updates_per_epoch))
    recipe = replace(
        job.recipe,
        training=replace(job.recipe.training, epochs=epochs),
        start=replace(job.recipe.start, frozen_epochs=0),  # all learns, as in most of a run
    )
    fit_while(going_on, job, recipe, network, device)
    return updates[0], [later - sooner for sooner, later in itertools.pairwise(ends)]


def _durations(seconds: list[float], updates: int, epochs: int) -> dict[str, Any]:
    update = statistics.median(seconds)
    return {
        "updates_per_epoch": updates, "epochs": epochs, "updates_timed": len(seconds), "seconds_per_update": update,
        "seconds_per_epoch": update * updates, "seconds_for_the_run": update * updates * epochs,
    }  # fmt: skip


def _layers(network: nn.Module, example: Tensor) -> list[Layer]:
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            shapes[name] = tuple(output.shape[1:]) if isinstance(output, Tensor) else ()

        return hook

    parts = list(_parts(network))
    hooks = [part.register_forward_hook(note(name)) for name, part in parts]
    try:
        with torch.inference_mode():
            network.eval()(example)
    finally:
        for hook in hooks:
            hook.remove()
    return [
        Layer(name, type(part).__name__, shapes.get(name, ()), sum(weight.numel() for weight in part.parameters()))
        for name, part in parts
    ]


def _parts(network: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """What a network is a sequence of: a sequence within it is taken apart, anything else is one part."""
    if not isinstance(network, nn.Sequential):
        yield name, network
        return
    for child_name, child in network.named_children():
        yield from _parts(child, f"{name}.{child_name}".lstrip("."))


def _peak_memory(device: torch.device) -> int:
    """Bytes: of the GPU's memory by tensors, or of the machine's by this process so far."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _shape(sizes: Sequence[int]) -> str:
    return " x ".join(map(str, sizes))


def _time(seconds: float) -> str:
    """With the unit that fits."""
    for unit, length in (("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 1e-3)):
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"
