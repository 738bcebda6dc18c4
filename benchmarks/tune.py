"""What tuning is worth, and what it costs: three checks.

    python benchmarks/tune.py mnist --mnist mnist/ --seeds 5
    python benchmarks/tune.py omniglot --omniglot omniglot/ --trials 20 --trial-time 240
    python benchmarks/tune.py workers --mnist mnist/ --turns 3

`mnist`: 20 trials of `tune` beside the best of 100 trials drawn at random from the same space, each trained to its end.
The quadratic loss, recipes/mnist-30.toml from η = 0.1 and m = 32, 5,000 training pictures; 10,000 others choose, and
the 10,000 test pictures, which chose nothing, are shown beside. A seed is that of sampler and training.

`omniglot`: recipes/glyphs.toml on drawn characters alone, with a smaller network, 4 orientations and 2 epochs, three
minutes on two cores; 24 alphabets to learn from, of which 5 choose. A trial that would take longer than `--trial-time`
is pruned. Then the default and the best recipe are trained on all 24 with other seeds, and asked on the runs of the six
alphabets that no trial saw.

`workers`: how long two workers take for 20 trials, beside one; they take turns. All trials are of the same length.
"""

import argparse
import gzip
import json
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstsight.config import Recipe
from firstsight.data.idx import read_idx
from firstsight.data.runs import open_runs
from firstsight.errors import TrainingError
from firstsight.evaluation.bounds import student_interval
from firstsight.evaluation.comparison import compare
from firstsight.evaluation.episodes import evaluate_runs
from firstsight.models.folder import Model, load_model
from firstsight.recipes import read_recipe, read_tables, with_flags
from firstsight.workflows.search_space import Dimension, Space, Span, read_space, recipe_at, space_from
from firstsight.workflows.train_run import train
from firstsight.workflows.tune import Tuned, tune
from firstsight.workflows.tune_study import open_study, over
from firstsight.workflows.tune_trial import held_out_figure

RECIPES = Path(__file__).parents[1] / "recipes"
LEARNED, CHOOSE = 5_000, 10_000
CHOOSING = ("Arcadian", "Braille", "Early_Aramaic", "Japanese_(katakana)", "Sanskrit")
UNSEEN = ("Bengali", "Grantha", "Gujarati", "Hebrew", "Korean", "Tifinagh")


def write_idx(path: Path, values: NDArray[np.uint8]) -> None:
    head = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    path.write_bytes(gzip.compress(head + values.tobytes(), 1))


def split_mnist(mnist: Path, folder: Path) -> None:
    """The first 5,000 training pictures, and the last 10,000 of them to choose by."""
    for kind, ending in (("images-idx3", "images-idx3-ubyte.gz"), ("labels-idx1", "labels-idx1-ubyte.gz")):
        values = read_idx(str(mnist / f"train-{kind}-ubyte.gz")).numpy()
        write_idx(folder / f"train-{ending}", values[:LEARNED])
        write_idx(folder / f"choose-{ending}", values[-CHOOSE:])


def mnist_recipe(folder: Path, seed: int, epochs: int) -> Recipe:
    return with_flags(
        read_recipe(RECIPES / "mnist-30.toml"), data=str(folder / "train-images-idx3-ubyte.gz"),
        val=str(folder / "choose-images-idx3-ubyte.gz"), learning_rate=0.1, batch_size=32, epochs=epochs, seed=seed,
    )  # fmt: skip


def drawn(dimension: Dimension, random: np.random.Generator) -> Any:
    if not isinstance(dimension, Span):
        return dimension.values[random.integers(len(dimension.values))]
    value = np.exp(random.uniform(np.log(dimension.low), np.log(dimension.high)))
    return round(value) if dimension.whole else float(value)


def best_of_random(recipe: Recipe, trials: int, seed: int, file: Path) -> tuple[float, Recipe, float]:
    """The best figure, its recipe, and the seconds of all trials. `file` remembers those that are over."""
    random = np.random.default_rng(seed)
    space = read_space(RECIPES / "mnist-30.toml", recipe)
    known = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    tried = [recipe_at(space, recipe, lambda dimension: drawn(dimension, random)) for _ in range(trials)]
    for one in tried[len(known) :]:
        began = time.perf_counter()
        try:
            value, _ = held_out_figure(one, "accuracy")
        except TrainingError:
            value = 0.0
        known.append({"accuracy": value, "seconds": time.perf_counter() - began})
        with file.open("a") as lines:
            print(json.dumps(known[-1]), file=lines)
    best = max(range(trials), key=lambda number: known[number]["accuracy"])
    return known[best]["accuracy"], tried[best], sum(one["seconds"] for one in known[:trials])


def seconds_of(tuned: Tuned) -> float:
    """Of all its trials, whenever they ran."""
    study = open_study(tuned.plan.url, tuned.plan.name, seed=0)
    return sum(trial.duration.total_seconds() for trial in over(study) if trial.duration)


def in_points(gain_S: list[float]) -> str:
    values = 100 * np.array(gain_S)
    if len(values) < 2:
        return f"{values.mean():+.2f} points"
    interval = student_interval(values)
    return f"{values.mean():+.2f} points ({interval.low:+.2f} to {interval.high:+.2f}, 95 %, {len(values)} seeds)"


def mnist(options: argparse.Namespace) -> None:
    chosen, unseen, started = [], [], []
    print(f"{options.trials} trials of tune, {options.random} at random, {options.epochs} epochs\n"
          "| seed | as it was | tune | random | tune, test | random, test | tune, s | random, s |\n"
          "|---:|---:|---:|---:|---:|---:|---:|---:|")  # fmt: skip
    for seed in range(options.seeds):
        folder = options.keep / f"mnist-{options.epochs}-epochs-seed-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        split_mnist(options.mnist, folder)
        recipe = mnist_recipe(folder, seed, options.epochs)
        space = read_space(RECIPES / "mnist-30.toml", recipe)
        tuned = tune(recipe, search=space, out=folder / "study", trials=options.trials)
        value, best, random_seconds = best_of_random(recipe, options.random, seed, folder / "random.jsonl")
        assert tuned.value is not None
        assert tuned.best is not None
        test = str(options.mnist / "t10k-images-idx3-ubyte.gz")
        on_test = [held_out_figure(with_flags(one, val=test), "accuracy")[0] for one in (tuned.best, best)]
        chosen.append(tuned.value - value)
        unseen.append(on_test[0] - on_test[1])
        started.append(tuned.value - (tuned.default or 0.0))
        print(f"| {seed} | {tuned.default:.2%} | {tuned.value:.2%} | {value:.2%} | {on_test[0]:.2%} | {on_test[1]:.2%} "
              f"| {seconds_of(tuned):.0f} | {random_seconds:.0f} |", flush=True)  # fmt: skip
    print(f"tune - best of random, on the pictures that chose: {in_points(chosen)}")
    print(f"tune - best of random, on test pictures: {in_points(unseen)}")
    print(f"tune - the recipe as it was, on the pictures that chose: {in_points(started)}")


def omniglot(options: argparse.Namespace) -> None:
    data, runs = str(options.omniglot / "images_background.zip"), open_runs(str(options.omniglot / "dev_runs.zip"))
    recipe = with_flags(
        read_recipe(RECIPES / "glyphs.toml"), data=data, composed=0, orientations=4, epochs=2, margin=0.2,
        depth=2, channels=(32, 96, 160, 224),
    )  # fmt: skip
    folder = options.keep / "omniglot"
    folder.mkdir(parents=True, exist_ok=True)
    # of the 24 alphabets five choose; the six of the runs are not looked at
    learned = without(data, UNSEEN, folder / "background.zip")
    choosing = with_flags(recipe, data=learned, holdout_groups=CHOOSING)
    tuned = tune(
        choosing, search=glyphs_space(choosing), out=folder / "study", trials=options.trials,
        trial_seconds=options.trial_time, objective="accuracy", workers=options.workers,
    )  # fmt: skip
    print(json.dumps(tuned.to_json()))
    assert tuned.best is not None
    gains = []
    for seed in range(1, options.seeds + 1):
        models = []
        for name, one in (("default", choosing), ("best", tuned.best)):
            whole = with_flags(one, data=data, holdout_groups=UNSEEN, seed=seed)
            models.append(trained(whole, folder / f"{name}-seed-{seed}"))
        found = compare(*(evaluate_runs(model, run_set=runs) for model in reversed(models)))
        gain, interval = found.differences["accuracy"]
        gains.append(gain)
        one, other = found.one.to_json()["accuracy"], found.other.to_json()["accuracy"]
        print(f"seed {seed}: default {other:.2%}, best {one:.2%}, gain {100 * gain:+.2f} points "
              f"({100 * interval.low:+.2f} to {100 * interval.high:+.2f})", flush=True)  # fmt: skip
    print(f"best - default on runs of alphabets that no trial saw: {in_points(gains)}")


def glyphs_space(recipe: Recipe) -> Space:
    """That of the recipe, about the fewer epochs that there is time for."""
    table = read_tables(RECIPES / "glyphs.toml")["search"] | {"epochs": {"log": [1, 4]}}
    return space_from(table, recipe, where="[search]")


def trained(recipe: Recipe, out: Path) -> Model:
    """Trained now, or when this was begun."""
    return load_model(out) if (out / "model").exists() else train(recipe, out=out, resume=True).model


def without(data: str, groups: tuple[str, ...], path: Path) -> str:
    """The same zip without some of its groups."""
    import zipfile

    with zipfile.ZipFile(data) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            if name.endswith(".png") and not any(f"/{group}/" in name for group in groups):
                target.writestr(name, source.read(name))
    return str(path)


def workers(options: argparse.Namespace) -> None:
    """The commands as they are typed. A run of one epoch is over before anybody could prune it."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as scratch:
        recipe = Path(scratch) / "alike.toml"
        recipe.write_text(
            (RECIPES / "mnist-100.toml").read_text() + "\n[search]\nlearning_rate = { range = [2.0, 4.0] }\n"
        )
        for turn in range(options.turns):
            for count in (1, 2):
                words = [
                    "--data", options.mnist / "train-images-idx3-ubyte.gz", "--val",
                    options.mnist / "t10k-images-idx3-ubyte.gz", "--epochs", 1, "--batch-size", 5, "--trials",
                    options.trials, "--workers", count, "--out", Path(scratch) / f"{turn}-{count}", "--json",
                ]  # fmt: skip
                command = [sys.executable, "-m", "firstsight", "tune", str(recipe), *map(str, words)]
                began = time.perf_counter()
                found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                seconds[count].append(time.perf_counter() - began)
                print(f"{count} worker(s): {seconds[count][-1]:.1f} s, {found['complete']} trials", flush=True)
    ratios = [two / one for one, two in zip(seconds[1], seconds[2], strict=True)]
    one, two = (statistics.median(seconds[count]) for count in (1, 2))
    print(f"medians: one {one:.1f} s, two {two:.1f} s; two / one, turn by turn: {statistics.median(ratios):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("check", choices=("mnist", "omniglot", "workers"))
    parser.add_argument("--mnist", type=Path)
    parser.add_argument("--omniglot", type=Path)
    parser.add_argument("--keep", type=Path, help="a folder for what was found: the same command goes on")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--random", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=10, help="of mnist")
    parser.add_argument("--trial-time", type=float, default=240.0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        options.keep = options.keep or Path(scratch)
        {"mnist": mnist, "omniglot": omniglot, "workers": workers}[options.check](options)


if __name__ == "__main__":
    main()
