"""What is kept of a picture, what is erased, and what is encrypted, as a user types it."""

import json
import os
import sqlite3
from pathlib import Path

import pytest
from traces import pieces_found
from typed import Type

from firstsight.recognition import sqlite
from firstsight.recognition.gallery import Gallery


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_consent_note_and_a_picture_that_is_not_kept(type: Type, trained: Path, photos: Path, tmp_path: Path) -> None:
    gallery = tmp_path / "g.sqlite"
    picture, words = photos / "p3" / "0.png", ("--model", trained, "--gallery", gallery)
    assert type("enroll", "ada", picture, *words, "--no-picture", "--consent", "signed form 7").code == 0
    assert type("enroll", "ada", photos / "p3" / "1.png", *words, "--add").code == 0
    (held,) = lines(type("gallery", "list", *words, "--json").out)
    noted = [(kept["picture_kept"], kept["consent"]) for kept in held["enrollments"]]
    assert (held["name"], noted) == ("ada", [(False, "signed form 7"), (True, None)])
    assert type("identify", picture, *words).code == 0
    (receipt,) = lines(type("forget", "ada", *words, "--json").out)
    assert (receipt["templates"], receipt["pictures"]) == (2, 1)


def test_forget_says_what_it_erased_and_what_was_trained(
    type: Type, trained: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from firstsight.workflows.forget import note_training

    note_training(tmp_path / "run", model_identity="m" * 64, data="photos", names=["p3"])
    gallery = ("--gallery", tmp_path / "g.sqlite")
    type("enroll", "p3", photos / "p3" / "0.png", "--model", trained, *gallery)
    said = type("forget", "p3", *gallery).out.splitlines()
    places = "database, ledger, free space of the database, write-ahead log, index"
    assert said == [
        f"p3 is forgotten: templates 1, pictures 1, erased from {places}.",
        f"A model was trained on an identity of this name: {tmp_path / 'run'} (no longer there)",
    ]


def test_forget_while_a_backup_is_read_gives_the_receipt_and_what_is_left_to_erase(
    type: Type, trained: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
    gallery = ("--gallery", tmp_path / "g.sqlite")
    for name in ("ada", "bob"):
        type("enroll", name, photos / "p3" / "0.png", "--model", trained, "--anyway", *gallery)
    reader = sqlite3.connect(tmp_path / "g.sqlite", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM templates").fetchone()
    answer = type("forget", "ada", *gallery)
    assert (answer.code, answer.out.splitlines()[0]) == (
        1, "ada is forgotten: templates 1, pictures 1, erased from database, ledger, index.",
    )  # fmt: skip
    assert "Not yet erased from free space of the database, write-ahead log: ada is out of the" in flat(answer.err)
    assert "End that program" in flat(answer.err)
    bob = type("forget", "bob", *gallery, "--json")
    (receipt,) = lines(bob.out)
    assert (bob.code, receipt["to_erase"]) == (1, ["free space of the database", "write-ahead log"])
    reader.close()
    assert type("gallery", "list", *gallery).out == ""
    assert pieces_found(tmp_path, b"IHDR", 4) == 0


def test_a_gallery_is_encrypted_and_then_opens_with_its_key_alone(
    type: Type, trained: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, words = photos / "p3" / "0.png", ("--model", trained)
    key = tmp_path / "the.key"
    type("enroll", "ada", picture, *words)
    galleries = Path(os.environ["FIRSTSIGHT_HOME"]) / "galleries"
    assert pieces_found(galleries, b"IHDR", 4) == 1
    answer = type("gallery", "encrypt", *words, "--key-file", key)
    assert (answer.code, answer.out.splitlines()[-1]) == (0, f"From now on: export FIRSTSIGHT_KEY_FILE={key}")
    assert pieces_found(galleries, b"IHDR", 4) == 0

    locked = type("identify", picture, *words)
    assert (locked.code, "is encrypted, and no key was given. Set FIRSTSIGHT_KEY_FILE" in flat(locked.err)) == (2, True)
    counted = lines(type("models", trained.parent, "--json").out)[0]["enrolled"]
    assert counted == 1, "the number is in clear, as names are"

    monkeypatch.setenv("FIRSTSIGHT_KEY_FILE", str(key))
    assert type("identify", picture, *words).code == 0
    monkeypatch.setenv("FIRSTSIGHT_KEY", "00" * 32)
    wrong = type("verify", "ada", picture, *words)
    assert (wrong.code, "The key does not fit " in wrong.err) == (2, True)


def test_with_a_key_at_hand_a_new_gallery_is_encrypted_and_a_plain_one_refused_with_the_way_out(
    type: Type, trained: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = photos / "p3" / "0.png"
    plain, new = tmp_path / "plain.sqlite", tmp_path / "new.sqlite"
    type("enroll", "ada", picture, "--model", trained, "--gallery", plain)
    monkeypatch.setenv("FIRSTSIGHT_KEY", "ab" * 32)
    assert type("enroll", "ada", picture, "--model", trained, "--gallery", new).code == 0
    refused = type("identify", picture, "--gallery", plain)
    command = f"firstsight gallery encrypt --gallery {plain}"
    assert (refused.code, f"is not encrypted, and a key was given. Type: {command}" in flat(refused.err)) == (2, True)
    monkeypatch.delenv("FIRSTSIGHT_KEY")
    assert type("gallery", "backup", tmp_path / "b.sqlite", "--gallery", plain).code == 0
    monkeypatch.setenv("FIRSTSIGHT_KEY", "ab" * 32)
    (done,) = lines(type(*command.split()[1:], "--json").out)
    assert (done["encrypted"], done["key_file"]) == (str(plain), None)
    assert [(copy["kind"], copy["path"]) for copy in done["in_clear"]] == [("backup", str(tmp_path / "b.sqlite"))]
    (tmp_path / "b.sqlite").unlink()
    for gallery in (plain, new):
        assert type("identify", picture, "--gallery", gallery).code == 0
        assert pieces_found(tmp_path, b"IHDR", 4) == 0


def test_encrypting_without_a_key_asks_for_one(type: Type, tmp_path: Path) -> None:
    there = tmp_path / "g.sqlite"
    missing = type("gallery", "encrypt", "--gallery", there)
    assert (missing.code, f"There is no gallery {there}." in flat(missing.err), there.exists()) == (2, True, False)
    Gallery(there).close()
    answer = type("gallery", "encrypt", "--gallery", there)
    assert (answer.code, flat(answer.err)) == (2, "Which key? Add --key-file FILE, which is made if it is not there.")


def flat(text: str) -> str:
    return " ".join(text.split())
