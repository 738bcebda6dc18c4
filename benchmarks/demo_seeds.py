"""Is the demo luck? One-shot accuracy on digits never trained on, beside nearest pixels, over training seeds.

python benchmarks/demo_seeds.py --seeds 5
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from firstsight.workflows.demo import demo


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    print(
        "| seed | 7, 8, 9 | by pixels | all ten | by pixels | ROC AUC | seconds |\n|---|---:|---:|---:|---:|---:|---:|"
    )
    unseen, pixels = [], []
    for seed in range(parser.parse_args().seeds):
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            found = demo(out=Path(folder) / "demo", seed=seed).figures
        shares = [found[k] for k in ("accuracy", "pixel_accuracy", "all_accuracy", "all_pixel_accuracy")]
        unseen.append(shares[0])
        pixels.append(shares[1])
        cells = " | ".join(f"{share:.1%}" for share in shares)
        print(f"| {seed} | {cells} | {found['auc']:.3f} | {time.perf_counter() - started:.0f} |", flush=True)
    print(f"\nmean over seeds: {statistics.mean(unseen):.1%} against {statistics.mean(pixels):.1%} by pixels")


if __name__ == "__main__":
    main()
