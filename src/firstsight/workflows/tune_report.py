"""What a study has shown, as a page: which settings mattered, and whether the best recipe is better or was lucky.

T trials.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firstsight.errors import UserError
from firstsight.evaluation import tuning_plots as plots
from firstsight.evaluation.report import Headline, Plot, Section, Table, write_report
from firstsight.workflows.progress import OnProgress, silent
from firstsight.workflows.search_space import Choices, Dimension
from firstsight.workflows.tune import BEST, Tuned, conclude, reasons, to_plain_value
from firstsight.workflows.tune_seeds import BySeed, compare_by_seed
from firstsight.workflows.tune_study import (
    STEPS,
    FrozenTrial,
    Study,
    TrialState,
    complete,
    importances,
    open_study,
    over,
)
from firstsight.workflows.tune_trial import Plan, larger_is_better, suggestion

MOST_SHOWN = 10
ENOUGH = 6
"""Complete trials, below which nobody can tell which setting matters."""


@dataclass(frozen=True, eq=False)
class Reported:
    """`page` is report.html. `by_seed` is None where the default itself was the best trial."""

    page: Path
    tuned: Tuned
    by_seed: BySeed | None

    def in_words(self) -> str:
        return self.by_seed.in_words() if self.by_seed else "No trial was better than the recipe as it was."

    def to_json(self) -> dict[str, Any]:
        return {"report": str(self.page)} | self.tuned.to_json() | (self.by_seed.to_json() if self.by_seed else {})


def report(folder: Path, plan: Plan, *, seeds: int = 5, on_progress: OnProgress = silent) -> Reported:
    """Write report.html, report.json and best.toml of a study.

    Training the default and the best recipe with `seeds` other seeds each takes as long as so many trials; what was
    trained once is kept in the study.

    Raises:
        UserError: no trial is complete, or fewer than two seeds.
    """
    if seeds < 2:
        raise UserError(f"--seeds {seeds} is too few for an interval.", hint="Give 2 or more; 5 is the default.")
    tuned = conclude(folder, plan)
    if tuned.best is None:
        raise UserError(f"No trial of {folder} is complete yet.", hint="Go on with firstsight tune.")
    study = open_study(plan.url, plan.name, seed=0)
    by_seed = None
    if tuned.best != plan.recipe:
        by_seed = compare_by_seed(study, plan, tuned.best, seeds, on_progress)
    page = write_report(
        folder,
        title=f"firstsight tune: {plan.name}",
        summary=_summary(tuned, by_seed),
        headlines=_headlines(tuned, by_seed),
        tables=[_best_table(tuned), _trial_table(study, plan), *_seed_tables(by_seed), *_pruned_tables(study)],
        sections=_sections(study, plan),
        data=tuned.to_json() | (by_seed.to_json() if by_seed else {}) | {"trials": _trials_json(study)},
        footer=f"{study.user_attrs['sampler']}. {study.user_attrs['pruner']}.",
    )
    return Reported(page, tuned, by_seed)


def _summary(tuned: Tuned, by_seed: BySeed | None) -> str:
    plan = tuned.plan
    verdict = by_seed.in_words() if by_seed else "No trial was better than the recipe as it was."
    own = " These seeds hold out other data, too." if plan.recipe.data.val == "" else ""
    return (
        f"{tuned.complete + tuned.pruned} trials on {plan.recipe.data.path}, of which {tuned.pruned} were pruned. "
        f"{verdict}{own} Train it: firstsight train {tuned.folder / BEST} --out runs/tuned"
    )


def _headlines(tuned: Tuned, by_seed: BySeed | None) -> list[Headline]:
    assert tuned.value is not None
    started = "" if tuned.default is None else f"; the recipe as it was: {tuned.default:.4f}"
    note = f"trial {tuned.best_number}{started}; optimistic, as it was chosen by it"
    tiles = [Headline(f"Best {tuned.plan.objective}", f"{tuned.value:.4f}", note)]
    if by_seed and by_seed.interval:
        low, high = by_seed.interval.low, by_seed.interval.high
        label = f"Gain over the default, {len(by_seed.gains)} other seeds"
        tiles.append(Headline(label, f"{by_seed.gains.mean():+.4f}", f"{low:+.4f} to {high:+.4f}, 95 %"))
    return tiles


def _best_table(tuned: Tuned) -> Table:
    assert tuned.best is not None
    rows = [
        [
            dimension.flag,
            cell(to_plain_value(tuned.plan.recipe, dimension.flag)),
            cell(to_plain_value(tuned.best, dimension.flag)),
            dimension.in_words(),
        ]
        for dimension in tuned.plan.space
    ]
    caption = f"What was searched. The whole recipe stands in {BEST}, ready to train."
    return Table("Best recipe", caption, ["Setting", "Default", "Best", "Searched"], rows)


def _trial_table(study: Study, plan: Plan) -> Table:
    rows = [
        [
            str(trial.number),
            f"{trial.value:.4f}",
            *(cell(trial.params.get(dimension.flag, "–")) for dimension in plan.space),
            f"{_seconds(trial):.1f} s",
        ]
        for trial in complete(study)[:MOST_SHOWN]
    ]
    columns = ["Trial", plan.objective, *(dimension.flag for dimension in plan.space), "Took"]
    return Table("Best trials", "Complete trials; – where a setting had no effect.", columns, rows)


def _seed_tables(by_seed: BySeed | None) -> list[Table]:
    if by_seed is None:
        return []
    rows = [
        [str(seed), _figure(default), _figure(best)]
        for seed, default, best in zip(by_seed.seeds, by_seed.default_S, by_seed.best_S, strict=True)
    ]
    caption = f"{by_seed.in_words()} The interval is Student's, of the differences seed by seed."
    return [Table("Best against default", caption, ["Seed", "Default", "Best"], rows)]


def _pruned_tables(study: Study) -> list[Table]:
    found = reasons(study)
    if not found:
        return []
    rows = [[str(number), reason] for number, reason in found]
    return [Table("Pruned trials", f"{len(found)} ended early.", ["Trial", "Why"], rows)]


def _sections(study: Study, plan: Plan) -> list[Section]:
    trials, better = over(study), larger_is_better(plan.objective)
    done = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    value_T = [_value(trial) if trial.state is TrialState.COMPLETE else math.nan for trial in trials]
    parallel = Plot(
        plots.parallel_coordinates(
            [_axis(dimension, trials) for dimension in plan.space], value_T, plan.objective, larger_is_better=better
        ),
        "A line a trial, through its settings to its figure. The best one is orange, the better third of the complete "
        "ones blue; lines that end early were pruned.",
        f"{len(trials)} lines over {len(plan.space)} settings.",
        wide=True,
    )
    return [
        Section("Settings and figures", [parallel]),
        Section("Which settings matter", _importance(study, done)),
        Section("How the search went", [_history(trials, plan), *_curves(study, trials)]),
    ]


def _importance(study: Study, done: Sequence[FrozenTrial]) -> list[Plot]:
    if len(done) < ENOUGH:
        return []
    importance = importances(study)
    caption = (
        "How much each setting decides whether a trial is among the better ones (PED-ANOVA, Watanabe et al. 2023), "
        f"from {len(done)} complete trials. With so few, take it as a hint."
    )
    alt = ", ".join(f"{name} {share:.2f}" for name, share in importance.items())
    return [Plot(plots.importance_bars(importance), caption, alt)]


def _history(trials: Sequence[FrozenTrial], plan: Plan) -> Plot:
    shown = [trial for trial in trials if math.isfinite(_value(trial))]
    better = larger_is_better(plan.objective)
    figure = plots.figures_by_trial(
        [trial.number for trial in shown],
        [_value(trial) for trial in shown],
        [trial.state is TrialState.PRUNED for trial in shown],
        objective=plan.objective,
        larger_is_better=better,
    )
    return Plot(figure, "Each trial, and the best complete one so far.", f"{len(shown)} points.", wide=True)


def _curves(study: Study, trials: Sequence[FrozenTrial]) -> list[Plot]:
    """The held-out figure over the run: the best three trials and the default in color."""
    sign = 1 if study.direction.name == "MAXIMIZE" else -1
    named = {f"Trial {trial.number}": trial for trial in complete(study)[:3]}
    default = next((trial for trial in trials if trial.user_attrs.get("default")), None)
    if default and default not in named.values():
        named["Default"] = default
    curves = {name: _curve(trial, sign) for name, trial in named.items() if trial.intermediate_values}
    others = [_curve(trial, sign) for trial in trials if trial not in named.values() and trial.intermediate_values]
    if not curves:
        return []
    figure = plots.validation_curves(curves, others, "Held-out figure")
    return [
        Plot(
            figure,
            "Measured after epochs. By this curve trials are pruned.",
            f"{len(curves) + len(others)} curves.",
            wide=True,
        )
    ]


def _curve(trial: FrozenTrial, sign: int) -> tuple[list[float], list[float]]:
    points = sorted(trial.intermediate_values.items())
    return [step / STEPS for step, _ in points], [sign * value for _, value in points]


def _axis(dimension: Dimension, trials: Sequence[FrozenTrial]) -> plots.Axis:
    found = [trial.params.get(dimension.flag) for trial in trials]
    if isinstance(dimension, Choices):
        names = [suggestion(dimension, value) for value in dimension.values]
        return plots.Axis(dimension.flag, [math.nan if x is None else names.index(x) for x in found], names=names)
    return plots.Axis(dimension.flag, [math.nan if x is None else float(x) for x in found], log=dimension.log)


def _trials_json(study: Study) -> list[dict[str, Any]]:
    return [
        {"number": trial.number, "state": trial.state.name.lower(), "value": trial.value, **trial.params}
        for trial in study.get_trials(deepcopy=False)
    ]


def _value(trial: FrozenTrial) -> float:
    return math.nan if trial.value is None else trial.value


def _seconds(trial: FrozenTrial) -> float:
    return trial.duration.total_seconds() if trial.duration else math.nan


def cell(value: Any) -> str:
    """A value of a setting for the eye."""
    if isinstance(value, list):
        return " ".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _figure(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "diverged"
