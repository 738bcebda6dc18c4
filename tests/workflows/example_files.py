"""Small files of examples: tables with a known law, IDX pictures as published for MNIST."""

import csv
import gzip
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PLANE: dict[str, Any] = {
    "task": "regression", "network": "mlp", "hidden": (), "optimizer": "sgd", "schedule": "constant",
    "weight_decay": 0.0, "learning_rate": 0.1, "batch_size": 10, "epochs": 15,
}  # fmt: skip
"""No hidden layer: a linear map, which a linear law can be recovered with."""
GROUPS: dict[str, Any] = {
    "task": "classification", "network": "mlp", "hidden": (8,), "optimizer": "adamw", "schedule": "constant",
    "learning_rate": 0.02, "batch_size": 10, "epochs": 20,
}  # fmt: skip


def write_table(path: Path, columns: Mapping[str, Sequence[Any]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def plane(count: int = 80, seed: int = 0) -> dict[str, list[float]]:
    """Two features of very different size, and two targets that are linear in them."""
    random = np.random.default_rng(seed)
    size, share = random.normal(5000, 700, count), random.normal(0.02, 0.004, count)
    return {
        "size": size.tolist(),
        "price": (1e6 + 30 * size - 2e6 * share).tolist(),
        "share": share.tolist(),
        "age": (40 - 0.002 * size).tolist(),
    }


def groups(count: int = 90, seed: int = 0) -> dict[str, list[Any]]:
    """Three classes around three points, far apart."""
    random = np.random.default_rng(seed)
    kind = np.arange(count) % 3
    centers = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])[kind]
    x, y = (centers + random.normal(0, 1, (count, 2))).T
    return {"x": x.tolist(), "kind": [["moss", "fern", "reed"][k] for k in kind], "y": y.tolist()}


def write_idx(path: Path, values: NDArray[Any], *, code: int = 0x08) -> Path:
    """The format of MNIST: 0, 0, type, rank, the sizes, and the numbers, all big-endian."""
    content = struct.pack(f">BBBB{values.ndim}I", 0, 0, code, values.ndim, *values.shape)
    content += values.astype({0x08: ">u1", 0x0D: ">f4"}[code]).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def digits(count: int = 60, size: int = 8, seed: int = 0, classes: int = 3) -> tuple[NDArray[Any], NDArray[Any]]:
    """Gray pictures N x H x W: a bright bar whose height tells the class, with noise. And the class of each."""
    labels = np.arange(count) % classes
    pictures = np.random.default_rng(seed).integers(0, 60, (count, size, size))
    for picture, label in zip(pictures, labels, strict=True):
        picture[2 * label : 2 * label + 2] += 180
    return pictures, labels


def write_digits(folder: Path, part: str, suffix: str = "", **options: Any) -> str:
    """`train-images-idx3-ubyte` and `train-labels-idx1-ubyte`; the path of the first."""
    folder.mkdir(exist_ok=True)
    pictures, labels = digits(**options)
    write_idx(folder / f"{part}-labels-idx1-ubyte{suffix}", labels)
    return str(write_idx(folder / f"{part}-images-idx3-ubyte{suffix}", pictures))
