"""A checkpoint: all that the rest of a run depends on, in one file that is whole or not there.

The file is safetensors: the tensors of the network and of the optimizer, and a JSON header with the rest. What is
drawn at random depends on the seed and the place in the run alone (see randomness.py), so the place is enough.
"""

import contextlib
import hashlib
import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from firstsight.atomic import remove_leftovers, write_atomically
from firstsight.config import Recipe
from firstsight.errors import ModelError, RecipeError, StorageError
from firstsight.models.folder import own_memory
from firstsight.models.registry import CUSTOM
from firstsight.recipes import read_recipe, to_plain
from firstsight.training.ranks import started_by_torchrun

FILE = "state.safetensors"

Weights = dict[str, Tensor]
"""What `state_dict` gives: weights and running statistics by name."""


@dataclass(frozen=True)
class Place:
    """Where in a run: `number` updates are done, `batch` of them in epoch `epoch` (from 1).

    `best`, `best_epoch` and `stale` are early stopping's: the best held-out figure, its epoch, the epochs since it.
    """

    number: int = 0
    epoch: int = 1
    batch: int = 0
    best: float | None = None
    best_epoch: int = 0
    stale: int = 0


def save_checkpoint(
    folder: Path, place: Place, key: str, network: nn.Module, optimizer: torch.optim.Optimizer, best: Weights
) -> None:
    """Write the checkpoint; the one before it stays until this one is on the disk. `key` is that of `run_key`, `best`
    the weights of the best epoch, empty without early stopping: in the one file, for they must never disagree.

    Raises:
        StorageError: it cannot be written (read-only, disk full); the one before it is whole.
    """
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in best.items()}
    numbers: dict[str, Any] = {}
    for index, values in optimizer.state_dict()["state"].items():
        for name, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{name}"] = value
            else:
                numbers[f"{index}.{name}"] = value
    header = {"place": asdict(place), "key": key, "optimizer": numbers}
    content = save(own_memory(tensors), {"run": json.dumps(header)})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder / FILE)
        write_atomically(folder / FILE, content)
    except OSError as error:
        raise StorageError(
            f"The checkpoint {folder} cannot be written: {error.strerror}.",
            hint=f"The one before it is whole: free space, then type: {how_to_resume(folder)}",
        ) from error


def load_checkpoint(
    folder: Path, key: str, network: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[Place, Weights]:
    """Bring network and optimizer to where they were; say where in the run that is, and give the best weights so far.

    Raises:
        ModelError: damaged, or of a run with another key or network.
    """
    path = folder / FILE
    try:
        with safe_open(path, framework="pt") as file:
            header: Mapping[str, Any] = json.loads((file.metadata() or {})["run"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        place, found = Place(**header["place"]), header["key"]
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"The checkpoint {path} is damaged ({error}).",
            hint=f"Remove {folder} to start anew, or name another --out.",
        ) from error
    if found != key:
        raise ModelError(
            f"The checkpoint {path} is of a run with another recipe or other data.",
            hint=f"Go on with its own: {how_to_resume(folder)}, or name another --out.",
        )
    try:
        network.load_state_dict(_part(tensors, "network"))
    except RuntimeError as error:
        raise ModelError(
            f"The checkpoint {path} is of another network.", hint="Give the network that began it, or another --out."
        ) from error
    state: dict[int, dict[str, Any]] = {}
    for name, value in [*_part(tensors, "optimizer").items(), *header["optimizer"].items()]:
        index, slot = name.split(".", 1)
        state.setdefault(int(index), {})[slot] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return place, _part(tensors, "best")


@contextlib.contextmanager
def interruptible(run: Path) -> Iterator[None]:
    """Let an interrupt of this block say what there is to go on from. A folder made for nothing is taken away.

    Raises:
        KeyboardInterrupt: with what to type, or that nothing was saved.
    """
    made = not run.exists()
    try:
        yield
    except KeyboardInterrupt as interrupt:
        if str(interrupt):  # that of the loop has said it
            raise
        if (run / "checkpoint" / FILE).exists():
            raise KeyboardInterrupt(f"Go on with: {how_to_resume(run / 'checkpoint')}") from interrupt
        if made:
            with contextlib.suppress(OSError):  # not made yet, or not empty
                run.rmdir()
        raise KeyboardInterrupt("Nothing was saved yet.") from interrupt


def how_to_resume(folder: Path) -> str:
    """What to type to go on from the checkpoint in `folder`, which stands in that of the run. For a network that
    was given from Python, which no command line knows, it is Python."""
    with contextlib.suppress(RecipeError):  # not there yet, or altered
        if read_recipe(folder.parent / "recipe.toml").network.name == CUSTOM:
            return "train(..., network=..., resume=True)"
    program = "torchrun … -m firstsight" if started_by_torchrun() else "firstsight"
    return f"{program} train --resume --out {shlex.quote(str(folder.parent))}"


def run_key(recipe: Recipe, plan: list[Tensor]) -> str:
    """What a run must have in common with its checkpoint: the recipe, and which examples the first epoch draws.

    The draw depends on how many examples there are, and on their identities; pictures that were altered in place are
    not noticed.
    """
    digest = hashlib.sha256(json.dumps(to_plain(recipe), sort_keys=True).encode())
    for indices_B in plan:
        digest.update(indices_B.numpy().tobytes())
    return digest.hexdigest()


def _part(tensors: Weights, part: str) -> Weights:
    """Those whose names begin with `part.`, without it."""
    prefix = f"{part}."
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
