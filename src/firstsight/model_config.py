"""What is kept of a model beside its weights: config.json, and the operating points that galleries keep as well."""

import dataclasses
import hashlib
import json
from typing import Any, Literal

from firstsight.config import Network, Preprocessing


@dataclasses.dataclass(frozen=True, kw_only=True)
class Committee:
    """The network that a stream leaves: how many networks it holds, of how many hidden units; `classes`: each ends
    with a softmax."""

    networks: int
    hidden: int
    classes: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """For comparisons with up to `size` templates: where 'the same' ends, and how often a stranger may still pass.

    `bound` is the one-sided 95 % upper bound of the share of strangers with one of them at a distance <= `threshold`.
    """

    size: int
    threshold: float
    bound: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class GroupRate:
    """The share of strangers of one group who pass at the threshold for `size` templates, with its 95 % interval.

    `bound` is its one-sided 95 % upper bound; `identities` counts those of the group.
    """

    group: str
    identities: int
    size: int
    rate: float
    low: float
    high: float
    bound: float


DISTANCE_STEP = 0.02
"""Squared L2, the width of a bin of `Distances`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Distances:
    """Histograms of squared L2 distances: bin i counts those above i - 1 and up to i times DISTANCE_STEP.

    `same` is of two pictures of one identity, of `repeated` identities that have two; `different` of two identities.
    """

    same: tuple[int, ...]
    different: tuple[int, ...]
    repeated: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """Where 'the same' ends, and the evidence for it: docs/promise.md.

    `threshold` is a squared L2 distance (0 ... 4) for one template against one; `steps` has those for more. It was
    chosen so that, 95 % sure, at most the share `target` of strangers pass. Of `comparisons` between `identities`
    independent identities it accepts `accepted`. `spread` is how much the distance of one identity to itself changes
    from picture to picture; None where nobody had three. `listing` is the digest of the pictures of `data`.
    `distances` are what other thresholds would do; None in calibrations of before they were kept.
    """

    threshold: float
    target: float
    accepted: int
    comparisons: int
    identities: int
    steps: tuple[Step, ...] = ()
    spread: float | None = None
    groups: tuple[GroupRate, ...] = ()
    data: str = ""
    listing: str = ""
    distances: Distances | None = None

    def at(self, size: int) -> Step:
        """What holds for a comparison with `size` templates.

        Beyond the last step the threshold stays, and the bound grows with the size: of a random part of a gallery, the
        template that lets a stranger in is one with the probability that is the part's share.
        """
        for step in self.steps:
            if size <= step.size:
                return step
        if not self.steps:
            return Step(size=size, threshold=self.threshold, bound=1.0)
        last = self.steps[-1]
        return Step(size=size, threshold=last.threshold, bound=min(1.0, last.bound * size / last.size))

    @property
    def version(self) -> str:
        """Names this calibration: 16 hex digits of the SHA-256 of all that it promises, and on what grounds."""
        said = dataclasses.asdict(self)
        del said["distances"]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Columns:
    """How rows become inputs, and outputs numbers again: (x - mean) / std, by the statistics of the training rows."""

    features: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    target_mean: tuple[float, ...] = ()
    target_std: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """config.json of a model folder.

    `outputs` names what comes out: the classes or the target columns, nothing for an embedding. `columns` is there
    where rows go in, and takes the place of `preprocessing`; `committee` that of `network`, after a stream, except
    where pictures go in: then it takes the embeddings that `network` makes. `identity` is the SHA-256 of the weights
    and of all that decides what the network makes of an input: templates carry it.
    `weights_sha256` is that of model.safetensors.
    `trained` says on what, and how well it did.
    """

    format: int = 1
    task: Literal["embedding", "classification", "regression"] = "embedding"
    network: Network = Network()  # noqa: RUF009 - it is frozen
    preprocessing: Preprocessing = Preprocessing()  # noqa: RUF009
    columns: Columns | None = None
    committee: Committee | None = None
    outputs: tuple[str, ...] = ()
    operating_point: OperatingPoint | None = None
    weights_sha256: str = ""
    identity: str = ""
    trained: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(C, H, W) of a picture, or (F,) of a row."""
        if self.columns:
            return (len(self.columns.features),)
        return self.preprocessing.shape
