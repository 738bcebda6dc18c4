"""Predictions of saved models, against the same arithmetic by hand, and the CSV that they become.

N examples, O outputs.
"""

import csv
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from example_files import GROUPS, PLANE, groups, plane, write_digits, write_idx, write_table
from pictures import write_identities

from firstsight.config import Recipe
from firstsight.errors import DataError, ModelError, PictureError, StorageError
from firstsight.models.folder import Model, load_model
from firstsight.recipes import with_flags
from firstsight.workflows.predict import predict, to_csv, write_csv
from firstsight.workflows.train_run import train


def learned(data: str | Path, out: Path, **flags: Any) -> Model:
    """A model as it is found again on the disk."""
    train(with_flags(Recipe(), data=str(data), **flags), out=out)
    return load_model(out)


@pytest.fixture(scope="module")
def valuer(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Values houses: price and age from size and share, by a linear map."""
    folder = tmp_path_factory.mktemp("houses")
    return learned(write_table(folder / "houses.csv", plane()), folder / "run", **PLANE, target=("price", "age"))


@pytest.fixture(scope="module")
def botanist(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("plants")
    return learned(write_table(folder / "plants.csv", groups()), folder / "run", **GROUPS, target=("kind",))


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Reads bars of three heights, 8 x 8 gray."""
    folder = tmp_path_factory.mktemp("digits")
    return learned(write_digits(folder / "idx", "train"), folder / "run", **GROUPS | {"augment": 0.0})


def table_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_numbers_are_in_the_unit_of_the_table(valuer: Model, tmp_path: Path) -> None:
    """By hand: standardize, multiply, undo. Columns are found by name, and the targets need not be there."""
    table = plane(6, seed=3)
    rows = {"note": list("abcdef"), "share": table["share"], "size": table["size"]}
    found = predict(valuer, str(write_table(tmp_path / "new.csv", rows)))
    assert found.names == ["1", "2", "3", "4", "5", "6"]
    assert (found.output_names, found.classes) == (("price", "age"), [])
    columns = valuer.config.columns
    assert columns is not None
    bias_O, weight_OF = sorted((w.double().numpy() for w in valuer.network.state_dict().values()), key=np.ndim)
    x_NF = (np.array([table["size"], table["share"]]).T - columns.mean) / columns.std
    expected_NO = (x_NF @ weight_OF.T + bias_O) * columns.target_std + columns.target_mean
    np.testing.assert_allclose(found.outputs_NO.numpy(), expected_NO, rtol=1e-5)
    np.testing.assert_allclose(found.outputs_NO[:, 0], table["price"], rtol=1e-3)


def test_numbers_as_csv_keep_their_places(valuer: Model, tmp_path: Path) -> None:
    """A price of a million, give or take a hundred thousand, is written to the cent."""
    found = predict(valuer, str(write_table(tmp_path / "new.csv", plane(5, seed=4))))
    rows = table_of(to_csv(found))
    assert [list(row) for row in rows] == [["example", "price", "age"]] * 5
    assert [row["example"] for row in rows] == ["1", "2", "3", "4", "5"]
    for row, (price, age) in zip(rows, found.outputs_NO.tolist(), strict=True):
        assert float(row["price"]) == pytest.approx(price, abs=0.01)
        assert "e" not in row["price"]
        assert float(row["age"]) == pytest.approx(age, abs=1e-5)


def test_an_empty_cell_is_taken_for_the_mean(valuer: Model, tmp_path: Path) -> None:
    columns = valuer.config.columns
    assert columns is not None
    gap = write_table(tmp_path / "gap.csv", {"size": ["", columns.mean[0]], "share": [0.02, 0.02]})
    outputs_NO = predict(valuer, str(gap)).outputs_NO
    torch.testing.assert_close(outputs_NO[0], outputs_NO[1])


def test_classes_come_with_their_scores(botanist: Model, tmp_path: Path) -> None:
    rows = {"y": [0, 0, 10, 0], "x": [0, 10, 0, 4.9]}
    found = predict(botanist, str(write_table(tmp_path / "new.csv", rows)))
    assert found.classes[:3] == ["moss", "fern", "reed"]
    written = table_of(to_csv(found))
    assert list(written[0]) == ["example", "class", "fern", "moss", "reed"]
    for row in written:
        scores = {name: float(row[name]) for name in ("fern", "moss", "reed")}
        assert row["class"] == max(scores, key=lambda name: scores[name])
    assert float(written[0]["moss"]) == pytest.approx(1, abs=0.3), "the target of the quadratic loss"


def test_idx_pictures_are_read(reader: Model, tmp_path: Path) -> None:
    data = write_digits(tmp_path / "new", "t10k", ".gz", count=9, seed=5)
    (tmp_path / "new" / "t10k-labels-idx1-ubyte.gz").unlink()
    found = predict(reader, data)
    assert found.classes == ["0", "1", "2"] * 3
    assert found.names == [str(number) for number in range(1, 10)]


def test_pictures_in_folders_and_zips(tmp_path: Path) -> None:
    """Resized as in training, in natural order; names lead back to the files."""
    photos = write_identities(tmp_path / "photos", identities=2, each=12)
    flags = GROUPS | {"height": 16, "width": 16, "augment": 0.0, "holdout": 0.0}
    model = learned(photos, tmp_path / "run", **flags)
    found = predict(model, str(photos))
    assert found.names[:3] == [str(photos / "p0" / f"{number}.png") for number in (0, 1, 2)]
    assert found.classes == ["p0"] * 12 + ["p1"] * 12
    with zipfile.ZipFile(tmp_path / "flat.zip", "w") as file:
        for name in ("b.png", "a.png"):
            file.write(photos / "p1" / "0.png", name)
        file.writestr("readme.txt", "no picture")
    zipped = predict(model, str(tmp_path / "flat.zip"))
    assert zipped.names == ["a.png", "b.png"]
    assert zipped.classes == ["p1", "p1"]
    torch.testing.assert_close(zipped.outputs_NO[0], found.outputs_NO[12])
    single = predict(model, str(photos / "p1" / "3.png"))
    assert single.classes == ["p1"]
    torch.testing.assert_close(single.outputs_NO[0], found.outputs_NO[15], rtol=1e-4, atol=1e-5)
    (photos / "p0" / "torn.png").write_bytes(b"no picture")
    with pytest.raises(PictureError, match="p0/torn.png is not a picture that can be read"):
        predict(model, str(photos))
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    with pytest.raises(DataError, match="empty.zip holds no pictures. Give a folder or zip of pictures"):
        predict(model, str(tmp_path / "empty.zip"))


def test_a_file_is_written_whole_or_not_at_all(valuer: Model, tmp_path: Path) -> None:
    found = predict(valuer, str(write_table(tmp_path / "new.csv", plane(2))))
    out = tmp_path / "predictions.csv"
    write_csv(found, out)
    assert out.read_text() == to_csv(found)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(StorageError, match="predictions.csv cannot be written: No such file .* Name another --out"):
        write_csv(found, tmp_path / "none" / "predictions.csv")
    assert sorted(tmp_path.iterdir()) == before


def test_a_column_that_is_missing(valuer: Model, tmp_path: Path) -> None:
    data = write_table(tmp_path / "new.csv", {"size": [1], "price": [2]})
    with pytest.raises(DataError, match="new.csv has no column 'share'. It has size, price"):
        predict(valuer, str(data))


def test_a_cell_that_is_no_number(valuer: Model, tmp_path: Path) -> None:
    data = write_table(tmp_path / "new.csv", {"size": [1, "large"], "share": [2, 3]})
    with pytest.raises(DataError, match="line 3, column size: 'large' is not a finite number"):
        predict(valuer, str(data))


def test_pictures_of_another_size(reader: Model, tmp_path: Path) -> None:
    data = write_digits(tmp_path / "new", "t10k", size=9)
    with pytest.raises(DataError, match="holds pictures of 1 x 9 x 9, and the model takes 1 x 8 x 8"):
        predict(reader, data)


def test_numbers_in_the_place_of_pictures(reader: Model, tmp_path: Path) -> None:
    data = write_idx(tmp_path / "new-images-idx3-ubyte", np.zeros((0, 8, 8)))
    with pytest.raises(DataError, match=r"holds uint8 numbers of shape \(0, 8, 8\), not pictures"):
        predict(reader, str(data))


def test_an_embedding_predicts_nothing(tmp_path: Path) -> None:
    data = write_identities(tmp_path / "photos", identities=4, each=2)
    flags = {"height": 8, "width": 8, "channels": (4,), "embedding_size": 4, "identities": 2, "pictures": 2}
    model = learned(data, tmp_path / "run", **flags, epochs=1, holdout=0.0)
    with pytest.raises(ModelError, match="makes embeddings, not predictions. Use: firstsight enroll NAME PICTURE"):
        predict(model, str(data))
