"""The package as a whole: its public names, its floors, and what an import costs."""

import pickle
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import firstsight
from firstsight import errors

ROOT = Path(__file__).parents[1]


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_every_public_name_is_there_and_documented() -> None:
    for name in firstsight.__all__:
        assert getattr(firstsight, name).__doc__, name
    assert sorted(firstsight.__all__) == firstsight.__all__
    assert set(firstsight.__all__) < set(dir(firstsight))


def test_a_wrong_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = firstsight.nonsense  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "module",
    ["firstsight", "firstsight.recipes", "firstsight.cli.main", "firstsight.cli.options", "firstsight.service.keys"],
)
def test_a_light_import_brings_no_heavy_library(module: str) -> None:
    heavy = {"torch", "numpy", "PIL", "sqlalchemy", "matplotlib", "sklearn", "scipy"}
    loaded = run_python(f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})")
    assert heavy.isdisjoint(loaded.split())


def test_every_error_is_in_one_tree_and_survives_pickling() -> None:
    """Errors cross process borders: what the user reads must arrive."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert len(kinds) > 10
    for kind in kinds:
        assert issubclass(kind, errors.FirstsightError)
        assert kind.__name__ in (errors.__doc__ or "")
        copy = pickle.loads(pickle.dumps(kind("It broke.", hint="Mend it.")))
        assert (type(copy), copy.message, copy.hint, str(copy)) == (kind, "It broke.", "Mend it.", "It broke. Mend it.")


def test_a_missing_extra_says_what_to_type() -> None:
    assert str(errors.MissingExtra("numba is missing.", extra="fast")).endswith('pip install "firstsight[fast]"')


def test_the_floors_hold() -> None:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    lint = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert lint.returncode == 0, lint.stdout


def test_no_two_files_of_the_tests_share_a_name() -> None:
    """Without packages, pytest imports them all by that name alone."""
    count = Counter(path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py")
    assert [name for name, times in count.items() if times > 1] == []


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone")
def test_nothing_that_is_built_is_tracked() -> None:
    """A clone that brings a .venv of its own takes the place of the one that is there, and all that is in it."""
    command = ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout == ""
