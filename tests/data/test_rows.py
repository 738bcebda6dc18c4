"""CSV rows, well formed and not, and their standardization."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from firstsight.data.rows import read_labeled_rows, read_rows, standardization
from firstsight.errors import DataError

LETTERS = "abcdefghijklmn"
TABLE = "\ufeffx, y,kind,z\n1,2.5,red,-3\n\n4e2,5,blue,6\r\n"


def write(tmp_path: Path, text: str) -> Path:
    (tmp_path / "table.csv").write_bytes(text.encode())
    return tmp_path / "table.csv"


def test_features_are_all_columns_but_the_targets(tmp_path: Path) -> None:
    rows = read_rows(write(tmp_path, "a,b,c\n1,2,3\n4,5,6\n"), ["b"])
    assert (rows.feature_names, rows.target_names) == (("a", "c"), ("b",))
    assert rows.features_NF.tolist() == [[1, 3], [4, 6]]
    assert rows.targets_NO.tolist() == [[2], [5]]
    assert rows.features_NF.dtype == torch.float64


def test_features_come_in_the_order_asked_for(tmp_path: Path) -> None:
    rows = read_rows(write(tmp_path, TABLE), ["y"], features=["z", "x"])
    assert rows.features_NF.tolist() == [[-3, 1], [6, 400]]
    assert read_rows(tmp_path / "table.csv", [], features=["x"]).targets_NO.shape == (2, 0)


def test_gzip_is_recognized(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(gzip.compress(TABLE.encode()))
    assert read_rows(tmp_path / "table.csv", ["x"], features=["z"]).targets_NO.tolist() == [[1], [400]]


def test_labels_are_numbered_in_sorted_order(tmp_path: Path) -> None:
    rows = read_labeled_rows(write(tmp_path, TABLE), "kind")
    assert (rows.names, rows.labels_N.tolist()) == (("blue", "red"), [1, 0])
    assert rows.feature_names == ("x", "y", "z")
    assert rows.features_NF.tolist() == [[1, 2.5, -3], [400, 5, 6]]


def test_empty_cells_are_nan_on_request(tmp_path: Path) -> None:
    path = write(tmp_path, "a,b,c\n1,,3\n")
    assert np.array_equal(read_rows(path, ["c"], empty="nan").features_NF.numpy(), [[1, np.nan]], equal_nan=True)
    with pytest.raises(DataError, match=r"line 2, column b: the cell is empty."):
        read_rows(path, ["b"], empty="nan")  # a target has no stand-in


@pytest.mark.parametrize(
    ("header", "row", "said"),
    [
        ("a,near sea,c,t,kind", "1,,3,4,north", "leave the column out: --features a 'near sea' c"),
        ("sea,a,kind,t", "near,1,north,2", "Mend it, or leave the column out: --features a"),
        ("sea,t", "near,2", "Mend it, or leave the column out."),
        ("a,t", "1,high", "Mend it, or remove the line."),
        (f"sea,{','.join(LETTERS)},t", "near" + ",1" * 15, f"--features {' '.join(LETTERS[:12])} … (2 more)"),
    ],
)
def test_who_has_text_in_a_column_reads_what_to_type(tmp_path: Path, header: str, row: str, said: str) -> None:
    """The columns whose cells are numbers or empty, and never the target."""
    with pytest.raises(DataError) as caught:
        read_rows(write(tmp_path, f"{header}\n{row}\n"), ["t"], empty="nan")
    assert str(caught.value).endswith(said)


def test_a_column_that_a_model_needs_cannot_be_left_out(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"column a: 'x' is not a finite number. Mend it, or remove the line.$"):
        read_rows(write(tmp_path, "a,b\nx,1\n"), [], features=["a", "b"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty. Give a CSV file whose first line names the columns."),
        ("a,t\n", "has no rows. Its first line is the header"),
        ("a,b\n1,2\n", "has no column 't'. It has a, b."),
        ("a,a,t\n1,2,3\n", "has two columns 'a'. Rename one of them."),
        ("a;t\r\n1,5;2\r\n", "has semicolons between its cells, not commas. Save it with commas, and decimal points."),
        ("a,t\n1,2\n1\n", ", line 3: 1 cells, and the header has 2. Mend or remove the line."),
        ("a,t\n1,2,3\n", ", line 2: 3 cells, and the header has 2."),
        ("a,t\n1,2\n\nx1,3\n", ", line 4, column a: 'x1' is not a finite number. Mend it, or leave the column out."),
        ("a,t\n1,nan\n", ", line 2, column t: 'nan' is not a finite number."),
        ("a,t\ninf,1\n", ", line 2, column a: 'inf' is not a finite number."),
        ('a,t\n"-1,5",2\n', ", line 2, column a: '-1,5' is not a finite number. Use decimal points, not commas."),
        ("a,t\n,1\n", ", line 2, column a: the cell is empty."),
        ('a,t\n"1,2\n', "is not CSV text or is damaged ("),
    ],
)
def test_a_bad_table_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_rows(write(tmp_path, text), ["t"])
    said = str(caught.value).removeprefix(str(tmp_path / "table.csv"))
    assert said.lstrip().startswith(message.lstrip())


def test_other_bad_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone.csv does not exist."):
        read_rows(tmp_path / "gone.csv", ["t"])
    with pytest.raises(DataError, match=r"cannot be read: Is a directory."):
        read_rows(tmp_path, ["t"])
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"x,y\n" + b"1,2\n" * 99)[:-9])
    with pytest.raises(DataError, match=r"cut.csv.gz is not CSV text or is damaged \("):
        read_rows(tmp_path / "cut.csv.gz", ["x"], features=["y"])
    (tmp_path / "latin.csv").write_bytes("größe,t\n1,2\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"Save it as CSV in UTF-8."):
        read_rows(tmp_path / "latin.csv", ["t"])
    with pytest.raises(DataError, match=r"line 2: kind is empty. Fill it in or remove the line."):
        read_labeled_rows(write(tmp_path, "x,kind\n1,\n"), "kind")


@given(st.integers(1, 30), st.integers(1, 4), st.integers(0, 999), st.sampled_from([1e-9, 1.0, 1e9]))
def test_standardization_agrees_with_scikit_learn(count: int, columns: int, seed: int, scale: float) -> None:
    values = np.random.default_rng(seed).normal(3 * scale, scale, (count, columns))
    ours = standardization(torch.from_numpy(values))
    theirs = StandardScaler().fit(values)
    np.testing.assert_allclose(ours.mean, theirs.mean_, rtol=1e-12)
    np.testing.assert_allclose(ours.std, theirs.scale_, rtol=1e-9)
    standard = ours.apply(torch.from_numpy(values))
    np.testing.assert_allclose(standard.numpy(), theirs.transform(values), atol=1e-5)
    np.testing.assert_allclose(ours.undo(standard).numpy(), values, atol=1e-5 * scale)


def test_a_constant_column_becomes_zero() -> None:
    values = torch.full((7, 2), 0.1, dtype=torch.float64)  # 0.1 summed seven times is not 0.7
    values[:, 1] = 1e15
    ours = standardization(values)
    assert ours.std == (1.0, 1.0)
    assert ours.apply(values).tolist() == [[0.0, 0.0]] * 7
    assert ours.apply(values + 2).tolist() == [[2.0, 2.0]] * 7


def test_nan_is_left_out_and_becomes_the_mean() -> None:
    nan = float("nan")
    values = torch.tensor([[1.0, nan, 5.0], [nan, nan, 5.0], [3.0, nan, nan]], dtype=torch.float64)
    ours = standardization(values)
    assert (ours.mean, ours.std) == ((2.0, 0.0, 5.0), (1.0, 1.0, 1.0))
    assert ours.apply(values).tolist() == [[-1, 0, 0], [0, 0, 0], [1, 0, 0]]


@pytest.mark.data
def test_california_housing(shared_data: Path) -> None:
    path = shared_data / "tabular" / "california_housing.csv"
    numbers = ["longitude", "latitude", "total_bedrooms", "median_income"]
    rows = read_rows(path, ["median_house_value"], features=numbers, empty="nan")
    assert rows.features_NF.shape == (20_640, 4)
    assert rows.features_NF.isnan().sum() == 207
    with pytest.raises(DataError, match=r"line 2, column ocean_proximity: 'NEAR BAY' is not a finite number"):
        read_rows(path, ["median_house_value"])
