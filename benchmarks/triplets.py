"""Value and gradient of the triplet loss: time and peak extra memory, next to the bare matrix products.

    python benchmarks/triplets.py --batch 256 512 1024 1800 --repeats 15

The yardstick is what no implementation can do without: one product B x D x B for the distances, two B x B x D for the
gradient. Embeddings are random unit vectors (D = 128, K pictures an identity), so about half of all triplets are
active: the worst case, as nothing has been learned yet. Contestants take turns, and medians are shown, so that what
disturbs the machine disturbs all of them; what counts are the ratios of one run. Peak extra memory is the growth of
the resident set (CUDA: of the allocated memory) over one call, each in a fresh process, in fp32 matrices of B x B.
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from firstsight.functional import triplets

PICTURES = {256: 8, 512: 16, 1024: 32, 1800: 40, 2048: 40, 4096: 40, 8192: 40}  # K for each B
D = 128
SELECTS = ("all", "semihard", "hard")
PEER_LIMIT = 10e9  # bytes; pytorch-metric-learning takes about 64 for each triplet of the batch

Run = Callable[[Tensor, Tensor], None]
compiled_kernels = triplets._kernels


def contestants(device: str) -> dict[str, Run]:
    """By name, what computes value and gradient."""
    runs: dict[str, Run] = {"yardstick": yardstick}
    if device == "cpu" and compiled_kernels():
        runs |= {f"{select} compiled": ours(select, compiled_kernels) for select in SELECTS}
    runs |= {f"{select} plain": ours(select, lambda: None) for select in SELECTS}
    if importlib.util.find_spec("pytorch_metric_learning"):
        runs |= {f"{select} peer": peer(select) for select in SELECTS}
    return runs


def yardstick(x_BD: Tensor, labels_B: Tensor) -> None:
    x_BD = x_BD.detach()
    d_BB = x_BD @ x_BD.T
    d_BB @ x_BD
    d_BB.T @ x_BD


def ours(select: Any, kernels: Any) -> Run:
    def run(x_BD: Tensor, labels_B: Tensor) -> None:
        triplets._kernels = kernels
        x_BD.grad = None
        triplets.triplet_loss(x_BD, labels_B, select=select).value.backward()

    return run


def peer(select: str) -> Run:
    """pytorch-metric-learning: the same triplets for all and hard, for semihard every negative inside the margin."""
    from pytorch_metric_learning.distances import LpDistance
    from pytorch_metric_learning.losses import TripletMarginLoss
    from pytorch_metric_learning.miners import BatchEasyHardMiner, TripletMarginMiner

    distance = LpDistance(normalize_embeddings=False, p=2, power=2)
    loss = TripletMarginLoss(margin=0.2, distance=distance)
    miner = {
        "all": lambda x_BD, labels_B: None,
        "semihard": TripletMarginMiner(margin=0.2, type_of_triplets="semihard", distance=distance),
        "hard": BatchEasyHardMiner(pos_strategy="all", neg_strategy="hard", distance=distance),
    }[select]

    def run(x_BD: Tensor, labels_B: Tensor) -> None:
        x_BD.grad = None
        loss(x_BD, labels_B, miner(x_BD, labels_B)).backward()

    return run


def batch(B: int, device: str) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    x_BD = torch.nn.functional.normalize(torch.randn(B, D)).to(device)
    return x_BD.requires_grad_(), torch.arange(B, device=device) // PICTURES[B]


def listed_bytes(B: int) -> float:
    return 64.0 * B * (PICTURES[B] - 1) * (B - PICTURES[B])


def milliseconds(run: Run, x_BD: Tensor, labels_B: Tensor) -> float:
    if x_BD.is_cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    run(x_BD, labels_B)
    if x_BD.is_cuda:
        torch.cuda.synchronize()
    return (time.perf_counter() - start) * 1e3


def medians(B: int, repeats: int, device: str) -> dict[str, float]:
    """Milliseconds of each contestant, by turns; those that list triplets run afterwards, three times or once."""
    x_BD, labels_B = batch(B, device)
    runs = contestants(device)
    lean = {name: run for name, run in runs.items() if not name.endswith("peer")}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeats + 2):  # two to warm up
        for name, run in lean.items():
            took = milliseconds(run, x_BD, labels_B)
            times[name] += [took] if turn >= 2 else []
    for name in [name for name in runs if name not in lean]:
        if name.startswith("hard") or listed_bytes(B) < PEER_LIMIT:
            turns = 3 if listed_bytes(B) < PEER_LIMIT / 3 else 1
            times[name] = [milliseconds(runs[name], x_BD, labels_B) for _ in range(turns)]
    return {name: statistics.median(took) for name, took in times.items() if took}


def peak_extra_bytes(name: str, B: int, device: str) -> int:
    """The growth over one call, in this process: call it once, in a fresh one."""
    run = contestants(device)[name]
    run(*small_batch(device))  # loads and compiles what is needed
    x_BD, labels_B = batch(B, device)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run(x_BD, labels_B)
        return torch.cuda.max_memory_allocated() - before
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak starts anew
    before = resident("VmRSS")
    run(x_BD, labels_B)
    return resident("VmHWM") - before


def small_batch(device: str) -> tuple[Tensor, Tensor]:
    x_BD = torch.nn.functional.normalize(torch.randn(16, D)).to(device)
    return x_BD.requires_grad_(), torch.arange(16, device=device) // 4


def resident(key: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024


def memory(names: list[str], B: int, device: str) -> dict[str, float]:
    """Peak extra memory of each contestant in matrices of B x B."""
    peaks = {}
    for name in names:
        command = [sys.executable, __file__, "--peak", name, "--batch", str(B), "--device", device]
        peaks[name] = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / (4 * B * B)
    return peaks


def table(results: list[dict[str, Any]]) -> str:
    """Markdown: milliseconds, times the yardstick, and matrices of B x B."""
    lines = [
        "| B | K | what | ms | x yardstick | peak extra memory, B x B fp32 |",
        "|---:|---:|---|---:|---:|---:|",
    ]
    for result in results:
        yard = result["ms"]["yardstick"]
        for name, ms in result["ms"].items():
            peak = result["matrices"].get(name)
            memory = f"{peak:.1f}" if peak is not None else ""
            lines.append(f"| {result['B']} | {result['K']} | {name} | {ms:.2f} | {ms / yard:.2f} | {memory} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, nargs="+", default=[256, 512, 1024, 1800], choices=PICTURES, metavar="B")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print(peak_extra_bytes(options.peak, options.batch[0], options.device))
        return
    results = []
    for B in options.batch:
        ms = medians(B, options.repeats, options.device)
        measurable = options.device == "cuda" or Path("/proc/self/clear_refs").exists()
        matrices = memory(list(ms), B, options.device) if measurable else {}
        results.append({"B": B, "K": PICTURES[B], "threads": torch.get_num_threads(), "ms": ms, "matrices": matrices})
    print(json.dumps(results, indent=1) if options.json else table(results))


if __name__ == "__main__":
    main()
