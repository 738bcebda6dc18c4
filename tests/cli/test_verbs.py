"""The verbs from end to end: what a user types, reads, and can script against."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pictures import draw_identity, write_identities
from typed import Type

from firstsight.cli import main as cli
from firstsight.errors import StorageError
from firstsight.models.folder import load_model
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.recognizer import default_gallery_path

VERBS = [verb for verbs in cli.VERBS.values() for verb in verbs]
SMALL = ("--height", 16, "--width", 16, "--channels", 8, 16, "--embedding-size", 16, "--identities", 4, "--pictures", 3)


def only(text: str) -> Any:
    """The one JSON object on the one line of a text."""
    (line,) = text.splitlines()
    return json.loads(line)


def test_alone_it_says_what_to_type_next(type: Type) -> None:
    answer = type()
    assert answer.code == 0
    assert "firstsight demo" in answer.out


def test_help_lists_every_verb_and_imports_no_torch() -> None:
    code = """
import atexit, sys
sys.argv = ["firstsight", "--help"]
atexit.register(lambda: print("torch" in sys.modules))
from firstsight.cli.main import main
main()
"""
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert printed.splitlines()[-1] == "False"
    assert all(f" {verb} " in printed for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(type: Type, verb: str) -> None:
    answer = type(verb, "--help")
    assert answer.code == 0
    assert f"Example: firstsight {verb}" in " ".join(answer.out.split())


@pytest.mark.parametrize("verb", ["tune", "predict", "stream", "gallery enroll"])
def test_help_fills_its_lines(type: Type, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = type(*verb.split(), "--help").out
    told = shown.partition("╭")[0].splitlines()
    assert told[0].startswith(f"Usage: firstsight {verb} ")
    assert max(map(len, told)) <= 80
    for line, after in itertools.pairwise(told):
        assert not (line.strip() and after.strip()) or len(f"{line.rstrip()} {after.split()[0]}") > 80, line
    assert "[default: False]" not in " ".join(shown.replace("│", " ").split()), "a flag is off where it is not typed"


def test_help_says_with_what_a_flag_has_an_effect(type: Type) -> None:
    shown = " ".join(type("train", "--help").out.replace("│", " ").split())
    assert "pictures of each. Only with --task embedding." in shown
    assert "Only with --task embedding, --loss triplet, --select semihard." in shown
    assert "before all of it does. Only with --start-from MODEL. [default: 2]" in shown


def test_the_version(type: Type) -> None:
    assert type("--version").out.strip() == "0.1.0"


def test_python_dash_m(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "firstsight", "identify"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 2
    assert "identify" in done.stderr
    assert "Traceback" not in done.stderr


def test_train_evaluate_and_list(type: Type, photos: Path, tmp_path: Path) -> None:
    trained = type("train", "--data", photos, "--out", tmp_path / "runs" / "a", *SMALL, "--epochs", 2, "--json")
    assert (trained.code, trained.err) == (0, "")
    figures = only(trained.out)
    assert 0 <= figures["pixel_accuracy"] <= 1
    evaluated = type("evaluate", "--model", tmp_path / "runs" / "a", "--data", photos, "--trials", 5, "--json")
    assert only(evaluated.out)["identities"] == 12
    listed = type("models", tmp_path / "runs", "--json")
    models = [json.loads(line) for line in listed.out.splitlines()]
    assert (models[0]["model_identity"], [shipped["name"] for shipped in models[1:]]) == (
        figures["model_identity"],
        ["faces", "glyphs"],
    )
    table = type("models", tmp_path / "runs")
    assert figures["model_identity"][:12] in table.out


@pytest.mark.parametrize(
    ("words", "figure"),
    [
        (("--protocol", "one-shot", "--ways", 4, "--trials", 20), "accuracy"),
        (("--protocol", "retrieval"), "r_precision"),
        (("--protocol", "open-set", "--trials", 5), "identities"),
    ],
)
def test_every_protocol_gives_figures_and_a_report(
    type: Type, trained: Path, photos: Path, tmp_path: Path, words: tuple[Any, ...], figure: str
) -> None:
    answer = type("evaluate", "--model", trained, "--data", photos, *words, "--out", tmp_path / "report", "--json")
    assert (answer.code, answer.err) == (0, "")
    figures = only(answer.out)
    assert figures["protocol"].startswith(str(words[1]))
    assert figure in figures
    assert (tmp_path / "report" / "report.html").is_file()


def test_a_report_does_not_replace_that_of_a_run(type: Type, trained: Path, photos: Path) -> None:
    before = (trained / "report.html").read_bytes()
    answer = type("evaluate", "--model", trained, "--data", photos, "--out", trained)
    assert (answer.code, f"{trained} holds a run, which would be replaced." in answer.err) == (2, True)
    assert (trained / "report.html").read_bytes() == before


def test_pairs_in_the_published_format(type: Type, trained: Path, photos: Path, tmp_path: Path) -> None:
    same = [f"p{i}\t0\t1\n" for i in range(6)]
    different = [f"p{i}\t0\tp{i + 1}\t0\n" for i in range(6)]
    listed = tmp_path / "pairs.txt"
    listed.write_text("2\t3\n" + "".join(same[:3] + different[:3] + same[3:] + different[3:]))
    answer = type("evaluate", "--model", trained, "--data", photos, "--protocol", "pairs", "--pairs", listed, "--json")
    assert only(answer.out)["pairs"] == 12


def test_two_models_side_by_side(type: Type, trained: Path, photos: Path) -> None:
    answer = type("evaluate", "--model", trained, "--data", photos, "--against", trained, "--trials", 5, "--json")
    figures = only(answer.out)
    assert [figures[f"accuracy_difference{end}"] for end in ("", "_low", "_high")] == [0.0, 0.0, 0.0]


def test_data_that_the_model_was_trained_on_are_warned_of(
    type: Type, trained: Path, photos: Path, tmp_path: Path
) -> None:
    """At the same place, and moved into a zip; other pictures are not, even if their files have the same names."""
    zipped = shutil.make_archive(str(tmp_path / "moved"), "zip", photos)
    others = write_identities(tmp_path / "others", identities=4, each=3, first=30)
    namesakes = shutil.copytree(photos, tmp_path / "namesakes")
    draw_identity(40, 0, size=64).save(namesakes / "p0" / "0.png")
    for data, seen in ((photos, True), (zipped, True), (others, False), (namesakes, False)):
        words = ("evaluate", "--model", trained, "--data", data, "--trials", 2)
        answer = type(*words)
        assert ("was trained on 6 of the 12 identities in" in answer.err) == seen
        assert "The model keeps its own threshold, " in answer.err
        assert "FAR at the model's own threshold" in answer.out
        assert only(type(*words, "--json").out)["seen_in_training"] == seen


def test_train_for_the_eye(type: Type, photos: Path, tmp_path: Path) -> None:
    answer = type("train", "--data", photos, "--out", tmp_path / "run", *SMALL, "--epochs", 1)
    assert answer.code == 0
    assert "One-shot accuracy" in answer.out
    assert "2 identities are too few to promise anything" in answer.out
    assert f"report: {tmp_path}/run/report.html" in answer.out
    assert "Training: " in answer.err, "plain progress lines in a pipe"


def test_train_says_which_cells_were_empty(type: Type, tmp_path: Path) -> None:
    """Each once, of the learned and of the held-out rows together; and of held-out rows of their own as well."""
    (tmp_path / "rows.csv").write_text("a,b,c,y\n" + "1,,3,1\n" * 6 + ",2,5,2\n" * 4)
    (tmp_path / "val.csv").write_text("a,b,c,y\n1,,3,1\n1,2,5,2\n")
    words = ("train", "--task", "regression", "--data", tmp_path / "rows.csv", "--target", "y", "--network", "mlp")
    words = (*words, "--epochs", 1)
    split = type(*words, "--out", tmp_path / "split")
    said = "empty cells, filled with the mean of their column: {} of a, {} of b\n"
    assert split.err.count("empty cells") == 1
    assert said.format(4, 6) in split.err
    assert said.format(4, 7) in type(*words, "--out", tmp_path / "own", "--val", tmp_path / "val.csv").err
    assert only(type(*words, "--out", tmp_path / "json", "--json").out)["empty_cells"] == 10
    assert "empty" not in type(*words, "--out", tmp_path / "full", "--features", "c").err


def test_train_says_whose_weights_it_kept(type: Type, photos: Path, tmp_path: Path) -> None:
    answer = type("train", "--data", photos, "--out", tmp_path / "run", *SMALL, "--epochs", 2, "--patience", 1)
    assert re.search(r"epoch 2; kept the weights of epoch [12] \(AUC [01]\.\d{3}\)\. The figures are", answer.out)


def test_flags_go_before_the_recipe(type: Type, photos: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text(f'[data]\npath = "{photos}"\n[training]\nepochs = 50\nseed = 3\n')
    answer = type("train", recipe, "--out", tmp_path / "run", *SMALL, "--epochs", 1, "--json")
    assert answer.code == 0
    written = (tmp_path / "run" / "recipe.toml").read_text()
    assert "epochs = 1\n" in written
    assert "seed = 3\n" in written


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("trial", [("--dry-run",), ("--overfit", 8)])
def test_a_trial_leaves_nothing_behind(
    type: Type, trained: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trial: tuple[Any, ...]
) -> None:
    """Neither where --out says, though a run is there, nor where it is typed."""
    monkeypatch.chdir(tmp_path)
    before = contents(trained)
    assert any(name.startswith("checkpoint/") for name in before)
    words = ("train", "--data", photos, *SMALL, "--margin", 1, *trial)
    for more in (("--out", trained), ("--json",)):
        answer = type(*words, *more)
        assert (answer.code, "Traceback" in answer.err) == (0, False), answer.err
    assert contents(trained) == before
    assert set(contents(tmp_path)) == {name for name in contents(tmp_path) if name.startswith("cache/")}


def test_a_dry_run_for_the_eye_and_for_programs(type: Type, photos: Path) -> None:
    shown = type("train", "--data", photos, *SMALL, "--dry-run")
    assert shown.code == 0
    for words in ("0.0 Conv2d", "8 x 16 x 16", "50 pictures of 10 identities", "a batch of them was measured", "about"):
        assert words in shown.out
    figures = only(type("train", "--data", photos, *SMALL, "--dry-run", "--json").out)
    assert figures["batch_shape"] == [12, 1, 16, 16]


def test_overfitting_ends_in_yes_or_no(type: Type, photos: Path) -> None:
    words = ("train", "--data", photos, *SMALL, "--overfit", 8)
    proven = type(*words, "--margin", 1)
    assert (proven.code, "The wiring is proven" in proven.out) == (0, True)
    unproven = type(*words, "--margin", 0)
    assert (unproven.code, "The wiring is not proven" in unproven.out) == (1, True)
    figures = only(type(*words, "--margin", 1, "--json").out)
    assert (figures["proven"], figures["identities"], figures["pictures"]) == (True, 3, 8)


def test_a_run_goes_on_from_its_folder_alone(type: Type, photos: Path, tmp_path: Path) -> None:
    """Killed before its first checkpoint, it begins anew by its own recipe; and the whole command works as well."""
    words = ("train", "--data", photos, *SMALL, "--epochs", 1, "--json")
    figures = only(type(*words, "--out", tmp_path / "peer").out)
    out = tmp_path / "run"
    out.mkdir()
    shutil.copy(tmp_path / "peer" / "recipe.toml", out)
    refused = type("train", "--resume", "--out", out, "--epochs", 3, "--batch-size", 4)
    said = "--resume follows the run's own recipe. Leave out --batch-size, --epochs."
    assert (refused.code, " ".join(refused.err.split())) == (2, said)
    assert only(type("train", "--resume", "--out", out, "--json").out)["model_identity"] == figures["model_identity"]
    shutil.rmtree(out / "model")
    assert only(type(*words, "--resume", "--out", out).out)["model_identity"] == figures["model_identity"]
    tried = type("train", out / "recipe.toml", "--dry-run", "--json")
    assert only(tried.out)["epochs"] == 1


def test_enroll_identify_verify_forget(type: Type, trained: Path, photos: Path, tmp_path: Path) -> None:
    gallery = ("--gallery", tmp_path / "gallery.sqlite")
    for name in ("p0", "p1"):
        answer = type("enroll", name, photos / name / "0.png", "--model", trained, *gallery)
        assert (answer.code, answer.err) == (0, "")
        assert f"{name} is enrolled" in answer.out
    assert "(2 identities in " in answer.out
    known = type("identify", photos / "p1" / "0.png", *gallery, "--json")
    found = only(known.out)
    assert (known.code, found["decision"], found["name"]) == (0, "match", "p1"), "the gallery remembers its model"
    assert found["distance"] <= found["threshold"]
    mixed = type("identify", photos / "p1" / "0.png", "nowhere.png", photos / "p0" / "0.png", *gallery)
    assert (mixed.code, mixed.out.count("\n")) == (2, 2), "one that is missing keeps no other from its answer"
    assert "nowhere.png does not exist" in mixed.err
    unknown = type("identify", photos / "p1" / "1.png", *gallery, "--threshold", 0, "--json")
    assert (unknown.code, only(unknown.out)["decision"], only(unknown.out)["name"]) == (3, "unknown", None)
    yes = type("verify", "p0", photos / "p0" / "0.png", *gallery)
    assert (yes.code, yes.out.startswith("yes, p0")) == (0, True)
    no = type("verify", "p0", photos / "p1" / "0.png", *gallery, "--threshold", 0)
    assert (no.code, no.out.startswith("no, not p0")) == (3, True)
    assert [line.split()[0] for line in type("gallery", "list", *gallery).out.splitlines()] == ["p0", "p1"]
    assert type("forget", "p0", *gallery).code == 0
    assert [line.split()[0] for line in type("gallery", "list", *gallery).out.splitlines()] == ["p1"]
    gone = type("verify", "p0", photos / "p0" / "0.png", *gallery)
    assert gone.code == 2
    assert "p0" in gone.err


def test_a_gallery_on_a_server_is_used_like_a_file(type: Type, trained: Path, photos: Path, postgres_url: str) -> None:
    url = postgres_url.replace("postgres@", "postgres:secret@")
    nobody = type("identify", photos / "p1" / "0.png", "--gallery", url)
    assert (nobody.code, "unknown  (nobody is enrolled" in nobody.out) == (3, True)
    for name in ("p0", "p1"):
        assert type("enroll", name, photos / name / "0.png", "--model", trained, "--gallery", url).code == 0
    more = type("enroll", "p2", photos / "p2" / "0.png", "--gallery", url)
    assert (more.code, more.err) == (0, ""), "the gallery remembers its model"
    assert only(type("identify", photos / "p1" / "0.png", "--gallery", url, "--json").out)["name"] == "p1"
    indexed = type("gallery", "index", "--gallery", url)
    assert "The HNSW index finds 6 of 6 (100.0%)" in " ".join(indexed.out.split())
    found = type("identify", photos / "p1" / "0.png", "--gallery", f"{url}&search=hnsw", "--json")
    assert only(found.out)["name"] == "p1"
    receipt = only(type("forget", "p0", "--gallery", url, "--json").out)
    assert "the server's write-ahead log" in receipt["left_in"]
    assert "secret" not in "".join((nobody.err, more.out, indexed.out, str(receipt)))


def test_there_is_one_default_gallery_a_model(type: Type, trained: Path, photos: Path) -> None:
    assert type("enroll", "ada", photos / "p3" / "0.png", "--model", trained).code == 0
    answer = type("identify", photos / "p3" / "0.png", "--model", trained / "model")
    assert (answer.code, ": ada  (distance" in answer.out) == (0, True)
    assert Path(os.environ["FIRSTSIGHT_HOME"]).is_dir()


def test_a_folder_gives_a_line_a_picture(type: Type, trained: Path, photos: Path, tmp_path: Path) -> None:
    gallery = ("--gallery", tmp_path / "gallery.sqlite")
    type("enroll", "ada", photos / "p3" / "0.png", "--model", trained, *gallery)
    folder = tmp_path / "visitors"
    folder.mkdir()
    draw_identity(3, 0).save(folder / "1.png")
    (folder / "2.png").write_bytes(b"")
    answer = type("identify", folder, *gallery, "--json")
    lines = [json.loads(line) for line in answer.out.splitlines()]
    assert [(Path(line["picture"]).name, line["decision"]) for line in lines] == [
        ("1.png", "match"),
        ("2.png", "unreadable"),
    ]
    assert {"picture", "decision", "name", "distance", "threshold"} <= set(lines[0]) & set(lines[1])
    assert answer.code == 2
    both = type("identify", folder / "1.png", photos / "p3" / "0.png", *gallery, "--json")
    assert (both.code, len(both.out.splitlines())) == (0, 2)
    spoken = type("identify", folder, *gallery)
    assert "2.png" in spoken.err
    assert spoken.code == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("identfy",), "There is no verb identfy. Did you mean identify?"),
        (("forget", "ada"), "ada is not enrolled"),
        (("identify", "x.png", "--model", "nowhere"), "does not exist"),
        (("train",), "--out"),
        (("train", "--out", "run"), "No data were named to learn from. Add --data PICTURES."),
        (("train", "--resume", "--out", "x"), "There is no run in x to go on with. Begin one: firstsight train --data"),
        (("train", "--resume", "--out", "x", "--epochs", "3"), "There is no run in x to go on with. Begin one: firsts"),
        (("train", "--resume"), "Where is the run to be written? Add --out runs/mine."),
        (("train", "--data", "x"), "Where is the run to be written? Add --out runs/mine."),
        (
            ("train", "--data", "x", "--dry-run", "--overfit", "9"),
            "--dry-run is a trial, and does not go with --overfit. Leave out --overfit, or --dry-run.",
        ),
        (("train", "--resume", "--out", "x", "--dry-run"), "--dry-run is a trial, and does not go with --resume."),
        (
            ("train", "--data", "x", "--overfit", "9", "--resume", "--tensorboard"),
            "--overfit is a trial, and does not go with --resume and --tensorboard. Leave out --resume and",
        ),
        (("train", "--data", "x", "--overfit", "3"), "--overfit 3 is too few: the least are 4 pictures"),
        (("train", "--out", "run", "--batch-size", "9"), "--batch-size has no effect with --task embedding."),
        (("train", "idle.toml", "--out", "run"), "the recipe: loss.margin has no effect with --task regression."),
        (("train", "--out", "run", "--epoch", "3"), "--epochs"),
        (("train", "--out", "run", "--epochs", "many"), "many"),
        (("train", "none.toml", "--out", "run"), "none.toml cannot be read: No such file or directory."),
        (("evaluate", "--model", "nowhere", "--data", "x"), "There is no model nowhere."),
        (
            ("evaluate", "--model", "{trained}", "--data", "x", "--protocol", "pairs"),
            "Give --protocol pairs --pairs FILE.",
        ),
        (
            ("evaluate", "--model", "{trained}", "--data", "x", "--pairs", "x"),
            "The protocol all-pairs has no --pairs. It belongs to: pairs.",
        ),
        (
            ("evaluate", "--model", "{trained}", "--data", "x", "--protocol", "retrieval", "--within-groups"),
            "The protocol retrieval has no --within-groups. It belongs to: one-shot.",
        ),
        (
            ("evaluate", "--model", "{trained}", "--data", "x", "--protocol", "pairs", "--pairs", "x", "--trials", "9"),
            "The protocol pairs has no --trials. It belongs to: all-pairs, one-shot, open-set.",
        ),
        (("evaluate", "--model", "{trained}", "--data", "x", "--ways", "5"), "The protocol all-pairs has no --ways."),
        (
            ("evaluate", "--model", "{trained}", "--data", "x", "--protocol", "open-set", "--trials", "0"),
            "--trials 0 is too few. Give 1 or more.",
        ),
    ],
)
def test_a_mistake_is_one_sentence_and_a_hint(
    type: Type, words: tuple[str, ...], said: str, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("idle.toml").write_text('data = { task = "regression", path = "x.csv" }\nloss = { margin = 0.5 }\n')
    answer = type(*(word.format(trained=trained) for word in words))
    assert answer.code == 2
    assert said in " ".join(answer.err.split())
    assert "Traceback" not in answer.err
    assert answer.out == ""


def test_debug_shows_the_traceback(type: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["firstsight", "models", str(tmp_path), "--debug", "--wrong"])
    with pytest.raises(Exception, match="wrong"):
        cli.main()


def test_the_doctor_finds_this_machine_well(type: Type) -> None:
    answer = type("doctor")
    assert (answer.code, answer.out.count("✔")) == (0, 6)
    checks = [json.loads(line) for line in type("doctor", "--json").out.splitlines()]
    assert all(check["ok"] and not check["mend"] for check in checks)


def test_the_doctor_says_how_to_mend(type: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firstsight.workflows.doctor.ENOUGH_DISK", 1 << 60)
    answer = type("doctor")
    assert answer.code == 1
    assert "✘ disk: " in answer.out
    assert "Free some space" in answer.out


def test_a_name_can_be_forgotten_when_the_model_is_gone(
    type: Type, trained: Path, photos: Path, tmp_path: Path
) -> None:
    gallery = ("--gallery", tmp_path / "gallery.sqlite")
    moved = tmp_path / "moved"
    shutil.copytree(trained, moved)
    assert type("enroll", "ada", photos / "p3" / "0.png", "--model", moved, *gallery).code == 0
    shutil.rmtree(moved)
    assert type("gallery", "list", *gallery).out.split()[0] == "ada"
    assert type("forget", "ada", *gallery).code == 0
    assert type("gallery", "list", *gallery).out == ""


@pytest.mark.parametrize(
    "words", [("identify", "{photo}"), ("verify", "ada", "{photo}"), ("forget", "ada"), ("gallery", "list")]
)
def test_reading_makes_no_gallery(
    type: Type, trained: Path, photos: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    photo = photos / "p3" / "0.png"
    missing = tmp_path / "typo.sqlite"
    answer = type(*(word.format(photo=photo) for word in words), "--model", trained, "--gallery", missing)
    assert (answer.code, f"There is no gallery {missing}." in answer.err) == (2, True)
    type(*(word.format(photo=photo) for word in words), "--model", trained)
    assert not missing.exists()
    assert not Path(os.environ["FIRSTSIGHT_HOME"]).exists()


def test_a_demo_replaces_nothing_but_a_demo(type: Type, tmp_path: Path) -> None:
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "7.png").write_text("precious")
    answer = type("demo", "--out", tmp_path)
    assert (answer.code, "holds something else than a demo. Name another --out" in answer.err.replace("\n", " ")) == (
        2,
        True,
    )
    assert [path.name for path in tmp_path.iterdir()] == ["digits"]


def test_a_damaged_model_hides_no_other(type: Type, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "good")
    shutil.copytree(trained, tmp_path / "bad")
    (tmp_path / "bad" / "model" / "config.json").write_text("{")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text("{}")
    answer = type("models", tmp_path, "--json")
    assert answer.code == 0
    listed = {model["name"]: model for model in map(json.loads, answer.out.splitlines())}
    assert "model_identity" in listed[str(tmp_path / "good")]
    assert "config.json is damaged" in answer.out + answer.err
    assert "other" not in answer.out + answer.err


def test_a_damaged_gallery_hides_no_model(type: Type, trained: Path, tmp_path: Path) -> None:
    where = default_gallery_path(load_model(trained).identity)
    Gallery(where).close()
    where.write_bytes(where.read_bytes()[:4096])
    with pytest.raises(StorageError):
        Gallery(where)
    listed = {model["name"]: model for model in map(json.loads, type("models", trained, "--json").out.splitlines())}
    assert listed[str(trained)]["enrolled"] is None
    assert "not opened" in type("models", trained).out
    assert listed["glyphs"]["enrolled"] == 0


def test_a_model_of_classes_is_not_enrolled_with(type: Type, photos: Path, tmp_path: Path) -> None:
    small = ("--height", 16, "--width", 16, "--channels", 8, "--epochs", 1, "--json")
    assert type("train", "--task", "classification", "--data", photos, "--out", tmp_path / "run", *small).code == 0
    answer = type("enroll", "ada", photos / "p3" / "0.png", "--model", tmp_path / "run")
    assert answer.code == 2
    assert "was trained for classification, and makes no embeddings" in answer.err
    assert type("predict", "--model", tmp_path / "run", "--data", photos / "p3").out.startswith("example,class,p0,p1")
    picture = tmp_path / "mine.png"
    picture.write_bytes((photos / "p3" / "0.png").read_bytes())
    over = type("predict", "--model", tmp_path / "run", "--data", picture, "--out", picture)
    assert (over.code, f"{picture} is the data, and would be replaced." in over.err) == (2, True)
    assert picture.read_bytes() == (photos / "p3" / "0.png").read_bytes()
    (tmp_path / "rows.csv").write_text("x,y\n1,2\n")
    measured = type("evaluate", "--model", tmp_path / "run", "--data", tmp_path / "rows.csv")
    assert (measured.code, "run was trained for classification, and makes no embeddings" in measured.err) == (2, True)
