"""An epoch of a small network, beside scikit-learn's MLPRegressor: same sizes, same arithmetic.

    python benchmarks/mlp_epoch.py --threads 1

Each trains for some epochs, by turns; shown are seconds an epoch. What either loads before its first update (torch's
tracer, 1.2 s once a process) is done before the clock starts.
"""

import argparse
import statistics
import time
import warnings

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.neural_network import MLPRegressor
from threadpoolctl import threadpool_limits
from torch.fx.experimental.proxy_tensor import make_fx

from firstsight.config import Recipe
from firstsight.model_config import Columns, ModelConfig
from firstsight.models.registry import build_network
from firstsight.recipes import with_flags
from firstsight.training.feed import example_feed
from firstsight.training.loop import fit
from firstsight.training.loss import make_loss

EXAMPLES, INPUTS, OUTPUTS = 60_000, 784, 10


def ours(x_NF: torch.Tensor, y_NO: torch.Tensor, hidden: int, size: int, epochs: int) -> float:
    recipe = with_flags(
        Recipe(), task="classification", network="mlp", hidden=[hidden], activation="sigmoid", output="sigmoid",
        batch_size=size, optimizer="sgd", learning_rate=0.1, weight_decay=0.0, schedule="constant", epochs=epochs,
    )  # fmt: skip
    columns = Columns(features=tuple(map(str, range(INPUTS))), mean=(), std=())
    config = ModelConfig(
        task="classification", network=recipe.network, columns=columns, outputs=tuple(map(str, range(OUTPUTS)))
    )
    network = build_network(config)
    started = time.perf_counter()
    fit(network, make_loss(recipe), example_feed(x_NF, y_NO, recipe), recipe, device=torch.device("cpu"))
    return time.perf_counter() - started


def theirs(x_NF: np.ndarray, y_NO: np.ndarray, hidden: int, size: int, epochs: int) -> float:
    network = MLPRegressor(
        hidden_layer_sizes=(hidden,), activation="logistic", solver="sgd", batch_size=size, learning_rate_init=0.1,
        momentum=0, alpha=0, max_iter=epochs, tol=0, n_iter_no_change=epochs,
    )  # fmt: skip
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it does not converge, and need not
        network.fit(x_NF, y_NO)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="at the disposal of each")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    x_NF = torch.rand(EXAMPLES, INPUTS, generator=torch.Generator().manual_seed(0))
    y_NO = F.one_hot(torch.arange(EXAMPLES) % OUTPUTS, OUTPUTS).float()
    make_fx(torch.neg)(x_NF[:1])
    print("| network, m | firstsight, s | scikit-learn, s | ratio |\n|---|---:|---:|---:|")
    for hidden, size in ((30, 10), (100, 128)):
        with threadpool_limits(options.threads, user_api="blas"):
            job = (hidden, size, options.epochs)
            pairs = [(ours(x_NF, y_NO, *job), theirs(x_NF.numpy(), y_NO.numpy(), *job)) for _ in range(options.repeats)]
        own, other = (statistics.median(column) / options.epochs for column in zip(*pairs, strict=True))
        ratio = statistics.median(a / b for a, b in pairs)
        print(f"| {INPUTS}-{hidden}-{OUTPUTS}, m = {size} | {own:.2f} | {other:.2f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
