"""A stream never loses its place: whatever kills it, nothing is skipped, and nothing is learned twice."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from processes import Nursery
from small_streams import ARRIVALS, STREAM, small_stream

from firstsight.config import Data, Learner, Recipe
from firstsight.data.streams import Arrival, PairSource
from firstsight.errors import ModelError, UserError
from firstsight.models.folder import load_model
from firstsight.recipes import with_flags
from firstsight.training.place import FILE, GrowingFile, load_place
from firstsight.workflows import stream_place
from firstsight.workflows.stream import stream
from firstsight.workflows.stream_place import StreamRun
from firstsight.workflows.train_run import train


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> StreamRun:
    """The run that nothing interrupted."""
    return stream(small_stream(), STREAM, out=tmp_path_factory.mktemp("whole") / "run")


def assert_same(run: Path, expected: Path) -> None:
    """Bit for bit: the offset, all that was learned, the figures, what was refused, and the model."""
    for name in (
        f"checkpoint/{FILE}", "model/model.safetensors", "model/config.json", "metrics.jsonl", "dead-letter.jsonl"
    ):  # fmt: skip
        assert (run / name).read_bytes() == (expected / name).read_bytes(), name


# moments of the first run: within the first steps, at the first checkpoint, right after it, and far from any
@pytest.mark.parametrize("kill_at", [50, 104, 107, 112, 120, 160, 300])
def test_after_a_kill_it_ends_bit_for_bit_where_it_would_have(
    whole: StreamRun, children: Nursery, tmp_path: Path, kill_at: int
) -> None:
    assert whole.folder is not None
    run = tmp_path / "run"
    assert children.run("stream_until_killed", folder=str(run), kill_at=kill_at) == [-signal.SIGKILL]
    assert not (run / "report.json").exists(), "the kill must come in mid-work"
    begun = (run / "checkpoint" / FILE).exists()
    if begun:
        assert 0 < load_place(run / "checkpoint")[0]["session"]["arrivals"] < ARRIVALS
    resumed = stream(small_stream(), None if begun else STREAM, out=run, resume=begun)
    assert_same(run, whole.folder)
    assert resumed.figures["rows"] == whole.figures["rows"]


def test_killed_again_and_again_it_still_gets_there(whole: StreamRun, children: Nursery, tmp_path: Path) -> None:
    """Each try dies somewhat later, some of them before they get beyond the checkpoint they began from."""
    assert whole.folder is not None
    run, codes = tmp_path / "run", []
    for kill_at in (130, 3, 150, 90, 10_000):
        codes += children.run("stream_until_killed", folder=str(run), kill_at=kill_at)
    assert codes[0] == codes[1] == codes[2] == -signal.SIGKILL
    assert codes[-1] == 0
    assert_same(run, whole.folder)


class Interrupted(Exception):
    """Stands for a kill: nothing is written when it comes."""


@pytest.mark.parametrize("drift", ["ignore", "restart"])
@pytest.mark.parametrize("cut", [3, 61, 158, 203])
def test_where_nothing_comes_it_is_saved_in_the_middle_of_a_step(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cut: int, drift: Any
) -> None:
    """Each arrival after a pause, so each is in a checkpoint at once; the outcome is that of a run without a pause."""
    if drift != "ignore":
        pytest.importorskip("river")
    recipe = with_flags(STREAM, drift=drift)
    expected = stream(small_stream(), recipe, out=tmp_path / "whole")
    monkeypatch.setattr(stream_place, "IDLE", -1.0)

    class Slow:
        name = "slow"

        def arrivals(self, after: Any) -> Iterator[Arrival | None]:
            for arrival in PairSource(small_stream(), id="id").arrivals(after):
                if cut < arrival.offset < cut + 5:
                    yield None
                yield arrival
                if arrival.offset == cut + 5 and not after:
                    raise Interrupted

    run = tmp_path / "run"
    with pytest.raises(Interrupted):
        stream(Slow(), recipe, out=run)
    header, _ = load_place(run / "checkpoint")
    assert header["session"]["arrivals"] == cut + 3
    resumed = stream(Slow(), out=run, resume=True)
    assert resumed.figures["drifts"] == expected.figures["drifts"]
    assert_same(run, tmp_path / "whole")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_checkpoint_model_and_report(
    whole: StreamRun, tmp_path: Path, number: signal.Signals
) -> None:
    run = tmp_path / "run"

    def signaled() -> Any:
        for place, pair in enumerate(small_stream()):
            if place == 205:
                os.kill(os.getpid(), number)
            yield pair

    stopped = stream(signaled(), STREAM, out=run)
    assert stopped.stopped
    assert stopped.figures["arrivals"] == 206, "what had come is learned, and nothing more is asked for"
    assert load_model(run).identity == stopped.model.identity if stopped.model else False
    assert json.loads((run / "report.json").read_text("utf-8"))["arrivals"] == 206
    resumed = stream(small_stream(), out=run, resume=True)
    assert not resumed.stopped
    assert (resumed.figures["arrivals"], resumed.figures["rows"]) == (ARRIVALS, whole.figures["rows"])


def test_a_finished_stream_goes_on_when_more_has_come(tmp_path: Path) -> None:
    pairs = list(small_stream())
    stream(pairs[:208], STREAM, out=tmp_path / "run")
    stream(pairs, out=tmp_path / "run", resume=True)
    assert len((tmp_path / "run" / "dead-letter.jsonl").read_bytes().splitlines()) == 6
    with pytest.raises(UserError, match=r"run holds a stream already\. Go on with: firstsight stream --resume --out"):
        stream(pairs, STREAM, out=tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "model")
    with pytest.raises(UserError, match=r"run holds a run, which would be replaced"):
        train(Recipe(data=Data(path="photos")), out=tmp_path / "run")


def test_what_cannot_be_gone_on_with_is_refused(whole: StreamRun, tmp_path: Path) -> None:
    assert whole.folder is not None
    with pytest.raises(UserError, match=r"There is no stream in .*nowhere to go on with"):
        stream([], out=tmp_path / "nowhere", resume=True)
    other = type(STREAM)(stream=STREAM.stream, learner=Learner(hidden=9))
    with pytest.raises(UserError, match=r"was begun with another recipe\. Go on with its own: firstsight stream --res"):
        stream(small_stream(), other, out=whole.folder, resume=True)
    run = tmp_path / "run"
    stream(list(small_stream())[:120], STREAM, out=run)
    (run / "dead-letter.jsonl").write_text("")
    with pytest.raises(ModelError, match=r"dead-letter\.jsonl has lost lines that the checkpoint has"):
        stream(small_stream(), out=run, resume=True)
    (run / "checkpoint" / FILE).write_bytes(b"{")
    with pytest.raises(ModelError, match=r"stream\.safetensors is missing or damaged"):
        stream(small_stream(), out=run, resume=True)


def test_lines_that_a_kill_left_behind_are_not_counted(tmp_path: Path) -> None:
    """Of what is cut off nothing is in the next checkpoint, though nothing was written since."""
    path = tmp_path / "dead-letter.jsonl"
    path.write_bytes(b"{}\n" * 100)
    with closing(GrowingFile(path, 6)) as file:
        assert file.settle() == path.stat().st_size == 6
    with closing(GrowingFile(path, 6)) as file:
        file.add({})
        assert file.settle() == path.stat().st_size == 9
