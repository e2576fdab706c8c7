import logging
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from afterbase.core import old_names
from afterbase.core.config import Config, load_toml, what
from afterbase.core.errors import UserError
from afterbase.core.old_names import RENAMED, Renamed, name_in_key, with_new_names, with_new_options
from afterbase.train.grpo.config import Grpo

TOYS = (
    Renamed("Toy", "colour", "color", until="0.2"),
    Renamed("Toy", "color", "hue", until="0.3"),
    Renamed("paint wall", "--colour", "--color", until="0.2"),
)


class Toy(Config):
    prefer_middling: int = 0
    """Another's key may have the old name of a key of `Grpo`."""


class Everywhere(Config):
    first: Grpo | None = None
    many: tuple[Grpo, ...] = ()
    named: dict[str, Grpo] = Field(default_factory=dict)
    toy: Toy = Toy()


@pytest.fixture(autouse=True)
def _a_run_of_its_own():
    old_names._warn.cache_clear()


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def read(tmp_path: Path, text: str) -> Everywhere:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    return load_toml(path, Everywhere)


GRPO = """steps = 1
prompts = 1
samples = 2
temperature = 1
max_new_tokens = 1
length_weight = 0
optimisation = { learning_rate = 1e-4, floor = 1e-4 }
"""


def test_an_old_key_is_read_as_the_new_one_in_any_table_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    old, new = (
        read(tmp_path, "".join(f"{head}\n{GRPO}{key} = true\n" for head in ("[first]", "[[many]]", "[named.x]")))
        for key in ("prefer_middling", "difficulty_weighted")
    )
    assert old == new
    assert old.first is not None
    assert [grpo.difficulty_weighted for grpo in (old.first, *old.many, *old.named.values())] == [True] * 3
    assert told(caplog) == [
        "warning: `prefer_middling` is called `difficulty_weighted` now; its old name is read until release 0.2"
    ]


def test_the_warning_comes_once_a_run(caplog: pytest.LogCaptureFixture):
    for _ in range(3):
        assert with_new_names({"colour": "red"}, ["Toy"], "", renamed=TOYS[:1]) == {"color": "red"}
    assert len(told(caplog)) == 1


def test_the_first_rank_alone_warns(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RANK", "1")
    with_new_names({"colour": "red"}, ["Toy"], "", renamed=TOYS)
    assert told(caplog) == []


def test_the_same_word_in_another_config_is_no_old_name(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    assert read(tmp_path, "[toy]\nprefer_middling = 3\n").toy.prefer_middling == 3
    assert told(caplog) == []
    assert what(Toy(prefer_middling=3)) == {"prefer_middling": 3}


def test_a_key_under_both_names_is_refused():
    with pytest.raises(UserError, match=r"`walls.colour` is the old name of `walls.color`") as caught:
        with_new_names({"colour": "red", "color": "blue"}, ["Toy"], "walls", renamed=TOYS[:1])
    assert caught.value.remedy == "remove `colour`"


def test_a_fault_in_a_renamed_key_is_told_under_the_new_name(tmp_path: Path):
    with pytest.raises(UserError, match=r"`first.difficulty_weighted` must be true or false"):
        read(tmp_path, f"[first]\n{GRPO}prefer_middling = 3\n")


def test_a_key_is_computed_under_the_first_name():
    assert name_in_key(["Toy"], "hue", renamed=TOYS) == "colour"
    assert name_in_key(["Toy"], "shape", renamed=TOYS) == "shape"
    assert name_in_key(["Grpo", "Training"], "difficulty_weighted") == "prefer_middling"


def test_renamed_settings_are_in_the_artifact_key_under_their_old_names():
    keys: dict[str, Any] = what(Grpo.model_construct(**dict.fromkeys(Grpo.model_fields)))
    assert "prefer_middling" in keys
    assert "difficulty_weighted" not in keys


@pytest.mark.parametrize(
    ("words", "read"),
    [
        (["paint", "wall", "--colour", "red"], ["paint", "wall", "--color", "red"]),
        (["paint", "wall", "--colour=red"], ["paint", "wall", "--color=red"]),
        (["paint", "door", "--colour", "red"], ["paint", "door", "--colour", "red"]),
        (["paint", "wall", "--", "--colour"], ["paint", "wall", "--", "--colour"]),
        ([], []),
    ],
    ids=str,
)
def test_an_old_option_is_read_as_the_new_one_of_its_command(words: list[str], read: list[str]):
    assert with_new_options(words, renamed=TOYS) == read


def test_an_old_option_is_warned_about(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.WARNING)
    with_new_options(["paint", "wall", "--colour", "red"], renamed=TOYS)
    assert told(caplog) == ["warning: `--colour` is called `--color` now; its old name is read until release 0.2"]


def test_rows_of_the_table_are_not_of_the_same_old_name():
    assert len({(row.owner, row.old) for row in RENAMED}) == len(RENAMED)
