"""Examples with targets, from a table, from IDX files, from folders: what is read, how it is split, what is learned.

N examples, F features, O outputs.
"""

import json
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from example_files import GROUPS, PLANE, groups, plane, write_digits, write_idx, write_table
from pictures import draw_identity, write_identities
from torch import Tensor

from firstsight.config import Recipe
from firstsight.errors import DataError, RecipeError, UserError
from firstsight.models.folder import load_model
from firstsight.recipes import with_flags
from firstsight.workflows.examples import Examples, is_table, open_examples
from firstsight.workflows.progress import silent
from firstsight.workflows.train_run import Run, train


def opened(data: str | Path, **flags: Any) -> tuple[Examples, Examples | None]:
    return open_examples(with_flags(Recipe(), data=str(data), **flags), silent)


def both(data: str | Path, **flags: Any) -> tuple[Examples, Examples]:
    learned, held_out = opened(data, **flags)
    assert held_out is not None
    return learned, held_out


def learn(data: str | Path, out: Path, **flags: Any) -> Run:
    return train(with_flags(Recipe(), data=str(data), **flags), out=out)


def raw_features(examples: Examples) -> Tensor:
    """Undo the standardization by hand."""
    assert examples.columns is not None
    return examples.inputs.double() * torch.tensor(examples.columns.std) + torch.tensor(examples.columns.mean)


@pytest.fixture
def houses(tmp_path: Path) -> Path:
    return write_table(tmp_path / "houses.csv", plane())


@pytest.fixture
def plants(tmp_path: Path) -> Path:
    return write_table(tmp_path / "plants.csv", groups())


def test_rows_are_standardized_by_those_that_are_learned(houses: Path) -> None:
    """The oracle is NumPy over the learned rows, found in the file again by their raw values."""
    learned, held_out = both(houses, task="regression", target=("price",), holdout=0.25)
    assert (len(learned.inputs), len(held_out.inputs)) == (60, 20)
    table = plane()
    size_N = np.array(table["size"])
    rows = [int(np.abs(size_N - value).argmin()) for value in raw_features(learned)[:, 0].tolist()]
    rest = [int(np.abs(size_N - value).argmin()) for value in raw_features(held_out)[:, 0].tolist()]
    assert sorted(rows + rest) == list(range(80)), "each row is learned or held out"
    columns = learned.columns
    assert columns is not None
    assert columns.features == ("size", "share", "age")
    for i, name in enumerate(columns.features):
        values = np.array(table[name])[rows]
        assert columns.mean[i] == pytest.approx(values.mean(), rel=1e-12)
        assert columns.std[i] == pytest.approx(values.std(), rel=1e-9)
        np.testing.assert_allclose(learned.inputs[:, i], (values - values.mean()) / values.std(), atol=1e-5)
    price = np.array(table["price"])
    assert columns.target_mean == pytest.approx((price[rows].mean(),), rel=1e-12)
    np.testing.assert_array_equal(held_out.raw_targets[:, 0], price[rest])
    expected = (price[rest] - price[rows].mean()) / price[rows].std()
    np.testing.assert_allclose(held_out.targets[:, 0], expected, atol=1e-5)
    assert size_N[rest].mean() != pytest.approx(size_N[rows].mean(), rel=1e-4), "the others would give other figures"


def test_held_out_rows_of_their_own_find_their_columns_by_name(houses: Path, tmp_path: Path) -> None:
    """Columns in another order, and one more, are no trouble; the statistics remain those of the learned rows."""
    table = plane(10, seed=1)
    moved = {"note": ["x"] * 10, "age": table["age"], "share": table["share"], "price": table["price"]}
    val = write_table(tmp_path / "val.csv", moved | {"size": table["size"]})
    learned, held_out = both(houses, task="regression", target=("price",), val=str(val))
    assert len(learned.inputs) == 80
    assert held_out.columns == learned.columns
    expected = torch.tensor([table["size"], table["share"], table["age"]], dtype=torch.float64).T
    torch.testing.assert_close(raw_features(held_out), expected, rtol=1e-5, atol=1e-8)


def test_a_held_out_column_that_is_missing(houses: Path, tmp_path: Path) -> None:
    table = plane(5)
    del table["share"]
    val = write_table(tmp_path / "val.csv", table)
    with pytest.raises(DataError, match="val.csv has no column 'share'. It has size, price, age"):
        opened(houses, task="regression", target=("price",), val=str(val))


def test_chosen_columns_only(houses: Path) -> None:
    learned, _ = both(houses, task="regression", target=("age", "price"), features=("share", "size"))
    assert learned.columns is not None
    assert (learned.columns.features, learned.outputs) == (("share", "size"), ("age", "price"))
    assert learned.targets.shape == (64, 2)


def test_an_empty_cell_is_the_mean(tmp_path: Path) -> None:
    data = write_table(tmp_path / "gaps.csv", {"a": [1, "", 3, 4], "b": [5, 6, 7, ""], "y": [1, 2, 3, 4]})
    learned, _ = opened(data, task="regression", target=("y",), holdout=0.0)
    assert learned.columns is not None
    assert learned.columns.mean == pytest.approx((8 / 3, 6))
    assert (learned.inputs == 0).sum() == 3, "two gaps, and a 6"


def test_classes_are_numbered_alike_in_both_parts(plants: Path, tmp_path: Path) -> None:
    val = write_table(tmp_path / "val.csv", {"y": [0, 10], "x": [0, 0], "kind": ["moss", "reed"]})
    learned, held_out = both(plants, task="classification", target=("kind",), val=str(val))
    assert learned.outputs == held_out.outputs == ("fern", "moss", "reed")
    assert held_out.targets.tolist() == [1, 2], "though it has but two of the three"
    assert Counter(learned.targets.tolist()) == {0: 30, 1: 30, 2: 30}


@pytest.mark.parametrize(("holdout", "count", "expected"), [(0.9, 2, (1, 1)), (0.9, 1, (1, 0)), (0.5, 5, (3, 2))])
def test_something_is_left_to_learn(tmp_path: Path, holdout: float, count: int, expected: tuple[int, int]) -> None:
    data = write_table(tmp_path / "few.csv", {"a": [*range(count)], "y": [*range(count)]})
    learned, held_out = opened(data, task="regression", target=("y",), holdout=holdout)
    assert (len(learned.inputs), len(held_out.inputs) if held_out else 0) == expected


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_pictures_bring_their_labels_and_their_size(tmp_path: Path, suffix: str) -> None:
    data = write_digits(tmp_path / "idx", "train", suffix, count=30, size=9)
    val = write_digits(tmp_path / "idx", "t10k", suffix, count=12, size=9, seed=1)
    learned, held_out = both(data, task="classification", val=val)
    assert learned.inputs.shape == (30, 1, 9, 9)
    assert learned.inputs.dtype == torch.uint8
    preprocessing = learned.preprocessing
    assert (preprocessing.height, preprocessing.width, preprocessing.color) == (9, 9, "gray")
    assert learned.outputs == ("0", "1", "2")
    assert held_out.targets.tolist() == [0, 1, 2] * 4
    assert (learned.inputs[3, 0, :2] >= 180).all(), "the bar of class 0"


def test_idx_files_under_their_other_name(tmp_path: Path) -> None:
    pictures, labels = np.zeros((4, 8, 8)), np.arange(4)
    write_idx(tmp_path / "train-labels.idx1-ubyte", labels)
    learned, _ = opened(write_idx(tmp_path / "train-images.idx3-ubyte", pictures), task="classification", holdout=0.0)
    assert sorted(learned.targets.tolist()) == [0, 1, 2, 3]


def test_folders_are_classes_and_pictures_are_held_out(tmp_path: Path) -> None:
    """Not identities: every class is learned, and measured on pictures of its own."""
    photos = write_identities(tmp_path / "photos", identities=3, each=20)
    learned, held_out = both(photos, task="classification", height=16, width=16, holdout=0.25)
    assert (len(learned.inputs), len(held_out.inputs)) == (45, 15)
    assert set(learned.targets.tolist()) == set(held_out.targets.tolist()) == {0, 1, 2}
    shown = {picture.numpy().tobytes() for part in (learned, held_out) for picture in part.inputs}
    assert len(shown) == 60, "no picture is in both"
    assert np.array_equal(learned.inputs[0, 0], np.array(draw_of(learned)))
    assert learned.preprocessing.color == "gray"
    again, _ = both(photos, task="classification", height=16, width=16, holdout=0.25)
    other, _ = both(photos, task="classification", height=16, width=16, holdout=0.25, seed=1)
    assert torch.equal(learned.inputs, again.inputs)
    assert not torch.equal(learned.inputs, other.inputs)


def draw_of(examples: Examples) -> Any:
    """The picture of the first example, found by its class among those that were drawn."""
    kind = int(examples.targets[0])
    drawn = [np.array(draw_identity(kind, number)) for number in range(20)]
    return min(drawn, key=lambda picture: np.abs(picture - examples.inputs[0, 0].numpy().astype(int)).sum())


def test_a_zip_and_a_manifest_hold_classes_too(tmp_path: Path) -> None:
    photos = write_identities(tmp_path / "photos", identities=2, each=3)
    paths = sorted(photos.glob("*/*.png"))
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as file:
        for path in paths:
            file.write(path, path.relative_to(photos))
    rows = {"path": [str(path) for path in paths], "label": [path.parent.name for path in paths]}
    manifest = write_table(tmp_path / "photos.csv", rows)
    sizes: dict[str, Any] = {"task": "classification", "height": 16, "width": 16, "holdout": 0.0}
    first, _ = opened(photos, **sizes)
    for data in (tmp_path / "photos.zip", manifest):
        other, _ = opened(data, **sizes)
        assert torch.equal(first.inputs, other.inputs)
        assert other.outputs == ("p0", "p1")


@pytest.mark.parametrize(
    ("name", "header", "table"),
    [
        ("a.csv", "a,b,y", True),
        ("a.CSV", "a,b,y", True),
        ("a.csv.gz", "anything", True),
        ("a.csv", "label,path", False),
        ("a.csv", '"path","label",note', False),
        ("a.csv", "\ufeffpath,label", False),
        ("a.zip", "a,b", False),
    ],
)
def test_a_table_is_told_from_a_manifest_of_pictures(tmp_path: Path, name: str, header: str, table: bool) -> None:
    (tmp_path / name).write_text(f"{header}\n1,2,3\n", encoding="utf-8")
    assert is_table(str(tmp_path / name)) is table


def test_unreadable_pictures_of_both_parts_are_said(tmp_path: Path) -> None:
    photos = write_identities(tmp_path / "photos", identities=2, each=6)
    val = write_identities(tmp_path / "val", identities=2, each=2)
    for folder in (photos, val):
        (folder / "p1" / "torn.png").write_bytes(b"no picture")
    run = learn(photos, tmp_path / "run", **GROUPS | {"epochs": 1, "height": 16, "width": 16}, val=str(val))
    assert [Path(skipped.path).name for skipped in run.job.unreadable] == ["torn.png", "torn.png"]
    assert run.figures["examples"] == 4
    split = learn(photos, tmp_path / "split", **GROUPS | {"epochs": 1, "height": 16, "width": 16})
    assert len(split.job.unreadable) == 1


def classes_that_were_not_learned(folder: Path) -> dict[str, Any]:
    val = write_table(folder / "val.csv", {"x": [1, 2], "y": [1, 2], "kind": ["fern", "palm"]})
    data = write_table(folder / "plants.csv", groups())
    return {"data": str(data), "task": "classification", "target": ("kind",), "val": str(val)}


def folders_that_were_not_learned(folder: Path) -> dict[str, Any]:
    data = write_identities(folder / "photos", identities=2, each=2)
    val = write_identities(folder / "val", identities=2, each=2, first=1)
    return {"data": str(data), "task": "classification", "val": str(val), "height": 16, "width": 16}


def digits_that_were_not_learned(folder: Path) -> dict[str, Any]:
    val = write_digits(folder / "idx", "t10k", classes=4)
    return {"data": write_digits(folder / "idx", "train"), "task": "classification", "val": val}


def pictures_of_another_size(folder: Path) -> dict[str, Any]:
    val = write_digits(folder / "idx", "t10k", size=9)
    return {"data": write_digits(folder / "idx", "train"), "task": "classification", "val": val}


def pictures_without_labels(folder: Path) -> dict[str, Any]:
    data = write_digits(folder / "idx", "train")
    (folder / "idx" / "train-labels-idx1-ubyte").unlink()
    return {"data": data, "task": "classification"}


def folder_of_digits(folder: Path) -> dict[str, Any]:
    write_digits(folder / "idx", "t10k", ".gz")
    write_digits(folder / "idx", "train", ".gz")
    return {"data": str(folder / "idx"), "task": "classification"}


def fewer_labels(folder: Path) -> dict[str, Any]:
    data = write_digits(folder / "idx", "train")
    write_idx(folder / "idx" / "train-labels-idx1-ubyte", np.arange(7))
    return {"data": data, "task": "classification"}


def numbers_for_pictures(folder: Path) -> dict[str, Any]:
    data = write_digits(folder / "idx", "train")
    write_idx(Path(data), np.zeros((3, 2)), code=0x0D)
    return {"data": data, "task": "classification"}


def rows(folder: Path, **flags: Any) -> dict[str, Any]:
    return {"data": str(write_table(folder / "rows.csv", groups())), "network": "mlp", **flags}


@pytest.mark.parametrize(
    ("make", "kind", "said"),
    [
        (classes_that_were_not_learned, DataError, "val.csv has the class palm, which was not learned. Leave it out"),
        (folders_that_were_not_learned, DataError, "val has the class p2, which was not learned. Leave it out, or"),
        (digits_that_were_not_learned, DataError, "t10k-images-idx3-ubyte has the class 3, which was not learned"),
        (pictures_of_another_size, DataError, "t10k-.* holds pictures of 1 x 9 x 9, and .*train-.* of 1 x 8 x 8"),
        (pictures_without_labels, DataError, "train-labels-idx1-ubyte does not exist"),
        (folder_of_digits, DataError, r"a folder of IDX files, .* Give --data .*idx/train-images-idx3-ubyte\.gz"),
        (fewer_labels, DataError, r"has 60 pictures, and .*labels-idx1-ubyte labels of shape \(7,\). Give two files"),
        (numbers_for_pictures, DataError, r"holds float32 numbers of shape \(3, 2\), not pictures. Give a file like"),
        (lambda folder: rows(folder, task="classification"), RecipeError, "Which column of .*rows.csv .* Add --target"),
        (lambda folder: rows(folder, task="regression"), RecipeError, "Which column of .* to be predicted"),
        (
            lambda folder: rows(folder, task="classification", target=("kind", "x")),
            RecipeError,
            "Classes come from one column. Add one --target",
        ),
        (
            lambda folder: rows(folder, task="regression", target=("kind",)),
            DataError,
            "line 2, column kind: 'moss' is not a finite number",
        ),
        (lambda folder: rows(folder, task="classification", target=("kin",)), DataError, "has no column 'kin'. It has"),
        (
            lambda folder: rows(folder, task="classification", target=("kind",), network="conv"),
            RecipeError,
            "The network conv needs pictures, and these are rows. Add --network mlp",
        ),
        (
            lambda folder: {"data": str(write_identities(folder / "photos")), "task": "regression"},
            RecipeError,
            "Regression needs rows. Give a CSV file and --target COLUMN",
        ),
        (lambda _: {"data": "none.csv", "task": "regression", "target": ("y",)}, DataError, "none.csv does not exist"),
        (
            lambda folder: rows(folder, task="classification", target=("kind",), holdout=0.0, patience=3),
            UserError,
            "Patience needs held-out data, and there are none. Add --val, or --patience 0",
        ),
    ],
)
def test_what_cannot_be_learned_is_refused_in_a_sentence(
    tmp_path: Path, make: Any, kind: type[UserError], said: str
) -> None:
    with pytest.raises(kind, match=said):
        train(with_flags(Recipe(), **make(tmp_path)), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("task", "loss", "instead"),
    [
        ("regression", "cross-entropy", "quadratic"),
        ("regression", "triplet", "quadratic"),
        ("classification", "triplet", "quadratic"),
        ("embedding", "quadratic", "triplet"),
        ("embedding", "cross-entropy", "triplet"),
    ],
)
def test_a_loss_that_does_not_fit_is_refused_before_any_work(
    tmp_path: Path, task: str, loss: str, instead: str
) -> None:
    said = f"The loss {loss} does not fit the task {task}. Add --loss {instead}, or another --task"
    with pytest.raises(RecipeError, match=said):
        learn("there is no such data", tmp_path / "run", task=task, loss=loss)


def test_a_linear_law_is_recovered(houses: Path, tmp_path: Path) -> None:
    """Price is linear in size and share: R² near 1, in the unit of the table, on rows that were held out."""
    run = learn(houses, tmp_path / "run", **PLANE, target=("price",), features=("size", "share"))
    assert run.figures["r2"] > 0.9999
    assert run.figures["rmse"] < 1000
    assert run.figures["examples"] == 16
    model = load_model(run.folder)
    assert (model.config.task, model.config.outputs) == ("regression", ("price",))
    (weight_OF,) = (weight for name, weight in model.network.state_dict().items() if name.endswith("weight"))
    columns = model.config.columns
    assert columns is not None
    slope_F = weight_OF[0] * torch.tensor(columns.target_std) / torch.tensor(columns.std)
    torch.testing.assert_close(slope_F, torch.tensor([30.0, -2e6]), rtol=0.01, atol=0)
    report = json.loads((run.folder / "report.json").read_text())
    assert report["r2"] == run.figures["r2"]
    page = (run.folder / "report.html").read_text()
    assert "Predicted against true" in page
    assert "How it learned" in page


def test_several_targets_are_measured_each(houses: Path, tmp_path: Path) -> None:
    run = learn(houses, tmp_path / "run", **PLANE, target=("price", "age"))
    assert run.figures["r2_price"] > 0.999
    assert run.figures["r2_age"] > 0.999
    assert run.figures["r2"] == pytest.approx((run.figures["r2_price"] + run.figures["r2_age"]) / 2)
    assert run.figures["rmse_age"] < 0.1 < run.figures["rmse_price"], "each in its own unit"


@pytest.mark.parametrize("loss", ["auto", "cross-entropy"])
def test_classes_that_are_far_apart_are_told_apart(plants: Path, tmp_path: Path, loss: str) -> None:
    """One-hot targets with the quadratic loss, and cross-entropy."""
    run = learn(plants, tmp_path / "run", **GROUPS, target=("kind",), loss=loss)
    assert (run.figures["accuracy"], run.figures["examples"]) == (1.0, 18)
    assert load_model(run.folder).config.outputs == ("fern", "moss", "reed")
    page = (run.folder / "report.html").read_text()
    assert "What is taken for what" in page
    assert json.loads((run.folder / "report.json").read_text())["accuracy"] == 1.0
    first, last = run.updates[0]["loss"], run.updates[-1]["loss"]
    assert last < first / 3
    if loss == "cross-entropy":
        assert first == pytest.approx(np.log(3), rel=0.5), "what guessing costs"


def test_the_quadratic_loss_of_classes_is_that_of_one_hot_targets(plants: Path, tmp_path: Path) -> None:
    """Its first value by hand, from the network before it learned: full batch, nothing held out."""
    run = learn(
        plants, tmp_path / "run", **GROUPS | {"batch_size": "all", "epochs": 1, "learning_rate": 0.0}, target=("kind",),
        holdout=0.0,
    )  # fmt: skip
    learned, _ = opened(plants, task="classification", target=("kind",), holdout=0.0)
    with torch.no_grad():
        output_NO = run.model.network(learned.inputs).numpy()
    one_hot_NO = np.eye(3)[learned.targets.numpy()]
    assert run.updates[0]["loss"] == pytest.approx(((output_NO - one_hot_NO) ** 2).sum() / (2 * 90), rel=1e-5)
    assert run.figures == {}
    assert "Nothing was held out to measure on" in (run.folder / "report.html").read_text()


@pytest.mark.parametrize("network", [{"hidden": (8,)}, {"network": "conv", "channels": (8,), "norm": "group"}])
def test_idx_pictures_are_told_apart(tmp_path: Path, network: dict[str, Any]) -> None:
    data = write_digits(tmp_path / "idx", "train", ".gz")
    val = write_digits(tmp_path / "idx", "t10k", ".gz", count=30, seed=1)
    flags = {name: value for name, value in GROUPS.items() if name != "hidden"} | network | {"augment": 0.0}
    run = learn(data, tmp_path / "run", **flags, val=val)
    assert (run.figures["accuracy"], run.figures["examples"]) == (1.0, 30)


def test_folders_are_told_apart_and_mistakes_are_shown(tmp_path: Path) -> None:
    """Two classes of the same pictures cannot be told apart: half are wrong, and the report shows which."""
    photos = write_identities(tmp_path / "photos", identities=2, each=12)
    (photos / "twin").mkdir()
    for number in range(12):
        draw_identity(0, number).save(photos / "twin" / f"{number}.png")
    flags = GROUPS | {"height": 16, "width": 16, "augment": 0.0, "epochs": 10}
    run = learn(photos, tmp_path / "run", **flags, holdout=0.5)
    assert 0.3 < run.figures["accuracy"] < 1
    page = (run.folder / "report.html").read_text()
    assert "twin, taken for p0" in page or "p0, taken for twin" in page


def test_patience_ends_a_run_that_gets_no_better(plants: Path, tmp_path: Path) -> None:
    """At rate 0 the second epoch is as good as the first: with a patience of 2, three epochs are seen of 20."""
    run = learn(plants, tmp_path / "run", **GROUPS | {"learning_rate": 0.0}, target=("kind",), patience=2)
    assert {row["epoch"] for row in run.updates} == {1, 2, 3}
    assert (run.model.config.trained["epochs"], run.model.config.trained["best_epoch"]) == (3, 1)
    measured = run.updates[-1]["held_out"]
    said = f"stopped after epoch 3; kept the weights of epoch 1 (accuracy {measured:.3f}). The figures are somewhat opt"
    assert run.kept.startswith(said)
    assert said in (run.folder / "report.html").read_text()


def test_only_a_run_with_patience_chooses_an_epoch(plants: Path, tmp_path: Path) -> None:
    flags = GROUPS | {"learning_rate": 0.0, "target": ("kind",), "epochs": 2}
    assert learn(plants, tmp_path / "plain", **flags).kept == ""
    assert learn(plants, tmp_path / "patient", **flags, patience=2).kept.startswith(
        "went on to the last, epoch 2; kept"
    )


def test_who_waits_sees_epoch_loss_and_the_last_held_out_figure(plants: Path, tmp_path: Path) -> None:
    """The oracle are the rows of metrics.jsonl, where the last update of each epoch has the figure."""
    recipe = with_flags(Recipe(), data=str(plants), target=("kind",), patience=9, **GROUPS | {"epochs": 3})
    seen: list[dict[str, Any]] = []

    def on_progress(stage: str, done: int, total: int, figures: dict[str, Any]) -> None:
        if stage == "Training":
            seen.append(figures)
            if len(seen) == 20:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, out=tmp_path / "run", on_progress=on_progress)
    train(recipe, out=tmp_path / "run", resume=True, on_progress=on_progress)
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    held_out = {row["number"]: row["held_out"] for row in rows if "held_out" in row}
    assert list(held_out) == [8, 16, 24]
    assert [figures["epoch"] for figures in seen[:20]] == ["1/3"] * 8 + ["2/3"] * 8 + ["3/3"] * 4
    assert [figures.get("accuracy") for figures in seen[:20]] == ([None] * 7 + [held_out[8]] * 8 + [held_out[16]] * 5)
    assert [figures["accuracy"] for figures in seen[20:]] == [held_out[16]] * 7 + [held_out[24]]
    assert all(figures["examples/s"] > 0 and figures["loss"] > 0 for figures in seen)


def test_patience_keeps_the_model_of_the_best_epoch(plants: Path, tmp_path: Path) -> None:
    """The oracle is the model that as many epochs give which the best one closed, at a rate that does not change."""
    flags = GROUPS | {"learning_rate": 0.3, "epochs": 8, "target": ("kind",), "hidden": (2,)}
    run = learn(plants, tmp_path / "run", **flags, patience=8)
    best = run.model.config.trained["best_epoch"]
    assert best < 8
    assert run.model.identity == learn(plants, tmp_path / "peer", **flags | {"epochs": best}).model.identity
