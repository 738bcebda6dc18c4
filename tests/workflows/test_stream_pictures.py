"""A folder of identity pictures as a stream: embeddings are learned from, and the model left takes pictures."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from pictures import draw_identity, write_identities

from firstsight.config import Learner, Network, Preprocessing, Stream, StreamRecipe
from firstsight.data.sources import open_source
from firstsight.errors import DataError, ModelError, RecipeError
from firstsight.model_config import ModelConfig
from firstsight.models.folder import load_model, make_model, save_model
from firstsight.models.registry import build_network
from firstsight.recipes import with_flags
from firstsight.workflows.predict import NewestModel, predict, predict_arrivals
from firstsight.workflows.stream import stream

SMALL = StreamRecipe(stream=Stream(every=4, checkpoint_every=20), learner=Learner(hidden=8))


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An untrained network: patterns of large squares are far apart for it, and the noise is not."""
    config = ModelConfig(
        network=Network(channels=(8, 16), embedding_size=16),
        preprocessing=Preprocessing(height=16, width=16, color="gray"),
    )
    folder = tmp_path_factory.mktemp("embedder") / "model"
    save_model(make_model(build_network(config), config, name="tiny"), folder)
    return str(folder)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Four identities, ten pictures of each, one after the other."""
    folder = write_identities(tmp_path / "photos", identities=4, each=10)
    for place, path in enumerate(sorted(folder.glob("*/*.png"), key=lambda path: path.name)):
        os.utime(path, (place, place))
    return folder


def recipe(embedder: str, **flags: Any) -> StreamRecipe:
    return with_flags(SMALL, model=embedder, **flags)


def test_identities_are_learned_as_they_come(embedder: str, photos: Path, tmp_path: Path) -> None:
    draw_identity(9, 9).save(photos / "loose.png")
    (photos / "p0" / "broken.png").write_bytes(b"P5 nothing")
    run = stream(str(photos), recipe(embedder), out=tmp_path / "run")
    assert (run.figures["rows"], run.figures["refused"]) == (40, 2)
    assert run.figures["accuracy"] > 0.6, "four of the forty cannot be known"
    reasons = [json.loads(line)["reason"] for line in (tmp_path / "run" / "dead-letter.jsonl").read_text().splitlines()]
    assert reasons[0] == "It lies in no folder that names an identity."
    assert reasons[1].startswith("It cannot be used: ")
    said = predict(load_model(tmp_path / "run"), str(photos / "p2"))
    assert said.classes.count("p2") >= 9
    newest = NewestModel(str(tmp_path / "run"))
    one = next(predict_arrivals(newest, open_source(str(photos / "p3")), on_refused=print))
    assert (one["class"], one["example"]) == ("p3", str(photos / "p3" / "0.png"))


def test_it_goes_on_where_it_was_bit_for_bit(embedder: str, photos: Path, tmp_path: Path) -> None:
    whole = stream(str(photos), recipe(embedder), out=tmp_path / "whole")
    half = tmp_path / "half"
    shutil.copytree(photos, half, ignore=shutil.ignore_patterns("[5-9].png"))
    stream(str(half), recipe(embedder), out=tmp_path / "run")
    shutil.copytree(photos, half, dirs_exist_ok=True)
    resumed = stream(None, out=tmp_path / "run", resume=True)
    assert resumed.model is not None
    assert whole.model is not None
    assert resumed.model.identity == whole.model.identity
    assert len((tmp_path / "run" / "pictures.jsonl").read_text().splitlines()) == 40


def test_what_cannot_be_is_refused(embedder: str, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"Pictures have identities, not numbers"):
        stream(str(photos), recipe(embedder, task="regression"))
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    with pytest.raises(RecipeError, match=r"--model has no effect where rows arrive"):
        stream(str(tmp_path / "rows.csv"), recipe(embedder, target="b"))
    run = stream(str(photos), recipe(embedder), out=tmp_path / "run")
    assert run.model is not None
    with pytest.raises(ModelError, match=r"was trained for classification, and makes no embeddings"):
        stream(str(photos), recipe(str(tmp_path / "run")))
    rows = open_source(str(tmp_path / "rows.csv"))
    with pytest.raises(DataError, match=r"The model takes pictures, and .*rows\.csv has rows\. Name other --data"):
        next(predict_arrivals(NewestModel(str(tmp_path / "run")), rows, on_refused=print))
