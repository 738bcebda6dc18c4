"""The memory of FaceNet's batch: 1,800 pictures at once, or in chunks (gradient caching), with the same gradient.

    python benchmarks/chunks.py --batch 1800 --chunk 128

One update of the conv network (group normalization, 64 x 64 gray, fp32), each form in a process of
its own: the peak of the resident set over one update, its time, and how far its gradient lies from that of the
undivided batch. For a measure of what rounding alone does, the undivided batch comes again in reverse order.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from firstsight.config import Preprocessing, Recipe
from firstsight.model_config import ModelConfig
from firstsight.models.registry import build_network
from firstsight.recipes import with_flags
from firstsight.training.loss import make_loss
from firstsight.training.optimizer import make_optimizer
from firstsight.training.step import train_step

PICTURES = 40


def resident(key: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024


def one_update(batch: int, chunk: int, select: str, order: int) -> tuple[int, float, list[Tensor]]:
    """Extra bytes, seconds, and the gradient."""
    recipe = with_flags(Recipe(), norm="group", select=select, optimizer="sgd")
    config = ModelConfig(network=recipe.network, preprocessing=Preprocessing(height=64, width=64, color="gray"))
    network: nn.Module = build_network(config).train()
    loss, optimizer = make_loss(recipe), make_optimizer(network, recipe.optimizer)
    generator = torch.Generator().manual_seed(0)
    x_BCHW = torch.randn(batch, 1, 64, 64, generator=generator)
    labels_B = torch.arange(batch) // PICTURES
    if order < 0:
        x_BCHW, labels_B = x_BCHW.flip(0), labels_B.flip(0)
    train_step(network, loss, optimizer, x_BCHW[:80], labels_B[:80])  # loads and compiles what is needed
    network.load_state_dict(build_network(config).state_dict())
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak starts anew
    before, started = resident("VmRSS"), time.perf_counter()
    train_step(network, loss, optimizer, x_BCHW, labels_B, chunk=chunk)
    seconds, peak = time.perf_counter() - started, resident("VmHWM") - before
    return peak, seconds, [weight.grad for weight in network.parameters() if weight.grad is not None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=1800)
    parser.add_argument("--chunk", type=int, default=128)
    parser.add_argument("--select", default="all")
    parser.add_argument("--one", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        chunk, order = options.one
        peak, seconds, gradients = one_update(options.batch, chunk, options.select, order)
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        print(json.dumps([peak, seconds, flat.tolist()]))
        return
    print("| batch | peak extra memory, MB | s an update | gradient apart, relative |\n|---|---:|---:|---:|")
    whole = torch.empty(0)
    forms = {"undivided": (0, 1), f"chunks of {options.chunk}": (options.chunk, 1), "undivided, reversed": (0, -1)}
    for name, (chunk, order) in forms.items():
        command = [sys.executable, __file__, "--batch", str(options.batch), "--select", options.select]
        command += ["--one", str(chunk), str(order)]
        peak, seconds, flat = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        gradient = torch.tensor(flat)
        whole = whole if len(whole) else gradient
        apart = (gradient - whole).norm() / whole.norm()
        print(f"| {name} | {peak / 1e6:.0f} | {seconds:.1f} | {apart:.1e} |", flush=True)


if __name__ == "__main__":
    main()
