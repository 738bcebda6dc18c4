"""Flags that mean the same under every verb."""

import dataclasses
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from cyclopts import Group, Parameter

from firstsight.config import Recipe
from firstsight.recipes import AnyRecipe, Setting, settings

Model = Annotated[
    str | None, Parameter(help="A model's name (glyphs, the default; faces), a model folder or a run folder.")
]
GalleryUrl = Annotated[
    str | None,
    Parameter(name="--gallery", help="A gallery file, or postgresql://USER@HOST/DATABASE; without it the model's own."),
]
Threshold = Annotated[
    float | None, Parameter(help="Largest squared distance (0 to 4) that is 'the same'; without it the measured one.")
]
Force = Annotated[bool, Parameter(help="Replace what is there.")]
Anyway = Annotated[bool, Parameter(help="Enroll a picture whatever the verdict on it.")]
Json = Annotated[bool, Parameter(help="Print JSON, one object a line, for another program.")]
Device = Annotated[str, Parameter(help="auto, cpu or cuda.")]
Seed = Annotated[int, Parameter(help="Makes random choices repeatable.")]
Out = Annotated[Path, Parameter(help="The run folder to write.")]
Align = Annotated[
    Literal["none", "faces"] | None,
    Parameter(help="none: the pictures are aligned faces already; without it what the model was made for."),
]


@Parameter(name="*")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Seeing:
    """What a picture is taken to show."""

    align: Align = None
    face: Annotated[
        int | Literal["center", "largest"] | None,
        Parameter(help="Of several faces: center, largest, or a number from the left; without it there may be one."),
    ] = None


Verb = TypeVar("Verb", bound=Callable[..., Any])


def with_recipe_flags(verb: Verb, kind_of_recipe: type[AnyRecipe] = Recipe) -> Verb:
    """Give `verb`, in place of its `**flags`, one flag for each setting of a recipe. Only those typed arrive."""
    signature = inspect.signature(verb)
    own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    groups: dict[str, Group] = {}
    flags = []
    for setting in settings(kind_of_recipe):
        group = groups.setdefault(setting.table, Group(f"Recipe: {setting.table}", sort_key=len(groups)))
        annotation = _annotation(setting, group)
        kind = inspect.Parameter.KEYWORD_ONLY
        flags.append(inspect.Parameter(setting.flag, kind, default=None, annotation=annotation))
    verb.__signature__ = signature.replace(parameters=[*own, *flags])  # type: ignore[attr-defined]
    verb.__annotations__ |= {flag.name: flag.annotation for flag in flags}
    return verb


def _annotation(setting: Setting, group: Group) -> Any:
    default = " ".join(map(str, setting.default)) if isinstance(setting.default, tuple) else str(setting.default)
    return Annotated[
        setting.type | None,
        Parameter(
            help=setting.about,
            group=group,
            show_default=(lambda _: default) if default not in ("", "False") else False,
            consume_multiple=isinstance(setting.default, tuple),
            negative=f"--no-{setting.flag}" if setting.default is True else (),
            allow_leading_hyphen=setting.flag == "source",  # - is standard input
        ),
    ]
