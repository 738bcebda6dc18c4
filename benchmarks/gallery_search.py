"""A large gallery: time to load and to identify, and memory, beside faiss; and what int8 costs in accuracy.

    python benchmarks/gallery_search.py --identities 1000000 --probes 200

A gallery of random identities is made in a temporary folder. A fresh process with one thread opens an empty gallery and
searches it, then the large one: what its resident set grows by at most is the memory. `identify` is the whole of
`Gallery.search` for one probe: the look for changes, the scan, the names by SQL. It and faiss's IndexFlatIP (fp32, one
thread; pip install faiss-cpu) take turns, probe by probe; medians are shown, by the clock and of the processor's time,
which says more where others use the machine. Half of the probes are enrolled people seen again, half strangers. A
brute force in NumPy, over whole numbers of the same int8 templates, says who is nearest: the last line must be all.

--accuracy compares int8 templates with fp32 embeddings on the protocols of `firstsight evaluate`: embeddings are drawn
around random centers, so wide that part of them is mistaken; draws of lots and pairs are the same for both.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from firstsight.evaluation.identification import Draw, TemplateSpace, draws, recognize
from firstsight.evaluation.pairs import picture_pairs
from firstsight.functional.curves import auc, roc, val_at_far
from firstsight.functional.quantize import quantize
from firstsight.functional.scan import product_of
from firstsight.model_config import ModelConfig
from firstsight.models.folder import Model
from firstsight.recognition.gallery import Gallery

D = 128
LOT = 50_000  # enrolled or compared at a time
SEED = 0


def embeddings(first: int, count: int) -> Tensor:
    """Of identities `first` … in a lot: uniform on the sphere, the hardest case for names, as none stands out."""
    generator = torch.Generator().manual_seed(SEED + first)
    return nn.functional.normalize(torch.randn(count, D, generator=generator))


def open_gallery(path: str | Path) -> Gallery:
    gallery = Gallery(path)
    gallery.bind_model(Model(nn.Identity(), ModelConfig(identity="benchmark"), name="benchmark"))
    return gallery


def build(path: Path, identities: int, picture: int) -> None:
    with open_gallery(path) as gallery:
        for first in range(0, identities, LOT):
            count = min(LOT, identities - first)
            names = [f"Person {number:07d}" for number in range(first, first + count)]
            pictures = [os.urandom(picture) for _ in names] if picture else None
            gallery.enroll_many(names, quantize(embeddings(first, count)), pictures)


def probe_templates(count: int) -> Tensor:
    """Every second one of the first lot, seen again at a cosine of about 0.7; strangers between."""
    x_MD = embeddings(0, LOT)[:count] + torch.randn(count, D, generator=torch.Generator().manual_seed(1)) / D**0.5
    x_MD[1::2] = embeddings(-1, count)[1::2]
    return quantize(nn.functional.normalize(x_MD))


def resident(key: str) -> float:
    """MB of this process (Linux)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024 / 1e6


def timed(run: Callable[[], Any]) -> tuple[Any, tuple[float, float]]:
    """What it returns, and its milliseconds: by the clock, and of the processor (where the machine is shared)."""
    start, processor = time.perf_counter(), time.process_time()
    found = run()
    return found, ((time.perf_counter() - start) * 1e3, (time.process_time() - processor) * 1e3)


def measure(path: Path, identities: int, probes: int) -> dict[str, Any]:
    """In a fresh process: memory first, before any other contestant takes some."""
    torch.set_num_threads(1)
    q_MD = probe_templates(probes)
    with open_gallery("sqlite://") as empty:
        empty.search(q_MD[:1])
    before = resident("VmRSS")
    with open_gallery(path) as gallery:
        figures: dict[str, Any] = {"load": timed(lambda: gallery.search(q_MD[:1]))[1]}
        for q_D in q_MD[:10]:
            gallery.search(q_D[None])
        figures |= {"peak_mb": resident("VmHWM") - before, "product": product_of(1, D)}
        times, names = turns(gallery, q_MD, faiss_search(identities))
    figures["agrees"] = int(sum(a == b for a, b in zip(names, brute_force(q_MD, identities), strict=True)))
    return figures | {"times": times, "machine_load": os.getloadavg()[0]}


def turns(
    gallery: Gallery, q_MD: Tensor, peer: Callable[[NDArray[np.float32]], Any] | None
) -> tuple[dict[str, list[tuple[float, float]]], list[str]]:
    """The times of each contestant for each probe, and the name that the gallery found."""
    times: dict[str, list[tuple[float, float]]] = {"identify": [], "faiss": []}
    names = []
    for q_1D in q_MD.split(1):
        found, took = timed(partial(gallery.search, q_1D))
        times["identify"].append(took)
        names.append(found[0][0].name)
        if peer:
            x_1D = nn.functional.normalize(q_1D.float()).numpy()
            times["faiss"].append(timed(partial(peer, x_1D))[1])
    return times, names


def faiss_search(identities: int) -> Callable[[NDArray[np.float32]], Any] | None:
    """The peer: fp32 embeddings, exact, one thread."""
    try:
        import faiss
    except ImportError:
        return None
    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(D)
    for first in range(0, identities, LOT):
        index.add(embeddings(first, min(LOT, identities - first)).numpy())
    return lambda x_1D: index.search(x_1D, 2)


def brute_force(q_MD: Tensor, identities: int) -> list[str]:
    """The nearest name to each probe: whole dot products, cosines in float64, the earlier enrolled of equals."""
    probes = q_MD.numpy().astype(np.float64)
    best, at = np.full(len(probes), -np.inf), np.zeros(len(probes), np.int64)
    for first in range(0, identities, LOT):
        templates = quantize(embeddings(first, min(LOT, identities - first))).numpy().astype(np.float64)
        cosine_MN = probes @ templates.T / np.sqrt(np.outer((probes**2).sum(1), (templates**2).sum(1)))
        # A distance is rounded to fp32, and what is equal then is told apart by the order of enrollment.
        likeness_MN = -np.maximum(2 - 2 * cosine_MN, 0).astype(np.float32)
        better = likeness_MN.max(1) > best
        at[better], best[better] = first + likeness_MN.argmax(1)[better], likeness_MN.max(1)[better]
    return [f"Person {number:07d}" for number in at]


def table(figures: dict[str, Any], identities: int, probes: int) -> str:
    ours, theirs = (np.array(figures["times"][name]).reshape(-1, 2) for name in ("identify", "faiss"))
    load = np.array(figures["load"]) / 1e3
    lines = [
        f"{identities:,} identities x {D}, one thread, load of the machine {figures['machine_load']:.1f}, "
        f"templates multiplied as {figures['product']}",
        "",
        "| what | by the clock | processor |",
        "|---|---:|---:|",
        f"| load, s | {load[0]:.1f} | {load[1]:.1f} |",
        row("identify, p50, ms", np.median(ours, axis=0)),
        row("identify, p95, ms", np.percentile(ours, 95, axis=0)),
    ]
    if len(theirs):
        lines.append(row("faiss IndexFlatIP fp32, p50, ms", np.median(theirs, axis=0)))
        lines.append(row("identify is faster, times", np.median(theirs, axis=0) / np.median(ours, axis=0)))
    lines += ["", f"peak memory above the empty gallery's process: {figures['peak_mb']:.0f} MB"]
    return "\n".join([*lines, f"nearest as by brute force: {figures['agrees']} of {probes}"])


def row(what: str, figures: NDArray[np.float64]) -> str:
    return f"| {what} | {figures[0]:.1f} | {figures[1]:.1f} |"


class EmbeddingSpace:
    """fp32 embeddings, compared as they are: a `Space` of the protocols without templates."""

    stage = "Recognizing"

    def __init__(self, x_ND: Tensor) -> None:
        self._x_ND, self.readable = x_ND, torch.ones(len(x_ND), dtype=torch.bool)

    def nearest(self, drawn: Sequence[Draw], on_done: Callable[[int], None]) -> list[NDArray[np.int64]]:
        found = []
        for enrolled_C, probes_M in drawn:
            lots = torch.from_numpy(probes_M).split(4096)
            found.append(np.concatenate([(self._x_ND[m] @ self._x_ND[enrolled_C].T).argmax(1).numpy() for m in lots]))
            on_done(len(probes_M))
        return found

    def distances(self, one_P: Tensor, other_P: Tensor) -> Tensor:
        return (self._x_ND[one_P] - self._x_ND[other_P]).square().sum(1)


def accuracy(spread: float, people: int, of_each: int) -> tuple[str, list[float]]:
    """One-shot accuracy, and VAL at FAR 0.001 and the area under the ROC of pairs: in fp32 and in int8, in percent."""
    generator = torch.Generator().manual_seed(SEED)
    labels_N = torch.arange(people).repeat_interleave(of_each)
    center_ND = nn.functional.normalize(torch.randn(people, D, generator=generator))[labels_N]
    noise_ND = torch.randn(len(labels_N), D, generator=generator) / D**0.5
    x_ND = nn.functional.normalize(center_ND + spread * noise_ND)
    drawn = draws(labels_N, trials=5, seed=SEED)
    spaces = EmbeddingSpace(x_ND), TemplateSpace(x_ND)
    shares = [100 * recognize(space, labels_N, drawn, worst=0).accuracy for space in spaces]
    pairs = picture_pairs(x_ND, labels_N)
    distances = [spaces[0].distances(pairs.left, pairs.right), pairs.distances]
    shares += [100 * val_at_far(distance_P, pairs.same, 1e-3).val for distance_P in distances]
    shares += [100 * auc(roc(distance_P, pairs.same)) for distance_P in distances]
    within, between = (float(distances[0][pairs.same == same].mean()) for same in (True, False))
    return f"{within:.2f}, {between:.2f}", shares


def accuracies(people: int) -> str:
    lines = [
        f"{people} people, 5 pictures of each, in percent: fp32, int8",
        "",
        "| mean distance within, between | one-shot | VAL at FAR 0.001 | area under ROC | largest difference, points |",
        "|---|---|---|---|---:|",
    ]
    for spread in (1.0, 1.4, 1.7, 2.0):
        distances, shares = accuracy(spread, people, 5)
        both = list(zip(shares[::2], shares[1::2], strict=True))
        cells = [f"{fine:.2f}, {coarse:.2f}" for fine, coarse in both]
        largest = max(abs(fine - coarse) for fine, coarse in both)
        lines.append(f"| {distances} | {' | '.join(cells)} | {largest:.3f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--identities", type=int, default=1_000_000)
    parser.add_argument("--probes", type=int, default=200)
    parser.add_argument("--picture", type=int, default=0, help="bytes of the picture enrolled with each")
    parser.add_argument("--accuracy", type=int, metavar="PEOPLE", help="compare int8 with fp32 instead, on so many")
    parser.add_argument("--in-this-process", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.in_this_process:
        print(json.dumps(measure(given.in_this_process, given.identities, given.probes)))
        return
    if given.accuracy:
        print(accuracies(given.accuracy))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gallery.sqlite"
        build(path, given.identities, given.picture)
        words = ["--in-this-process", str(path), "--identities", str(given.identities), "--probes", str(given.probes)]
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        done = subprocess.run(
            [sys.executable, __file__, *words], check=True, stdout=subprocess.PIPE, text=True, env=os.environ | threads
        )
    print(table(json.loads(done.stdout), given.identities, given.probes))


if __name__ == "__main__":
    main()
