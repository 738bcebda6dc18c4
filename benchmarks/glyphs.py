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

from firstsight.config import Recipe
from firstsight.data.identities import PictureSet, group_of, open_pictures, split_by_group
from firstsight.evaluation.embedded import embed
from firstsight.evaluation.identification import Draw, TemplateSpace
from firstsight.models.folder import Model, make_model
from firstsight.recipes import read_recipe, with_flags
from firstsight.training.loop import fit
from firstsight.training.loss import make_loss
from firstsight.workflows.prepare import prepare
from firstsight.workflows.progress import silent

WAYS = 20


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


def error(model: Model, pictures: PictureSet, draws: list[Draw]) -> float:
    space = TemplateSpace(embed(model, pictures).embeddings)
    found = np.concatenate(space.nearest(draws, lambda done: None))
    return float((found != np.tile(np.arange(WAYS), len(draws))).mean())


def trained(recipe: Recipe) -> Model:
    """What `firstsight train` makes of the recipe, without its report."""
    job, network, device = prepare(recipe, None, silent)
    fit(network, make_loss(job.recipe), job.feed, job.recipe, device=device)
    return make_model(network, job.config, name=f"seed {recipe.training.seed}")


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
    parser.add_argument("--runs", type=int, default=500)
    options = parser.parse_args()
    groups = options.held_out.read_text().split()
    learned, held_out = split_by_group(open_pictures(options.data), groups)
    draws, draws_of_learned = runs(held_out, options.runs), runs(learned, options.runs)
    errors = []
    for seed in range(options.seeds):
        flags = {"data": options.data, "holdout_groups": tuple(groups), "seed": seed, **settings(options.set)}
        recipe = with_flags(read_recipe(options.recipe), **flags)
        started = time.perf_counter()
        model = trained(recipe)
        seconds = time.perf_counter() - started
        errors.append(error(model, held_out, draws))
        weights = sum(weight.numel() for weight in model.network.parameters())
        print(
            f"{' '.join(options.set)} | seed {seed} | error {errors[-1]:.2%}, on the alphabets learned "
            f"{error(model, learned, draws_of_learned):.2%} | {seconds:.0f} s, "
            f"{weights / 1e6:.2f}M weights, {torch.get_num_threads()} threads",
            flush=True,
        )
    mean, trials = statistics.mean(errors), options.runs * WAYS
    print(f"mean {mean:.2%}, standard error by the {trials} trials alone {math.sqrt(mean * (1 - mean) / trials):.2%}")


if __name__ == "__main__":
    main()
