"""What to search: the `[search]` table of a recipe, read and checked before anything is tried."""

import dataclasses
import difflib
import math
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from firstsight.config import Recipe
from firstsight.errors import RecipeError
from firstsight.recipes import Setting, by_flag, read_tables, with_flags

NOT_SEARCHED = {
    "seed": "A lucky seed is no skill",
    "device": "It changes no figure",
    "precision": "It is not a matter of what is learned",
    "checkpoint_every": "It changes no figure",
    "chunk_size": "It is a matter of memory",
    **dict.fromkeys(
        ("task", "data", "val", "holdout", "holdout_groups", "target", "features"),
        "Trials that differ in it cannot be compared",
    ),
}
"""Settings that no search may change, and why."""
WAYS = ("log", "range", "choices", "times")
NEARLY_ZERO = 1e-3
"""Where a learning rate of 0 would give no range."""


@dataclasses.dataclass(frozen=True)
class Span:
    """Numbers from `low` to `high`, both included; `log`: each order of magnitude is as likely; `whole`: integers."""

    flag: str
    low: float
    high: float
    log: bool = False
    whole: bool = False

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values where what is impossible would be so."""
        return self.low, self.high

    def holds(self, value: Any) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high

    def in_words(self) -> str:
        return f"{self.low:g} to {self.high:g}{', logarithmic' if self.log else ''}"


@dataclasses.dataclass(frozen=True)
class Choices:
    """One of `values`."""

    flag: str
    values: tuple[Any, ...]

    @property
    def ends(self) -> tuple[Any, ...]:
        return self.values

    @property
    def by_label(self) -> dict[str, Any]:
        """Each under a name that fits on one line."""
        return {label(value): value for value in self.values}

    def holds(self, value: Any) -> bool:
        return value in self.values

    def in_words(self) -> str:
        return ", ".join(self.by_label)


Dimension = Span | Choices
Space = tuple[Dimension, ...]
"""Those that others depend on come first."""


def label(value: Any) -> str:
    """How a value is called in tables and plots."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def read_space(path: str | Path, recipe: Recipe) -> Space:
    """The search space that the file of `recipe` declares; that of `default_space` where it declares none.

    Raises:
        RecipeError: the table is wrong, or holds values that the recipe cannot have.
    """
    tables = read_tables(path)
    if "search" not in tables:
        return default_space(recipe)
    return space_from(tables["search"], recipe, where=f"{path} [search]")


def default_space(recipe: Recipe) -> Space:
    """η, m or P and K, the epochs, the width, and for triplets margin and selection: around what the recipe says,
    and with it."""
    known = by_flag()
    table = {flag: True for flag in DEFAULTS if known[flag].idle(recipe) is None and known[flag].of(recipe) != ()}
    if recipe.network.name == "mlp" or not recipe.training.augment:  # rows, or pictures that are taken as they are
        table.pop("augment", None)
    found = space_from(table, recipe, where="the default search")
    return tuple(_holding(dimension, known[dimension.flag].of(recipe)) for dimension in found)


def _holding(dimension: Dimension, value: Any) -> Dimension:
    """The dimension, made wide enough for the recipe's own value, which is tried first; not for what no range has: a
    rate of 0, or a batch of all."""
    if dimension.holds(value):
        return dimension
    if isinstance(dimension, Choices):
        return dataclasses.replace(dimension, values=(*dimension.values, value))
    if not isinstance(value, int | float) or (dimension.log and value <= 0):
        return dimension
    return dataclasses.replace(dimension, low=min(dimension.low, value), high=max(dimension.high, value))


def space_from(table: Any, recipe: Recipe, *, where: str) -> Space:
    """Check a `[search]` table against the recipe, and make the space of it.

    Raises:
        RecipeError: a wrong key (with the nearest right one), a range that is none, or values that cannot be.

    Example:
        >>> space_from({"learning_rate": {"log": [1e-3, 1]}}, Recipe(), where="[search]")
        (Span(flag='learning_rate', low=0.001, high=1.0, log=True, whole=False),)
    """
    if not isinstance(table, Mapping) or not table:
        raise RecipeError(f"{where} says nothing to search.", hint="Write: learning_rate = { log = [1e-3, 1] }")
    found = {flag: _dimension(flag, asked, recipe, f"{where}: {flag}") for flag, asked in table.items()}
    for flag, dimension in found.items():
        _refuse_idle(by_flag()[flag], found, recipe, where)
        _refuse_values(dimension, found, recipe, where)
    return tuple(sorted(found.values(), key=lambda dimension: _depth(dimension.flag, found)))


def recipe_at(space: Space, recipe: Recipe, pick: Callable[[Dimension], Any]) -> Recipe:
    """The recipe with what `pick` picks in each dimension that has an effect beside those picked before."""
    for dimension in space:
        if by_flag()[dimension.flag].idle(recipe) is None:
            recipe = with_flags(recipe, **{dimension.flag: pick(dimension)})
    return recipe


def at_recipe(space: Space, recipe: Recipe) -> dict[str, Any] | None:
    """What the recipe itself says in each dimension; None where it lies outside of one."""
    inside = {}
    for dimension in space:
        setting = by_flag()[dimension.flag]
        if setting.idle(recipe) is None:
            inside[dimension.flag] = setting.of(recipe)
            if not dimension.holds(inside[dimension.flag]):
                return None
    return inside


def corners(space: Space, recipe: Recipe, tables: tuple[str, ...]) -> Iterator[tuple[str, Recipe]]:
    """The recipe with one setting of these tables at an end of its dimension, and how that is typed."""
    for dimension in space:
        setting = by_flag()[dimension.flag]
        if setting.table in tables and setting.idle(recipe) is None:
            for value in dimension.ends:
                yield f"{dimension.flag} = {label(value)}", with_flags(recipe, **{dimension.flag: value})


def space_to_plain(space: Space) -> list[dict[str, Any]]:
    """Plain data for JSON, which `space_from_plain` reads."""
    return [dataclasses.asdict(dimension) for dimension in space]


def space_from_plain(plain: list[dict[str, Any]]) -> Space:
    return tuple(
        Choices(item["flag"], tuple(_tupled(value) for value in item["values"])) if "values" in item else Span(**item)
        for item in plain
    )


def _dimension(flag: str, asked: Any, recipe: Recipe, where: str) -> Dimension:
    if flag not in by_flag():
        near = difflib.get_close_matches(flag, by_flag(), n=1)
        hint = f"Did you mean {near[0]}?" if near else "Its keys are flags of firstsight train, with _ for -."
        raise RecipeError(f"{where}: there is no such setting.", hint=hint)
    if flag in NOT_SEARCHED:
        raise RecipeError(f"{where} is not to be searched.", hint=f"{NOT_SEARCHED[flag]}: leave it out.")
    setting = by_flag()[flag]
    if asked is True:
        if flag not in DEFAULTS:
            raise RecipeError(f"{where} has no range of its own.", hint="Give one: { range = [LOW, HIGH] }")
        asked = DEFAULTS[flag](setting.of(recipe))
    if not isinstance(asked, Mapping) or len(asked) != 1:
        raise RecipeError(f"{where} = {asked!r} is no range.", hint="Write one of { log = [LOW, HIGH] }, "
                          "{ range = [LOW, HIGH] }, { choices = [A, B] } or { times = [0.5, 1, 2] }.")  # fmt: skip
    ((way, values),) = asked.items()
    if way not in WAYS:
        near = difflib.get_close_matches(way, WAYS, n=1)
        raise RecipeError(
            f"{where}: there is no {way}.", hint=f"Did you mean {near[0]}?" if near else f"Known: {', '.join(WAYS)}."
        )
    if not isinstance(values, list | tuple):
        raise RecipeError(f"{where}: {way} = {values!r} is no list.", hint=f"Write {{ {way} = [A, B] }}.")
    if way in ("log", "range"):
        return _span(setting, list(values), where, log=way == "log")
    return _choices(setting, list(values), recipe, where, times=way == "times")


def _span(setting: Setting, ends: list[Any], where: str, *, log: bool) -> Span:
    several = typing.get_origin(setting.type) is tuple
    kinds = () if several else typing.get_args(setting.type) or (setting.type,)
    numeric = [kind for kind in kinds if kind in (int, float)]
    if not numeric:
        what = "a list" if several else "not a number"
        raise RecipeError(f"{where} is {what}.", hint="Write { choices = [A, B] }.")
    if len(ends) != 2 or not all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends):
        raise RecipeError(f"{where} = {ends} is no range.", hint="Give two numbers: [LOW, HIGH].")
    low, high = ends
    whole = numeric == [int]
    if whole and any(end != int(end) for end in ends if math.isfinite(end)):
        raise RecipeError(f"{where} = {ends} is no range of whole numbers.", hint="Give two whole numbers.")
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise RecipeError(f"{where} = {ends} is empty.", hint="Give the lower number first: [LOW, HIGH].")
    if log and low <= 0:
        raise RecipeError(f"{where}: a logarithmic range cannot begin at {low:g}.", hint="Begin above 0, or use range.")
    return Span(setting.flag, int(low) if whole else float(low), int(high) if whole else float(high), log, whole)


def _choices(setting: Setting, values: list[Any], recipe: Recipe, where: str, *, times: bool) -> Choices:
    if times:
        values = [_times(setting.of(recipe), factor, where) for factor in values]
    try:
        distinct = list(dict.fromkeys(_tupled(value) for value in values))
    except TypeError as error:  # a table, or a list of lists
        raise RecipeError(f"{where} = {values} is no list of values.", hint="Write { choices = [A, B] }.") from error
    if len(distinct) < 2:
        raise RecipeError(f"{where} leaves no choice.", hint="Give two values that differ, or leave it out.")
    return Choices(setting.flag, tuple(distinct))


def _times(value: Any, factor: Any, where: str) -> Any:
    if not isinstance(factor, int | float) or isinstance(factor, bool) or not factor > 0:
        raise RecipeError(f"{where}: {factor!r} is no factor.", hint="Give numbers above 0: { times = [0.5, 1, 2] }.")
    if isinstance(value, tuple) and all(isinstance(item, int) for item in value) and value:
        return tuple(max(1, round(item * factor)) for item in value)
    if isinstance(value, int) and not isinstance(value, bool):
        return max(1, round(value * factor))
    if isinstance(value, float):
        return value * factor
    raise RecipeError(f"{where}: {label(value) or 'nothing'} cannot be multiplied.", hint="Write { choices = [A, B] }.")


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _refuse_idle(setting: Setting, found: Mapping[str, Dimension], recipe: Recipe, where: str) -> None:
    """Refuse what has no effect, whatever else is picked."""
    for flag, values in setting.only.items():
        searched = found.get(flag)
        possible = searched.ends if searched else (by_flag()[flag].of(recipe),)
        if not set(values) & set(possible):
            typed = f"{flag} = {' or '.join(map(label, possible))}"
            raise RecipeError(f"{where}: {setting.flag} has no effect with {typed}.", hint="Leave it out.")


def _refuse_values(dimension: Dimension, found: Mapping[str, Dimension], recipe: Recipe, where: str) -> None:
    """Refuse ends that the setting itself refuses, beside values of the others with which it has an effect."""
    setting = by_flag()[dimension.flag]
    beside = {
        flag: next(value for value in found[flag].ends if value in values)
        for flag, values in setting.only.items()
        if flag in found
    }
    for value in dimension.ends:
        try:
            with_flags(recipe, **beside, **{dimension.flag: value})
        except RecipeError as error:
            message = error.message.removeprefix("the flags: ")
            raise RecipeError(f"{where}: {message}", hint=error.hint) from error


def _depth(flag: str, found: Mapping[str, Dimension]) -> int:
    """How many others must be picked before."""
    return max((1 + _depth(other, found) for other in by_flag()[flag].only if other in found), default=0)


def _around(factor: float, *, least: float = 0, whole: bool = False) -> Callable[[Any], Mapping[str, Any]]:
    """From a `factor`-th of the recipe's own number to `factor` times it."""

    def ends(value: float) -> Mapping[str, Any]:
        low, high = max(least, (value or NEARLY_ZERO) / factor), (value or NEARLY_ZERO) * factor
        return {"log": [round(low), max(round(high), round(low) + 1)] if whole else [low, high]}

    return ends


DEFAULTS: dict[str, Callable[[Any], Mapping[str, Any]]] = {
    "learning_rate": _around(100),
    "batch_size": lambda size: {"log": [8, 256]},
    "epochs": _around(2, least=1, whole=True),
    "margin": lambda margin: {"range": [0.05, 1.0]},
    "select": lambda select: {"choices": ["all", "semihard", "batch-hard"]},
    "identities": _around(2, least=2, whole=True),
    "pictures": _around(2, least=2, whole=True),
    "channels": lambda channels: {"times": [0.5, 1, 2]},
    "hidden": lambda hidden: {"times": [0.5, 1, 2]},
    "augment": lambda augment: {"range": [0.0, 2.0]},
}
"""The range of each setting that is worth a search, where the table says `true` or is not there."""
