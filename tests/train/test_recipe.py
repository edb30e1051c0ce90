"""Recipes: what is read, what is refused and how."""

import pytest

from liveface.errors import RecipeError
from liveface.train.recipe import Recipe, data_folder, parse_options, read_recipe


def write(folder, text):
    file = folder / "run.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_recipe_is_read_with_its_tables(tmp_path):
    text = 'train = "mouth"\nsteps = 7\ngroups = ["open"]\n[network]\nchannels = [16, 32]\n[task]\npatches = "here"\n'
    recipe = read_recipe(write(tmp_path, text))
    assert (recipe.name, recipe.task, recipe.steps, recipe.groups) == ("run", "mouth", 7, ("open",))
    assert recipe.network == {"channels": [16, 32]}
    assert recipe.options == {"patches": "here"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('train = "mouth"\nlearning_rat = 0.1', "did you mean 'learning_rate'"),
        ('train = "mouth"\nzebra = 0.1', "valid keys are"),
        ("steps = 3", "names no network"),
        ('train = "mouth"\nsteps = 0', "expected 1 or more"),
        ('train = "mouth"\nprecision = "half"', "expected one of"),
        ('train = "mouth"\ngroups = ["private"]', '"open", "permissive" or both'),
        ('train = "mouth"\nlearning_rate = 3.0', "a rate in"),
        ('train = "mouth"\n[options]\na = 1', r"call it \[task\]"),
        ("train = ", "not valid TOML"),
    ],
)
def test_a_wrong_recipe_is_refused_with_one_sentence(tmp_path, text, message):
    with pytest.raises(RecipeError, match=message) as caught:
        read_recipe(write(tmp_path, text))
    assert "\n" not in str(caught.value).strip() or "TOML" in str(caught.value)


def test_a_missing_recipe_is_named(tmp_path):
    with pytest.raises(RecipeError, match=r"nowhere\.toml"):
        read_recipe(tmp_path / "nowhere.toml")


def test_the_rate_warms_up_stays_and_falls():
    recipe = Recipe("a", "mouth", steps=100, learning_rate=1e-3, warmup_steps=10, decay_from=0.5)
    rates = [recipe.rate_at(step) for step in range(100)]
    assert rates[0] == pytest.approx(1e-4)
    assert rates[20] == rates[49] == 1e-3
    assert rates[75] == pytest.approx(5e-4)
    assert rates[99] == pytest.approx(5e-5)


def test_options_of_a_task_are_checked():
    with pytest.raises(RecipeError, match="did you mean 'steps'"):
        parse_options(Recipe, {"name": "a", "task": "b", "stepps": 1}, "the table")
    with pytest.raises(RecipeError, match="give every key a value"):
        parse_options(Recipe, {"name": "a"}, "the table")


def test_data_come_through_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("LIVEFACE_DATA", str(tmp_path))
    with pytest.raises(RecipeError, match="LIVEFACE_DATA"):
        data_folder()
    (tmp_path / "catalog.csv").write_text("file\n")
    assert data_folder() == tmp_path
