import json
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError, model_validator

from afterbase.core.config import Config, How, config_of, load_toml, what
from afterbase.core.errors import UserError, UserErrors


class Schedule(StrEnum):
    COSINE = "cosine"
    CONSTANT = "constant"


class SFT(Config):
    epochs: int = Field(default=2, ge=1)
    batch: int = 8
    peak: float = 5e-6
    floor: float = 1e-6
    schedule: Schedule = Schedule.COSINE
    domains: tuple[str, ...] = ("arithmetic",)
    workers: How[int] = Field(default=2, ge=1)

    @model_validator(mode="after")
    def _floor_below_peak(self) -> "SFT":
        if self.floor > self.peak:
            raise UserError("`floor` must not exceed `peak`", got=f"{self.floor} > {self.peak}", remedy="lower `floor`")
        if self.batch == 13:
            raise ValueError("13 is bad luck")
        return self


class Recipe(Config):
    name: str
    sft: SFT = SFT()
    stages: tuple[SFT, ...] = ()
    named: dict[str, SFT] = Field(default_factory=dict)
    extra: SFT | None = None
    rows: int | Literal["all"] = "all"


def load(tmp_path: Path, text: str) -> Recipe:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    return load_toml(path, Recipe)


def refusal(tmp_path: Path, text: str) -> UserError:
    with pytest.raises(UserError) as caught:
        load(tmp_path, text)
    return caught.value


def test_values_arrive_with_their_types(tmp_path: Path):
    recipe = load(
        tmp_path, 'name = "a"\n[sft]\npeak = 1\nschedule = "constant"\ndomains = ["x", "y"]\n[named.b]\nbatch = 4\n'
    )
    assert recipe.sft == SFT(peak=1.0, schedule=Schedule.CONSTANT, domains=("x", "y"))
    assert recipe.sft.schedule is Schedule.CONSTANT
    assert recipe.named == {"b": SFT(batch=4)}


@given(st.floats(min_value=1e-6, allow_infinity=False, allow_nan=False))
def test_floats_arrive_bit_for_bit(tmp_path_factory: pytest.TempPathFactory, peak: float):
    # A lossy parser would move every learning rate by an ulp, and every artifact's key with it.
    recipe = load(tmp_path_factory.mktemp("float"), f'name = "a"\nsft.peak = {peak!r}\n')
    assert recipe.sft.peak == peak


def test_a_config_is_frozen_and_keyword_only():
    with pytest.raises(ValidationError, match="frozen"):
        SFT().epochs = 3  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(TypeError):
        SFT(3)  # pyright: ignore[reportCallIssue]


def test_python_is_as_strict_as_toml():
    with pytest.raises(ValidationError, match="valid integer"):
        SFT(epochs="3")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValidationError, match="not permitted"):
        SFT(epoch=3)  # pyright: ignore[reportCallIssue]


def test_unknown_key_names_the_nearest_and_lists_the_table(tmp_path: Path):
    error = refusal(tmp_path, 'name = "a"\n[sft]\nepoch = 3\n')
    assert error.rule == "unknown key `sft.epoch`"
    assert "did you mean `epochs`?" in error.remedy
    assert error.remedy.endswith("valid keys of [sft]: batch, domains, epochs, floor, peak, schedule, workers")
    assert "recipe.toml" in error.got


def test_a_table_from_elsewhere_is_checked_as_a_file_is_and_its_source_named():
    assert config_of({"name": "a", "sft": {"epochs": 3}}, Recipe, "the command line").sft.epochs == 3
    with pytest.raises(UserError) as caught:
        config_of({"name": "a", "sft": {"epoch": 3}}, Recipe, "the command line")
    assert caught.value.rule == "unknown key `sft.epoch`"
    assert caught.value.got == "`epoch = 3` in the command line"
    assert "did you mean `epochs`?" in caught.value.remedy


def test_unknown_key_is_told_before_the_required_one_it_was_meant_to_be(tmp_path: Path):
    error = refusal(tmp_path, 'nam = "a"\n')
    assert error.rule == "unknown key `nam`"
    assert "did you mean `name`?" in error.remedy


def test_key_under_the_wrong_table_is_shown_its_own(tmp_path: Path):
    error = refusal(tmp_path, 'name = "a"\nschedule = "cosine"\n')
    assert "did you mean `sft.schedule`" in error.remedy


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[[stages]]\n[[stages]]\nepoch = 1\n", "stages[1].epoch"),
        ("[named.batch]\nepoch = 1\n", "named.batch.epoch"),
        ("[extra]\nepoch = 1\n", "extra.epoch"),
    ],
)
def test_unknown_keys_are_found_in_arrays_dictionaries_and_optional_tables(tmp_path: Path, text: str, key: str):
    error = refusal(tmp_path, 'name = "a"\n' + text)
    assert error.rule == f"unknown key `{key}`"
    assert "did you mean `epochs`?" in error.remedy


def test_nothing_near_means_no_guess(tmp_path: Path):
    error = refusal(tmp_path, 'name = "a"\nzzzz = 1\n')
    assert error.remedy == "valid keys of the top level: extra, name, named, rows, sft, stages"


@pytest.mark.parametrize(
    ("line", "rule", "got"),
    [
        ('epochs = "3"', "`sft.epochs` must be a whole number", '"3"'),
        ("epochs = 3.0", "`sft.epochs` must be a whole number", "3.0"),
        ("epochs = true", "`sft.epochs` must be a whole number", "true"),
        ("epochs = 0", "`sft.epochs` must be 1 or more", "0"),
        ("peak = nan", "`sft.peak` must be a finite number", "NaN"),
        ('schedule = "cosin"', "`sft.schedule` must be 'cosine' or 'constant'", '"cosin"'),
        ('domains = "arithmetic"', "`sft.domains` must be an array", '"arithmetic"'),
        ("domains = [1]", "`sft.domains[0]` must be a text", "1"),
        ("batch = 13", "`sft`: 13 is bad luck", '{"batch": 13}'),
    ],
)
def test_wrong_values_give_rule_and_what_was_got(tmp_path: Path, line: str, rule: str, got: str):
    error = refusal(tmp_path, f'name = "a"\n[sft]\n{line}\n')
    assert (error.rule, error.got) == (rule, got)
    assert "recipe.toml" in error.remedy


def test_remedy_gives_the_default(tmp_path: Path):
    assert refusal(tmp_path, 'name = "a"\nsft.epochs = 0\n').remedy.endswith("(default: 2)")


def test_value_where_a_table_is_due(tmp_path: Path):
    assert refusal(tmp_path, 'name = "a"\nsft = 3\n').rule == "`sft` must be a table"


def test_our_own_validator_keeps_its_words(tmp_path: Path):
    error = refusal(tmp_path, 'name = "a"\n[sft]\nfloor = 1.0\n')
    assert error.rule == "`sft`: `floor` must not exceed `peak`"
    assert error.got == f"1.0 > 5e-06 ({tmp_path / 'recipe.toml'})"
    assert error.remedy.startswith("lower `floor`")
    assert "recipe.toml" not in error.remedy


def test_missing_key(tmp_path: Path):
    error = refusal(tmp_path, "")
    assert error.rule == "`name` must be given"
    assert error.remedy == "add `name = ...` at the top"


def test_a_missing_table_is_written_as_one(tmp_path: Path):
    class Outer(Config):
        sft: Recipe

    (tmp_path / "recipe.toml").write_text("")
    with pytest.raises(UserError) as caught:
        load_toml(tmp_path / "recipe.toml", Outer)
    assert caught.value.remedy == "add a table [sft]"


def test_a_date_is_refused(tmp_path: Path):
    assert refusal(tmp_path, "name = 2024-12-26\n").got == "2024-12-26"


def test_unreadable_toml_gives_the_line(tmp_path: Path):
    error = refusal(tmp_path, 'name = "a"\nsft.epochs == 3\n')
    assert "line 2" in error.got
    assert "`sft.epochs == 3`" in error.got


def test_toml_that_ends_too_early(tmp_path: Path):
    assert "end of document" in refusal(tmp_path, 'name = """a').got


def test_bytes_that_are_no_text(tmp_path: Path):
    path = tmp_path / "recipe.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="UTF-8"):
        load_toml(path, Recipe)


def test_missing_file_names_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart.toml").touch()
    (tmp_path / "smollm2.toml").touch()
    with pytest.raises(UserError) as caught:
        load_toml(tmp_path / "quikstart.toml", Recipe)
    assert caught.value.remedy == f"did you mean `{tmp_path / 'quickstart.toml'}`?"


def test_missing_file_in_a_missing_folder_looks_into_recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "smoke.toml").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        load_toml(Path("recipe/smoke.toml"), Recipe)
    assert caught.value.remedy == "did you mean `recipes/smoke.toml`?"


def test_what_leaves_out_how_at_every_depth():
    recipe = Recipe(name="a", stages=(SFT(workers=7),), named={"b": SFT(workers=7)}, extra=SFT(workers=7))
    plain = what(recipe)
    assert "workers" not in json.dumps(plain)
    assert plain == what(Recipe(name="a", stages=(SFT(),), named={"b": SFT()}, extra=SFT()))


@pytest.mark.parametrize(
    "change",
    [{"epochs": 3}, {"peak": 1.0}, {"schedule": Schedule.CONSTANT}, {"domains": ("arithmetic", "logic")}],
)
def test_what_moves_with_every_other_field(change: dict[str, Any]):
    assert what(SFT(**change)) != what(SFT())


def test_what_is_plain_json():
    plain = what(Recipe(name="a", stages=(SFT(),), named={"b": SFT()}))
    assert json.loads(json.dumps(plain)) == plain
    assert plain["sft"]["schedule"] == "cosine"
    assert type(plain["sft"]["schedule"]) is str


def test_a_path_cannot_enter_a_key():
    class Cached(Config):
        folder: Path

    class Placed(Config):
        folder: How[Path]

    with pytest.raises(AssertionError, match="How"):
        what(Cached(folder=Path("store")))
    assert what(Placed(folder=Path("store"))) == {}


def test_a_password_in_an_address_is_refused_and_not_repeated(tmp_path: Path) -> None:
    for text in (
        'name = "postgresql://u:c4nary-9f83ab@h/d"',
        'name = "x"\n[named."a"]\nbatch = 3\ndomains = ["x://u:c4nary-9f83ab@h"]',
    ):
        (tmp_path / "r.toml").write_text(text)
        with pytest.raises(UserError, match="a config holds no password") as raised:
            load_toml(tmp_path / "r.toml", Recipe)
        assert "c4nary" not in str(raised.value)
        assert "PGPASSWORD" in raised.value.remedy


def test_a_key_in_a_line_that_is_no_toml_is_not_repeated(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text('url = "https://h/v1?api_key=c4nary-9f83ab')
    with pytest.raises(UserError, match="must be TOML") as raised:
        load_toml(tmp_path / "r.toml", Recipe)
    assert "c4nary" not in str(raised.value)


def test_all_that_is_wrong_is_told_at_once_numbered_and_misspelt_keys_first(tmp_path: Path):
    error = refusal(tmp_path, 'name = 3\n[sft]\nbatch = "8"\npeek = 1.0\n[[stages]]\nfloor = 1.0\n')
    assert isinstance(error, UserErrors)
    assert [e.rule for e in error.errors] == [
        "unknown key `sft.peek`",
        "`name` must be a text",
        "`sft.batch` must be a whole number",
        "`stages[0]`: `floor` must not exceed `peak`",
    ]
    lines = str(error).splitlines()
    assert lines[0] == "4 mistakes, each with its remedy"
    assert [line for line in lines if line[0] in "1234"][1:] == [
        f"{number}. {e.rule}" for number, e in enumerate(error.errors, start=1)
    ]
    assert sum(line.startswith("  got:    ") for line in lines) == 4
    assert sum(line.startswith("  remedy: ") for line in lines) == 4


def test_a_misspelt_key_does_not_leave_the_right_one_missing_and_its_table_is_checked(tmp_path: Path):
    error = refusal(tmp_path, 'nam = "a"\n[extr]\nepocs = 0\nbatch = "x"\n')
    assert isinstance(error, UserErrors)
    assert [e.rule for e in error.errors] == [
        "unknown key `nam`",
        "unknown key `extr`",
        "unknown key `extra.epocs`",
        "`extra.epochs` must be 1 or more",
        "`extra.batch` must be a whole number",
    ]


def test_a_value_that_may_be_of_several_kinds_is_one_finding(tmp_path: Path):
    error = refusal(tmp_path, 'name = "a"\nrows = "some"\n')
    assert error.rule == "`rows`: must be a whole number or must be 'all'"
    assert error.got == '"some"'
    assert not isinstance(error, UserErrors)


def test_every_password_is_told(tmp_path: Path):
    error = refusal(tmp_path, 'name = "x://u:c4nary-9f83ab@h"\nsft.domains = ["y://u:c4nary-9f83ab@h"]\n')
    assert isinstance(error, UserErrors)
    assert len(error.errors) == 2
    assert "c4nary" not in str(error)


class _Rates(Config):
    learning_rate: float = 1.0


class _Stage(Config):
    rates: _Rates = _Rates()


def test_a_misspelt_key_of_a_table_below_is_found_too():
    with pytest.raises(UserError) as caught:
        config_of({"learnin_rate": 2.0}, _Stage, "a test")
    assert caught.value.remedy.startswith("did you mean `rates.learning_rate`?")
    with pytest.raises(UserError) as caught:
        config_of({"mood": 2.0}, _Stage, "a test")
    assert caught.value.remedy.startswith("valid keys of")
