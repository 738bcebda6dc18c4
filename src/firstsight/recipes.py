"""Config dataclasses <-> TOML recipe <-> JSON <-> flags: read, checked against their definitions, written."""

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
from typing import Any, TypeVar

from firstsight.config import Only, Recipe, StreamRecipe
from firstsight.errors import RecipeError

AnyRecipe = Recipe | StreamRecipe
R = TypeVar("R", Recipe, StreamRecipe)


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
            _typed(flag, " or ".join(value for value in values if value != "auto"))
            for flag, values in self.only.items()
            if any(values)
        ]
        return f"{self.help} Only with {', '.join(others)}." if others else self.help

    @property
    def range(self) -> str:
        """Of its numbers, in words."""
        low = f"{self.low:g}" if self.low is not None else ""
        return f"{low} to {self.high:g}" if self.high is not None else f"{low} or more"

    def of(self, recipe: AnyRecipe) -> Any:
        """Its value."""
        return getattr(getattr(recipe, self.table), self.name)

    def idle(self, recipe: AnyRecipe) -> tuple[str, Any] | None:
        """The flag, and its value in the recipe, with which this setting has no effect; None where it has one."""
        for flag, values in self.only.items():
            found = by_flag(type(recipe))[flag].of(recipe)
            if found not in values:
                return flag, found
        return None


def settings(recipe: type[AnyRecipe] = Recipe) -> Iterator[Setting]:
    """Every setting of a kind of recipe, in the order of its file."""
    for table in dataclasses.fields(recipe):
        kind: Any = type(table.default)
        hints = typing.get_type_hints(kind)
        for field in dataclasses.fields(kind):
            meta = field.metadata
            yield Setting(
                table=table.name, name=field.name, flag=meta["flag"] or field.name, type=hints[field.name],
                default=field.default, help=meta["help"], low=meta["low"], high=meta["high"],
                only=meta["only"],
            )  # fmt: skip


def by_flag(recipe: Any = Recipe) -> Mapping[str, Setting]:
    """Every setting of a kind of recipe, by its flag."""
    return _by_flag(recipe)


@functools.cache  # a function of its own: mypy takes no class for hashable
def _by_flag(recipe: Any) -> Mapping[str, Setting]:
    return {setting.flag: setting for setting in settings(recipe)}


def recipe_from(tables: Mapping[str, Any], kind: type[R] = Recipe, *, where: str = "the recipe") -> R:  # type: ignore[assignment]
    """Check nested plain data and make a recipe of it.

    Raises:
        RecipeError: a wrong key (with the nearest right one), type or value.

    Example:
        >>> recipe_from({"training": {"epochs": 3}}).training.epochs
        3
    """
    recipe: R = checked(kind, tables, where=where)
    for setting in settings(kind):
        _refuse_out_of_range(setting, recipe, f"{where}: {setting.table}.{setting.name} =")
    return recipe


def _refuse_out_of_range(setting: Setting, recipe: AnyRecipe, name: str) -> None:
    low, high, values = setting.low, setting.high, setting.of(recipe)
    for value in values if isinstance(values, tuple) else (values,):
        if isinstance(value, str):
            continue
        if not math.isfinite(value):
            raise RecipeError(f"{name} {value} is not a finite number.")
        if low is not None and value < low:
            raise RecipeError(f"{name} {value:.12g} is below {low:g}.", hint=f"Give {setting.range}.")
        if high is not None and value > high:
            raise RecipeError(f"{name} {value:.12g} is above {high:g}.", hint=f"Give {setting.range}.")


def read_recipe(path: str | Path, kind: type[R] = Recipe) -> R:  # type: ignore[assignment]
    """Read a TOML recipe. Its table `[search]` is for `firstsight tune` alone.

    Raises:
        RecipeError: not there, not TOML, or with a wrong key, type or value.
    """
    tables = read_tables(path)
    if kind is Recipe:
        tables.pop("search", None)
    return recipe_from(tables, kind, where=str(path))


def read_tables(path: str | Path) -> dict[str, Any]:
    """The tables of a TOML file, unchecked.

    Raises:
        RecipeError: not there, or not TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise RecipeError(
            f"{path} cannot be read: {error.strerror}.", hint="Give the path of a TOML recipe."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not TOML: {error}.", hint="See recipes/ for examples.") from error


def with_flags(recipe: R, **flags: Any) -> R:
    """`recipe` with some settings replaced, named as on the command line.

    What they deprive of its effect, such as the margin of another loss, goes back to its default.

    Raises:
        RecipeError: a wrong flag, type or value, or a flag without effect.

    Example:
        >>> with_flags(Recipe(), epochs=3, data="photos").data.path
        'photos'
    """
    kind = type(recipe)
    known, tables = by_flag(kind), to_plain(recipe)
    for flag, value in flags.items():
        if flag not in known:
            raise _wrong_key(flag, list(known), "the flags")
        tables[known[flag].table][known[flag].name] = value
    combined: R = checked(kind, tables, where="the flags")
    for flag in flags:
        _refuse_out_of_range(known[flag], combined, _typed(flag))
    for setting in known.values():
        if (reason := setting.idle(combined)) and setting.flag in flags:
            raise _without_effect(_typed(setting.flag), setting, *reason)
        if reason and not setting.idle(recipe):
            tables[setting.table][setting.name] = setting.default
    return recipe_from(tables, kind, where="the flags")


def refuse_without_effect(recipe: AnyRecipe, *, where: str = "the recipe") -> None:
    """Refuse a recipe that sets what has no effect in it. Defaults and empty lists do not count as set.

    Raises:
        RecipeError: it does; says what stands against it.
    """
    for setting in by_flag(type(recipe)).values():
        if setting.of(recipe) not in (setting.default, ()) and (reason := setting.idle(recipe)):
            raise _without_effect(f"{where}: {setting.table}.{setting.name}", setting, *reason)


def _without_effect(name: str, setting: Setting, flag: str, found: Any) -> RecipeError:
    fitting = [value for value in setting.only[flag] if value and value != "auto"]
    if not found:
        return RecipeError(f"{name} has no effect without {_typed(flag, ' or '.join(fitting))}.", hint="Leave it out.")
    hint = f"Leave it out, or take {_typed(flag, ' or '.join(fitting))}." if fitting else "Leave it out."
    return RecipeError(f"{name} has no effect with {_typed(flag, found)}.", hint=hint)


def _typed(flag: str, value: Any = "") -> str:
    """A flag, with its value if one is given, as on the command line."""
    words = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return f"--{flag.replace('_', '-')} {words}".rstrip()


def write_recipe(recipe: AnyRecipe) -> str:
    """The TOML text of a recipe, with everything that has an effect: `read_recipe` gives the same recipe back."""
    import tomli_w

    tables = to_plain(recipe)
    for setting in settings(type(recipe)):
        if setting.idle(recipe):
            del tables[setting.table][setting.name]
    return tomli_w.dumps({name: table for name, table in tables.items() if table})


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
