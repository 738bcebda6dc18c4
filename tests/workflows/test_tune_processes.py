"""Tuning by several processes: killed and gone on with, on one machine or by one database."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from example_files import GROUPS, groups, write_table

from firstsight.config import Recipe
from firstsight.errors import UserError
from firstsight.recipes import with_flags
from firstsight.recipes import write_recipe as write_toml
from firstsight.workflows.tune import tune
from firstsight.workflows.tune_study import OVER, TrialState, database_url, has_study, open_study, taken
from firstsight.workflows.tune_workers import work_together


def plants(folder: Path, **flags: Any) -> Recipe:
    data = write_table(folder / "plants.csv", groups(60))
    return with_flags(Recipe(), data=str(data), target=("kind",), **GROUPS | {"epochs": 3} | flags)


def write_recipe(folder: Path, recipe: Recipe) -> Path:
    """With a search of its own, in which each trial runs for a while."""
    path = folder / "mine.toml"
    path.write_text(f"{write_toml(recipe)}\n[search]\nlearning_rate = {{ log = [1e-4, 1e-1] }}\n")
    return path


def command(toml: Path, out: Path, *more: object) -> list[str]:
    return [sys.executable, "-m", "firstsight", "tune", str(toml), "--out", str(out), "--json", *map(str, more)]


@pytest.mark.ranks
def test_killed_and_gone_on_with_two_workers_lose_and_double_no_trial(tmp_path: Path) -> None:
    """SIGKILL to all of them while both are at work; then two workers again, to the end."""
    recipe = plants(tmp_path, epochs=400)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "2"}
    typed = command(write_recipe(tmp_path, recipe), tmp_path / "s", "--trials", 8, "--workers", 2)
    first = subprocess.Popen(typed, env=environment, start_new_session=True)
    at_work = wait_for_work(tmp_path / "s", first)
    for process in at_work:
        assert b"OMP_NUM_THREADS=1\0" in Path(f"/proc/{process}/environ").read_bytes(), "of two threads, one each"
    first.kill()
    first.wait()
    killed = [trial.state.name for trial in study(tmp_path / "s").get_trials()]
    assert killed.count("RUNNING") == 2, "both were in mid-work"
    for process in at_work:  # they end by themselves, as nobody is left to work for
        wait_until(lambda process=process: not Path(f"/proc/{process}").exists())  # type: ignore[misc]
    before = {trial.number: trial.value for trial in study(tmp_path / "s").get_trials() if trial.state.is_finished()}
    done = subprocess.run(typed, env=environment, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    trials = study(tmp_path / "s").get_trials()
    counted = [trial for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    failed = [trial for trial in trials if trial.state is TrialState.FAIL]
    assert found["complete"] + found["pruned"] == len(counted) == 8
    assert len(failed) == found["tried_again"] == 2
    assert before.items() <= {trial.number: trial.value for trial in trials}.items(), "what was over is kept"
    again = [trial.params for trial in counted if "again" in trial.user_attrs]
    assert again == [trial.params for trial in failed], "what was lost is tried again"
    assert len({json.dumps(trial.params) for trial in counted}) == 8
    assert len({tuple(trial.user_attrs["worker"]) for trial in counted}) >= 2
    assert all(trial.user_attrs.get("default", False) == (trial.params["learning_rate"] == 0.02) for trial in counted)


@pytest.mark.ranks
def test_the_same_command_on_two_machines_joins_one_study(tmp_path: Path, postgres_url: str) -> None:
    """Each has its own folder, and its data elsewhere; the second begins while the first is at work."""
    recipe, trials = plants(tmp_path, epochs=400), 8
    toml, environment = write_recipe(tmp_path, recipe), os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    copy = tmp_path / "copy.csv"
    copy.write_bytes(Path(recipe.data.path).read_bytes())
    there = database_url(postgres_url, tmp_path)
    machines = []
    for name, data in (("one", recipe.data.path), ("two", copy)):
        words = command(toml, tmp_path / name / "s", "--trials", trials, "--storage", postgres_url, "--data", data)
        machines.append(subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True))
        wait_until(lambda: has_study(there, "s") and taken(open_study(there, "s", seed=0)))
    said = [json.loads(machine.communicate()[0]) for machine in machines]
    found = open_study(there, "s", seed=0).get_trials()
    assert [trial.number for trial in found if trial.state in OVER] == list(range(trials))
    assert len({json.dumps(trial.params) for trial in found if trial.state in OVER}) == trials
    assert {trial.user_attrs["worker"][1] for trial in found} == {machine.pid for machine in machines}
    assert max(one["complete"] + one["pruned"] for one in said) == trials
    assert all((tmp_path / name / "s" / "best.toml").exists() for name in ("one", "two"))


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'study.sqlite'}"


def study(folder: Path) -> Any:
    return open_study(url(folder), folder.name, seed=0)


def wait_for_work(folder: Path, process: "subprocess.Popen[bytes]") -> list[int]:
    """Until two trials run, of which each has been through an epoch; the processes that they run in."""

    def look(holds: Any) -> Any:
        def alive() -> Any:
            assert process.poll() is None, "it ended before it could be killed"
            return holds()

        return wait_until(alive)

    look(lambda: (folder / "study.sqlite").exists())
    found = look(lambda: (has_study(url(folder), folder.name) and study(folder)) or None)

    def at_work() -> list[int] | None:
        trials = found.get_trials(states=(TrialState.RUNNING,))
        begun = [trial.user_attrs["worker"][1] for trial in trials if trial.intermediate_values]
        return begun if len(begun) == 2 else None

    return look(at_work)


def wait_until(holds: Any, seconds: float = 200) -> Any:
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.02)
    return found


@pytest.mark.ranks
def test_what_makes_a_worker_give_up_is_said(tmp_path: Path) -> None:
    """The worker runs for real: its plan names data that are gone."""
    recipe = plants(tmp_path)
    found = tune(recipe, out=tmp_path / "s", trials=1)
    gone = replace(recipe, data=replace(recipe.data, path=str(tmp_path / "gone.csv")))
    with pytest.raises(UserError, match=r"gone\.csv"):
        work_together(replace(found.plan, recipe=gone, trials=2), 1, lambda: None)
