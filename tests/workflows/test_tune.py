"""Tuning: a trial is a run, a study outlives whoever works on it, and luck is not sold as skill."""

import contextlib
import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_files import GROUPS, PLANE, groups, plane, write_table
from pictures import write_identities
from scipy import stats

from firstsight.cli.console import print_json
from firstsight.config import Recipe
from firstsight.errors import FirstsightError, TrainingError, UserError
from firstsight.evaluation.bounds import student_interval
from firstsight.recipes import read_recipe, with_flags
from firstsight.workflows import tune_seeds, tune_trial
from firstsight.workflows.range_test import _judged, range_test, write_range_test
from firstsight.workflows.search_space import Space, space_from
from firstsight.workflows.train_run import train
from firstsight.workflows.tune import Tuned, reasons, tune
from firstsight.workflows.tune_begin import stored_plan
from firstsight.workflows.tune_report import report
from firstsight.workflows.tune_seeds import BySeed
from firstsight.workflows.tune_study import FrozenTrial, TrialState, open_study, see_report
from firstsight.workflows.tune_trial import held_out_figure, is_objective, larger_is_better, recipe_of

SEARCH: dict[str, Any] = {
    "learning_rate": {"log": [1e-3, 1]}, "batch_size": {"range": [5, 40]}, "hidden": {"choices": [[4], [8], [16]]},
    "optimizer": {"choices": ["adamw", "momentum"]}, "momentum": {"range": [0.5, 0.95]},
}  # fmt: skip
SMALL: dict[str, Any] = {
    "height": 16, "width": 16, "channels": (8, 16), "embedding_size": 16, "identities": 3, "pictures": 3, "epochs": 2,
}  # fmt: skip


def plants(folder: Path, **flags: Any) -> Recipe:
    data = write_table(folder / "plants.csv", groups(60))
    return with_flags(Recipe(), data=str(data), target=("kind",), **GROUPS | {"epochs": 3} | flags)


def space(recipe: Recipe, **table: Any) -> Space:
    return space_from(table or SEARCH, recipe, where="[search]")


def trials_of(tuned: Tuned) -> list[FrozenTrial]:
    return open_study(tuned.plan.url, tuned.plan.name, seed=0).get_trials()


def tried(tuned: Tuned) -> list[tuple[dict[str, Any], str, float | None]]:
    return [(trial.params, trial.state.name, trial.value) for trial in trials_of(tuned)]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return plants(tmp_path_factory.mktemp("plants"))


@pytest.fixture(scope="module")
def tuned(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    return tune(recipe, search=space(recipe), out=tmp_path_factory.mktemp("runs") / "study", trials=11)


def test_a_trial_is_a_run(tuned: Tuned, tmp_path: Path) -> None:
    """The oracle is `train`, with the recipe that was written."""
    best = read_recipe(tuned.folder / "best.toml")
    assert best == tuned.best
    run = train(best, out=tmp_path / "run")
    assert (
        run.figures["accuracy"]
        == tuned.value
        == max(x.value or 0 for x in trials_of(tuned) if x.state.name == "COMPLETE")
    )


def test_a_trial_on_pictures_is_a_run_and_its_objectives_are_figures_of_the_report(tmp_path: Path) -> None:
    photos = write_identities(tmp_path / "photos", identities=10, each=3)
    recipe = with_flags(Recipe(), data=str(photos), **SMALL)
    run = train(recipe, out=tmp_path / "run")
    value, job = held_out_figure(recipe, "eer", watch=lambda update, name: None)
    assert value == run.figures["eer"]
    figures = {name: value for name, value in job.figures(run.model.network).items() if is_objective(name)}
    assert {"accuracy", "error", "auc", "eer", "average_precision"} < set(figures)
    assert figures == {name: run.figures[name] for name in figures}
    assert [name for name in figures if not larger_is_better(name)] == ["error", "eer"]


@pytest.mark.parametrize(("epochs", "measured"), [(5, 5), (18, 18), (40, 18)])
def test_a_long_run_is_not_measured_after_each_epoch(recipe: Recipe, epochs: int, measured: int) -> None:
    heard: list[float] = []
    long = with_flags(recipe, epochs=epochs)
    held_out_figure(long, "accuracy", watch=lambda update, _: heard.append(update.figures.get("held_out", math.nan)))
    assert sum(map(math.isfinite, heard)) == measured
    assert math.isfinite(heard[-1])


def test_with_patience_the_best_epoch_counts_as_it_does_in_a_run(recipe: Recipe, tmp_path: Path) -> None:
    impatient = with_flags(recipe, patience=1, epochs=12, learning_rate=0.3)
    value, _ = held_out_figure(impatient, "accuracy", watch=lambda update, name: None)
    run = train(impatient, out=tmp_path / "run")
    assert run.model.config.trained["best_epoch"] < run.updates[-1]["epoch"]
    assert value == run.figures["accuracy"]


def test_the_first_trial_is_the_recipe_as_it_was(tuned: Tuned, recipe: Recipe) -> None:
    first = trials_of(tuned)[0]
    assert recipe_of(tuned.plan, first) == recipe
    assert tuned.default == first.value
    assert "momentum" not in first.params, "it has no effect with adamw"


def test_a_study_says_what_it_is(tuned: Tuned) -> None:
    about = open_study(tuned.plan.url, tuned.plan.name, seed=0).user_attrs
    assert about["sampler"].startswith("TPE, multivariate, the first 5 trials at random, seed 0 (Optuna 5")
    assert about["pruner"].startswith("ASHA")
    assert stored_plan(tuned.folder) == replace(tuned.plan, trials=None)
    assert tuned.complete + tuned.pruned == 11 == len(trials_of(tuned))
    plain = json.loads(json.dumps(tuned.to_json()))
    assert (plain["value"], plain["hidden"]) == (tuned.value, list(tuned.best.network.hidden if tuned.best else ()))


def test_what_is_pruned_says_why(tuned: Tuned) -> None:
    pruned = [trial for trial in trials_of(tuned) if trial.state is TrialState.PRUNED]
    study = open_study(tuned.plan.url, tuned.plan.name, seed=0)
    assert len(pruned) >= 2
    assert [number for number, _ in reasons(study)] == [trial.number for trial in pruned]
    assert all("is not among the better third." in reason for _, reason in reasons(study))
    assert all(len(trial.intermediate_values) == 1 for trial in pruned), "of three epochs, after the first"


def test_no_weights_stay_on_the_disk(tuned: Tuned) -> None:
    names = {path.name for path in tuned.folder.rglob("*")}
    assert names <= {"best.toml", "study.sqlite", "study.sqlite-wal", "study.sqlite-shm", "report.html", "report.json"}


def test_what_was_interrupted_is_tried_again(
    tuned: Tuned, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two trials, a Ctrl-C within the third, and on; the oracle is the study in one go."""
    words = {"search": space(recipe), "out": tmp_path / "study"}
    tune(recipe, **words, trials=2)
    with monkeypatch.context() as patched:
        patched.setattr(tune_trial._Watch, "__call__", interrupt)
        with pytest.raises(KeyboardInterrupt, match="Go on with the same command, or look at what there is: firsts"):
            tune(recipe, **words, trials=4)
    found = tune(recipe, **words, trials=4)
    assert [trial.state.name for trial in trials_of(found)][2] == "FAIL"
    assert (found.tried_again, found.complete + found.pruned) == (1, 4)
    assert [trial for trial in tried(found) if trial[1] != "FAIL"][:3] == tried(tuned)[:3]


def interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def test_a_study_is_repeatable(tuned: Tuned, recipe: Recipe, tmp_path: Path) -> None:
    """In one go or in two, for what is drawn depends on the number of the trial."""
    tune(recipe, search=space(recipe), out=tmp_path / "study", trials=5)
    assert tried(tune(recipe, search=space(recipe), out=tmp_path / "study", trials=11)) == tried(tuned)
    drawn = [json.dumps(params) for params, _, _ in tried(tuned)]
    assert len(set(drawn)) == len(drawn), "nothing is tried twice"


@pytest.mark.filterwarnings("ignore:overflow")
def test_a_diverging_trial_is_pruned_with_its_reason(tmp_path: Path) -> None:
    data = write_table(tmp_path / "houses.csv", plane())
    recipe = with_flags(Recipe(), data=str(data), target=("price",), **PLANE)
    found = tune(
        recipe,
        search=space(recipe, learning_rate={"choices": [0.1, 1e9]}),
        out=tmp_path / "s",
        trials=6,
        objective="rmse",
    )
    diverged = [trial for trial in trials_of(found) if trial.params["learning_rate"] == "1000000000.0"]
    assert diverged
    assert all(trial.state is TrialState.PRUNED for trial in diverged)
    assert all("(epoch 1): The loss is" in trial.user_attrs["reason"] for trial in diverged)
    assert found.best is not None
    assert found.best.optimizer.learning_rate == 0.1
    assert found.value == min(trial.value or 0 for trial in trials_of(found) if trial.state is TrialState.COMPLETE)


def test_a_trial_that_would_take_too_long_is_pruned(recipe: Recipe, tmp_path: Path) -> None:
    found = tune(recipe, search=space(recipe), out=tmp_path / "s", trials=1, trial_seconds=1e-6)
    assert (found.best, found.pruned) == (None, 1)
    ((_, reason),) = reasons(open_study(found.plan.url, found.plan.name, seed=0))
    assert "It would take" in reason


def test_when_the_time_is_up_no_trial_begins(recipe: Recipe, tmp_path: Path) -> None:
    found = tune(recipe, search=space(recipe), out=tmp_path / "s", seconds=1e-9)
    assert (found.complete, found.pruned, found.best) == (0, 0, None)


@pytest.mark.parametrize(("flag", "value"), [("network", "conv"), ("loss", "triplet")])
def test_an_impossible_space_is_refused_before_the_first_trial(
    recipe: Recipe, tmp_path: Path, flag: str, value: str
) -> None:
    now = {"network": "mlp", "loss": "quadratic"}[flag]
    search = space(recipe, **{flag: {"choices": [now, value]}})
    with pytest.raises(FirstsightError, match=f"The search space is impossible at {flag} = {value}: .*"):
        tune(recipe, search=search, out=tmp_path / "s", trials=1)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"objective": "acuracy"}, "There is no objective acuracy. Known here: accuracy, error."),
        ({"objective": "examples"}, "There is no objective examples."),
        ({"trials": 0}, "--trials 0 is too little."),
        ({"workers": 0}, "--workers 0 is too little."),
        ({"seconds": math.nan}, "--time nan is too little."),
        ({"storage": "mysql://x"}, "mysql://x is no place for a study. Give postgresql://USER@HOST/DATABASE"),
        ({"storage": "x"}, "x is no place for a study."),
        ({"holdout": 0.0}, "Tuning needs held-out data, and there are none. Add --val, or --holdout 0.2."),
    ],
)
def test_what_cannot_be_is_refused(recipe: Recipe, tmp_path: Path, options: dict[str, Any], said: str) -> None:
    flags = {name: options.pop(name) for name in ("holdout",) if name in options}
    with pytest.raises(UserError) as error:
        tune(with_flags(recipe, **flags), search=space(recipe), out=tmp_path / "s", **options)
    assert said in str(error.value)
    assert not (tmp_path / "s").exists()


def test_another_study_is_not_gone_on_with(tuned: Tuned, recipe: Recipe) -> None:
    for other, options, said in (
        (recipe, {"objective": "error"}, "was begun with another objective (accuracy)."),
        (with_flags(recipe, epochs=4), {}, "was begun with another recipe."),
        (recipe, {"search": space(recipe, epochs=True)}, "was begun with another search space."),
        (recipe, {"resume": False}, "holds a study already."),
    ):
        with pytest.raises(UserError) as error:
            tune(other, **{"search": space(recipe), "out": tuned.folder, "trials": 12} | options)  # type: ignore[arg-type]
        assert said in str(error.value)


def test_a_damaged_study_is_said_in_one_sentence(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "study.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(FirstsightError, match=r"The study in .*study\.sqlite cannot be used: file is not a database"):
        tune(recipe, search=space(recipe), out=tmp_path, trials=1)


def test_the_report_shows_what_was_learned(tuned: Tuned) -> None:
    found = report(tuned.folder, stored_plan(tuned.folder), seeds=2)
    page = found.page.read_text("utf-8")
    for words in ("Settings and figures", "Best against default", "Pruned trials", "How the search went", "TPE"):
        assert words in page
    plain = json.loads((tuned.folder / "report.json").read_text())
    assert len(plain["trials"]) == 11
    assert plain["seeds"] == [1, 2]
    again = report(tuned.folder, stored_plan(tuned.folder), seeds=2)
    assert again.to_json() == found.to_json(), "nothing is trained twice"


def test_the_gain_over_other_seeds_is_that_of_runs(tuned: Tuned, recipe: Recipe, tmp_path: Path) -> None:
    found = report(tuned.folder, stored_plan(tuned.folder), seeds=2).by_seed
    assert found is not None
    assert tuned.best is not None
    for name, start in (("default", recipe), ("best", tuned.best)):
        run = train(with_flags(start, seed=2), out=tmp_path / name)
        assert getattr(found, f"{name}_S")[1] == run.figures["accuracy"]


@pytest.mark.parametrize(
    ("objective", "best", "said"),
    [
        ("accuracy", [0.9, 0.92, 0.91], "The best recipe is better than the default: its accuracy gains +0.11"),
        ("accuracy", [0.7, 0.9, 0.83], "It may be luck: the accuracy of the best recipe gains +0.0100 (-0.24"),
        ("error", [0.9, 0.92, 0.91], "The best recipe is worse than the default, its trial was lucky"),
        ("accuracy", [math.nan, 0.92, 0.91], "of 3 seeds that no trial saw it diverges with 1, the default with 0."),
    ],
)
def test_luck_is_not_sold_as_skill(objective: str, best: list[float], said: str) -> None:
    assert said in BySeed([1, 2, 3], np.full(3, 0.8), np.array(best), objective).in_words()


@pytest.mark.parametrize(
    ("default", "said"),
    [([math.nan, 0.8, 0.81], "gains +0.11"), ([math.nan, math.nan, 0.8], "Too few runs came to their end to tell")],
)
def test_seeds_with_which_the_default_diverges_are_no_gain(default: list[float], said: str) -> None:
    found = BySeed([1, 2, 3], np.array(default), np.array([0.9, 0.92, 0.91]), "accuracy")
    assert said in found.in_words()
    assert json.loads(as_json(found.to_json()))["default_by_seed"][0] is None


def as_json(plain: dict[str, Any]) -> str:
    """As `--json` prints it; JSON has no NaN."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        print_json(plain)
    assert "NaN" not in printed.getvalue()
    return printed.getvalue()


def test_torchrun_is_refused(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match=r"^Trials do not run under torchrun\. Type firstsight tune … --workers N"):
        tune(recipe, out=tmp_path / "study", trials=1)


def test_a_seed_that_diverges_is_said(tuned: Tuned, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise TrainingError("The loss is nan.")

    monkeypatch.setattr(tune_seeds, "held_out_figure", broken)
    study = open_study(tuned.plan.url, tuned.plan.name, seed=0)
    assert math.isnan(tune_seeds._figure_with_seed(study, tuned.plan, with_flags(recipe, epochs=7), 99))


@pytest.mark.parametrize("values", [[1.0, 2.0], [0.3, -0.1, 0.2, 0.25, 0.1]])
def test_the_interval_is_students(values: list[float]) -> None:
    found = student_interval(np.array(values))
    theirs = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    assert (found.low, found.high) == pytest.approx(theirs)


def test_the_range_test_finds_where_the_loss_falls(tmp_path: Path) -> None:
    """Descent on the bowl of a linear map runs away beyond η = 2 / (the largest curvature), which is near 3 here."""
    data = write_table(tmp_path / "houses.csv", plane(400))
    recipe = with_flags(Recipe(), data=str(data), target=("price",), **PLANE)
    found = range_test(recipe)
    assert found.ran_away
    assert 1e-4 < found.low < found.proposal < found.high < 3
    assert found.rate_U[0] == pytest.approx(1e-5)
    steps = np.diff(np.log(found.rate_U))
    assert steps.max() == pytest.approx(steps.min()), "each update raises it by the same factor"
    value, _ = held_out_figure(with_flags(recipe, learning_rate=found.proposal), "r2")
    assert value > 0.99
    page = write_range_test(found, tmp_path / "test").read_text("utf-8")
    assert "Proposed η" in page
    assert json.loads((tmp_path / "test" / "report.json").read_text()) == found.to_json()


def test_the_proposal_lies_between_the_first_fall_and_the_least_loss() -> None:
    """A curve with a known law: level, a straight fall over one order of magnitude, and up again; with noise."""
    rate_U = np.geomspace(1e-5, 1e2, 701)
    loss_U = 1 - np.clip(np.log10(rate_U / 1e-2), 0, 1) * 0.8 + np.clip(np.log10(rate_U / 1e-1), 0, 9)
    loss_U[:400] += 0.02 * np.sin(np.arange(400))  # the level of the batches
    found = _judged(Recipe(), rate_U, loss_U, ran_away=True)
    assert found.high == pytest.approx(0.1, rel=0.02)
    assert found.low == pytest.approx(10 ** (-2 + 0.1), rel=0.3)
    assert found.proposal == pytest.approx(found.low ** (1 / 3) * found.high ** (2 / 3))
    with pytest.raises(UserError, match="The loss fell at no learning rate. Prove the wiring first"):
        _judged(Recipe(), rate_U, np.linspace(1, 2, 701), ran_away=True)


def test_the_report_of_a_study_on_a_server_is_asked_for_there() -> None:
    assert see_report(Path("runs/my study"), "sqlite:///x") == "firstsight tune --out 'runs/my study' --report"
    there = see_report(Path("runs/s"), "postgresql+psycopg://me:secret@db/studies")
    assert there == "firstsight tune --out runs/s --storage 'postgresql://me:***@db/studies' --report"
