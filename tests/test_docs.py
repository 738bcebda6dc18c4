"""The words of the repository: links lead somewhere, what is shown to be typed works, both READMEs say the same."""

import doctest
import importlib
import re
import runpy
import shlex
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pictures import draw_identity, write_identities

from firstsight.cli.main import VERBS, main
from firstsight.config import Recipe
from firstsight.recipes import recipe_from, settings, with_flags
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.recognizer import Recognizer
from firstsight.workflows.demo import write_digits
from firstsight.workflows.search_space import DEFAULTS, space_from
from firstsight.workflows.train_run import train

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
READMES = ("README.md", "README.zh.md")
MODULES = sorted(
    ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
    for path in (ROOT / "src").rglob("*.py")
    if ">>> " in path.read_text("utf-8")
)
TINY = {"height": 16, "width": 16, "channels": (8, 16), "embedding_size": 16, "epochs": 2}


def words(page: str | Path) -> str:
    return (ROOT / page).read_text("utf-8")


def blocks(page: str | Path, language: str = "[a-z]*") -> list[str]:
    """The code blocks of a page, each with the language in its first line."""
    return re.findall(rf"^```({language}\n.*?)^```$", words(page), re.DOTALL | re.MULTILINE)


def run_python(page: str) -> None:
    names: dict[str, Any] = {}
    for block in blocks(page, "python"):
        exec(compile(block.removeprefix("python\n"), page, "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", page.read_text("utf-8")) if "://" not in link]
    assert [link for link in links if not (page.parent / link.partition("#")[0]).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_linked_function_stands_in_the_linked_file(page: Path) -> None:
    named = re.findall(r"\[`(\w+)`\]\(([^)]+\.py)\)", page.read_text("utf-8"))
    for name, link in named:
        source = (page.parent / link).read_text("utf-8")
        assert re.search(rf"^(def|class) {name}\b", source, re.MULTILINE), f"{link} has no {name}"
    assert page.name != "tutorial.md" or len(named) > 10


@pytest.mark.parametrize("readme", READMES)
def test_a_reader_soon_has_something_to_type(readme: str) -> None:
    assert "make demo" in words(readme).splitlines()[:15]


@pytest.mark.parametrize("readme", READMES)
def test_every_verb_is_in_the_readme(readme: str) -> None:
    verbs = [verb for group in VERBS.values() for verb in group if verb != "demo"]
    assert [verb for verb in verbs if f"\nfirstsight {verb}" not in words(readme)] == []


def test_both_readmes_say_the_same() -> None:
    english, chinese = READMES
    for pattern in (r"^#+ ", r"^\|", r"^- ", r"^<!--", r"^```[a-z]*$"):
        counts = [len(re.findall(pattern, words(readme), re.MULTILINE)) for readme in READMES]
        assert counts[0] == counts[1], f"{pattern} in {READMES}"
    for language in ("bash", "python"):
        assert blocks(english, language) == blocks(chinese, language)
    links = [sorted(re.findall(r"\]\(([^)]+)\)", words(readme))) for readme in READMES]
    assert set(links[0]) - {chinese} == set(links[1]) - {english}


def test_the_python_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_identities(Path("photos"), identities=4, each=2)
    draw_identity(50, 0).save("ada.jpg")
    draw_identity(50, 1).save("visitor.jpg")
    run_python("README.md")
    known, decision = capsys.readouterr().out.splitlines()
    assert known.endswith("% of unseen identities known from one picture")
    assert decision.split()[0] in ("ada", "unknown")
    (block,) = blocks("README.md", "python")
    assert sum(bool(line.strip()) for line in block.splitlines()[1:]) <= 10, "ten lines are promised"


@pytest.mark.parametrize(
    "page", ["docs/tutorial.md", "docs/ledger.md", "docs/tuning.md", "docs/streams.md", "docs/faces.md"]
)
def test_the_python_of_a_page_runs(page: str) -> None:
    run_python(page)


def test_the_commands_of_the_readme_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    _leave_what_the_demo_leaves(Path("runs/demo"))
    write_identities(Path("photos"), identities=4, each=2)
    write_identities(Path("more-photos"), identities=2, each=2, first=20)
    write_identities(Path("other-people"), identities=118, each=1, first=100)
    draw_identity(50, 0).save("ada.jpg")
    draw_identity(50, 1).save("visitor.jpg")
    rows = "".join(f"{area},{area % 7},{2000 * area}\n" for area in range(40, 80))
    Path("houses.csv").write_text(f"area,age,price\n{rows}")
    typed = [line for block in blocks("README.md", "bash") for line in block.splitlines() if line[:10] == "firstsight"]
    for line in typed:
        monkeypatch.setattr(sys, "argv", shlex.split(line))
        with pytest.raises(SystemExit) as stop:
            main()
        allowed = (0, 3) if " verify " in line or " identify " in line else (0,)
        assert stop.value.code in allowed, f"{line}: {capsys.readouterr().err}"
    assert len(typed) > 10


def _leave_what_the_demo_leaves(folder: Path) -> None:
    """What the README types after the demo, at the places where the demo puts it: digits, a model and a gallery."""
    digits = folder / "digits"
    write_digits(digits)
    for digit in digits.glob("?"):
        for surplus in sorted(digit.iterdir())[8:]:
            surplus.unlink()
    (digits / "learned.csv").unlink()
    (digits / "unseen.csv").unlink()
    run = train(with_flags(Recipe(), data=str(digits), **TINY), out=folder)
    with Gallery(folder / "gallery.sqlite") as gallery:
        Recognizer(run.model, gallery).enroll("8", digits / "8" / "0008.png")


def test_the_page_of_settings_is_what_the_settings_are() -> None:
    written = runpy.run_path(str(ROOT / "docs" / "make_recipes.py"))["page"]()
    assert words("docs/recipes.md") == written, "type: python docs/make_recipes.py"
    assert all(f"`{setting.name}` | `--" in written for setting in settings())


def test_the_recipe_shown_is_one() -> None:
    (block,) = blocks("docs/recipes.md", "toml")
    assert recipe_from(tomllib.loads(block.removeprefix("toml\n"))) != Recipe()


def test_the_search_shown_is_one() -> None:
    (block,) = blocks("docs/tuning.md", "toml")
    space = space_from(tomllib.loads(block.removeprefix("toml\n"))["search"], Recipe(), where="docs/tuning.md")
    assert len(space) == 5
    assert all(f"`{flag}`" in words("docs/tuning.md") for flag in DEFAULTS)


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name: str) -> None:
    module = importlib.import_module(name)
    found = sum(len(test.examples) for test in doctest.DocTestFinder().find(module))
    assert found == len(re.findall(r"^ *>>> ", Path(str(module.__file__)).read_text("utf-8"), re.MULTILINE))
    assert doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0


def test_the_example_of_a_network_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = write_identities(tmp_path / "photos", identities=8, each=4)
    example = runpy.run_path(str(ROOT / "examples" / "own_network.py"))
    example["main"]([str(photos), "--out", str(tmp_path / "run"), "--epochs", "10"])
    report, enrolled, counts = capsys.readouterr().out.splitlines()
    assert Path(report.removeprefix("report: ")).is_file()
    assert enrolled == "2 unseen identities, one picture enrolled of each; of 6 others:"
    assert sum(map(int, re.findall(r"\d+", counts))) == 6


def test_the_example_of_a_check_of_ones_own() -> None:
    check = runpy.run_path(str(ROOT / "examples" / "own_check.py"))["Unseen"]()
    first, other = draw_identity(50, 0), draw_identity(50, 1)
    assert [check(picture, None) for picture in (first, other, first.copy())] == [None, None, "was shown before"]
