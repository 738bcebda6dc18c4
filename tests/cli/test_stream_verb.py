"""`firstsight stream` as a user types it."""

import json
from pathlib import Path

import pytest
from typed import Type


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("a,b,which\n" + "".join(f"{i % 7},{i % 5},{'yes' if i % 7 > 3 else 'no'}\n" for i in range(400)))
    return path


def test_json_ends_with_one_object(type: Type, table: Path) -> None:
    answer = type("stream", "--source", table, "--target", "which", "--json")
    assert answer.code == 0, answer.err
    (line,) = answer.out.splitlines()
    found = json.loads(line)
    assert found["accuracy"] > 0.9
    assert found["rows"] == 400
    assert found["rows_per_second"] > 0


def test_a_pipe_is_a_source(type: Type, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with table.open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        answer = type("stream", "--source", "-", "--target", "which", "--out", tmp_path / "run", "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["rows"] == 400
    (tmp_path / "asked.jsonl").write_text('{"a": 6, "b": 1}\n{"a": 0, "b": 1}\n')
    with (tmp_path / "asked.jsonl").open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        said = type("predict", "--follow", "--model", tmp_path / "run", "--data", "-")
    assert [json.loads(line)["class"] for line in said.out.splitlines()] == ["yes", "no"]


def test_a_folder_of_pictures_is_a_source(type: Type, photos: Path, trained: Path, tmp_path: Path) -> None:
    answer = type("stream", "--source", photos, "--model", trained, "--out", tmp_path / "run", "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["rows"] == 60
    assert type("predict", "--model", tmp_path / "run", "--data", photos / "p0").out.count("\n") == 6


def test_a_run_is_shown_resumed_and_used(type: Type, table: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shown = type("stream", "--source", table, "--target", "which", "--out", run, "--window", 100)
    assert shown.code == 0, shown.err
    assert "no change accuracy" in shown.out
    assert "400 arrivals, each predicted before it was learned" in shown.out
    assert f"report: {run / 'report.html'}" in shown.out
    assert "rows  accuracy" in shown.err
    again = type("stream", "--source", table, "--target", "which", "--out", run)
    assert (again.code, "--resume" in again.err) == (2, True)
    with table.open("a") as file:
        file.write("6,1,yes\n1,1\n")
    resumed = type("stream", "--resume", "--out", run)
    assert resumed.code == 0, resumed.err
    assert "401 arrivals" in resumed.out
    assert f"1 refused: {run / 'dead-letter.jsonl'}" in resumed.out
    said = type("predict", "--model", run, "--data", table)
    assert said.code == 2, "a ragged row is refused there"
    assert type("predict", "--model", run, "--data", table, "--follow", "--out", "x.csv").code == 2


def test_what_is_wrong_is_said_in_a_sentence(type: Type, table: Path) -> None:
    assert "There is no drift" not in type("stream", "--source", table, "--target", "which", "--drift", "so").out
    missing = type("stream", "--source", table, "--target", "rain")
    assert missing.code == 2
    assert "The first 100 arrivals were all refused; the last: The column rain is missing." in missing.err
    assert "It has a, b, which." in missing.err


def test_a_pipe_is_named_by_a_hyphen(type: Type, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "a run"
    for words in (
        ("stream", "--target", "which", "--out", run, "--source"),
        ("predict", "--follow", "--model", run, "--data"),
    ):
        with table.open() as pipe:
            monkeypatch.setattr("sys.stdin", pipe)
            said = type(*words, "-")
        assert said.code == 0, said.err
    assert len(said.out.splitlines()) == 400


def test_what_to_type_next_can_be_typed(type: Type, table: Path, tmp_path: Path) -> None:
    shown = type("stream", "--source", table, "--target", "which", "--out", tmp_path / "a run")
    assert f"--model '{tmp_path / 'a run'}'" in shown.out
    table.write_text("a,b,which\n1,2,\n")
    assert "next:" not in type("stream", "--source", table, "--target", "which", "--out", tmp_path / "nothing").out


def test_a_table_of_a_german_spreadsheet_and_a_file_for_a_folder_are_refused(type: Type, table: Path) -> None:
    to_file = type("stream", "--source", table, "--target", "which", "--out", table)
    assert (to_file.code, f"{table} is no folder. Name another --out." in to_file.err.replace("\n", " ")) == (2, True)
    table.write_text("\ufeffa;which\r\n1,5;yes\r\n", encoding="utf-8")
    said = type("stream", "--source", table, "--target", "which")
    assert said.code == 2
    assert "has semicolons between its cells, not commas" in said.err
    table.write_text('a,which\n"1,5",yes\n')
    said = type("stream", "--source", table, "--target", "which")
    what = "The column a is '1,5', not a number. Use decimal points, not commas."
    assert f"Refused, at 2: {what}" in said.err
    assert (said.code, said.out) == (2, "")
    assert f"All that arrived was refused, 1 in all; the last: {what}" in said.err.replace("\n", " ")


@pytest.mark.parametrize("text", ["", "a,b,which\n", "\n\n"])
def test_where_nothing_arrived_that_is_said(
    type: Type, table: Path, tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hint = "Give CSV with rows below its header, or JSON lines."
    table.write_text(text)
    said = type("stream", "--source", table, "--target", "which", "--out", tmp_path / "run")
    assert (said.code, said.out) == (2, "")
    assert f"Nothing arrived from {table}. {hint}" in said.err.replace("\n", " ")
    with table.open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        said = type("stream", "--source", "-", "--target", "which", "--json")
    assert (said.code, said.out) == (2, "")
    assert f"Nothing arrived from standard input. {hint}" in said.err.replace("\n", " ")
    table.write_text("a,b,which\n1,2,yes\n")
    mended = type("stream", "--source", table, "--target", "which", "--out", tmp_path / "run")
    assert (mended.code, mended.err.count("Name another --out")) == (0, 0), mended.err
