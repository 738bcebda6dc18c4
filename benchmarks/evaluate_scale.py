"""Evaluation of 100,000 probes against 100,000 templates: time and peak extra memory of each protocol.

    OMP_NUM_THREADS=1 python benchmarks/evaluate_scale.py
    python benchmarks/evaluate_scale.py --templates 20000 --protocols identification open-set

The functions are those of `firstsight evaluate`, on a real gallery and its decisions; only the embeddings are made up
(D = 128: a random unit vector for each identity, and noise for each picture, so that some probes are mistaken). Peak
extra memory is the growth of the resident set over the call, each protocol in a fresh process, to be compared with
the N x N matrix of distances in fp32 that nobody holds. Of pairs of pictures a sample is drawn, half of them same: as
`evaluate` does above two million, and says.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from firstsight.cli.console import progress
from firstsight.evaluation.identification import TemplateSpace, draws, recognize
from firstsight.evaluation.open_set import open_set
from firstsight.evaluation.progress import OnProgress
from firstsight.evaluation.retrieval import retrieval
from firstsight.evaluation.verification import verification
from firstsight.workflows.progress import stages

D = 128
NOISE = 0.085  # of each component: 1 in 100 probes is mistaken among 100,000


def pictures(labels_N: Tensor) -> Tensor:
    """A unit embedding for each label: the identity's own direction, and noise."""
    generator = torch.Generator().manual_seed(0)
    center_ID = torch.nn.functional.normalize(torch.randn(int(labels_N.max()) + 1, D, generator=generator))
    noise_ND = NOISE * torch.randn(len(labels_N), D, generator=generator)
    return torch.nn.functional.normalize(center_ID[labels_N] + noise_ND)


def identification(templates: int, told: OnProgress) -> Callable[[], dict[str, Any]]:
    """One picture each of all identities enrolled, the other one identified."""
    labels_N = torch.arange(templates).repeat_interleave(2)
    x_ND = pictures(labels_N)

    def run() -> dict[str, Any]:
        drawn = draws(labels_N, trials=1, seed=0)
        found = recognize(TemplateSpace(x_ND), labels_N, drawn, on_progress=told)
        return {"templates": templates, "probes": found.identifications, "accuracy": found.accuracy}

    return run


def strangers(templates: int, told: OnProgress) -> Callable[[], dict[str, Any]]:
    """Half of the identities enrolled; a twentieth of them has a second picture, all others are strangers."""
    labels_N = torch.cat([torch.arange(2 * templates), torch.arange(0, 2 * templates, 20)])
    x_ND = pictures(labels_N)

    def run() -> dict[str, Any]:
        found = open_set(x_ND, labels_N, trials=1, threshold=1.15, on_progress=told)
        probes = len(found.known.right) + len(found.unknown.right)
        return {"templates": found.gallery_size, "probes": probes, "dir": found.dir, "fpir": found.fpir}

    return run


def ranking(templates: int, told: OnProgress) -> Callable[[], dict[str, Any]]:
    """Every picture searched among all others."""
    labels_N = torch.arange(templates // 2).repeat_interleave(2)
    x_ND = pictures(labels_N)

    def run() -> dict[str, Any]:
        found = retrieval(x_ND, labels_N, on_progress=told)
        return {"templates": len(x_ND), "probes": found.queries, "map_at_r": found.map_at_r}

    return run


def pairs(templates: int, told: OnProgress) -> Callable[[], dict[str, Any]]:
    """A sample of the pairs of all pictures."""
    labels_N = torch.arange(templates).repeat_interleave(2)
    x_ND = pictures(labels_N)

    def run() -> dict[str, Any]:
        found = verification(x_ND, labels_N)
        sampled = "all" if found.pairs.complete else "sampled"
        return {"pictures": len(x_ND), "pairs": len(found.pairs.same), "drawn": sampled, "auc": found.auc}

    return run


PROTOCOLS = {"identification": identification, "open-set": strangers, "retrieval": ranking, "verification": pairs}


def measure(name: str, templates: int) -> dict[str, Any]:
    """Run one protocol in this process."""
    with progress() as on_progress:
        run = PROTOCOLS[name](templates, stages(on_progress))
        Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak starts anew
        before = resident("VmRSS")
        start = time.perf_counter()
        figures = run()
        seconds = time.perf_counter() - start
    extra = resident("VmHWM") - before
    return {"protocol": name, "seconds": round(seconds, 1), "extra_mib": round(extra / 2**20), **figures}


def resident(key: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--templates", type=int, default=100_000)
    parser.add_argument("--protocols", nargs="*", choices=PROTOCOLS, default=list(PROTOCOLS))
    parser.add_argument("--in-this-process", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.in_this_process:
        print(json.dumps(measure(given.protocols[0], given.templates)))
        return
    matrix = 4 * given.templates**2 / 2**20
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; N x N in fp32: {matrix:,.0f} MiB")
    for name in given.protocols:
        words = ["--in-this-process", "--protocols", name, "--templates", str(given.templates)]
        done = subprocess.run([sys.executable, __file__, *words], check=True, stdout=subprocess.PIPE, text=True)
        print(done.stdout.strip(), flush=True)


if __name__ == "__main__":
    main()
