"""The study that trials of all workers share: who asks next, what was found, and who died over it.

It lives in a database, SQLite or PostgreSQL, so that it outlives whoever works on it.
"""

import contextlib
import os
import shlex
import socket
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from firstsight.errors import MissingExtra, StorageError, UserError

try:
    import optuna
except ImportError as error:
    raise MissingExtra("Tuning needs optuna, which is not installed.", extra="tune") from error
from optuna import Study as Study
from optuna import Trial as Trial
from optuna import TrialPruned as TrialPruned
from optuna.distributions import BaseDistribution
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.pruners import SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial as FrozenTrial
from optuna.trial import TrialState as TrialState

STEPS, RUNG, KEPT = 18, 6, 3
"""A run has so many steps, whatever its epochs. Of the trials that reach step 6, a third of a run, the best third goes
on (successive halving as in ASHA, Li et al. 2018, with one rung). Runs with another number of epochs are compared at
the same share of their schedules."""
OPTUNA = optuna.__version__
STARTUP = 5
"""Trials drawn at random before the model of the sampler is trusted."""
BEAT, GRACE = 10, 60
"""Seconds between two signs of life of a worker, and those without one after which it is dead, on whatever machine."""
MAKING = 10
"""Times that the tables of a database are tried to be made, while another does so."""
AGAIN = "again"
"""Of a trial that takes the place of one that died: the number of that one."""
WORKER = "worker"
REASON = "reason"


class ByNumber(BaseSampler):
    """TPE whose draws depend on the seed, the number of the trial, and what was found before.

    A sampler that is seeded once would, when a study goes on or a second worker joins, suggest its first trials again.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._sampler = TPESampler()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        with _without_experiments():
            seed = self.seed * 1_000_003 + trial.number
            self._sampler = TPESampler(seed=seed, n_startup_trials=STARTUP, group=True)
        self._sampler.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        self._sampler.after_trial(study, trial, state, values)


def open_study(url: str, name: str, *, seed: int) -> Study:
    """The study of this name.

    Raises:
        UserError: it is not there.
        StorageError: the database cannot be used.
    """
    with in_one_sentence(url):
        storage, parts = _storage(url), _parts(seed)
        try:
            return optuna.load_study(study_name=name, storage=storage, **parts)
        except KeyError as error:
            raise UserError(
                f"There is no study {name} in {shown(url)}.", hint="Begin one: firstsight tune RECIPE --data DATA"
            ) from error


def make_study(url: str, name: str, *, seed: int, larger_is_better: bool) -> Study | None:
    """A new study; None where there is one already, begun by another machine a moment ago say.

    Raises:
        StorageError: the database cannot be used.
    """
    direction = StudyDirection.MAXIMIZE if larger_is_better else StudyDirection.MINIMIZE
    with in_one_sentence(url):
        try:
            return optuna.create_study(study_name=name, storage=_storage(url), direction=direction, **_parts(seed))
        except DuplicatedStudyError:
            return None


def _parts(seed: int) -> dict[str, Any]:
    return {"sampler": ByNumber(seed), "pruner": SuccessiveHalvingPruner(RUNG, KEPT)}


def has_study(url: str, name: str) -> bool:
    """Whether it was begun."""
    path = sa.make_url(url).database
    if url.startswith("sqlite") and not Path(path or "").exists():
        return False
    with in_one_sentence(url):
        return name in optuna.get_all_study_names(_storage(url))


@contextlib.contextmanager
def in_one_sentence(url: str) -> Iterator[None]:
    """Say what the database said, without the password in its URL."""
    try:
        yield
    except (sa.exc.SQLAlchemyError, StorageInternalError) as error:
        cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
        lines = str(getattr(cause, "orig", None) or cause).splitlines()
        reason = lines[0].rstrip(".") if lines else type(cause).__name__
        raise StorageError(
            f"The study in {shown(url)} cannot be used: {reason}.", hint="Look at the place, or name another --storage."
        ) from error


def shown(url: str) -> str:
    """The place of a study, as may be printed."""
    place = sa.make_url(url)
    if place.drivername.startswith("sqlite"):
        return str(place.database)
    return str(sa.URL.create("postgresql", place.username, None, place.host, place.port, place.database))


def see_report(folder: Path, url: str) -> str:
    """The command that shows what the study has found."""
    command = f"firstsight tune --out {shlex.quote(str(folder))}"
    if not url.startswith("sqlite"):
        place = sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=True)
        command += f" --storage {shlex.quote(place)}"
    return f"{command} --report"


def database_url(storage: str | None, folder: Path) -> str:
    """Where the study is: a file of the folder, or the PostgreSQL database that was named.

    Raises:
        UserError: something else was named.
        MissingExtra: the driver of PostgreSQL is not installed.
    """
    if storage is None:
        return f"sqlite:///{folder.absolute() / 'study.sqlite'}"
    try:
        url = sa.make_url(storage)
    except sa.exc.ArgumentError:
        url = sa.URL.create("none")
    if url.get_backend_name() not in ("postgresql", "postgres"):
        raise UserError(f"{storage} is no place for a study.", hint="Give postgresql://USER@HOST/DATABASE, or nothing.")
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        raise MissingExtra("A study on a server needs psycopg, which is not installed.", extra="postgres") from error
    return url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def taken(study: Study) -> int:
    """How many trials count: those that are over, and those that run."""
    return len(study.get_trials(deepcopy=False, states=(*OVER, TrialState.RUNNING)))


OVER = (TrialState.COMPLETE, TrialState.PRUNED)


def over(study: Study) -> list[FrozenTrial]:
    """The trials that have come to their end, complete or pruned."""
    return study.get_trials(deepcopy=False, states=OVER)


def complete(study: Study) -> list[FrozenTrial]:
    """The complete ones, best first; of equals the earlier."""
    sign = -1 if study.direction is StudyDirection.MAXIMIZE else 1
    found = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sorted(found, key=lambda trial: (sign * (trial.value or 0.0), trial.number))


def importances(study: Study) -> dict[str, float]:
    """How much each setting decides whether a trial is among the better ones; they add up to 1, largest first."""
    from optuna.importance import get_param_importances  # a second of scikit-learn, which no worker needs

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there are few trials: the report says how many
        return get_param_importances(study)


def is_one_too_many(study: Study, number: int, trials: int) -> bool:
    """Whether two workers, who both saw one trial missing, both took one: then the later gives way."""
    states = (*OVER, TrialState.RUNNING)
    return sum(trial.number < number for trial in study.get_trials(deepcopy=False, states=states)) >= trials


def put_back(study: Study, trial: FrozenTrial) -> None:
    """Have what a trial tried be tried again, by whoever asks next."""
    study.enqueue_trial(dict(trial.params), user_attrs={AGAIN: trial.number, **_marks(trial.user_attrs)})


def revive(study: Study) -> int:
    """Put the trials of dead workers of this machine back, and say how many these were.

    The database does the same for those of any machine, by their heartbeat, but must wait for it.
    """
    revived = 0
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if _is_dead(trial):
            with contextlib.suppress(UpdateFinishedTrialError, ValueError):  # another was faster
                study.tell(trial.number, state=TrialState.FAIL)
                put_back(study, trial)
                revived += 1
    return revived


def this_worker() -> list[Any]:
    """Who works: the machine, the process, and when it began, for numbers of processes come again."""
    return [socket.gethostname(), os.getpid(), _began(os.getpid())]


def _is_dead(trial: FrozenTrial) -> bool:
    if WORKER not in trial.user_attrs:  # killed between asking and the first word
        began = trial.datetime_start
        return began is not None and datetime.now() - began > timedelta(seconds=GRACE)
    machine, process, began_at = trial.user_attrs[WORKER]
    if machine != socket.gethostname():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return bool(began_at and _began(process) != began_at)


def _began(process: int) -> str:
    """When a process began, in ticks since the machine did; empty where the system does not tell."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _marks(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if name not in (WORKER, REASON, AGAIN)}


def _storage(url: str) -> optuna.storages.RDBStorage:
    """The database, with its tables. Two who make them at the same moment stumble over each other, once."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    local = url.startswith("sqlite")
    # a server's connection is closed after each use: it may be away between two of them
    engine: dict[str, Any] = {"connect_args": {"timeout": 120}} if local else {"poolclass": sa.NullPool}
    for attempt in range(MAKING):
        try:
            with _without_experiments():
                storage = optuna.storages.RDBStorage(
                    url, engine_kwargs=engine, heartbeat_interval=BEAT, grace_period=GRACE,
                    heartbeat_stale_trial_callback=put_back,
                )  # fmt: skip
            break
        except (sa.exc.OperationalError, sa.exc.ProgrammingError, sa.exc.IntegrityError, StorageInternalError) as error:
            said = f"{error} {error.__cause__}".lower()
            if attempt == MAKING - 1 or not any(word in said for word in ("already exists", "unique", "no such table")):
                raise
            time.sleep(0.2)
    if local:
        sa.event.listen(storage.engine, "connect", _write_ahead)
        storage.engine.dispose()
    return storage


def _write_ahead(connection: Any, _: object) -> None:
    """A commit waits for no disk: a kill loses nothing, a power cut the last trials at most."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


@contextlib.contextmanager
def _without_experiments() -> Iterator[None]:
    """Heartbeats and grouped sampling are called experimental; that is for us to know, not for whoever tunes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
