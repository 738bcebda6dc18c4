"""Recipes: what goes in comes out, and what is wrong is said."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from firstsight.config import (
    ModelConfig,
    OperatingPoint,
    Recipe,
    checked,
    read_recipe,
    recipe_from,
    settings,
    to_plain,
    with_flags,
    write_recipe,
)
from firstsight.errors import RecipeError


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
        assert (
            getattr(getattr(with_flags(Recipe(), **{setting.flag: value}), setting.table), setting.name)
            == setting.default
        )


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"training": {"epoch": 3}}, "[training]: there is no setting epoch. Did you mean epochs?"),
        ({"trainin": {}}, "there is no setting trainin. Did you mean training?"),
        ({"zzz": {}}, "there is no setting zzz. Known: data, preprocessing"),
        ({"training": {"epochs": "many"}}, "training.epochs = 'many' is wrong: input should be a valid integer."),
        ({"training": {"epochs": 1.5}}, "training.epochs = 1.5 is wrong"),
        ({"training": {"epochs": 0}}, "training.epochs = 0 is below 1."),
        ({"network": {"channels": [8, -3]}}, "network.channels = -3 is below 1."),
        ({"optimizer": {"momentum": 1.0}}, "optimizer.momentum = 1.0 is above 0.9999."),
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
    with pytest.raises(RecipeError, match=r"learning_rate = (nan|inf) is (not a finite number|wrong)"):
        with_flags(Recipe(), learning_rate=value)


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
    assert read_recipe(path) != Recipe()
    assert f"firstsight train recipes/{path.name} --data" in path.read_text("utf-8"), "it says how to run it"
