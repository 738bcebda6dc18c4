"""The triplet loss beside losses of pytorch-metric-learning: same network, batches and number of updates.

    python benchmarks/losses.py --data omniglot/images_background.zip --held-out dev_runs_alphabets.txt

Learns from all alphabets of Omniglot but those listed in the held-out file, for a few epochs, with several
seeds; then measures 20-way one-shot recognition within the held-out alphabets, one drawer against another.
"""

import argparse
import math
import statistics
import time
from pathlib import Path

from glyphs import RUNS, errors_by_run, runs, trained

from firstsight.config import Recipe
from firstsight.data.identities import open_pictures, split_by_group
from firstsight.recipes import with_flags

LOSSES: dict[str, dict[str, object]] = {
    "triplet, all": {"loss": "triplet", "select": "all"},
    "triplet, semihard": {"loss": "triplet", "select": "semihard"},
    "triplet, batch-hard": {"loss": "triplet", "select": "batch-hard"},
    "MultiSimilarityLoss": {"loss": "pml:MultiSimilarityLoss"},
    "NTXentLoss": {"loss": "pml:NTXentLoss"},
    "ContrastiveLoss": {"loss": "pml:ContrastiveLoss"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=RUNS)
    options = parser.parse_args()
    groups = options.held_out.read_text().split()
    learned, held_out = split_by_group(open_pictures(options.data), groups)
    draws = runs(held_out, options.runs)
    print("| loss | error, mean of seeds | seeds | s a run |\n|---|---:|---|---:|")
    for name, flags in LOSSES.items():
        errors, seconds = [], []
        for seed in range(options.seeds):
            recipe = with_flags(
                Recipe(), height=32, width=32, color="gray", channels=[32, 64, 128, 128],
                identities=24, pictures=6, augment=1.5, seed=seed, epochs=options.epochs, **flags,
            )  # fmt: skip
            started = time.perf_counter()
            model = trained(recipe, learned)
            seconds.append(time.perf_counter() - started)
            error_R = errors_by_run(model, held_out, draws)
            errors.append(error_R.mean())
        each = ", ".join(f"{found:.1%}" for found in errors)
        print(f"| {name} | {statistics.mean(errors):.1%} | {each} | {statistics.median(seconds):.0f} |", flush=True)
    deviation = error_R.std(ddof=1) / math.sqrt(len(error_R))
    print(f"\nstandard error of one figure, by its runs alone: {deviation:.2%}")


if __name__ == "__main__":
    main()
