"""Exact resume: whatever ends a run, and wherever, the rest of it gives the weights of a run never interrupted, bit for
bit, and metrics.jsonl has each update once."""

import copy
import errno
import itertools
import json
import math
import os
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pictures import write_identities
from processes import Nursery
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from small_runs import CPU, PICTURES, Parts, parts, read_metrics, run_into, weights_digest
from torch import nn

from firstsight.config import Recipe
from firstsight.errors import ModelError, StorageError, UserError
from firstsight.recipes import with_flags
from firstsight.training import checkpoint as checkpoints
from firstsight.training.loop import Stopped, Update, fit
from firstsight.workflows import train_run
from firstsight.workflows.prepare import recipe_of_run
from firstsight.workflows.train_run import train


class PowerCutError(Exception):
    """Ends a run without a chance to save anything."""


def cut_at(number: int) -> Callable[[Update], None]:
    def on_update(update: Update) -> None:
        if update.number == number:
            raise PowerCutError

    return on_update


def undisturbed(folder: Path, **flags: Any) -> str:
    folder.mkdir()
    run_into(folder, **flags)
    return (folder / "digest").read_text()


def require_the_same(folder: Path, peer: Path) -> None:
    """The same weights by the same updates, each reported once."""
    assert (folder / "digest").read_text() == (peer / "digest").read_text()
    rows, expected = read_metrics(folder), read_metrics(peer)
    volatile = ("seconds", "resumed_from")
    plain = [{name: value for name, value in row.items() if name not in volatile} for row in rows]
    assert plain == [{name: value for name, value in row.items() if name not in volatile} for row in expected]
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint", "digest", "metrics.jsonl"]
    assert [path.name for path in (folder / "checkpoint").iterdir()] == [checkpoints.FILE], "nothing half-written"


def read_place(folder: Path) -> checkpoints.Place:
    """Where a checkpoint says that the run is."""
    with safe_open(folder / "checkpoint" / checkpoints.FILE, framework="pt") as file:
        return checkpoints.Place(**json.loads(file.metadata()["run"])["place"])


KILLED = {"checkpoint_every": 2, "norm": "group"}
EARLY: dict[str, Any] = {
    "task": "regression", "checkpoint_every": 3, "epochs": 9, "patience": 2, "batch_size": 16,
    "figures": [0.3, 0.9, 0.5, 0.7],
}  # fmt: skip
"""Two updates an epoch; the second is the best, the fourth the last."""


def killed(children: Nursery, folder: Path, moment: int, flags: dict[str, Any] = KILLED) -> bool:
    """Let a process train into a folder until its `moment`-th moment; say whether it lived to see it."""
    folder.mkdir(exist_ok=True)
    codes = children.run("train_until_killed", folder=str(folder), kill_at=moment, flags=flags)
    assert codes in ([0], [-signal.SIGKILL])
    assert (folder / "digest").exists() == (codes == [0]), "a process that was killed was in mid-work"
    return codes != [0]


def test_killed_at_each_moment_of_a_checkpoint(children: Nursery, tmp_path: Path) -> None:
    """SIGKILL before and after each flush and rename that makes a checkpoint, and between them."""
    assert not killed(children, tmp_path / "peer", 0)
    marks = set()
    for moment in range(1, 21):
        folder = tmp_path / f"killed{moment}"
        assert killed(children, folder, moment)
        marks.add(tuple(sorted(path.name.split("-")[0] for path in folder.rglob("*") if path.is_file())))
        assert not killed(children, folder, 0)
        require_the_same(folder, tmp_path / "peer")
    assert {(".metrics.jsonl",), ("metrics.jsonl",), ("metrics.jsonl", checkpoints.FILE)} < marks
    assert any(f".{checkpoints.FILE}" in names for names in marks), "one was killed while it wrote a checkpoint"


@pytest.mark.parametrize("every_so_often", [16, 19, 23])
def test_killed_again_and_again(children: Nursery, tmp_path: Path, every_so_often: int) -> None:
    assert not killed(children, tmp_path / "peer", 0)
    folder, kills = tmp_path / "killed", 0
    while killed(children, folder, every_so_often):
        kills += 1
        assert kills < 20, "each process gets further than the one before it"
    assert kills >= 3
    require_the_same(folder, tmp_path / "peer")
    origins = [row.get("resumed_from", 0) for row in read_metrics(folder)]
    assert origins == sorted(origins)
    assert len(set(origins)) > 2, "each part says from where it was resumed"
    assert all(origin < row["number"] for origin, row in zip(origins, read_metrics(folder), strict=True))


def test_killed_at_each_moment_of_early_stopping(children: Nursery, tmp_path: Path) -> None:
    """The best weights so far are never lost, nor those of another epoch."""
    assert not killed(children, tmp_path / "peer", 0, EARLY)
    bests = set()
    for moment in itertools.count(1):
        folder = tmp_path / f"killed{moment}"
        if not killed(children, folder, moment, EARLY):
            break
        if (folder / "checkpoint" / checkpoints.FILE).exists():
            bests.add(read_place(folder).best_epoch)
        assert not killed(children, folder, 0, EARLY)
        require_the_same(folder, tmp_path / "peer")
        assert [row["held_out"] for row in read_metrics(folder)[1::2]] == EARLY["figures"]
    assert moment > 20
    assert bests == {1, 2}, "kills came before and after the best epoch"


@pytest.mark.parametrize(
    "flags",
    [
        {"optimizer": "sgd"},
        {"optimizer": "momentum", "orientations": 4},
        {"optimizer": "adagrad", "norm": "group"},
        {"optimizer": "adamw", "chunk_size": 4},
        {"task": "regression", "optimizer": "momentum", "dropout": True},
        {"task": "regression", "optimizer": "adamw", "dropout": True, "chunk_size": 3},
        {"task": "regression", "optimizer": "adagrad", "batch_size": "all", "epochs": 9},
        {"task": "classification", "optimizer": "sgd", "loss": "cross-entropy", "schedule": "cosine", "warm_up": 0.3},
        {"task": "regression", "schedule": "step", "checkpoint_every": 0},
        {"precision": "bf16"},
    ],
    ids=lambda flags: "-".join(map(str, flags.values())),
)
def test_all_that_a_run_depends_on_is_resumed(tmp_path: Path, flags: dict[str, Any]) -> None:
    """Augmentation, dropout, each optimizer's memory, schedules, running statistics. Power fails twice, in mid-epoch
    and between checkpoints; what has been drawn elsewhere in the meantime does not matter."""
    flags = {"checkpoint_every": 3} | flags
    undisturbed(tmp_path / "peer", **flags)
    folder = tmp_path / "cut"
    folder.mkdir()
    last = read_metrics(tmp_path / "peer")[-1]["number"]
    for number in (5, last - 1):
        torch.manual_seed(number)
        with pytest.raises(PowerCutError):
            run_into(folder, on_update=cut_at(number), **flags)
    torch.rand(3)
    run_into(folder, **flags)
    require_the_same(folder, tmp_path / "peer")
    assert read_metrics(folder)[-1]["resumed_from"] > 3


def test_dropout_needs_the_place_and_not_the_history(tmp_path: Path) -> None:
    """The oracle has teeth: another seed gives other masks. And a run leaves the generator of its caller alone."""
    torch.manual_seed(11)
    expected = torch.rand(4)
    torch.manual_seed(11)
    digests = {
        undisturbed(tmp_path / str(seed), task="regression", dropout=True, seed=seed, batch_size="all")
        for seed in (0, 1)
    }
    assert len(digests) == 2
    assert torch.equal(torch.rand(4), expected)


def test_each_update_draws_anew_and_a_resumed_one_again(tmp_path: Path) -> None:
    """What augmentation and dropout are drawn from: another state for each update, the same after a resume."""
    run = parts(task="regression", checkpoint_every=3)
    draws: list[tuple[float, float]] = []

    def fetch(indices_B: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        draws.append((torch.rand(1, generator=generator).item(), torch.rand(1).item()))
        return run.feed.fetch(indices_B, generator)

    watched = run._replace(feed=run.feed._replace(fetch=fetch))
    with pytest.raises(PowerCutError):
        fit(*watched, device=CPU, checkpoint=tmp_path, on_update=cut_at(7))
    assert len(set(draws)) == 7
    fit(*watched, device=CPU, checkpoint=tmp_path)
    assert draws[7] == draws[6], "update 7, the first after the checkpoint"
    assert len(set(draws)) == 15


def early(figures: list[float], folder: Path, seen: list[int], stop_at: int = 0) -> Parts:
    """Train with early stopping on held-out figures that are given; note the epochs seen."""
    run = parts(task="regression", patience=2, epochs=9, checkpoint_every=2)
    epochs: list[int] = []

    def on_update(update: Update) -> None:
        epochs.append(update.epoch)
        seen.append(update.number)
        if update.number == stop_at:
            raise PowerCutError

    fit(
        *run, device=CPU, checkpoint=folder / "checkpoint", on_update=on_update,
        on_start=lambda place: epochs.append(place.epoch), validate=lambda network: figures[epochs[-1] - 1],
    )  # fmt: skip
    return run


@pytest.mark.parametrize("stop_at", [0, 6, 11, 16, 17])
def test_early_stopping_counts_on_after_a_resume(tmp_path: Path, stop_at: int) -> None:
    """Five updates an epoch. The best figure comes in epoch 2; epochs 3 and 4 are not better: it ends after 20."""
    figures, seen = [0.3, 0.8, 0.8, 0.7, 0.9], []
    if stop_at:
        with pytest.raises(PowerCutError):
            early(figures, tmp_path / "run", seen, stop_at)
        assert seen[-1] == stop_at
    run = early(figures, tmp_path / "run", seen)
    assert seen[-1] == 20
    assert weights_digest(run.network) == weights_digest(early(figures, tmp_path / "peer", []).network)
    assert not run.network.training


@pytest.mark.parametrize("figures", [[0.3, 0.8, 0.8, 0.7], [0.9, 0.8, 0.7], [math.nan, 0.5, 0.1, math.nan]])
def test_early_stopping_ends_with_the_weights_of_the_best_epoch(tmp_path: Path, figures: list[float]) -> None:
    """The oracle notes the weights after each epoch."""
    run = parts(task="regression", patience=2, epochs=9)
    weights: list[str] = []

    def validate(network: nn.Module) -> float:
        weights.append(weights_digest(network))
        return figures[len(weights) - 1]

    place = fit(*run, device=CPU, validate=validate)
    best = max(range(len(figures)), key=lambda epoch: -math.inf if math.isnan(figures[epoch]) else figures[epoch])
    assert (len(weights), place.epoch - 1) == (len(figures), len(figures))
    assert (place.best_epoch, place.best) == (best + 1, figures[best])
    assert weights_digest(run.network) == weights[best]
    assert len(set(weights)) == len(weights)


def test_without_patience_the_last_weights_are_kept(tmp_path: Path) -> None:
    run = parts(task="regression", epochs=2, checkpoint_every=1)
    fit(*run, device=CPU, checkpoint=tmp_path)
    state = load_file(tmp_path / checkpoints.FILE)
    assert not any(name.startswith("best.") for name in state)
    for name, weight in run.network.state_dict().items():
        assert torch.equal(weight, state[f"network.{name}"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_update_end_and_writes_a_checkpoint(tmp_path: Path, number: signal.Signals) -> None:
    undisturbed(tmp_path / "peer", checkpoint_every=100)
    folder = tmp_path / "stopped"
    folder.mkdir()
    before = signal.getsignal(number)

    def interrupt(update: Update) -> None:
        if update.number == 4:
            os.kill(os.getpid(), number)

    with pytest.raises(Stopped, match="^Go on with: firstsight train --resume --out .*/stopped$"):
        run_into(folder, on_update=interrupt, checkpoint_every=100)
    assert signal.getsignal(number) is before
    assert [row["number"] for row in read_metrics(folder)] == [1, 2, 3, 4]
    run_into(folder, checkpoint_every=100)
    require_the_same(folder, tmp_path / "peer")
    assert [row.get("resumed_from") for row in read_metrics(folder)] == [None] * 4 + [4] * 8


def test_a_signal_while_held_out_data_are_measured(tmp_path: Path) -> None:
    """It is not lost, though no update follows."""
    run = parts(task="regression", epochs=1, patience=1, checkpoint_every=100)

    def validate(network: nn.Module) -> float:
        os.kill(os.getpid(), signal.SIGTERM)
        return 1.0

    with pytest.raises(Stopped):
        fit(*run, device=CPU, checkpoint=tmp_path / "checkpoint", validate=validate)
    assert (tmp_path / "checkpoint" / checkpoints.FILE).exists()


def test_a_second_signal_acts_at_once(tmp_path: Path) -> None:
    def interrupt(update: Update) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as stop:
        run_into(tmp_path, on_update=interrupt, checkpoint_every=100)
    assert not isinstance(stop.value, Stopped)
    assert not (tmp_path / "checkpoint").exists()


def test_a_full_disk_leaves_the_checkpoint_before_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system really refuses to write on, after the first thousand bytes."""
    undisturbed(tmp_path / "peer", checkpoint_every=3)
    folder = tmp_path / "full"
    folder.mkdir()
    saves, save, limits = 0, checkpoints.write_atomically, resource.getrlimit(resource.RLIMIT_FSIZE)

    def short_of_space(path: Path, content: bytes) -> None:
        nonlocal saves
        saves += 1
        assert len(content) > 1000
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000 if saves == 2 else limits[0], limits[1]))
        try:
            save(path, content)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    monkeypatch.setattr(checkpoints, "write_atomically", short_of_space)
    with pytest.raises(StorageError, match="checkpoint cannot be written: File too large. The one before it is whole"):
        run_into(folder, checkpoint_every=3)
    assert [path.name for path in (folder / "checkpoint").iterdir()] == [checkpoints.FILE]
    run_into(folder, checkpoint_every=3)
    require_the_same(folder, tmp_path / "peer")
    assert read_metrics(folder)[-1]["resumed_from"] == 3


def test_a_disk_that_fails_when_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    run = parts()
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(
        StorageError, match="No space left on device. .* free space, then type: firstsight train --resume --out"
    ):
        fit(*run, device=CPU, checkpoint=tmp_path / "checkpoint")
    assert not list((tmp_path / "checkpoint").iterdir())


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """A run that has a checkpoint at update 3."""
    with pytest.raises(PowerCutError):
        run_into(tmp_path, on_update=cut_at(5), checkpoint_every=3)
    return tmp_path


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:40],
        lambda content: content[: len(content) // 2],
        lambda content: content + b"more",
        lambda content: random.Random(0).randbytes(500),
        lambda content: content.replace(b'{\\"number\\"', b'{\\"nomber\\"'),
        lambda content: content.replace(b'"__metadata__":{"run"', b'"__metadata__":{"ran"'),
    ],
    ids=["empty", "40 bytes", "half", "longer", "noise", "another place", "another header"],
)
def test_a_damaged_checkpoint_is_said_in_a_sentence(stopped: Path, damage: Callable[[bytes], bytes]) -> None:
    path = stopped / "checkpoint" / checkpoints.FILE
    content = path.read_bytes()
    path.write_bytes(damage(content))
    assert path.read_bytes() != content
    with pytest.raises(
        ModelError, match=r"The checkpoint .*safetensors is damaged \(.*Remove .*/checkpoint to start anew"
    ):
        run_into(stopped, checkpoint_every=3)


def test_a_checkpoint_without_a_header_is_not_ours(stopped: Path) -> None:
    path = stopped / "checkpoint" / checkpoints.FILE
    save_file(load_file(path), path)
    with pytest.raises(ModelError, match="is damaged"):
        run_into(stopped, checkpoint_every=3)


def test_a_checkpoint_of_another_recipe(stopped: Path) -> None:
    said = (
        "is of a run with another recipe or other data. Go on with its own: firstsight train --resume --out .*, or name"
    )
    with pytest.raises(ModelError, match=said):
        run_into(stopped, checkpoint_every=3, learning_rate=0.06)


def test_a_checkpoint_of_other_data(stopped: Path) -> None:
    run = parts(checkpoint_every=3)
    fewer = run.feed._replace(plan=lambda epoch: run.feed.plan(epoch)[:-1])
    with pytest.raises(ModelError, match="another recipe or other data"):
        fit(*run._replace(feed=fewer), device=CPU, checkpoint=stopped / "checkpoint")


def test_a_checkpoint_of_another_network(stopped: Path) -> None:
    run = parts(checkpoint_every=3)
    other = nn.Sequential(nn.Flatten(), nn.Linear(64, 8))
    with pytest.raises(ModelError, match="is of another network. Give the network that began it, or another --out"):
        fit(*run._replace(network=other), device=CPU, checkpoint=stopped / "checkpoint")


def test_a_checkpoint_of_each_epoch_is_the_default(tmp_path: Path) -> None:
    run = parts(task="regression")
    places: list[int] = []
    done: list[int] = []
    fit(
        *run, device=CPU, checkpoint=tmp_path, on_update=lambda update: done.append(update.number),
        on_checkpoint=lambda: places.append(done[-1]),
    )  # fmt: skip
    assert places == [5, 10, 15]
    again = parts(task="regression")
    fit(*again, device=CPU, checkpoint=tmp_path, on_update=cut_at(0))
    assert weights_digest(again.network) == weights_digest(run.network), "a run that is over stays as it is"


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = parts(checkpoint_every=1)
    recipe = replace(run.recipe, training=replace(run.recipe.training, epochs=1))
    fit(*run._replace(recipe=recipe), device=CPU)
    assert not list(tmp_path.iterdir())


UPDATES = 240
TYPED = (
    "--height", "16", "--width", "16", "--channels", "4", "8", "--embedding-size", "8", "--identities", "4",
    "--pictures", "2", "--epochs", "60", "--holdout", "0", "--checkpoint-every", "1",
)  # fmt: skip


def typed(out: Path, *words: str) -> "subprocess.Popen[str]":
    """`firstsight train` as a user starts it, one thread."""
    return subprocess.Popen(
        [sys.executable, "-m", "firstsight", "train", "--out", str(out), *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def struck(process: "subprocess.Popen[str]", line: int, number: signal.Signals) -> tuple[int, str]:
    """Send a signal as soon as the process has told of its training for the `line`-th time. Its exit code, and what it
    says after that."""
    with process:
        assert process.stderr is not None
        told = (text for text in process.stderr if text.startswith("Training: "))
        assert len(list(itertools.islice(told, line))) == line, "it is at work"
        process.send_signal(number)
        said = process.stderr.read()
    return process.returncode, said


def test_the_verb_is_resumed_after_a_kill_and_interrupts(tmp_path: Path) -> None:
    """The whole road by real processes: killed while it writes checkpoints all the time, then Ctrl-C, then SIGTERM;
    each part takes up where the one before it was struck down, told no more than where that is."""
    data = write_identities(tmp_path / "photos", identities=8, each=4)
    out, done, dice = tmp_path / "run", 0, random.Random()
    words = ("--data", str(data), *TYPED)
    with typed(tmp_path / "peer", *words) as peer:
        for number in (signal.SIGKILL, signal.SIGINT, signal.SIGTERM):
            code, said = struck(typed(out, *([] if done else words), "--resume"), dice.randint(2, 3), number)
            assert not (out / "model").exists(), "it came in mid-work"
            place = read_place(out).number
            assert done < place < UPDATES
            done = place
            if number == signal.SIGKILL:
                assert code == -signal.SIGKILL
            else:
                assert code == 130
                assert said.endswith(f"Interrupted.\nGo on with: firstsight train --resume --out {out}\n")
        with typed(out, "--resume") as last:
            last.communicate()
        peer.communicate()
    assert (peer.returncode, last.returncode) == (0, 0)
    weights = [(folder / "model" / "model.safetensors").read_bytes() for folder in (out, tmp_path / "peer")]
    assert weights[0] == weights[1]
    rows = read_metrics(out)
    assert [row["number"] for row in rows] == list(range(1, UPDATES + 1))
    assert rows[-1]["resumed_from"] == done
    assert [row["loss"] for row in rows] == [row["loss"] for row in read_metrics(tmp_path / "peer")]
    assert not list(out.rglob(".*")), "nothing half-written is left"


def test_an_interrupted_run_is_not_begun_anew_unasked(tmp_path: Path) -> None:
    data = write_identities(tmp_path / "photos")
    recipe = with_flags(Recipe(), data=str(data), **PICTURES, holdout=0.0)
    out = tmp_path / "run"

    def power_cut(stage: str, done: int, total: int, figures: dict[str, Any]) -> None:
        if (stage, done) == ("Training", 7):
            raise PowerCutError

    with pytest.raises(PowerCutError):
        train(recipe, out=out, on_progress=power_cut)
    before = (out / "checkpoint" / checkpoints.FILE).read_bytes()
    with pytest.raises(
        UserError, match="run holds a run that was interrupted. Go on with: firstsight train --resume --out .*, or name"
    ):
        train(recipe, out=out)
    assert (out / "checkpoint" / checkpoints.FILE).read_bytes() == before
    with pytest.raises(ModelError, match="is of a run with another recipe"):
        train(with_flags(recipe, epochs=9), out=out, resume=True)
    recipe = recipe_of_run(out)
    assert recipe.training.epochs == PICTURES["epochs"], "the mistake has not replaced it"
    assert train(recipe, out=out, resume=True).model.identity == train(recipe, out=tmp_path / "peer").model.identity


def test_a_run_of_a_network_from_python_is_resumed_from_python(tmp_path: Path) -> None:
    """The command line cannot know the network."""
    data = write_identities(tmp_path / "photos")
    recipe = with_flags(Recipe(), data=str(data), **PICTURES, holdout=0.0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 8))
    peer = train(recipe, out=tmp_path / "peer", network=copy.deepcopy(network))
    out, hint = tmp_path / "run", r"Go on with: train\(..., network=..., resume=True\)"

    def interrupt(stage: str, done: int, total: int, figures: dict[str, Any]) -> None:
        if (stage, done) == ("Training", 7):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Stopped, match=f"^{hint}$"):
        train(recipe, out=out, network=copy.deepcopy(network), on_progress=interrupt)
    with pytest.raises(UserError, match=f"{hint}, or name another --out"):
        train(recipe, out=out, network=copy.deepcopy(network))
    assert train(recipe, out=out, network=network, resume=True).model.identity == peer.model.identity


def test_a_run_killed_before_its_model_is_written_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is the last to be written: while it is not there, the run is not over."""
    data = write_identities(tmp_path / "photos")
    recipe = with_flags(Recipe(), data=str(data), **PICTURES, holdout=0.0)
    out = tmp_path / "run"
    for last in ("write_report", "save_model"):
        with monkeypatch.context() as patch:
            patch.setattr(train_run, last, lambda *_, **__: cut())
            with pytest.raises(PowerCutError):
                train(recipe, out=out, resume=True)
        assert not (out / "model").exists()
    run = train(recipe, out=out, resume=True)
    assert [row["number"] for row in read_metrics(out)] == list(range(1, len(run.updates) + 1))
    assert (out / "model").exists()


def cut() -> None:
    raise PowerCutError
