"""The default recipe of `firstsight stream` beside river's adaptive random forest, in one run: one pass, same order.

    python benchmarks/streams.py accuracy STREAMS [--rows N]   # STREAMS: a folder with weather.csv, sea_stream.csv ...
    python benchmarks/streams.py made [--rows 8000]            # the same on streams made here, most of them in runs
    python benchmarks/streams.py rate [--rows 200000] [--deep-river PYTHON]
    python benchmarks/streams.py memory [--rows 5000000]       # resident memory while rows are generated and learned

Each row is predicted, then learned. The interval is the paired 95 % one: of the difference, row by row. Rates are rows
per second of processor time, so that what else the machine does matters less; reading the file counts for firstsight.
`rate`: 10 features, 32 hidden units, steps of 32, one core; PYTHON is that of an environment with deep-river, which
takes turns.
"""

import argparse
import csv
import gzip
import itertools
import os
import resource
import subprocess
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


Rows = list[dict[str, float]]


def first_rows(path: Path, count: int | None) -> tuple[Rows, list[str], str]:
    opened: Any = gzip.open if path.suffix == ".gz" else open
    target = STREAMS[path.name]
    with opened(path, "rt", newline="") as file:
        rows = list(itertools.islice(csv.DictReader(file), count))
    return [{k: float(v) for k, v in row.items() if k != target} for row in rows], [row[target] for row in rows], target


def by_firstsight(source: Any, target: str = "label") -> tuple[np.ndarray, float, Any]:
    """Which rows it had right, and rows a second; the errors are overheard on their way into the figures."""
    errors: list[np.ndarray] = []
    add = Prequential.add

    def overhear(self: Prequential, error_B: Any, *rest: Any) -> None:
        errors.append(np.asarray(error_B, bool))
        add(self, error_B, *rest)

    Prequential.add = overhear  # type: ignore[method-assign, assignment]
    began = time.process_time()
    figures = stream(source, with_flags(StreamRecipe(), target=target)).figures
    seconds = time.process_time() - began
    Prequential.add = add  # type: ignore[method-assign]
    return ~np.concatenate(errors), len(np.concatenate(errors)) / seconds, figures


class FirstOf:
    """The first rows of a file."""

    def __init__(self, path: Path, count: int | None) -> None:
        self.name, self._source, self._count = str(path), open_source(str(path)), count

    def arrivals(self, after: Any) -> Iterator[Any]:
        return itertools.islice(self._source.arrivals(after), self._count)


def by_forest(rows: list[dict[str, float]], labels: list[str]) -> tuple[np.ndarray, float]:
    from river import forest

    model: Any = forest.ARFClassifier(seed=42)
    right = np.zeros(len(rows), bool)
    began = time.process_time()
    for i, (row, label) in enumerate(zip(rows, labels, strict=True)):
        right[i] = model.predict_one(row) == label
        model.learn_one(row, label)
    return right, len(rows) / (time.process_time() - began)


def accuracy(folder: Path, count: int | None) -> None:
    for name in STREAMS:
        rows, labels, target = first_rows(folder / name, count)
        right = compare(name, FirstOf(folder / name, count), rows, labels, target)
        if name == "sea_stream.csv":
            drifts(right)


def compare(name: str, source: Any, rows: Rows, labels: list[str], target: str = "label") -> np.ndarray:
    ours, rate, figures = by_firstsight(source, target)
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
    return ours


def drifts(right: np.ndarray, every: int = 10_000) -> None:
    """A drift is recovered from inside 1,000 rows where the second thousand after it is no worse than all the rest of
    that concept: the difference lies inside its 95 % interval."""
    for drift in range(every, len(right), every):
        before, first = right[drift - 5000 : drift].mean(), right[drift : drift + 1000].mean()
        second, rest = right[drift + 1000 : drift + 2000], right[drift + 2000 : drift + every]
        gain = second.mean() - rest.mean()
        margin = 1.96 * (second.var() / len(second) + rest.var() / len(rest)) ** 0.5
        print(
            f"  drift at {drift:,}: 5,000 rows before {before:.1%}; then the first thousand {first:.1%}, the second "
            f"{second.mean():.1%}, the rest {rest.mean():.1%}: {100 * gain:+.1f} ± {100 * margin:.1f} points, "
            f"{'recovered' if gain > -margin else 'not recovered'}"
        )


def made(count: int) -> None:
    for name, (x_NF, label_N) in streams_made_here(count).items():
        names = [f"x{i}" for i in range(x_NF.shape[1])]
        rows = [dict(zip(names, row, strict=True)) for row in x_NF.tolist()]
        labels = label_N.tolist()
        compare(name, zip(rows, labels, strict=True), rows, labels)


def streams_made_here(count: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Streams whose labels come in runs, as prices, land covers and failures do; and one without memory that drifts."""
    generator = np.random.default_rng(7)
    hour = np.arange(count)
    drawn = generator.normal(size=(count, 4))
    slow = np.zeros(count)
    for i in range(1, count):
        slow[i] = 0.97 * slow[i - 1] + 0.25 * drawn[i, 0]
    demand = np.sin(2 * np.pi * hour / 48) + 0.5 * np.sin(4 * np.pi * hour / 48 + 1) + slow
    price = np.exp(0.6 * demand + 0.2 * drawn[:, 1])
    mean = np.convolve(price, np.ones(48) / 48)[:count]
    rising = np.stack([hour % 48 / 47, demand + 0.5 * drawn[:, 2], 0.6 * demand + 0.5 * drawn[:, 3]], 1)
    cover, places = in_runs(generator, count, 7, 0.05), generator.normal(size=(7, 10)) * 0.7
    ground = (
        places[cover] + 0.14 * generator.normal(size=(count, 10)).cumsum(0) / 3 + generator.normal(size=(count, 10))
    )
    state = in_runs(generator, count, 2, 0.1)
    turning = generator.normal(size=(count, 10))
    turned = (turning[:, 0] + turning[:, 1] * turning[:, 2] > 0) ^ (hour % 4000 >= 2000)
    return {
        "price above its mean of a day": (rising, (price > mean).astype(int)),
        "seven covers in long runs": (ground, cover),
        "two states, and rows that say nothing": (generator.normal(size=(count, 4)), state),
        "a rule that turns around each 2,000 rows": (turning, turned.astype(int)),
    }


def in_runs(generator: np.random.Generator, count: int, classes: int, change: float) -> np.ndarray:
    """Labels, each drawn anew with a small probability, else the one before."""
    drawn, changes = generator.integers(classes, size=count), generator.random(count) < change
    found = np.zeros(count, int)
    for i in range(1, count):
        found[i] = drawn[i] if changes[i] else found[i - 1]
    return found


def generated(count: int) -> Iterator[tuple[list[float], int]]:
    """Ten numbers, of which three decide the class; the rule turns around now and then."""
    generator = np.random.default_rng(0)
    for block in range(-(-count // 1000)):
        x_BF = generator.normal(size=(1000, 10))
        label_B = (x_BF[:, 0] + x_BF[:, 1] * x_BF[:, 2] > 0) ^ ((block // 500) % 2 == 1)
        yield from itertools.islice(zip(x_BF.tolist(), label_B.tolist(), strict=True), count - 1000 * block)


def rate(count: int, deep_river: str | None) -> None:
    recipe = with_flags(StreamRecipe(), every=32)
    pairs = list(generated(count))
    for turn in range(3):
        began, wall = time.process_time(), time.perf_counter()
        figures = stream(iter(pairs), recipe).figures
        spent, wall = time.process_time() - began, time.perf_counter() - wall
        print(f"turn {turn + 1}: {count / spent:,.0f} rows/s of one core, {count / wall:,.0f} by the clock; "
              f"accuracy {figures['accuracy']:.2%}", flush=True)  # fmt: skip
        if deep_river:
            subprocess.run([deep_river, str(Path(__file__).with_name("streams_deep_river.py"))], check=True)


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
    parser.add_argument("what", choices=["accuracy", "made", "rate", "memory"])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--deep-river", metavar="PYTHON")
    asked = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    if asked.what == "accuracy":
        accuracy(asked.folder, asked.rows)
    elif asked.what == "rate":
        rate(asked.rows or 200_000, asked.deep_river)
    elif asked.what == "made":
        made(asked.rows or 8000)
    else:
        memory(asked.rows or 5_000_000)


if __name__ == "__main__":
    main()
