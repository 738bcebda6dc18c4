"""One definition of every setting: frozen dataclasses <-> TOML recipe <-> JSON <-> flags.

A `Recipe` is all that a training run needs to be repeated. Its tables are dataclasses; each field carries its
default, its help, its range and its flag's name, so the command line, the recipe file and the documentation agree.
"""

import dataclasses
import difflib
import functools
import json
import math
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from firstsight.errors import RecipeError

Only = Mapping[str, tuple[str, ...]]
"""Flags, and the values of each with which a setting has an effect."""
EXAMPLES: Only = {"task": ("classification", "regression")}
IDENTITIES: Only = {"task": ("embedding",)}
PICTURES: Only = {"task": ("embedding", "classification")}
TRIPLETS: Only = {"task": ("embedding",), "loss": ("auto", "triplet")}
CONV: Only = {"network": ("conv",)}
MLP: Only = {"network": ("mlp",)}
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
        only={"val": ("",)},
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """From a picture file to the network's input. Part of a model: enroll, evaluate and train all obey it."""

    height: int = option(64, "Input height in pixels.", low=8, high=2048, only=PICTURES)
    width: int = option(64, "Input width in pixels.", low=8, high=2048, only=PICTURES)
    color: Literal["auto", "gray", "rgb"] = option("auto", "auto: gray where every training picture is.", only=PICTURES)
    fit: Literal["pad", "crop", "stretch", "ink"] = option(
        "pad",
        "How a picture is brought to this shape; ink: a drawn symbol is found, centered, and its pen evened out.",
        only=PICTURES,
    )
    mean: float = option(127.5, "Subtracted from the pixel values 0 ... 255.", only=PICTURES)
    std: float = option(127.5, "Then divided by.", low=1e-6, only=PICTURES)

    @property
    def channels(self) -> int:
        return 3 if self.color == "rgb" else 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """The function that is learned."""

    name: str = option("conv", "Registered network: conv or mlp.", flag="network")
    channels: tuple[int, ...] = option(
        (32, 64, 128, 256), "Channels of the conv stages, each halving the picture.", low=1, only=CONV
    )
    depth: int = option(1, "Convolutions in each conv stage.", low=1, high=8, only=CONV)
    norm: Literal["batch", "group"] = option(
        "batch", "Normalization of the conv stages; group does not depend on how a batch is divided.", only=CONV
    )
    hidden: tuple[int, ...] = option((30,), "Units of the hidden layers of an mlp.", low=1, only=MLP)
    activation: Literal["relu", "sigmoid", "tanh"] = option("relu", "Of the hidden layers of an mlp.", only=MLP)
    output: Literal["linear", "sigmoid"] = option(
        "linear", "Of the last layer, where no embedding is learned.", only=EXAMPLES
    )
    embedding_size: int = option(128, "Length D of the embedding.", low=2, high=4096, only=IDENTITIES)


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
    """All that a training run needs to be repeated.

    Example:
        >>> recipe_from({"training": {"epochs": 3}}).training.epochs
        3
    """

    data: Data = Data()
    preprocessing: Preprocessing = Preprocessing()
    network: Network = Network()
    loss: Loss = Loss()
    batch: Batch = Batch()
    optimizer: Optimizer = Optimizer()
    training: Training = Training()


@dataclasses.dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """Where 'the same' ends, and the evidence for it.

    `threshold` is a squared L2 distance (0 ... 4) at which at most the share `target` of the different-identity
    pairs measured is accepted: `accepted` of `comparisons`, over `identities` independent identities.
    """

    threshold: float
    target: float
    accepted: int
    comparisons: int
    identities: int


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
    where rows go in, and takes the place of `preprocessing`. `identity` is the SHA-256 of the weights and of all that
    decides what the network makes of an input: templates carry it. `weights_sha256` is that of model.safetensors.
    `trained` says on what, and how well it did.
    """

    format: int = 1
    task: Literal["embedding", "classification", "regression"] = "embedding"
    network: Network = Network()
    preprocessing: Preprocessing = Preprocessing()
    columns: Columns | None = None
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
        return self.preprocessing.channels, self.preprocessing.height, self.preprocessing.width


@dataclasses.dataclass(frozen=True)
class Setting:
    """One field of one table of the recipe, as the command line sees it."""

    table: str
    name: str
    flag: str
    type: Any
    default: Any
    help: str
    low: float | None
    high: float | None
    only: Only

    @property
    def about(self) -> str:
        """Its help, and with what it has an effect."""
        others = [
            f"--{flag} {' or '.join(value for value in values if value != 'auto')}"
            for flag, values in self.only.items()
            if any(values)
        ]
        return f"{self.help} Only with {', '.join(others)}." if others else self.help

    def of(self, recipe: Recipe) -> Any:
        """Its value."""
        return getattr(getattr(recipe, self.table), self.name)

    def idle(self, recipe: Recipe) -> tuple[str, str] | None:
        """The flag, and its value in the recipe, with which this setting has no effect; None where it has one."""
        for flag, values in self.only.items():
            found = _by_flag()[flag].of(recipe)
            if found not in values:
                return flag, found
        return None


def settings() -> Iterator[Setting]:
    """Every setting of a recipe, in the order of its file."""
    for table in dataclasses.fields(Recipe):
        kind: Any = type(table.default)
        hints = typing.get_type_hints(kind)
        for field in dataclasses.fields(kind):
            meta = field.metadata
            yield Setting(
                table=table.name, name=field.name, flag=meta["flag"] or field.name, type=hints[field.name],
                default=field.default, help=meta["help"], low=meta["low"], high=meta["high"],
                only=meta["only"],
            )  # fmt: skip


@functools.cache
def _by_flag() -> dict[str, Setting]:
    return {setting.flag: setting for setting in settings()}


def recipe_from(tables: Mapping[str, Any], *, where: str = "the recipe") -> Recipe:
    """Check nested plain data and make a `Recipe` of it.

    Raises:
        RecipeError: a wrong key (with the nearest right one), type or value.
    """
    recipe: Recipe = checked(Recipe, tables, where=where)
    for setting in settings():
        value = setting.of(recipe)
        for number in value if isinstance(value, tuple) else (value,):
            _refuse_out_of_range(setting, number, where)
    return recipe


def _refuse_out_of_range(setting: Setting, value: Any, where: str) -> None:
    if isinstance(value, str):
        return
    name = f"{where}: {setting.table}.{setting.name} = {value}"
    if not math.isfinite(value):
        raise RecipeError(f"{name} is not a finite number.")
    if setting.low is not None and value < setting.low:
        raise RecipeError(f"{name} is below {setting.low}.")
    if setting.high is not None and value > setting.high:
        raise RecipeError(f"{name} is above {setting.high}.")


def read_recipe(path: str | Path) -> Recipe:
    """Read a TOML recipe.

    Raises:
        RecipeError: not there, not TOML, or with a wrong key, type or value.
    """
    try:
        tables = tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise RecipeError(
            f"{path} cannot be read: {error.strerror}.", hint="Give the path of a TOML recipe."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not TOML: {error}.", hint="See recipes/ for examples.") from error
    return recipe_from(tables, where=str(path))


def with_flags(recipe: Recipe, **flags: Any) -> Recipe:
    """`recipe` with some settings replaced, named as on the command line.

    What they deprive of its effect, such as the margin of another loss, goes back to its default.

    Raises:
        RecipeError: a wrong flag, type or value, or a flag without effect.

    Example:
        >>> with_flags(Recipe(), epochs=3, data="photos").data.path
        'photos'
    """
    by_flag, tables = _by_flag(), to_plain(recipe)
    for flag, value in flags.items():
        if flag not in by_flag:
            raise _wrong_key(flag, list(by_flag), "the flags")
        tables[by_flag[flag].table][by_flag[flag].name] = value
    combined = recipe_from(tables, where="the flags")
    for setting in by_flag.values():
        if (reason := setting.idle(combined)) and setting.flag in flags:
            raise _without_effect(f"--{setting.flag.replace('_', '-')}", setting, *reason)
        if reason and not setting.idle(recipe):
            tables[setting.table][setting.name] = setting.default
    return recipe_from(tables, where="the flags")


def refuse_without_effect(recipe: Recipe, *, where: str = "the recipe") -> None:
    """Refuse a recipe that sets what has no effect in it. Defaults and empty lists do not count as set.

    Raises:
        RecipeError: it does; says what stands against it.
    """
    for setting in _by_flag().values():
        if setting.of(recipe) not in (setting.default, ()) and (reason := setting.idle(recipe)):
            raise _without_effect(f"{where}: {setting.table}.{setting.name}", setting, *reason)


def _without_effect(name: str, setting: Setting, flag: str, found: str) -> RecipeError:
    fitting = [value for value in setting.only[flag] if value not in ("", "auto")]
    hint = f"Leave it out, or take --{flag} {' or '.join(fitting)}." if fitting else "Leave it out."
    return RecipeError(f"{name} has no effect with --{flag} {found}.", hint=hint)


def write_recipe(recipe: Recipe) -> str:
    """The TOML text of a recipe, everything resolved: `read_recipe` gives the same recipe back."""
    import tomli_w

    return tomli_w.dumps(to_plain(recipe))


def to_plain(config: Any) -> dict[str, Any]:
    """Nested dicts and lists of a config dataclass, ready for TOML or JSON."""
    return json.loads(json.dumps(dataclasses.asdict(config)))  # type: ignore[no-any-return]


def checked(kind: Any, tables: Mapping[str, Any], *, where: str) -> Any:
    """Check nested plain data against the dataclass `kind` and make one of it.

    Raises:
        RecipeError: a wrong key (with the nearest right one), or a wrong type.
    """
    import pydantic

    _refuse_wrong_keys(tables, kind, where)
    try:
        return pydantic.TypeAdapter(kind).validate_json(json.dumps(tables, default=str), strict=True)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        # the location goes on into the alternatives of a union; the key is what is still found in the tables
        key = ".".join(str(part) for part in first["loc"] if not str(part).startswith(("literal", "function")))
        reason = first["msg"][0].lower() + first["msg"][1:]
        raise RecipeError(f"{where}: {key} = {first['input']!r} is wrong: {reason}.") from error


def _refuse_wrong_keys(tables: Mapping[str, Any], kind: Any, where: str) -> None:
    hints = typing.get_type_hints(kind)
    for key, value in tables.items():
        if key not in hints:
            raise _wrong_key(key, list(hints), where)
        table = _dataclass_in(hints[key])
        if table and isinstance(value, Mapping):
            _refuse_wrong_keys(value, table, f"{where} [{key}]")


def _dataclass_in(hint: Any) -> Any:
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return next((kind for kind in kinds if dataclasses.is_dataclass(kind)), None)


def _wrong_key(key: str, known: list[str], where: str) -> RecipeError:
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(known)}."
    return RecipeError(f"{where}: there is no setting {key}.", hint=hint)
