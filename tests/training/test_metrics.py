"""metrics.jsonl: each update once, whole lines, never behind the checkpoint."""

import json
from pathlib import Path

import pytest

from firstsight.errors import ModelError
from firstsight.training.checkpoint import Place
from firstsight.training.loop import Update
from firstsight.training.metrics import SECONDS, Metrics, metrics_file


def update(number: int, *, seconds: float = 0.001) -> Update:
    return Update(
        number=number, epoch=1, progress=number / 10, learning_rate=0.1, loss=1 / number, examples=4, seconds=seconds,
        figures={"spread": 0.5},
    )  # fmt: skip


def written(path: Path, count: int) -> None:
    with metrics_file(path) as metrics:
        metrics.start(Place())
        for number in range(1, count + 1):
            metrics.add(update(number))


def numbers(path: Path) -> list[int]:
    return [json.loads(line)["number"] for line in path.read_text().splitlines()]


def test_a_line_an_update_with_its_figures(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    written(path, 3)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert rows[1] == {
        "number": 2, "epoch": 1, "progress": 0.2, "learning_rate": 0.1, "loss": 0.5, "examples": 4, "seconds": 0.001,
        "spread": 0.5,
    }  # fmt: skip
    assert numbers(path) == [1, 2, 3]


def test_lines_are_on_the_disk_before_a_checkpoint_is(tmp_path: Path) -> None:
    """Quick updates wait for each other; `flush`, which comes before a checkpoint, waits for none."""
    path = tmp_path / "metrics.jsonl"
    with metrics_file(path) as metrics:
        metrics.start(Place())
        for number in (1, 2, 3):
            metrics.add(update(number))
        assert numbers(path) == []
        metrics.flush()
        assert numbers(path) == [1, 2, 3]
        metrics.add(update(4, seconds=SECONDS * 2))
        assert numbers(path) == [1, 2, 3, 4], "who watches a slow run sees each update"


def test_lines_are_complete_however_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"

    def interrupted() -> None:
        with metrics_file(path) as metrics:
            metrics.start(Place())
            metrics.add(update(1))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert numbers(path) == [1]


@pytest.mark.parametrize("torn", ['{"number": 6, "epo', "\n", "", "\x00\x00\x00"])
def test_what_the_checkpoint_does_not_know_is_made_again(tmp_path: Path, torn: str) -> None:
    """A kill tears the last line, and the updates after the checkpoint come again."""
    path = tmp_path / "metrics.jsonl"
    written(path, 5)
    with path.open("a") as file:
        file.write(torn)
    with metrics_file(path) as metrics:
        metrics.start(Place(number=3))
        assert [row["number"] for row in metrics.rows] == [1, 2, 3]
        metrics.add(update(4))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(row["number"], row.get("resumed_from")) for row in rows] == [(1, None), (2, None), (3, None), (4, 3)]
    assert metrics.rows == rows


@pytest.mark.parametrize(
    "lose",
    [
        lambda path: path.unlink(),
        lambda path: path.write_text("".join(path.read_text().splitlines(keepends=True)[:2])),
        lambda path: path.write_text("".join(path.read_text().splitlines(keepends=True)[1:])),
        lambda path: path.write_text(path.read_text().replace('"number": 2', '"number": 2 2')),
        lambda path: path.write_text("[]\n" * 5),
    ],
    ids=["removed", "cut short", "first line gone", "not JSON", "not ours"],
)
def test_lost_updates_are_said(tmp_path: Path, lose: object) -> None:
    path = tmp_path / "metrics.jsonl"
    written(path, 5)
    assert callable(lose)
    lose(path)
    with pytest.raises(
        ModelError, match=r"metrics.jsonl has lost updates that the checkpoint .* Put it back as it was"
    ):
        Metrics(path, write=True).start(Place(number=4))


def test_another_rank_reads_and_does_not_write(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    written(path, 3)
    before = path.read_bytes()
    with metrics_file(path, write=False) as metrics:
        metrics.start(Place(number=2))
        metrics.add(update(3))
    assert [row["number"] for row in metrics.rows] == [1, 2, 3]
    assert path.read_bytes() == before
