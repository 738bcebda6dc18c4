"""What the processes of processes.py do."""

import itertools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from small_runs import CPU, parts, run_into
from small_streams import STREAM, small_stream
from torch import nn

from firstsight.errors import FirstsightError
from firstsight.functional.triplets import triplet_loss
from firstsight.training.loop import Stopped, Update, fit
from firstsight.training.optimizer import make_optimizer
from firstsight.workflows.stream import stream


def warm_up() -> None:
    """Load what would cost each process a second."""
    torch.set_num_threads(1)
    network, _, _, recipe = parts()
    make_optimizer(network, recipe.optimizer)
    triplet_loss(torch.zeros(2, 2), torch.arange(2))


def train_until_killed(folder: str, kill_at: int, flags: dict[str, Any]) -> None:
    """Train into a folder, and die by SIGKILL at the `kill_at`-th of the moments that could leave something half done:
    before and after each update is noted, each flush to the disk, each file that is put in its place."""
    moments = itertools.count(1)

    def moment() -> None:
        if next(moments) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def with_moments(act: Callable[..., Any]) -> Callable[..., Any]:
        def acting(*arguments: Any) -> None:
            moment()
            act(*arguments)
            moment()

        return acting

    os.fsync = with_moments(os.fsync)
    os.replace = with_moments(os.replace)
    run_into(Path(folder), on_update=lambda update: moment(), **flags)


def train_as_rank(
    folder: str, flags: dict[str, Any], figures: list[list[float]] | None = None, signaled: int = 0
) -> None:
    """Train with the other ranks; each leaves its weights, its losses, what it was told, and perhaps a checkpoint.

    `figures[rank]` is what the rank measures after each epoch. The last rank gets a SIGTERM in update `signaled`.
    """
    rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if count > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=count)
    network, loss, feed, recipe = parts(**flags)
    if rank:  # what a rank begins with must not matter
        for weight in network.parameters():
            nn.init.zeros_(weight)
    losses: list[float] = []
    where = Path(folder, f"checkpoint{rank}")

    validate = None if figures is None else lambda network: figures[rank].pop(0)

    def note(update: Update) -> None:
        losses.append(update.loss)
        if update.number == signaled and rank == count - 1:
            os.kill(os.getpid(), signal.SIGTERM)

    try:
        fit(network, loss, feed, recipe, device=CPU, checkpoint=where, on_update=note, validate=validate)
    except (FirstsightError, Stopped) as error:
        Path(folder, f"told{rank}").write_text(str(error))
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file({**state, "losses": torch.tensor(losses, dtype=torch.float64)}, Path(folder, f"rank{rank}.safetensors"))
    if count > 1:
        dist.destroy_process_group()


def stream_until_killed(folder: str, kill_at: int) -> None:
    """Learn from a stream into a folder, and die by SIGKILL at the `kill_at`-th moment: before each arrival, and
    before and after each flush to the disk and each file that is put in its place."""
    moments = itertools.count(1)

    def moment() -> None:
        if next(moments) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def with_moments(act: Callable[..., Any]) -> Callable[..., Any]:
        def acting(*arguments: Any) -> None:
            moment()
            act(*arguments)
            moment()

        return acting

    def watched() -> Any:
        for pair in small_stream():
            moment()
            yield pair

    os.fsync = with_moments(os.fsync)
    os.replace = with_moments(os.replace)
    stream(watched(), STREAM, out=folder, resume=(Path(folder) / "checkpoint").exists())
