"""Several processes, one batch: the same result as one process, one of them writes, and none waits for a dead one."""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from pictures import write_identities
from processes import Nursery
from safetensors.torch import load_file
from torch import Tensor

from firstsight.training import ranks

pytestmark = pytest.mark.ranks

TWENTY: dict[str, Any] = {"optimizer": "momentum", "schedule": "constant", "learning_rate": 0.01, "epochs": 7}
"""Three updates an epoch of pictures: 21."""


def trained(
    children: Nursery, folder: Path, processes: int, more: dict[str, Any] | None = None, **flags: Any
) -> list[dict[str, Tensor]]:
    """What each rank ends with."""
    folder.mkdir(exist_ok=True)
    (folder / "meet").unlink(missing_ok=True)
    codes = children.run("train_as_rank", processes=processes, folder=str(folder), flags=flags, **more or {})
    assert codes == [0] * processes
    return [load_file(folder / f"rank{rank}.safetensors") for rank in range(processes)]


def require_the_same(found: dict[str, Tensor], expected: dict[str, Tensor], *, within: float) -> None:
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=0, atol=within)


@pytest.mark.parametrize(
    "flags",
    [
        {**TWENTY, "norm": "group"},
        {**TWENTY, "norm": "group", "select": "semihard", "orientations": 4, "epochs": 2},
        {**TWENTY, "norm": "group", "chunk_size": 2},
        {"task": "regression", **TWENTY, "epochs": 4},
        {"task": "regression", **TWENTY, "batch_size": "all", "epochs": 20},
        {"task": "classification", "loss": "cross-entropy", **TWENTY, "epochs": 4},
    ],
    ids=["triplets", "semihard, turned", "triplets, chunks", "quadratic", "full batch", "cross-entropy"],
)
def test_two_ranks_end_where_one_does(children: Nursery, tmp_path: Path, flags: dict[str, Any]) -> None:
    """The same global batches, augmentation included: the same weights after 20 updates, within 1e-5. Shares are
    uneven: 9 pictures are 4 and 5; 7 rows are 3 and 4, and the last batch has 3."""
    (one,) = trained(children, tmp_path / "one", 1, **flags)
    two = trained(children, tmp_path / "two", 2, **flags)
    assert len(one["losses"]) >= 20
    require_the_same(two[0], one, within=1e-5)
    require_the_same(two[1], two[0], within=0)
    assert sorted(path.name for path in (tmp_path / "two").glob("checkpoint*")) == ["checkpoint0"], "rank 0 writes"


@pytest.mark.parametrize(
    ("flags", "changed"),
    [({"norm": "group"}, {"augment": 0.9}), ({"task": "regression"}, {"batch_size": 8})],
    ids=["triplets", "quadratic"],
)
def test_what_differs_is_rounding(
    children: Nursery, tmp_path: Path, flags: dict[str, Any], changed: dict[str, Any]
) -> None:
    """In float64 the difference is a million times smaller, at a rate five times as high; other pictures make one."""
    flags = {**TWENTY, "learning_rate": 0.05, "double": True, **flags}
    (one,) = trained(children, tmp_path / "one", 1, **flags)
    two = trained(children, tmp_path / "two", 2, **flags)
    (other,) = trained(children, tmp_path / "other", 1, **flags | changed)
    require_the_same(two[0], one, within=1e-11)
    assert any((other[name] - weight).abs().max() > 1e-3 for name, weight in one.items() if name != "losses")


def test_a_rank_may_have_no_share_of_a_short_batch(children: Nursery, tmp_path: Path) -> None:
    """31 rows in batches of 10 leave one row; three ranks share it."""
    flags: dict[str, Any] = {"task": "regression", **TWENTY, "batch_size": 10, "epochs": 5}
    (one,) = trained(children, tmp_path / "one", 1, **flags)
    require_the_same(trained(children, tmp_path / "three", 3, **flags)[0], one, within=1e-5)


def test_batch_normalization_depends_on_the_number_of_ranks(children: Nursery, tmp_path: Path) -> None:
    """As ranks.py says, in as many words: each share is normalized by itself; the ranks still agree on the weights."""
    (one,) = trained(children, tmp_path / "one", 1, **TWENTY)
    two = trained(children, tmp_path / "two", 2, **TWENTY)
    apart = False
    for name, weight in one.items():
        apart |= bool((two[0][name] - weight).abs().max() > 1e-3)
        assert torch.equal(two[0][name], two[1][name]) != ("running" in name), name
    assert apart


def test_ranks_that_see_different_checkpoints_are_refused(children: Nursery, tmp_path: Path) -> None:
    """Machines without a shared disk: rank 0 would go on, and rank 1 start anew."""
    flags = {"task": "regression", "epochs": 2}
    for _ in range(2):
        trained(children, tmp_path / "run", 2, **flags)
    said = "Ranks go on from different updates: [10, 0]. Put the run folder on a disk that all machines share."
    assert [(tmp_path / "run" / f"told{rank}").read_text() for rank in range(2)] == [said, said]


def test_ranks_stop_early_by_what_rank_0_measures(children: Nursery, tmp_path: Path) -> None:
    """With batch normalization each measures something else; were each to decide for itself, one would wait in vain."""
    figures = [[0.5, 0.6, 0.4, 0.3], [0.9, 0.8, 0.7, 0.6]]
    flags = {"task": "regression", "epochs": 9, "patience": 2}
    both = trained(children, tmp_path / "run", 2, {"figures": figures}, **flags)
    assert [len(rank["losses"]) for rank in both] == [20, 20], "five updates an epoch"


def test_a_signal_to_one_rank_stops_all_at_the_same_update(children: Nursery, tmp_path: Path) -> None:
    flags: dict[str, Any] = {"task": "regression", "checkpoint_every": 100}
    (one,) = trained(children, tmp_path / "one", 1, **flags)
    stopped = trained(children, tmp_path / "run", 2, {"signaled": 4}, **flags)
    assert [len(rank["losses"]) for rank in stopped] == [4, 4]
    said = f"Go on with: torchrun … -m firstsight train --resume --out {tmp_path}/run"
    assert [(tmp_path / "run" / f"told{rank}").read_text() for rank in range(2)] == [said, said]
    (tmp_path / "run" / "checkpoint1").symlink_to(tmp_path / "run" / "checkpoint0")
    resumed = trained(children, tmp_path / "run", 2, **flags)
    assert [len(rank["losses"]) for rank in resumed] == [11, 11]
    for name, weight in one.items():
        if name != "losses":
            torch.testing.assert_close(resumed[0][name], weight, rtol=0, atol=1e-5)


def test_ranks_are_known_by_what_torchrun_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stray RANK, as some schedulers leave one, must not make a lone process silent."""
    monkeypatch.setenv("RANK", "3")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert (ranks.rank(), ranks.rank_count(), ranks.own_share(7)) == (0, 1, slice(0, 7))
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert ranks.rank() == 3


SMALL = (
    "--height", "16", "--width", "16", "--channels", "4", "8", "--norm", "group", "--embedding-size", "8",
    "--identities", "4", "--pictures", "3", "--optimizer", "momentum", "--learning-rate", "0.01", "--holdout", "0.25",
    "--precision", "fp32",
)  # fmt: skip
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", **more}


def torchrun(*words: Any, number: signal.Signals | None = None) -> "subprocess.CompletedProcess[str]":
    """`torchrun --nproc-per-node 2 -m firstsight train ...`; with a signal for torchrun once the training goes on."""
    command = [*TORCHRUN, "-m", "firstsight", "train", *map(str, words)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stderr is not None
        said = ""
        while number is not None and "Training: " not in said:
            said = process.stderr.readline()
            assert said, "it is at work"
        if number is not None:
            process.send_signal(number)
        out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(command, process.returncode, out, said + err)


def test_the_verb_under_torchrun(tmp_path: Path) -> None:
    """The same model as without, written and told once; stopped and resumed on the way."""
    data = write_identities(tmp_path / "photos", identities=8, each=6)
    alone = (sys.executable, "-m", "firstsight", "train")
    common = ("--data", str(data), *SMALL, "--epochs", "60")
    one = subprocess.Popen(
        [*alone, *common, "--out", str(tmp_path / "one")],
        stderr=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=environment(),
    )  # fmt: skip
    with one:
        stopped = torchrun(*common, "--out", tmp_path / "two", number=signal.SIGTERM)
        assert stopped.returncode != 0
        assert "Go on with: torchrun … -m firstsight train --resume --out" in stopped.stderr
        assert (tmp_path / "two" / "checkpoint" / "state.safetensors").exists()
        assert not (tmp_path / "two" / "model").exists(), "it was stopped in mid-work"
        done = torchrun("--out", tmp_path / "two", "--resume")
        told, _ = one.communicate()
    assert (done.returncode, one.returncode) == (0, 0), done.stderr
    assert done.stdout.count("report: ") == told.count("report: ") == 1
    assert done.stderr.count("Training: 180/180") == 1
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == sorted(
        path.name for path in (tmp_path / "one").iterdir()
    )
    weights = [load_file(tmp_path / run / "model" / "model.safetensors") for run in ("one", "two")]
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, rtol=0, atol=1e-4)
    rows = [json.loads(line) for line in (tmp_path / "two" / "metrics.jsonl").read_text().splitlines()]
    assert [row["number"] for row in rows] == list(range(1, 181))
    assert {row["examples"] for row in rows} == {12}
    assert rows[-1]["resumed_from"] > 0


def test_a_rank_that_dies_ends_the_others(tmp_path: Path) -> None:
    """Without torchrun, which would end them anyhow: rank 0 notices by itself, says so, and leaves its checkpoint."""
    data = write_identities(tmp_path / "photos", identities=8, each=6)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    words = ("--data", str(data), *SMALL, "--epochs", "400", "--checkpoint-every", "1", "--out", str(tmp_path / "run"))
    meeting = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    command = [sys.executable, "-m", "firstsight", "train", *words]
    processes = [
        subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment(**meeting, RANK=rank)
        )
        for rank in ("0", "1")
    ]
    with processes[0], processes[1]:
        assert processes[0].stderr is not None
        told = (line for line in processes[0].stderr if line.startswith("Training: "))
        assert len(list(itertools.islice(told, 2))) == 2, "it is at work, and has checkpoints"
        processes[1].kill()
        _, said = processes[0].communicate(timeout=60)
        _, silence = processes[1].communicate()
    assert processes[0].returncode == 1
    assert said.endswith(
        "Rank 0 stops, since another rank died.\nLook above for its message, then repeat the command with --resume.\n"
    )
    assert silence == "", "only rank 0 speaks"
    assert [path.name for path in (tmp_path / "run" / "checkpoint").iterdir()] == ["state.safetensors"]
