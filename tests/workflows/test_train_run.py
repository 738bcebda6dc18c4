"""From identity folders to a run folder: what it holds, that it learns, and what is refused before any work."""

import copy
import errno
import json
import os
import signal
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from pictures import draw_identity, draw_symbol, write_identities
from torch import nn

from firstsight.config import Recipe
from firstsight.data.filling import FolderSource
from firstsight.errors import DataError, FirstsightError, RecipeError, StorageError, UserError
from firstsight.models.folder import load_model
from firstsight.recipes import read_recipe, with_flags
from firstsight.recognition.embed import embed_pictures
from firstsight.training.loop import Stopped
from firstsight.workflows import train_run
from firstsight.workflows.models import list_models
from firstsight.workflows.predict import predict, write_csv
from firstsight.workflows.stream import stream
from firstsight.workflows.train_run import Run, train

SMALL: dict[str, Any] = {
    "height": 16, "width": 16, "channels": (8, 16), "embedding_size": 16, "identities": 4, "pictures": 3, "epochs": 6,
}  # fmt: skip


CLASSES: dict[str, Any] = {"height": 16, "width": 16, "channels": (8,), "epochs": 1}


def small_run(data: Path, out: Path, **flags: Any) -> Run:
    return train(with_flags(Recipe(), data=str(data), **SMALL | flags), out=out)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_identities(tmp_path / "photos")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that no test changes, on pictures at photos beside it."""
    folder = tmp_path_factory.mktemp("runs")
    return small_run(write_identities(folder / "photos"), folder / "mine")


def test_a_run_leaves_all_that_repeats_and_explains_it(photos: Path, tmp_path: Path) -> None:
    stages: set[str] = set()
    recipe = with_flags(Recipe(), data=str(photos), **SMALL)
    run = train(recipe, out=tmp_path / "run", on_progress=lambda stage, *_: stages.add(stage))
    assert sorted(path.name for path in run.folder.iterdir()) == [
        "checkpoint", "metrics.jsonl", "model", "recipe.toml", "report.html", "report.json",
    ]  # fmt: skip
    resolved = read_recipe(run.folder / "recipe.toml")
    assert resolved.preprocessing.color == "gray"
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["number"] for line in lines] == list(range(1, len(run.updates) + 1))
    report = json.loads((run.folder / "report.json").read_text())
    assert run.evaluation is not None
    assert report["accuracy"] == run.evaluation.one_shot.accuracy
    assert report["pixel_accuracy"] == run.evaluation.pixels.accuracy
    assert report["updates"] == len(lines)
    assert stages >= {"Reading pictures", "Training"}
    again = train(run.folder / "recipe.toml", out=tmp_path / "again")
    assert again.model.identity == run.model.identity, "its recipe repeats it bit for bit"


@pytest.fixture
def symbols(tmp_path: Path) -> Path:
    """Eight drawn symbols, three drawings of each."""
    for symbol in range(8):
        (tmp_path / "symbols" / f"s{symbol}").mkdir(parents=True)
        for drawing in range(3):
            drawn = draw_symbol(symbol, pen=5.0 + drawing, size=60)
            drawn.save(tmp_path / "symbols" / f"s{symbol}" / f"{drawing}.png")
    return tmp_path / "symbols"


def test_composed_symbols_are_learned_from(symbols: Path, tmp_path: Path) -> None:
    plain = small_run(symbols, tmp_path / "plain", fit="ink", epochs=1)
    run = small_run(symbols, tmp_path / "run", fit="ink", epochs=1, composed=6)
    assert run.model.config.trained["identities"] == plain.model.config.trained["identities"] == 6
    assert run.model.config.trained["composed"] == 6
    assert (len(plain.updates), len(run.updates)) == (2, 3), "batches of four of six identities, and of four of twelve"
    again = train(run.folder / "recipe.toml", out=tmp_path / "again")
    assert again.model.identity == run.model.identity, "its recipe repeats it bit for bit"
    tuned = train(with_flags(Recipe(), data=str(symbols), start_from=str(run.folder), epochs=2, composed=6,
                             identities=4, pictures=3), out=tmp_path / "tuned")  # fmt: skip
    assert tuned.updates, "the model to begin with says how symbols are prepared"


def test_a_resumed_run_goes_on_with_the_composed_symbols_of_its_epoch(symbols: Path, tmp_path: Path) -> None:
    """Of fifteen, an epoch learns from six."""
    recipe = with_flags(Recipe(), data=str(symbols), **SMALL | {"fit": "ink", "epochs": 3, "composed": 15})
    peer = train(recipe, out=tmp_path / "peer")

    def interrupt_in_epoch_two(stage: str, done: int, *_: Any) -> None:
        if (stage, done) == ("Training", len(peer.updates) // 3 + 1):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Stopped):
        train(recipe, out=tmp_path / "run", on_progress=interrupt_in_epoch_two)
    resumed = train(recipe, out=tmp_path / "run", resume=True)
    assert resumed.model.identity == peer.model.identity


def test_photos_are_not_composed(photos: Path, tmp_path: Path) -> None:
    for data in (photos, tmp_path / "not read yet"):
        with pytest.raises(RecipeError, match=r"Only drawn symbols can be composed.* Add --fit ink, or leave --comp"):
            small_run(data, tmp_path / "run", composed=4)


def test_what_was_held_out_was_not_learned_from(photos: Path, tmp_path: Path) -> None:
    run = small_run(photos, tmp_path / "run", holdout=0.25)
    assert run.evaluation is not None
    assert len(run.evaluation.pictures.names) == 2
    assert run.model.config.trained["identities"] == 6
    assert run.model.config.operating_point == run.evaluation.operating_point


def test_the_model_is_ready_to_embed(ran: Run) -> None:
    picture = ran.folder.with_name("photos") / "p0" / "0.png"
    x_BD = embed_pictures(load_model(ran.folder), [picture])
    assert torch.equal(x_BD, embed_pictures(ran.model, [picture]))
    torch.testing.assert_close(x_BD.norm(dim=1), torch.ones(1))


def test_held_out_identities_of_their_own(photos: Path, tmp_path: Path) -> None:
    val = write_identities(tmp_path / "val", identities=3, first=20)
    run = small_run(photos, tmp_path / "run", val=str(val))
    assert run.evaluation is not None
    assert run.evaluation.pictures.names == ("p20", "p21", "p22")
    assert run.model.config.trained["identities"] == 8


def test_nothing_held_out(photos: Path, tmp_path: Path) -> None:
    run = small_run(photos, tmp_path / "run", holdout=0.0)
    assert run.evaluation is None
    assert run.model.config.operating_point is None
    assert "Nothing was held out to measure on" in (run.folder / "report.html").read_text()


def test_a_zip_and_a_manifest_give_the_same_model_as_the_folder(photos: Path, tmp_path: Path) -> None:
    packed = tmp_path / "photos.zip"
    manifest = tmp_path / "photos.csv"
    paths = sorted(photos.glob("*/*.png"))
    with zipfile.ZipFile(packed, "w") as file:
        for path in paths:
            file.write(path, path.relative_to(photos))
    manifest.write_text("path,label\n" + "".join(f"{path},{path.parent.name}\n" for path in paths))
    identities = {
        small_run(data, tmp_path / f"run{i}", holdout=0.0).model.identity
        for i, data in enumerate((photos, packed, manifest))
    }
    assert len(identities) == 1


def test_a_network_of_ones_own(photos: Path, tmp_path: Path) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(256, 12))
    run = train(with_flags(Recipe(), data=str(photos), **SMALL), out=tmp_path / "run", network=network)
    again = nn.Sequential(nn.Flatten(), nn.Linear(256, 12))
    loaded = load_model(tmp_path / "run", network=again)
    assert torch.equal(
        embed_pictures(loaded, [photos / "p0" / "0.png"]), embed_pictures(run.model, [photos / "p0" / "0.png"])
    )
    assert loaded.config.network.embedding_size == 12
    assert read_recipe(run.folder / "recipe.toml").network.name == "custom"
    with pytest.raises(UserError, match=r"The network gives \(2, 4, 16, 16\)"):
        train(
            with_flags(Recipe(), data=str(photos), **SMALL | {"color": "gray"}),
            out=tmp_path / "other",
            network=nn.Conv2d(1, 4, 3, padding=1),
        )


@pytest.mark.parametrize("task", ["embedding", "classification"])
def test_a_run_of_a_network_of_ones_own_is_repeated_by_its_recipe(photos: Path, tmp_path: Path, task: str) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(256, 8))
    flags = {"task": task, "height": 16, "width": 16, "epochs": 2, "holdout": 0.0}
    first, second = copy.deepcopy(network), copy.deepcopy(network)
    run = train(with_flags(Recipe(), data=str(photos), **flags), out=tmp_path / "run", network=first)
    again = train(run.folder / "recipe.toml", out=tmp_path / "again", network=second)
    assert again.recipe == run.recipe
    assert again.model.identity == run.model.identity


def test_an_unreadable_picture_is_left_out_and_said(photos: Path, tmp_path: Path) -> None:
    (photos / "p1" / "9.jpg").write_text("not a picture")
    run = small_run(photos, tmp_path / "run")
    assert run.model.config.trained["unreadable"] + len(run.evaluation.skipped if run.evaluation else ()) == 1


def test_runs_are_listed(ran: Run) -> None:
    entry, *shipped = list_models(ran.folder.parent)
    assert entry["name"] == str(ran.folder)
    assert (entry["model_identity"], entry["input"], entry["enrolled"]) == (ran.model.identity, "16x16 gray", 0)
    assert [model["name"] for model in shipped] == ["faces", "glyphs"]


def lonely(folder: Path) -> Path:
    """Four identities, a picture each."""
    return write_identities(folder, identities=4, each=1)


def one_only(folder: Path) -> Path:
    return write_identities(folder, identities=1, each=9)


def empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("make", "flags", "said"),
    [
        (empty, {}, "holds no pictures"),
        (one_only, {}, "has only 1 identity"),
        (one_only, {"holdout": 0.0}, "has only 1 identity, and 2 are needed"),
        (lonely, {"holdout": 0.0}, "has 0 identities with 2 pictures or more, and 1 is needed"),
        (lonely, {}, "with 2 pictures or more"),
    ],
)
def test_data_that_nothing_can_be_learned_from(tmp_path: Path, make: Any, flags: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        small_run(make(tmp_path / "photos"), tmp_path / "run", **flags)
    assert not (tmp_path / "run").exists(), "nothing half-written stays behind"


def test_no_data_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No data were named to learn from. Add --data PICTURES"):
        train(Recipe(), out=tmp_path / "run")


def test_a_run_is_never_overwritten(ran: Run) -> None:
    with pytest.raises(UserError, match="mine holds a run already. Name another --out"):
        small_run(ran.folder.with_name("photos"), ran.folder)
    assert load_model(ran.folder).identity == ran.model.identity
    with pytest.raises(UserError, match=r"mine holds a run, which would be replaced\. Name another --out"):
        stream([([1.0], "a")], out=ran.folder)
    assert load_model(ran.folder).identity == ran.model.identity
    assert read_recipe(ran.folder / "recipe.toml") == ran.recipe


def test_names_that_are_not_utf8_are_learned_and_written(photos: Path, tmp_path: Path) -> None:
    """As a zip packed elsewhere leaves them. They are told apart."""
    for old, new in (("p0", b"caf\xe9"), ("p1", b"caf\xe8")):
        os.rename(os.fsencode(photos / old), os.fsencode(photos) + b"/" + new)
    run = train(with_flags(Recipe(), data=str(photos), task="classification", **CLASSES), out=tmp_path / "run")
    again = load_model(tmp_path / "run")
    assert again.config.outputs == run.model.config.outputs
    assert {r"caf\xe8", r"caf\xe9"} < set(again.config.outputs)
    write_csv(predict(again, str(photos)), tmp_path / "said.csv")
    assert "caf\\udce9" in (tmp_path / "said.csv").read_text("utf-8")
    records = [arrival.record for arrival in FolderSource(photos).arrivals(None) if arrival]
    assert {record["label"] for record in records if isinstance(record, dict)} == set(again.config.outputs)


def test_a_recipe_of_the_user_is_never_overwritten(photos: Path, tmp_path: Path) -> None:
    mine = tmp_path / "recipe.toml"
    mine.write_text(f"# mine\n[data]\npath = '{photos}'\n")
    for begin in (lambda: train(mine, out=tmp_path), lambda: stream([([1.0], "a")], out=tmp_path)):
        with pytest.raises(UserError, match=r"recipe\.toml is not of a run, and would be replaced"):
            begin()
    assert mine.read_text().startswith("# mine")


@pytest.mark.parametrize(("task", "verb"), [("embedding", "evaluate"), ("classification", "predict")])
def test_a_finished_run_is_not_gone_on_with(photos: Path, tmp_path: Path, task: str, verb: str) -> None:
    (tmp_path / "run" / "model").mkdir(parents=True)
    said = rf"run is finished. Use it: firstsight {verb} --model .*run --data DATA; or name another --out.$"
    with pytest.raises(UserError, match=said):
        train(with_flags(Recipe(), data=str(photos), task=task), out=tmp_path / "run", resume=True)


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("last", ["prepare", "_fit"])
def test_who_interrupts_before_the_first_checkpoint_reads_that_nothing_was_saved(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    """While the data are read, and when the folder is there; one that the user made stays."""
    monkeypatch.setattr(train_run, last, interrupt)
    (tmp_path / "made").mkdir()
    for name, left in (("run", False), ("made", True)):
        with pytest.raises(KeyboardInterrupt, match=r"^Nothing was saved yet\.$"):
            small_run(photos, tmp_path / name)
        assert (tmp_path / name).exists() == left


def test_who_interrupts_after_a_checkpoint_reads_how_to_go_on(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_run, "_finish", interrupt)
    with pytest.raises(KeyboardInterrupt, match="^Go on with: firstsight train --resume --out .*run$"):
        small_run(photos, tmp_path / "run", epochs=1)


def test_a_read_only_place(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)  # root, who runs many tests, may write wherever modes forbid it
    with pytest.raises(StorageError, match="run cannot be written: Read-only file system. Free space or name another"):
        small_run(photos, tmp_path / "run")


def test_a_place_that_is_a_file(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FirstsightError, match="cannot be written: Not a directory. Free space or name another --out"):
        small_run(photos, tmp_path / "file" / "run")


def test_identities_are_known_from_one_picture(tmp_path: Path) -> None:
    """The whole road: what was never trained on is recognized better than chance by far."""
    photos = write_identities(tmp_path / "photos", identities=16, each=6)
    run = small_run(photos, tmp_path / "run", holdout=0.5, epochs=12)
    assert run.evaluation is not None
    assert run.evaluation.one_shot.accuracy > 0.9
    assert draw_identity(0, 0).tobytes() != draw_identity(0, 1).tobytes()


def test_a_network_of_facenet_takes_the_size_it_was_designed_for(photos: Path, tmp_path: Path) -> None:
    recipe = with_flags(Recipe(), data=str(photos), network="nns2", identities=2, pictures=2, epochs=1, holdout=0.0)
    run = train(recipe, out=tmp_path / "run")
    assert run.model.config.input_shape == (1, 140, 116)
    assert read_recipe(run.folder / "recipe.toml").preprocessing.height == 140
    assert embed_pictures(load_model(run.folder), [photos / "p0" / "0.png"]).shape == (1, 128)
