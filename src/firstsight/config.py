"""One definition of every setting: frozen dataclasses.

A `Recipe` is all that a training run needs to be repeated. Its tables are dataclasses; each field carries its
default, its help, its range and its flag's name, so the command line, the recipe file and the documentation agree.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

Only = Mapping[str, tuple[Any, ...]]
"""Flags, and the values of each with which a setting has an effect."""


class _Any(tuple[str, ...]):
    """Whatever is given, shown as the words of the tuple."""

    def __contains__(self, value: object) -> bool:
        return bool(value)


EXAMPLES: Only = {"task": ("classification", "regression")}
IDENTITIES: Only = {"task": ("embedding",)}
PICTURES: Only = {"task": ("embedding", "classification")}
TRIPLETS: Only = {"task": ("embedding",), "loss": ("auto", "triplet")}
FRESH: Only = {"start_from": ("",)}
PREPARED: Only = {**FRESH, **PICTURES}
STARTED: Only = {"start_from": _Any(["MODEL"])}
CONV: Only = {**FRESH, "network": ("conv",)}
NORMED: Only = {**FRESH, "network": ("conv", "nn2", "nn3", "nn4", "nns2")}
MLP: Only = {**FRESH, "network": ("mlp",)}
ALWAYS: Only = {}


def option(
    default: Any,
    help: str,
    *,
    flag: str = "",
    low: float | None = None,
    high: float | None = None,
    only: Only = ALWAYS,
) -> Any:
    """Declare one setting. `flag` is its name on the command line where that differs from the field's; `only` says
    with what else it has an effect."""
    metadata = {"help": help, "flag": flag, "low": low, "high": high, "only": only}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data:
    """Where the examples come from, and what is to be learned of them."""

    task: Literal["embedding", "classification", "regression"] = option(
        "embedding", "What to learn: likeness of identities, classes, or numbers."
    )
    path: str = option("", "Folder, zip or CSV manifest of identities; CSV rows; or IDX pictures.", flag="data")
    val: str = option("", "The same, held out to measure on; without it a share is split off.")
    holdout: float = option(
        0.2,
        "Share held out where no val is given: of the identities (embedding) or of the examples.",
        low=0,
        high=0.9,
        only={"val": ("",), "holdout_groups": ((),)},
    )
    target: tuple[str, ...] = option((), "Columns of a CSV file to predict.", only=EXAMPLES)
    features: tuple[str, ...] = option(
        (), "Columns of a CSV file to predict from; without it all others.", only=EXAMPLES
    )
    holdout_groups: tuple[str, ...] = option(
        (),
        "Identities GROUP/NAME of these groups (alphabets, say) are held out, in place of a share.",
        only={**IDENTITIES, "val": ("",)},
    )
    orientations: Literal[1, 4, 8] = option(
        1,
        "4: each picture turned by 90, 180, 270 degrees is a further identity; 8: mirrored too. For symbols.",
        only=IDENTITIES,
    )
    composed: int = option(
        0,
        "So many further identities are put together from parts of two GROUP/NAME of one group (folder); an epoch "
        "learns from at most as many of them as were drawn, in turn. For symbols, with fit ink.",
        low=0,
        only=IDENTITIES,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """From a picture file to the network's input. Part of a model: enroll, evaluate and train all obey it."""

    height: int = option(
        0,
        "Input height in pixels; 0: what the network was designed for, else 64.",
        low=0,
        high=2048,
        only=PREPARED,
    )
    width: int = option(0, "Input width in pixels; 0 as for the height.", low=0, high=2048, only=PREPARED)
    color: Literal["auto", "gray", "rgb"] = option("auto", "auto: gray where every training picture is.", only=PREPARED)
    fit: Literal["pad", "crop", "stretch", "ink"] = option(
        "pad",
        "How a picture is brought to this shape; ink: a drawn symbol is found, centered, and its pen evened out.",
        only={**PREPARED, "align": ("auto", "none")},
    )
    align: Literal["auto", "none", "faces"] = option(
        "auto",
        "faces: a face is found, and warped by its five landmarks to fill the input; none: pictures are taken whole; "
        "auto: none, or what the model does that is fine-tuned.",
        only=PICTURES,
    )
    mean: float = option(127.5, "Subtracted from the pixel values 0 ... 255.", only=PREPARED)
    std: float = option(127.5, "Then divided by.", low=1e-6, only=PREPARED)

    @property
    def channels(self) -> int:
        return 3 if self.color == "rgb" else 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an input."""
        return self.channels, self.height, self.width


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """The function that is learned."""

    name: str = option(
        "conv",
        "conv, mlp, one of FaceNet's Inception networks: nn2, nn3, nn4, nns2; or sface, a small network for faces.",
        flag="network",
        only=FRESH,
    )
    channels: tuple[int, ...] = option(
        (32, 64, 128, 256), "Channels of the conv stages, each halving the picture.", low=1, only=CONV
    )
    depth: int = option(1, "Convolutions in each conv stage.", low=1, high=8, only=CONV)
    norm: Literal["batch", "group"] = option(
        "batch", "Normalization of the convolutions; group does not depend on how a batch is divided.", only=NORMED
    )
    hidden: tuple[int, ...] = option((30,), "Units of the hidden layers of an mlp.", low=1, only=MLP)
    activation: Literal["relu", "sigmoid", "tanh"] = option("relu", "Of the hidden layers of an mlp.", only=MLP)
    output: Literal["linear", "sigmoid"] = option(
        "linear", "Of the last layer, where classes are learned.", only={"task": ("classification",)}
    )
    embedding_size: int = option(128, "Length D of the embedding.", low=2, high=4096, only={**FRESH, **IDENTITIES})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Start:
    """Fine-tuning: a run that begins with a model. Its network and its preprocessing are taken as they are."""

    model: str = option(
        "", "Begin with this model: its name, a model folder or a run folder.", flag="start_from", only=IDENTITIES
    )
    frozen_epochs: int = option(
        2, "Epochs in which its last layer alone learns, before all of it does.", only=STARTED, low=0
    )
    thawed_rate: float = option(
        0.1, "Share of the learning rate at which all of it then learns.", low=0, high=1, only=STARTED
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loss:
    """What is brought to its minimum."""

    name: str = option(
        "auto",
        "triplet, quadratic (2-1), cross-entropy, or pml:NAME, a loss of pytorch-metric-learning; auto: triplet for "
        "embeddings, quadratic for all else.",
        flag="loss",
    )
    margin: float = option(0.2, "α of equation 2-7, squared L2.", low=0, high=4, only=TRIPLETS)
    select: Literal["all", "semihard", "hard", "batch-hard"] = option(
        "all", "Which triplets of a batch count.", only=TRIPLETS
    )
    fallback: Literal["farthest", "hardest", "skip"] = option(
        "farthest",
        "What semihard does with a positive that no negative is farther than.",
        only={**TRIPLETS, "select": ("semihard",)},
    )
    soft: bool = option(
        False, "Softplus in place of the hinge (Hermans et al. 2017).", only={**TRIPLETS, "select": ("batch-hard",)}
    )
    reduction: Literal["active", "mean", "sum"] = option(
        "active", "Divide by active triplets, all, or nothing.", only=TRIPLETS
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Batch:
    """What one update sees: m examples; for embeddings P identities, K pictures each."""

    size: int | Literal["all"] = option(
        32, "m, examples in a batch; all is full gradient descent.", flag="batch_size", low=1, only=EXAMPLES
    )
    chunk: int = option(0, "Examples in memory at once; 0 is the whole batch.", flag="chunk_size", low=0)
    identities: int = option(16, "P, identities in a batch.", low=2, only=IDENTITIES)
    pictures: int = option(8, "K, pictures of each.", low=2, only=IDENTITIES)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimizer:
    """How the weights move."""

    name: Literal["sgd", "momentum", "adagrad", "adamw"] = option("momentum", "Update rule.", flag="optimizer")
    learning_rate: float = option(0.1, "η of equation 2-3.", low=0)
    momentum: float = option(
        0.9, "Share of the last step that is kept.", low=0, high=0.9999, only={"optimizer": ("momentum",)}
    )
    weight_decay: float = option(5e-4, "Pull of the weights towards zero.", low=0)
    schedule: Literal["constant", "step", "cosine", "one-cycle"] = option(
        "one-cycle", "How η changes over the updates; step divides it by 10 at 50 % and 75 %."
    )
    warm_up: float = option(0.0, "Share of the updates over which η rises from 0.", low=0, high=0.9)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training:
    """How long, and where."""

    epochs: int = option(30, "Times that every example is seen.", low=1)
    augment: float = option(
        1.0, "Strength of the random changes of pictures; 0 for none.", low=0, high=10, only=PICTURES
    )
    elastic: float = option(
        0.0, "Strength of random smooth bends of pictures; 0 for none.", low=0, high=10, only=PICTURES
    )
    strokes: float = option(
        0.0,
        "Strength of random changes in the width of strokes, for drawn symbols; 0 for none.",
        low=0,
        high=10,
        only=PICTURES,
    )
    patience: int = option(
        0,
        "Stop after so many epochs without a better held-out figure, with the best one's weights; 0: never.",
        low=0,
    )
    checkpoint_every: int = option(0, "Updates between checkpoints; 0 is once an epoch.", low=0)
    seed: int = option(0, "Makes a run repeatable.", low=0)
    device: str = option("auto", "auto, cpu or cuda.")
    precision: Literal["auto", "fp32", "bf16"] = option(
        "auto", "Of the products inside the network; auto: bf16 for convolutions where the hardware has it, else fp32."
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that a training run needs to be repeated."""

    data: Data = Data()
    preprocessing: Preprocessing = Preprocessing()
    network: Network = Network()
    start: Start = Start()
    loss: Loss = Loss()
    batch: Batch = Batch()
    optimizer: Optimizer = Optimizer()
    training: Training = Training()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stream:
    """Where arrivals come from, and what is to be learned of them."""

    task: Literal["classification", "regression"] = option("classification", "What to learn: classes, or numbers.")
    source: str = option("", "- for standard input; a file of CSV or JSON lines; or a folder of identity pictures.")
    follow: bool = option(False, "Go on waiting at the end of a file or folder that grows.")
    model: str = option("", "Of pictures, the model whose embeddings are learned from: a name or folder, or glyphs.")
    target: str = option("", "Column to predict; of pictures it is the identity.")
    features: tuple[str, ...] = option((), "Columns to predict from; without it all others of the first arrival.")
    id: str = option("", "Column that joins a label that comes late to its row.")
    waiting: int = option(10_000, "Rows kept for a label that comes late; the oldest is given up.", low=1)
    every: int = option(8, "Examples in a step.", low=1, high=4096)
    latency: str = option("", "Learn after so long, of however few: 200ms, 2s. Without it steps can be repeated.")
    window: int = option(1000, "Arrivals of the figures over a window; a line of metrics.jsonl for each.", low=1)
    checkpoint_every: int = option(10_000, "Arrivals between checkpoints.", low=1)
    drift: Literal["ignore", "warn", "faster", "restart"] = option(
        "ignore", "At a drift (ADWIN): warn, raise the rates, or go back to the last good checkpoint's weights."
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Learner:
    """The networks that learn from a stream, and how fast."""

    hidden: int = option(32, "Hidden units of each network.", low=1, high=4096)
    rates: tuple[float, ...] = option((0.05, 0.2), "Learning rates of an example; a network for each.", low=0, high=1)
    loss: Literal["auto", "quadratic", "cross-entropy"] = option(
        "auto", "Summed over examples; auto: cross-entropy for classes, quadratic for numbers."
    )
    temporal: bool = option(
        True, "Some networks see changes, and the labels before a row; and that the last label repeats is weighed in."
    )
    average: float = option(0.998, "Share of the slow average of the weights kept at each example.", low=0, high=1)
    memory: float = option(0.995, "Share of past losses kept at each example, by which networks count.", low=0, high=1)
    seed: int = option(0, "Makes a run repeatable.", low=0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StreamRecipe:
    """All that a stream needs to be learned from, beside its arrivals."""

    stream: Stream = Stream()
    learner: Learner = Learner()
