"""Four ways to a threshold with a promise, on people whose truth is known: how often it is kept, and at what cost.

    OMP_NUM_THREADS=1 python benchmarks/promise.py
    python benchmarks/promise.py --identities 400 --target 0.02 --calibrations 500

Each calibration draws new people, one picture each, and promises that at most the target of strangers pass in a
gallery of G others. "Kept" is the share of calibrations whose threshold lets in no more than that of fresh strangers in
fresh galleries, by all that may happen (at least 95 % are claimed). "Let in" is the mean share of strangers that the
thresholds let in: of those ways that keep their promise, the one with more of it wastes less. The ways:

- all: every identity as a stranger before every gallery of the others, n / 2 trials (what `calibrate` does)
- one split: half of them strangers, the other half a gallery; the exact binomial bound, n / 2 trials
- nearest of all: every identity as a stranger before the first G others; the binomial bound, n trials
- pairs: every pair as a trial of its own, and the sum over the gallery

Populations: even (8 dimensions), families (40 clusters of look-alikes), resembling (2.8 % resemble everyone).
"""

import argparse
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from firstsight.evaluation.bounds import binomial_upper_bound
from firstsight.evaluation.calibration import calibrate
from firstsight.functional.quantize import paired_distances, quantize, template_distances

People = Callable[[int, np.random.Generator], Tensor]
GALLERIES, STRANGERS = 200, 100
PAIRS = 20_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--identities", type=int, default=200)
    parser.add_argument("--target", type=float, default=0.05)
    parser.add_argument("--calibrations", type=int, default=200)
    asked = parser.parse_args()
    print(f"{asked.identities} identities, target {asked.target:.1%}, {asked.calibrations} calibrations")
    for name, people in {"even": even, "families": families, "resembling": resembling}.items():
        for size in (1, 20, asked.identities // 2):
            if name == "resembling" and size > 1:
                continue  # no calibration can know of those in the gallery whom it has not seen
            nearest = truth(people, size)
            print(f"\n{name}, {size} enrolled")
            for way, threshold_of in WAYS.items():
                thresholds = [
                    threshold_of(people(asked.identities, np.random.default_rng(seed)), asked.target, size)
                    for seed in range(asked.calibrations)
                ]
                rate_C = np.searchsorted(nearest, thresholds, side="right") / len(nearest)
                print(f"  {way:15} kept {np.mean(rate_C <= asked.target):6.1%}   let in {rate_C.mean():7.3%}")


def even(count: int, rng: np.random.Generator) -> Tensor:
    return unit(rng.normal(size=(count, 8)))


def families(count: int, rng: np.random.Generator) -> Tensor:
    center_FD = np.random.default_rng(7).normal(size=(40, 8))
    return unit(center_FD[rng.integers(40, size=count)] + 0.35 * rng.normal(size=(count, 8)))


def resembling(count: int, rng: np.random.Generator) -> Tensor:
    x_ND = np.sqrt(0.7 / 511) * rng.normal(size=(count, 512))
    x_ND[:, 0] = np.sqrt(0.3)
    x_ND[rng.random(count) < 0.028] = np.eye(512)[0]
    return unit(x_ND)


def unit(x_ND: np.ndarray) -> Tensor:
    return torch.nn.functional.normalize(torch.from_numpy(x_ND.astype(np.float32)))


def truth(people: People, size: int) -> np.ndarray:
    """Distances of fresh strangers to the nearest in fresh galleries, sorted."""
    rng = np.random.default_rng(99)
    if size == 1:
        return np.sort(paired_distances(*map(quantize, people(2 * PAIRS, rng).chunk(2))).numpy())
    found = [distances(people(STRANGERS, rng), people(size, rng)).min(1) for _ in range(GALLERIES)]
    return np.sort(np.concatenate(found))


def distances(one_ND: Tensor, other_ND: Tensor) -> np.ndarray:
    return template_distances(quantize(one_ND), quantize(other_ND)).numpy()


def by_all(x_ND: Tensor, target: float, size: int) -> float:
    return calibrate(x_ND, torch.arange(len(x_ND)), target=target).at(size).threshold


def by_one_split(x_ND: Tensor, target: float, size: int) -> float:
    half = len(x_ND) // 2
    return below(distances(x_ND[:half], x_ND[half : half + size]).min(1), target)


def by_nearest_of_all(x_ND: Tensor, target: float, size: int) -> float:
    d_NN = distances(x_ND, x_ND)
    others = [np.delete(d_NN[i], i)[:size].min() for i in range(len(d_NN))]
    return below(np.array(others), target)


def by_pairs(x_ND: Tensor, target: float, size: int) -> float:
    return below(distances(x_ND, x_ND)[np.triu_indices(len(x_ND), 1)], target / size)


def below(distance_M: np.ndarray, target: float) -> float:
    """The largest threshold whose exact binomial bound is at most the target; nothing is accepted where there is none.

    The errors allowed do not depend on the distances, so that the choice of the threshold costs nothing.
    """
    low, high = -1, len(distance_M)
    while high - low > 1:
        middle = (low + high) // 2
        if binomial_upper_bound(middle, len(distance_M)) <= target:
            low = middle
        else:
            high = middle
    return float(np.nextafter(np.sort(distance_M)[low + 1], np.float32(-1))) if low >= 0 else -1.0


WAYS = {"all": by_all, "one split": by_one_split, "nearest of all": by_nearest_of_all, "pairs": by_pairs}

if __name__ == "__main__":
    main()
