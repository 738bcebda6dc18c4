"""deep-river's MLP on the rows of `streams.py rate`, with the Python of a virtual environment that has deep-river (it
needs another river than the one here): python benchmarks/streams_deep_river.py [ROWS]

10 features, one hidden layer of 32 units, SGD. It prints processor time and rows a second, row by row (predict, then
learn, as it is meant to be used on a stream) and in steps of 32 (learning alone).
"""

import sys
import time
import warnings

import numpy as np
import pandas as pd
import torch
from deep_river.classification import MultiLayerPerceptron


def rows(count: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    x_BF = generator.normal(size=(count, 10))
    return x_BF, (x_BF[:, 0] + x_BF[:, 1] * x_BF[:, 2] > 0).astype(int)


def mlp() -> MultiLayerPerceptron:
    return MultiLayerPerceptron(n_features=10, n_width=32, n_layers=1, lr=0.05)


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 3200
    x_BF, label_B = rows(count)
    names = [f"x{i}" for i in range(10)]
    dicts = [dict(zip(names, row, strict=True)) for row in x_BF.tolist()]
    model = mlp()
    began = time.process_time()
    for row, label in zip(dicts, label_B.tolist(), strict=True):
        model.predict_one(row)
        model.learn_one(row, label)
    print(f"deep-river, row by row: {count / (time.process_time() - began):,.0f} rows/s of one core")
    model = mlp()
    began = time.process_time()
    for start in range(0, count, 32):
        model.learn_many(pd.DataFrame(x_BF[start : start + 32], columns=names), pd.Series(label_B[start : start + 32]))
    print(
        f"deep-river, learning alone, in steps of 32: {count / (time.process_time() - began):,.0f} rows/s of one core"
    )


if __name__ == "__main__":
    main()
