"""A run folder belongs to one run: what another has left in it is not replaced."""

from pathlib import Path

from firstsight.errors import UserError
from firstsight.training import checkpoint, place

FILES = ("model", f"checkpoint/{checkpoint.FILE}", f"checkpoint/{place.FILE}")
"""What only a run leaves behind."""


def refuse_to_replace(folder: Path) -> None:
    """Refuse a folder in which something is to begin, where it would replace a run, or a recipe of the user's own.

    What an attempt has left that was killed before its first checkpoint may be replaced.

    Raises:
        UserError: it would, or it is no folder.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is no folder.", hint="Name another --out.")
    if any((folder / name).exists() for name in FILES):
        raise UserError(f"{folder} holds a run, which would be replaced.", hint="Name another --out.")
    if (folder / "recipe.toml").exists() and not (folder / "metrics.jsonl").exists():
        raise UserError(f"{folder / 'recipe.toml'} is not of a run, and would be replaced.", hint="Name another --out.")
