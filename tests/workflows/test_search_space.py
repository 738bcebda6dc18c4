"""The search space of a recipe: what is wrong with it is said before anything is tried."""

from pathlib import Path
from typing import Any

import pytest

from firstsight.config import Recipe
from firstsight.errors import RecipeError
from firstsight.recipes import read_recipe, refuse_without_effect, settings, with_flags
from firstsight.workflows.search_space import (
    DEFAULTS,
    NOT_SEARCHED,
    Choices,
    Space,
    Span,
    at_recipe,
    default_space,
    read_space,
    recipe_at,
    space_from,
    space_from_plain,
    space_to_plain,
)

ROWS: dict[str, Any] = {"task": "classification", "network": "mlp", "data": "rows.csv"}


def space(recipe: Recipe | None = None, **table: Any) -> Space:
    return space_from(table, recipe or Recipe(), where="[search]")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"learnin_rate": True}, "learnin_rate: there is no such setting. Did you mean learning_rate?"),
        ({"zzz": True}, "zzz: there is no such setting. Its keys are flags of firstsight train"),
        ({"learning_rate": {"lgo": [0.1, 1]}}, "learning_rate: there is no lgo. Did you mean log?"),
        ({"learning_rate": {"log": [0, 1]}}, "a logarithmic range cannot begin at 0. Begin above 0, or use range."),
        ({"learning_rate": {"log": [1, 0.1]}}, "learning_rate = [1, 0.1] is empty. Give the lower number first"),
        ({"learning_rate": {"log": [1, float("nan")]}}, "is empty."),
        ({"learning_rate": {"range": [1, 2, 3]}}, "learning_rate = [1, 2, 3] is no range. Give two numbers"),
        ({"learning_rate": {"range": 3}}, "learning_rate: range = 3 is no list."),
        ({"learning_rate": 3}, "learning_rate = 3 is no range. Write one of"),
        ({"learning_rate": {"range": [1, 2], "log": [1, 2]}}, "is no range. Write one of"),
        ({"weight_decay": True}, "weight_decay has no range of its own."),
        ({"margin": {"range": [0, 9]}}, "--margin 9 is above 4. Give 0 to 4."),
        ({"epochs": {"range": [1.5, 3]}}, "is no range of whole numbers."),
        ({"select": {"range": [0, 1]}}, "select is not a number. Write { choices = [A, B] }."),
        ({"select": {"choices": ["all", "semihrd"]}}, "loss.select = 'semihrd' is wrong: input should be 'all'"),
        ({"select": {"choices": ["all", "all"]}}, "select leaves no choice."),
        ({"select": {"choices": [{"all": 1}, "hard"]}}, "is no list of values. Write { choices = [A, B] }."),
        ({"channels": {"range": [2, 3]}}, "channels is a list. Write { choices = [A, B] }."),
        ({"channels": {"choices": [[8, 16], [8, "x"]]}}, "network.channels.1 = 'x' is wrong"),
        ({"select": {"times": [1, 2]}}, "all cannot be multiplied."),
        ({"channels": {"times": [0, 1]}}, "0 is no factor."),
        ({"seed": {"range": [0, 9]}}, "seed is not to be searched. A lucky seed is no skill: leave it out."),
        ({"batch_size": True}, "batch_size has no effect with task = embedding."),
        ({"fallback": {"choices": ["skip", "farthest"]}}, "fallback has no effect with select = all."),
        ({}, "says nothing to search."),
        (3, "says nothing to search."),
    ],
)
def test_what_is_wrong_is_said(table: Any, said: str) -> None:
    with pytest.raises(RecipeError) as error:
        space_from(table, Recipe(), where="mine.toml [search]")
    assert said in str(error.value)
    assert str(error.value).startswith("mine.toml [search]")


def test_ranges_and_choices() -> None:
    found = {dimension.flag: dimension for dimension in space(
        learning_rate={"log": [1e-3, 1]}, epochs={"range": [3, 9]}, channels={"times": [0.5, 1]}, margin=True
    )}  # fmt: skip
    assert found["learning_rate"] == Span("learning_rate", 1e-3, 1.0, log=True)
    assert found["epochs"] == Span("epochs", 3, 9, whole=True)
    assert found["channels"] == Choices("channels", ((16, 32, 64, 128), (32, 64, 128, 256)))
    assert found["channels"].in_words() == "16 32 64 128, 32 64 128 256"
    assert space_from_plain(space_to_plain(tuple(found.values()))) == tuple(found.values())


@pytest.mark.parametrize("flags", [
    {}, ROWS, ROWS | {"hidden": ()}, ROWS | {"batch_size": 4}, ROWS | {"batch_size": 512}, {"margin": 0.02},
    {"margin": 1.5}, {"augment": 3.0}, {"select": "hard"}, {"select": "semihard", "learning_rate": 0.0},
])  # fmt: skip
def test_the_default_space_holds_the_recipe(flags: dict[str, Any]) -> None:
    recipe = with_flags(Recipe(), **flags)
    found = default_space(recipe)
    assert len(found) >= 3
    inside = at_recipe(found, recipe)
    assert (inside is None) == (recipe.optimizer.learning_rate == 0), "else it is tried first"
    if inside:
        assert recipe_at(found, recipe, lambda dimension: inside[dimension.flag]) == recipe


def test_every_setting_named_is_one() -> None:
    flags = {setting.flag for setting in settings()}
    assert set(DEFAULTS) | set(NOT_SEARCHED) <= flags


def test_a_setting_is_picked_only_where_it_has_an_effect() -> None:
    """Whatever the order of the table: what others depend on is picked first."""
    found = space(fallback={"choices": ["skip", "farthest"]}, select={"choices": ["all", "semihard"]})
    assert [dimension.flag for dimension in found] == ["select", "fallback"]
    for select in ("all", "semihard"):
        answers = {"select": select, "fallback": "skip"}
        recipe = recipe_at(found, Recipe(), lambda dimension, answers=answers: answers[dimension.flag])
        refuse_without_effect(recipe)
        assert (recipe.loss.select, recipe.loss.fallback == "skip") == (select, select == "semihard")


def test_train_takes_a_recipe_with_a_search(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[training]\nepochs = 7\n[search]\nepochs = { range = [2, 9] }\n")
    recipe = read_recipe(path)
    assert recipe == with_flags(Recipe(), epochs=7)
    assert read_space(path, recipe) == (Span("epochs", 2, 9, whole=True),)
    path.write_text("[training]\nepochs = 7\n")
    assert read_space(path, recipe) == default_space(recipe)


RECIPES = [path for path in (Path(__file__).parents[2] / "recipes").glob("*.toml") if path.name != "stream.toml"]


@pytest.mark.parametrize("path", sorted(RECIPES), ids=lambda path: path.name)
def test_the_search_of_every_recipe_holds_what_it_says_itself(path: Path) -> None:
    recipe = read_recipe(path)
    assert at_recipe(read_space(path, recipe), recipe) is not None
