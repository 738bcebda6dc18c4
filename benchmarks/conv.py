"""Training a convolutional embedding, beside a plain PyTorch loop: same network, batches, loss, schedule and updates.

    python benchmarks/conv.py --data att_faces.zip --seeds 3

Four stages to 256 channels, 64 x 64 gray, batches of 16 identities x 8 pictures. The plain loop is what one writes
first: fp32, torch's default memory layout, backward(), the optimizer as it comes. Both take turns; shown are pictures
a second, the share of the time that goes into loading and augmenting, and the one-shot accuracy on the identities held
out.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from firstsight.config import Recipe
from firstsight.data.cache import packed_pictures, resolve_color
from firstsight.data.identities import open_pictures, split_by_identity
from firstsight.evaluation.protocols import evaluate
from firstsight.functional.triplets import triplet_loss
from firstsight.model_config import ModelConfig
from firstsight.models.device import fast_bfloat16
from firstsight.models.folder import make_model
from firstsight.models.registry import build_network
from firstsight.recipes import with_flags
from firstsight.training.feed import Feed, picture_feed
from firstsight.training.loop import fit
from firstsight.training.loss import make_loss
from firstsight.training.optimizer import learning_rate_at
from firstsight.training.randomness import generator_for

CPU = torch.device("cpu")


class Figures(NamedTuple):
    rate: float  # pictures a second
    loading: float  # share of the time
    accuracy: float


def plain(network: nn.Module, feed: Feed, recipe: Recipe) -> None:
    options = recipe.optimizer
    optimizer = torch.optim.SGD(
        network.parameters(), lr=options.learning_rate, momentum=options.momentum, nesterov=True,
        weight_decay=options.weight_decay,
    )  # fmt: skip
    number = 0
    for epoch in range(1, recipe.training.epochs + 1):
        plan = feed.plan(epoch)
        for place, indices_B in enumerate(plan):
            number += 1
            for group in optimizer.param_groups:
                group["lr"] = learning_rate_at((epoch - 1 + place / len(plan)) / recipe.training.epochs, options)
            x_BCHW, labels_B = feed.fetch(indices_B, generator_for(recipe.training.seed, number))
            loss = triplet_loss(network(x_BCHW), labels_B, margin=recipe.loss.margin, select=recipe.loss.select).value
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    network.eval()


def ours(network: nn.Module, feed: Feed, recipe: Recipe) -> None:
    fit(network, make_loss(recipe), feed, recipe, device=CPU)


def measured(train: Callable[[nn.Module, Feed, Recipe], None], data: str, recipe: Recipe) -> Figures:
    learned, held_out = split_by_identity(open_pictures(data), 0.3, recipe.training.seed)
    recipe = replace(recipe, preprocessing=resolve_color(learned, recipe.preprocessing))
    packed = packed_pictures(learned, recipe.preprocessing)
    feed = picture_feed(packed.pixels_NCHW, torch.tensor(packed.kept.labels), recipe)
    loading, pictures = 0.0, 0

    def fetch(indices_B: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        nonlocal loading, pictures
        started = time.perf_counter()
        batch = feed.fetch(indices_B, generator)
        loading += time.perf_counter() - started
        pictures += len(indices_B)
        return batch

    config = ModelConfig(network=recipe.network, preprocessing=recipe.preprocessing)
    network = build_network(config, seed=recipe.training.seed)
    started = time.perf_counter()
    train(network, feed._replace(fetch=fetch), recipe)
    seconds = time.perf_counter() - started
    accuracy = evaluate(make_model(network, config, name="measured"), held_out).one_shot.accuracy
    return Figures(pictures / seconds, loading / seconds, accuracy)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=30)
    options = parser.parse_args()
    recipe = with_flags(Recipe(), height=64, width=64, identities=16, pictures=8, epochs=options.epochs)
    contestants: dict[str, tuple[Callable[[nn.Module, Feed, Recipe], None], str]] = {
        "plain PyTorch": (plain, "fp32"), "firstsight, fp32": (ours, "fp32"), "firstsight": (ours, "auto"),
    }  # fmt: skip
    found: dict[str, list[Figures]] = {name: [] for name in contestants}
    for seed in range(options.seeds):
        for name, (train, precision) in contestants.items():
            found[name].append(measured(train, options.data, with_flags(recipe, seed=seed, precision=precision)))
    print(f"{torch.get_num_threads()} threads; bf16 in hardware, and so in use: {fast_bfloat16(CPU)}")
    print("| | pictures/s | x plain | loading | held-out accuracy, each seed |\n|---|---:|---:|---:|---|")
    for name, figures in found.items():
        rate, loading = (statistics.median(column) for column in list(zip(*figures, strict=True))[:2])
        ratio = statistics.median(a.rate / b.rate for a, b in zip(figures, found["plain PyTorch"], strict=True))
        each = ", ".join(f"{one.accuracy:.1%}" for one in figures)
        print(f"| {name} | {rate:.0f} | {ratio:.2f} | {loading:.1%} | {each} |")


if __name__ == "__main__":
    main()
