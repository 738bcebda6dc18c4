"""Recipes: what goes in comes out, and what is wrong is said."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from firstsight.config import Recipe, StreamRecipe
from firstsight.errors import RecipeError
from firstsight.model_config import ModelConfig, OperatingPoint
from firstsight.recipes import (
    checked,
    read_recipe,
    recipe_from,
    refuse_without_effect,
    settings,
    to_plain,
    with_flags,
    write_recipe,
)
from firstsight.workflows.learn_from_ledger import RECIPE


def test_a_recipe_survives_toml() -> None:
    recipe = with_flags(Recipe(), epochs=3, data="photos", channels=(8, 16), learning_rate=0.3, select="semihard")
    assert recipe != Recipe()
    assert recipe_from(tomllib.loads(write_recipe(recipe))) == recipe


def test_a_model_config_survives_plain_data() -> None:
    point = OperatingPoint(threshold=1.1, target=0.01, accepted=3, comparisons=400, identities=20)
    config = ModelConfig(operating_point=point, trained={"data": "photos", "identities": 7})
    assert checked(ModelConfig, to_plain(config), where="config.json") == config


def test_flags_are_unique_and_explained() -> None:
    flags = [setting.flag for setting in settings()]
    assert len(flags) == len(set(flags))
    assert all(setting.help.endswith((".", ").")) for setting in settings())


def test_every_setting_has_one_flag_that_sets_it() -> None:
    for setting in settings():
        value = list(setting.default) if isinstance(setting.default, tuple) else setting.default
        others = {flag: values[0] for flag, values in setting.only.items()}
        assert setting.of(with_flags(Recipe(), **others | {setting.flag: value})) == setting.default


def test_what_a_setting_depends_on_is_a_setting_with_such_values() -> None:
    by_flag = {setting.flag: setting for setting in settings()}
    conditions = {(flag, value) for setting in settings() for flag, values in setting.only.items() for value in values}
    assert len(conditions) > 8
    for flag, value in conditions:
        assert by_flag[flag].of(with_flags(Recipe(), **{flag: value})) == value, "it can be taken"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"batch_size": 32}, "--batch-size has no effect with --task embedding. Leave it out, or take --task classif"),
        ({"task": "regression", "identities": 9}, "--identities has no effect with --task regression."),
        ({"task": "regression", "height": 9}, "--height has no effect with --task regression. Leave it out, or take "
            "--task embedding or classification."),
        ({"task": "classification", "loss": "quadratic", "margin": 0.3}, "--margin has no effect with --task class"),
        ({"loss": "pml:TripletMarginLoss", "margin": 0.3}, "--margin has no effect with --loss pml:TripletMarginLoss. "
            "Leave it out, or take --loss triplet."),
        ({"fallback": "skip"}, "--fallback has no effect with --select all. Leave it out, or take --select semihard."),
        ({"soft": True, "select": "hard"}, "--soft has no effect with --select hard."),
        ({"hidden": (9,)}, "--hidden has no effect with --network conv."),
        ({"network": "mlp", "norm": "batch"}, "--norm has no effect with --network mlp."),
        ({"optimizer": "sgd", "momentum": 0.5}, "--momentum has no effect with --optimizer sgd."),
        ({"val": "others", "holdout": 0.2}, "--holdout has no effect with --val others. Leave it out."),
        ({"holdout_groups": ("greek", "latin"), "holdout": 0.3}, "--holdout has no effect with --holdout-groups greek "
            "latin. Leave it out."),
        ({"output": "sigmoid"}, "--output has no effect with --task embedding."),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value),
)  # fmt: skip
def test_a_flag_without_effect_is_refused(flags: dict[str, Any], said: str) -> None:
    """Even where it says no more than the default does."""
    with pytest.raises(RecipeError) as error:
        with_flags(Recipe(), **flags)
    assert str(error.value).startswith(said)


def test_a_recipe_that_sets_what_has_no_effect_is_refused() -> None:
    """What is at its default may have been written out by a run, and is not held against the recipe."""
    refuse_without_effect(recipe_from(to_plain(Recipe())))
    refuse_without_effect(recipe_from(to_plain(with_flags(Recipe(), task="regression", batch_size=5))))
    idle = recipe_from({"data": {"task": "regression"}, "loss": {"margin": 0.5}})
    said = "^mine.toml: loss.margin has no effect with --task regression. Leave it out, or take --task embedding.$"
    with pytest.raises(RecipeError, match=said):
        refuse_without_effect(idle, where="mine.toml")
    refuse_without_effect(with_flags(idle, task="embedding"))
    with pytest.raises(RecipeError, match="the recipe: loss.margin has no effect"):
        refuse_without_effect(with_flags(idle, epochs=3))


def test_what_flags_deprive_of_its_effect_goes_back_to_its_default() -> None:
    """So that the recipe which the run leaves can be read again."""
    recipe = with_flags(Recipe(), margin=0.5, select="semihard", fallback="skip", momentum=0.5)
    other = with_flags(recipe, loss="pml:NTXentLoss", optimizer="adamw")
    assert other == with_flags(Recipe(), loss="pml:NTXentLoss", optimizer="adamw")
    refuse_without_effect(other)


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"training": {"epoch": 3}}, "[training]: there is no setting epoch. Did you mean epochs?"),
        ({"trainin": {}}, "there is no setting trainin. Did you mean training?"),
        ({"zzz": {}}, "there is no setting zzz. Known: data, preprocessing"),
        ({"training": {"epochs": "many"}}, "training.epochs = 'many' is wrong: input should be a valid integer."),
        ({"training": {"epochs": 1.5}}, "training.epochs = 1.5 is wrong"),
        ({"training": {"epochs": 0}}, "training.epochs = 0 is below 1. Give 1 or more."),
        ({"network": {"channels": [8, -3]}}, "network.channels = -3 is below 1."),
        ({"optimizer": {"momentum": 1.0}}, "optimizer.momentum = 1 is above 0.9999. Give 0 to 0.9999."),
        ({"loss": {"select": "al"}}, "loss.select = 'al' is wrong: input should be 'all', 'semihard'"),
        ({"training": 3}, "training = 3 is wrong: input should be an object."),
        ({"network": {"channels": [8, "x"]}}, "network.channels.1 = 'x' is wrong"),
    ],
)
def test_what_is_wrong_is_said(tables: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError) as error:
        recipe_from(tables)
    assert said in str(error.value)


def test_a_whole_number_is_a_number() -> None:
    assert recipe_from({"optimizer": {"learning_rate": 1}}).optimizer.learning_rate == 1.0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_rate_that_is_no_number(value: float) -> None:
    with pytest.raises(RecipeError, match=r"^--learning-rate (nan|inf) is not a finite number|= (nan|inf) is wrong"):
        with_flags(Recipe(), learning_rate=value)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"elastic": -1.0}, "--elastic -1 is below 0. Give 0 to 10."),
        ({"augment": 11}, "--augment 11 is above 10. Give 0 to 10."),
        ({"epochs": 0}, "--epochs 0 is below 1. Give 1 or more."),
        ({"task": "regression", "batch_size": 0}, "--batch-size 0 is below 1. Give 1 or more."),
        ({"channels": (8, -3)}, "--channels -3 is below 1. Give 1 or more."),
        ({"momentum": 1.0}, "--momentum 1 is above 0.9999. Give 0 to 0.9999."),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value),
)
def test_a_flag_out_of_range_is_named_as_it_is_typed(flags: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError) as error:
        with_flags(Recipe(), **flags)
    assert str(error.value) == said


def test_an_unknown_flag_is_refused() -> None:
    with pytest.raises(RecipeError, match="the flags: there is no setting epoch. Did you mean epochs"):
        with_flags(Recipe(), epoch=3)


def test_a_recipe_file_that_is_none(tmp_path: Any) -> None:
    with pytest.raises(RecipeError, match=r"none\.toml cannot be read: No such file"):
        read_recipe(tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("epochs = = 3")
    with pytest.raises(RecipeError, match=r"broken\.toml is not TOML: .*line 1"):
        read_recipe(broken)
    broken.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match=r"broken\.toml is not TOML"):
        read_recipe(broken)


def test_the_file_is_named(tmp_path: Any) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text("[training]\nepoch = 3\n")
    with pytest.raises(RecipeError, match=r"mine\.toml \[training\]: there is no setting epoch"):
        read_recipe(recipe)


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[1] / "recipes").glob("*.toml")), ids=lambda path: path.name
)
def test_every_recipe_in_recipes_can_be_read(path: Path) -> None:
    if path.name == "stream.toml":
        assert read_recipe(path, StreamRecipe) == StreamRecipe(), "it shows the defaults"
        assert "firstsight stream recipes/stream.toml --source" in path.read_text("utf-8")
        return
    if path.name == "from-ledger.toml":
        assert read_recipe(path) == RECIPE, "it shows the defaults"
        assert "firstsight stream recipes/from-ledger.toml --from-ledger" in path.read_text("utf-8")
        return
    assert read_recipe(path) != Recipe()
    refuse_without_effect(read_recipe(path), where=path.name)
    assert f"firstsight train recipes/{path.name} --data" in path.read_text("utf-8"), "it says how to run it"
