"""Write docs/recipes.md from the settings themselves: python docs/make_recipes.py"""

import inspect
import json
import types
import typing
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from firstsight.config import Recipe, StreamRecipe
from firstsight.recipes import AnyRecipe, Setting, settings

PAGE = Path(__file__).with_name("recipes.md")
HEAD = """\
# Every setting of a recipe

<!-- Written by docs/make_recipes.py from src/firstsight/config.py: change it there. -->

A recipe is all that a training run needs to be repeated: a TOML file whose tables and keys are those below. What it
leaves out has its default.

```toml
[data]
path = "photos"

[network]
channels = [32, 64]

[training]
epochs = 20
```

Each setting is a flag as well, and flags go before the file:

```bash
firstsight train mine.toml --out runs/mine --epochs 40 --channels 32 64 128
```

From Python, `with_flags(Recipe(), data="photos", epochs=20)` takes the flags' names with `_` for `-`, and
`read_recipe("mine.toml")` the file. A key that does not exist, a wrong type and a value out of range are refused before
anything else happens, with the nearest key that does; so are a flag and a key that have no effect on what is learned,
such as `--margin` with another loss than the triplet's. Each run writes the recipe that it followed, everything
resolved, to its `recipe.toml`; `firstsight train runs/mine/recipe.toml --out runs/again` repeats it.
"""
STREAMS = """
# Every setting of a stream

`firstsight stream` has a recipe of its own, whose defaults are written out in
[recipes/stream.toml](../recipes/stream.toml); what it does is told in [streams.md](streams.md). From Python,
`with_flags(StreamRecipe(), target="rain")` and `read_recipe("mine.toml", StreamRecipe)`.
"""
WORDS = {str: "text", int: "integer", float: "number", bool: "`true` or `false`"}
PLURALS = {str: "texts", int: "integers", float: "numbers"}


def page() -> str:
    """The text of docs/recipes.md."""
    return HEAD + _tables(Recipe) + STREAMS + _tables(StreamRecipe)


def _tables(recipe: type[AnyRecipe]) -> str:
    return "".join(
        _table(getattr(recipe(), table), table, group)
        for table, group in groupby(settings(recipe), lambda setting: setting.table)
    )


def _table(default: object, table: str, group: Iterator[Setting]) -> str:
    about = inspect.getdoc(type(default))
    rows = "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in _cells(setting))} |\n" for setting in group)
    return f"\n## [{table}]\n\n{about}\n\n| key | flag | type | default | what |\n|---|---|---|---|---|\n{rows}"


def _cells(setting: Setting) -> tuple[str, ...]:
    kind = f"{_kind(setting.type)}{_range(setting.low, setting.high)}"
    default = f"`{json.dumps(setting.default, ensure_ascii=False)}`"
    return f"`{setting.name}`", f"`--{setting.flag.replace('_', '-')}`", kind, default, setting.about


def _kind(kind: Any) -> str:
    if kind in WORDS:
        return WORDS[kind]
    parts = typing.get_args(kind)
    if typing.get_origin(kind) is Literal:
        return " or ".join(f"`{json.dumps(value)}`" for value in parts)
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        return " or ".join(map(_kind, parts))
    if typing.get_origin(kind) is tuple:
        return f"list of {PLURALS[parts[0]]}"
    raise TypeError(f"no word for the type {kind}: add one")


def _range(low: float | None, high: float | None) -> str:
    if high is not None:
        return f", {low:g} … {high:g}"
    return "" if low is None else f", {low:g} or more"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
