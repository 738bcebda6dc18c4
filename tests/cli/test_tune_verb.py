"""The verb `tune`: what a user types and reads."""

import json
from pathlib import Path

import pytest
from typed import Type

from firstsight.cli.tune import _seconds
from firstsight.errors import UserError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("20m", 1200), ("1h30m", 5400), ("1.5h", 5400), ("1 h 30 m", 5400), ("2d", 172800)],
)
def test_durations(text: str, seconds: float) -> None:
    assert _seconds("time", text) == seconds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("soon", "--time soon is no duration. Give 90s, 20m, 1h30m or 1.5h."),
        ("20x", "--time 20x is no duration."),
        ("-5m", "--time -5m is no duration."),
        ("", "--time  is no duration."),
        ("1h30", "--time 1h30 leaves open what its numbers count."),
        ("0m", "--time 0m is no time at all."),
    ],
)
def test_what_is_no_duration(text: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        _seconds("time", text)
    assert said in str(error.value)


def test_tune_goes_on_and_reports(type: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rows.csv").write_text("a,b,y\n" + "".join(f"{i},{i * i % 7},{3 * i}\n" for i in range(40)))
    Path("mine.toml").write_text(
        '[data]\ntask = "regression"\ntarget = ["y"]\n[network]\nname = "mlp"\n[training]\nepochs = 2\n'
        "[search]\nlearning_rate = { log = [1e-3, 1] }\n"
    )
    words = ("tune", "mine.toml", "--data", "rows.csv")
    answer = type(*words, "--trials", 2)
    assert answer.code == 0, answer.err
    assert "Trials: 2/2" in answer.err
    assert "next:   firstsight tune --out runs/tune-mine --report" in answer.out
    on = json.loads(type(*words, "--trials", 3, "--json").out)
    assert (on["complete"] + on["pruned"], on["objective"]) == (3, "r2")
    told = type("tune", "mine.toml", "--report", "--seeds", 2)
    assert (told.code, "report: runs/tune-mine/report.html" in told.out) == (0, True), told.err
    assert "next:   firstsight train runs/tune-mine/best.toml --out runs/tuned" in told.out
    proposed = type(*words, "--range-test", "--json")
    assert 1e-5 < json.loads(proposed.out)["learning_rate"] < 100
    for more, said in (
        (("--no-resume",), "runs/tune-mine holds a study already."),
        (("--epochs", 3), "The study tune-mine was begun with another recipe."),
        (("--time", "soon"), "--time soon is no duration."),
        (("--seeds", 3), "--seeds belongs to --report."),
        (("--report", "--trials", 3), "--report does not go with --trials."),
        (("--report", "--epochs", 3), "--report follows the study's own recipe. \nLeave out --epochs."),
        (("--report", "--workers", 2, "--no-resume"), "--report does not go with --workers and --no-resume."),
        (("--report", "--range-test"), "--range-test does not go with --report."),
        (("--range-test", "--workers", 2), "--range-test does not go with --workers."),
        (("--range-test", "--objective", "rmse"), "--range-test does not go with --objective."),
        (("--range-test", "--no-resume", "--storage", "x"), "--range-test does not go with --no-resume and --storage."),
    ):
        refused = type(*words, *more)
        assert refused.code == 2
        assert said.replace(" \n", "\n") in refused.err
    nothing = type("tune", "--out", "runs/none", "--report")
    assert (nothing.code, "There is no study in runs/none." in nothing.err) == (2, True)


def test_where_no_trial_is_complete_the_reasons_are_shown(
    type: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rows.csv").write_text("a,y\n" + "".join(f"{i},{3 * i}\n" for i in range(40)))
    words = ("--data", "rows.csv", "--task", "regression", "--target", "y", "--network", "mlp", "--batch-size", 8)
    answer = type("tune", *words, "--optimizer", "sgd", "--learning-rate", "1e30", "--trials", 1)
    assert answer.code == 1
    assert "No trial was complete; 1 were pruned.\ntrial 0: Update 2 (epoch 1): The loss is" in answer.out
