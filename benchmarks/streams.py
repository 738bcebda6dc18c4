"""The default recipe of `firstsight stream` beside river's adaptive random forest, in one run: one pass, same order.

    python benchmarks/streams.py accuracy STREAMS [--rows N]   # STREAMS: a folder with weather.csv, sea_stream.csv ...
    python benchmarks/streams.py rate [--rows 200000]          # 10 features, 32 hidden units, steps of 32, one core
    python benchmarks/streams.py memory [--rows 5000000]       # resident memory while rows are generated and learned

Each row is predicted, then learned. The interval is the paired 95 % one: of the difference, row by row. Rates are rows
per second of processor time, so that what else the machine does matters less; reading the file counts for firstsight.
"""

import argparse
import csv
import gzip
import itertools
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from firstsight.config import StreamRecipe
from firstsight.data.sources import open_source
from firstsight.evaluation.prequential import Prequential
from firstsight.recipes import with_flags
from firstsight.workflows.stream import stream

STREAMS = {"weather.csv": "target", "phishing.csv.gz": "is_phishing", "sea_stream.csv": "class"}


def first_rows(path: Path, count: int | None) -> tuple[list[dict[str, float]], list[str], str]:
    opened: Any = gzip.open if path.suffix == ".gz" else open
    target = STREAMS[path.name]
    with opened(path, "rt", newline="") as file:
        rows = list(itertools.islice(csv.DictReader(file), count))
    return [{k: float(v) for k, v in row.items() if k != target} for row in rows], [row[target] for row in rows], target


def by_firstsight(path: Path, count: int | None, target: str) -> tuple[np.ndarray, float, Any]:
    """Which rows it had right, and rows a second; the errors are overheard on their way into the figures."""
    errors: list[np.ndarray] = []
    add = Prequential.add

    def overhear(self: Prequential, error_B: Any, *rest: Any) -> None:
        errors.append(np.asarray(error_B, bool))
        add(self, error_B, *rest)

    source = open_source(str(path))

    class Few:
        name = str(path)

        def arrivals(self, after: Any) -> Iterator[Any]:
            return itertools.islice(source.arrivals(after), count)

    Prequential.add = overhear  # type: ignore[method-assign]
    began = time.process_time()
    figures = stream(Few(), with_flags(StreamRecipe(), target=target)).figures
    seconds = time.process_time() - began
    Prequential.add = add  # type: ignore[method-assign]
    return ~np.concatenate(errors), len(np.concatenate(errors)) / seconds, figures


def by_forest(rows: list[dict[str, float]], labels: list[str]) -> tuple[np.ndarray, float]:
    from river import forest

    model = forest.ARFClassifier(seed=42)
    right = np.zeros(len(rows), bool)
    began = time.process_time()
    for i, (row, label) in enumerate(zip(rows, labels, strict=True)):
        right[i] = model.predict_one(row) == label
        model.learn_one(row, label)
    return right, len(rows) / (time.process_time() - began)


def accuracy(folder: Path, count: int | None) -> None:
    for name in STREAMS:
        rows, labels, target = first_rows(folder / name, count)
        ours, rate, figures = by_firstsight(folder / name, count, target)
        forest, forest_rate = by_forest(rows, labels)
        gain = ours.astype(float) - forest
        margin = 1.96 * gain.std(ddof=1) / len(gain) ** 0.5
        print(
            f"{name}: {len(rows):,} rows; firstsight {ours.mean():.2%} at {rate:,.0f} rows/s, "
            f"forest {forest.mean():.2%} at {forest_rate:,.0f} ({rate / forest_rate:.0f} x); "
            f"difference {100 * gain.mean():+.2f} ± {100 * margin:.2f} points; "
            f"no-change {figures['no_change_accuracy']:.2%}, kappa-temporal "
            f"{figures['kappa_temporal']:.3f}",
            flush=True,
        )
        if name == "sea_stream.csv":
            _drifts(ours)


def _drifts(right: np.ndarray) -> None:
    """Accuracy in the thousands around each abrupt drift."""
    for drift in range(10_000, len(right), 10_000):
        around = [f"{right[start : start + 1000].mean():.1%}" for start in range(drift - 2000, drift + 3000, 1000)]
        print(f"  drift at {drift:,}: two thousands before, three after: {' '.join(around)}")


def generated(count: int) -> Iterator[tuple[list[float], int]]:
    """Ten numbers, of which three decide the class; the rule turns around now and then."""
    generator = np.random.default_rng(0)
    for block in range(-(-count // 1000)):
        x_BF = generator.normal(size=(1000, 10))
        label_B = (x_BF[:, 0] + x_BF[:, 1] * x_BF[:, 2] > 0) ^ ((block // 500) % 2 == 1)
        yield from itertools.islice(zip(x_BF.tolist(), label_B.tolist(), strict=True), count - 1000 * block)


def rate(count: int) -> None:
    recipe = with_flags(StreamRecipe(), every=32)
    pairs = list(generated(count))
    for turn in range(3):
        began, wall = time.process_time(), time.perf_counter()
        figures = stream(iter(pairs), recipe).figures
        spent, wall = time.process_time() - began, time.perf_counter() - wall
        print(f"turn {turn + 1}: {count / spent:,.0f} rows/s of one core, {count / wall:,.0f} by the clock; "
              f"accuracy {figures['accuracy']:.2%}")  # fmt: skip


def memory(count: int) -> None:
    def watched() -> Iterator[Any]:
        began, due = time.monotonic(), 0.0
        for number, pair in enumerate(generated(count)):
            if number % 1000 == 0 and time.monotonic() - began >= due:
                due += 20
                resident = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
                print(f"{time.monotonic() - began:5.0f} s: {number:,} rows, {resident / 2**20:.1f} MiB", flush=True)
            yield pair

    figures = stream(watched(), with_flags(StreamRecipe(), every=32)).figures
    print(f"{figures['rows']:,} rows, {figures['rows_per_second']:,.0f} a second, accuracy {figures['accuracy']:.2%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["accuracy", "rate", "memory"])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--rows", type=int)
    asked = parser.parse_args()
    if asked.what == "accuracy":
        accuracy(asked.folder, asked.rows)
    elif asked.what == "rate":
        rate(asked.rows or 200_000)
    else:
        memory(asked.rows or 5_000_000)


if __name__ == "__main__":
    main()
