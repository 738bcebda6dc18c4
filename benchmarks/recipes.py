"""The recipes of the tutorial's examples, trained to the end: held-out figures beside what is asked of them.

    python benchmarks/recipes.py --mnist mnist/ --housing california_housing.csv --seeds 3

MNIST with the quadratic loss alone, on its 10,000 test pictures; the value of Californian districts, R² on a fifth of
the rows, beside scikit-learn's MLPRegressor of the same size on the same rows, standardized alike.
"""

import argparse
import tempfile
import time
import warnings
from pathlib import Path

import torch
from sklearn.metrics import r2_score
from sklearn.neural_network import MLPRegressor

from firstsight.recipes import read_recipe, with_flags
from firstsight.workflows.examples import open_examples
from firstsight.workflows.progress import silent
from firstsight.workflows.train_run import train

RECIPES = Path(__file__).parents[1] / "recipes"
MNIST = {"mnist-30": 0.95, "mnist-100": 0.965, "mnist-conv": 0.992}


def mnist(name: str, data: Path, seed: int) -> float:
    recipe = with_flags(
        read_recipe(RECIPES / f"{name}.toml"), data=str(next(data.glob("train-images*"))),
        val=str(next(data.glob("t10k-images*"))), seed=seed,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        return float(train(recipe, out=Path(scratch) / "run").figures["accuracy"])


def housing(data: Path, seed: int) -> tuple[float, float]:
    """R² of firstsight and of scikit-learn."""
    recipe = with_flags(read_recipe(RECIPES / "housing.toml"), data=str(data), seed=seed)
    with tempfile.TemporaryDirectory() as scratch:
        own = float(train(recipe, out=Path(scratch) / "run").figures["r2"])
    learned, held_out = open_examples(recipe, silent)
    assert held_out is not None
    peer = MLPRegressor(hidden_layer_sizes=recipe.network.hidden, max_iter=recipe.training.epochs, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it may not have converged after as many epochs
        peer.fit(learned.inputs.numpy(), learned.targets[:, 0].numpy())
    return own, float(r2_score(held_out.targets[:, 0].numpy(), peer.predict(held_out.inputs.numpy())))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", type=Path)
    parser.add_argument("--housing", type=Path)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    print(f"{torch.get_num_threads()} threads\n| recipe | asked | held out, each seed | s a run |\n|---|---:|---|---:|")
    for name, asked in MNIST.items() if options.mnist else ():
        started = time.perf_counter()
        found = [mnist(name, options.mnist, seed) for seed in range(options.seeds)]
        seconds = (time.perf_counter() - started) / options.seeds
        print(f"| {name} | {asked:.1%} | {', '.join(f'{x:.2%}' for x in found)} | {seconds:.0f} |", flush=True)
    if options.housing:
        started = time.perf_counter()
        pairs = [housing(options.housing, seed) for seed in range(options.seeds)]
        seconds = (time.perf_counter() - started) / options.seeds
        print(f"| housing, R² | 0.78 | {', '.join(f'{own:.3f}' for own, _ in pairs)} | {seconds:.0f} |")
        print(f"| MLPRegressor, R² | | {', '.join(f'{peer:.3f}' for _, peer in pairs)} | |")


if __name__ == "__main__":
    main()
