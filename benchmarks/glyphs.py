"""One-shot recognition of drawn symbols after a training on Omniglot: 20 characters of one alphabet, one drawer's
against another's, as in the official runs.

    python benchmarks/glyphs.py recipes/glyphs.toml --data omniglot/images_background.zip \
        --held-out dev_runs_alphabets.txt --set epochs=4 select=semihard --seeds 3

Learns from all alphabets but those held out, with each seed; then draws many runs within those: an alphabet, two
drawers, twenty characters. A run is twenty trials. `--set` replaces settings of the recipe, named as on the command
line.
"""

import argparse
import json
import math
import re
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from firstsight.config import Recipe
from firstsight.data.cache import packed_pictures
from firstsight.data.identities import PictureSet, group_of, open_pictures, split_by_group
from firstsight.evaluation.embedded import embed
from firstsight.evaluation.identification import Draw, TemplateSpace
from firstsight.model_config import ModelConfig
from firstsight.models.folder import Model, make_model
from firstsight.models.registry import build_network
from firstsight.recipes import read_recipe, with_flags
from firstsight.training.feed import picture_feed
from firstsight.training.loop import fit
from firstsight.training.loss import make_loss
from firstsight.workflows.embedding_job import to_learn
from firstsight.workflows.progress import silent

WAYS = 20
RUNS = 5000  # trials of a run fail together: 500 runs, 10,000 trials, are still off by 0.4 points


def runs(pictures: PictureSet, count: int, *, seed: int = 0) -> list[Draw]:
    """An alphabet, two of its drawers, twenty of its characters: one drawer's are enrolled, the other's probed."""
    rng = np.random.default_rng(seed)
    drawn_by: dict[str, dict[tuple[int, int], int]] = {}
    for i, (path, label) in enumerate(zip(pictures.paths, pictures.labels, strict=True)):
        drawer = int(re.findall(r"_(\d+)\.", path)[-1])
        drawn_by.setdefault(group_of(pictures.names[label]), {})[label, drawer] = i
    alphabets = [places for places in drawn_by.values() if len({label for label, _ in places}) >= WAYS]
    draws = []
    for _ in range(count):
        places = alphabets[rng.integers(len(alphabets))]
        one, other = rng.choice(sorted({drawer for _, drawer in places}), size=2, replace=False)
        labels = rng.choice(sorted({label for label, _ in places}), size=WAYS, replace=False)
        draws.append(tuple(np.array([places[label, drawer] for label in np.sort(labels)]) for drawer in (one, other)))
    return draws  # type: ignore[return-value]


def errors_by_run(model: Model, pictures: PictureSet, draws: list[Draw]) -> NDArray[np.float64]:
    """The share of the twenty that each of R runs got wrong."""
    space = TemplateSpace(embed(model, pictures).embeddings)
    found_RC = np.stack(space.nearest(draws, lambda done: None))
    errors_R: NDArray[np.float64] = (found_RC != np.arange(WAYS)).mean(1)
    return errors_R


def trained(recipe: Recipe, learned: PictureSet) -> Model:
    """What `firstsight train` makes of these pictures, without its report."""
    packed = packed_pictures(learned, recipe.preprocessing)
    config = ModelConfig(network=recipe.network, preprocessing=recipe.preprocessing)
    network = build_network(config, seed=recipe.training.seed)
    feed = picture_feed(*to_learn(packed, recipe, silent), recipe, composed=recipe.data.composed)
    fit(network, make_loss(recipe), feed, recipe, device=torch.device("cpu"))
    return make_model(network, config, name=f"seed {recipe.training.seed}")


def settings(words: list[str]) -> dict[str, Any]:
    """name=value, as JSON where it is JSON."""
    flags = {}
    for word in words:
        name, _, value = word.partition("=")
        try:
            flags[name] = json.loads(value)
        except ValueError:
            flags[name] = value
    return flags


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--data", required=True)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--runs", type=int, default=RUNS)
    options = parser.parse_args()
    groups = options.held_out.read_text().split()
    learned, held_out = split_by_group(open_pictures(options.data), groups)
    draws, draws_of_learned = runs(held_out, options.runs), runs(learned, options.runs)
    errors = []
    for seed in range(options.seeds):
        recipe = with_flags(read_recipe(options.recipe), **{"seed": seed, **settings(options.set)})
        started = time.perf_counter()
        model = trained(recipe, learned)
        seconds = time.perf_counter() - started
        error_R = errors_by_run(model, held_out, draws)
        errors.append(error_R.mean())
        weights = sum(weight.numel() for weight in model.network.parameters())
        print(
            f"{' '.join(options.set)} | seed {seed} | error {errors[-1]:.2%}, on the alphabets learned "
            f"{errors_by_run(model, learned, draws_of_learned).mean():.2%} | {seconds:.0f} s, "
            f"{weights / 1e6:.2f}M weights, {torch.get_num_threads()} threads",
            flush=True,
        )
    by_runs = error_R.std(ddof=1) / math.sqrt(len(error_R))
    print(f"mean {statistics.mean(errors):.2%}, standard error by the {len(error_R)} runs alone {by_runs:.2%}")


if __name__ == "__main__":
    main()
