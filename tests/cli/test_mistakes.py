"""What a newcomer reads who typed something wrong: a sentence and a hint, never a traceback, never a type of Python."""

from pathlib import Path

import pytest
from typed import Type

EXAMPLE = "Type: firstsight enroll ada ada.jpg --model runs/mine (see firstsight enroll --help)"


def flat(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("enroll", f"firstsight enroll needs NAME. {EXAMPLE}"),
        ("enroll star", f"firstsight enroll needs PICTURE. {EXAMPLE}"),
        ("calibrate", "firstsight calibrate needs --data. Type: firstsight calibrate --model runs/mine --data"),
        ("calibrate --data x --fpir 5%", "5% is no value for --fpir. Give a number or auto. See"),
        ("enroll a b --face north", "north is no value for --face. Give a whole number or center or largest."),
        ("ledger --day 29.11.2026", "29.11.2026 is no value for --day. Give a date such as 2026-11-25. See"),
        ("ledger --until", "--until needs a value. Type: firstsight ledger --since"),
        ("train --data x --composed 1.5", "1.5 is no value for --composed. Give a whole number. See firstsight train"),
        ("train --data x --hidden 3 2.5", "2.5 is no value for --hidden. Give a whole number. See firstsight train"),
        ("serve --port 80.5", "80.5 is no value for --port. Give a whole number. See firstsight serve --help"),
        ("ledger confirm x", "x is no value for NUMBER. Give a whole number. See firstsight ledger confirm --help"),
        ("ledger nosuch", "firstsight ledger does not take nosuch. See firstsight ledger --help"),
        *(
            (f"serve --debounce {minutes}", f"--debounce {minutes} is no time. Give minutes, from 0 to 1440.")
            for minutes in ("nan", "inf", "-5", "1e+300")
        ),
        ("ledger --debounce -5", "--debounce -5 is no time. Give minutes, from 0 on."),
        ("ledger --csv l.csv --json", "--csv and --json are two formats. Ask for one of them."),
        ("ledger probe 999 out.png", "has no entry 999. List them: firstsight ledger"),
        ("gallery restore", "firstsight gallery restore needs FILE. Type: firstsight gallery restore monday.sqlite"),
        ("verify a b c", "firstsight verify does not take c."),
        (
            "verify a b --device gpu",
            "There is no device gpu here: it is of no kind that torch knows. Try --device auto.",
        ),
    ],
)
def test_a_mistake_is_said_in_a_sentence_with_a_hint(type: Type, words: str, said: str) -> None:
    answer = type(*words.split())
    assert (answer.code, answer.out) == (2, "")
    assert said in flat(answer.err)


def test_a_gallery_that_is_not_there_yet_is_named(type: Type) -> None:
    assert flat(type("forget", "ada").err).startswith("ada is not enrolled in /")
    listed = type("gallery", "list")
    assert (listed.code, listed.out) == (0, "")
    assert "Nobody is enrolled in" in listed.err
    assert "No entries. Each decision is one" in type("ledger").out


def test_an_empty_file_is_no_gallery_until_somebody_is_enrolled(type: Type, tmp_path: Path) -> None:
    (tmp_path / "g.sqlite").touch()
    for words in (("gallery", "list"), ("ledger",), ("forget", "ada")):
        answer = type(*words, "--gallery", tmp_path / "g.sqlite")
        assert (answer.code, "g.sqlite is an empty file, not a gallery. Put a backup" in flat(answer.err)) == (2, True)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("name,picture\n张三,a.png\n".encode("gbk"), "people.csv is not text in UTF-8. Save it as CSV in UTF-8."),
        (b"name;picture\nada;a.png\n", "people.csv has semicolons between its cells, not commas. Save it with commas"),
    ],
)
def test_a_list_of_another_program(type: Type, tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "people.csv").write_bytes(content)
    answer = type("gallery", "enroll", tmp_path / "people.csv")
    assert (answer.code, said in flat(answer.err)) == (2, True)
    folder = type("gallery", "enroll", tmp_path)
    assert (folder.code, "cannot be read: Is a directory. Give a CSV file." in flat(folder.err)) == (2, True)


def test_what_cannot_be_written_is_named_without_names_of_ours(type: Type, tmp_path: Path) -> None:
    where = tmp_path / "no" / "log.csv"
    answer = type("ledger", "--csv", where)
    assert (answer.code, flat(answer.err)) == (
        1, f"{where} cannot be written: No such file or directory. Name another file.",
    )  # fmt: skip


def test_a_key_file_that_is_gone_is_no_reason_for_a_new_one(
    type: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRSTSIGHT_KEY_FILE", str(tmp_path / "gone.key"))
    answer = type("enroll", "ada", "ada.png", "--gallery", tmp_path / "g.sqlite")
    assert (answer.code, "gone.key cannot be read: No such file or directory. Name the file" in flat(answer.err)) == (
        2, True,
    )  # fmt: skip
