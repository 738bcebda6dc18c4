"""Runs of a few updates: pictures with the triplet loss, rows with the quadratic, each in a blink."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save
from torch import Tensor, nn

from firstsight.config import Recipe
from firstsight.model_config import Columns, ModelConfig
from firstsight.models.registry import build_network
from firstsight.recipes import with_flags
from firstsight.training.checkpoint import Place
from firstsight.training.feed import Feed, example_feed, picture_feed
from firstsight.training.loop import Update, fit
from firstsight.training.loss import LossFunction, make_loss
from firstsight.training.metrics import metrics_file
from firstsight.training.randomness import generator_for

CPU = torch.device("cpu")
PICTURES: dict[str, Any] = {
    "height": 8, "width": 8, "color": "gray", "channels": (4, 8), "embedding_size": 8, "identities": 3, "pictures": 3,
    "learning_rate": 0.05, "epochs": 3, "precision": "fp32",
}  # fmt: skip
ROWS: dict[str, Any] = {
    "task": "regression", "network": "mlp", "hidden": (6,), "activation": "tanh", "batch_size": 7, "epochs": 3,
    "learning_rate": 0.05,
}  # fmt: skip
"""31 examples: four batches of seven, and one of three."""


class Parts(NamedTuple):
    """What `fit` takes."""

    network: nn.Module
    loss: LossFunction
    feed: Feed
    recipe: Recipe


class Dropping(nn.Module):
    """A network that draws by itself while it learns."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.4), nn.Linear(16, 2))

    def forward(self, x_BF: Tensor) -> Tensor:
        output_BO: Tensor = self.layers(x_BF)
        return output_BO


class Double(nn.Module):
    """The same network in float64, where rounding cannot hide a mistake nor look like one."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.double()

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.network(x.double())
        return output


def parts(*, dropout: bool = False, double: bool = False, **flags: Any) -> Parts:
    """A run over pictures, or over rows where the flags name a task."""
    run = rows_parts(dropout=dropout, **ROWS | flags) if "task" in flags else pictures_parts(**PICTURES | flags)
    return run._replace(network=Double(run.network)) if double else run


def pictures_parts(**flags: Any) -> Parts:
    recipe = with_flags(Recipe(), **flags)
    config = ModelConfig(network=recipe.network, preprocessing=recipe.preprocessing)
    network = build_network(config, seed=recipe.training.seed)
    return Parts(network, make_loss(recipe), picture_feed(*pictures(), recipe), recipe)


def rows_parts(*, dropout: bool = False, **flags: Any) -> Parts:
    recipe = with_flags(Recipe(), **flags)
    inputs, targets, labels = rows()
    columns = Columns(features=tuple("abcd"), mean=(0.0,) * 4, std=(1.0,) * 4)
    task = recipe.data.task
    config = ModelConfig(task=task, network=recipe.network, columns=columns, outputs=("y", "z"))
    network = Dropping() if dropout else build_network(config, seed=recipe.training.seed)
    feed = example_feed(inputs, labels if recipe.loss.name == "cross-entropy" else targets, recipe)
    return Parts(network, make_loss(recipe), feed, recipe)


def pictures(identities: int = 5, each: int = 5) -> tuple[Tensor, Tensor]:
    """Identities that can be told apart: a pattern each, with noise. uint8 N x 1 x 8 x 8, and whose they are."""
    generator = generator_for(0, "pictures")
    patterns = torch.randint(0, 200, (identities, 1, 8, 8), generator=generator)
    labels_N = torch.arange(identities).repeat_interleave(each)
    noise = torch.randint(0, 50, (len(labels_N), 1, 8, 8), generator=generator)
    return (patterns[labels_N] + noise).to(torch.uint8), labels_N


def rows(count: int = 31) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs N x 4, number targets N x 2 that are a curved function of them, and classes N."""
    generator = generator_for(0, "rows")
    x_NF = torch.randn(count, 4, generator=generator)
    y_NO = torch.stack([x_NF[:, 0] * x_NF[:, 1], x_NF[:, 2].sin() - x_NF[:, 3]], dim=1)
    return x_NF, y_NO, (y_NO[:, 0] > y_NO[:, 1]).long()


def weights_digest(network: nn.Module) -> str:
    """SHA-256 of all weights and statistics, bit by bit."""
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    return hashlib.sha256(save(state)).hexdigest()


def run_into(
    folder: Path,
    *,
    on_update: Callable[[Update], None] = lambda update: None,
    figures: Sequence[float] = (),
    **flags: Any,
) -> nn.Module:
    """Train into a folder as the verb does: metrics.jsonl, checkpoint/, and at the end the digest of the weights.

    `figures` are the held-out ones of the epochs, for early stopping.
    """
    network, loss, feed, recipe = parts(**flags)
    epochs: list[int] = []

    def validate(network: nn.Module) -> float:
        return figures[epochs[-1] - 1]

    with metrics_file(folder / "metrics.jsonl") as metrics:

        def start(place: Place) -> None:
            epochs.append(place.epoch)
            metrics.start(place)

        def note(update: Update) -> None:
            epochs.append(update.epoch)
            on_update(update)
            metrics.add(update)

        fit(
            network, loss, feed, recipe, device=CPU, checkpoint=folder / "checkpoint",
            on_update=note, on_start=start, on_checkpoint=metrics.flush, validate=validate if figures else None,
        )  # fmt: skip
    (folder / "digest").write_text(weights_digest(network))
    return network


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
