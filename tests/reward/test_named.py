"""What `--reward X` stands for: a verifier, and rules with weights."""

import pytest

from afterbase.core.errors import UserError
from afterbase.reward.named import rewards_named
from afterbase.reward.rule_settings import JudgeRule, OwnRule, Rule


@pytest.fixture
def own(tmp_path):
    (tmp_path / "mine.py").write_text("def score(response): return 1.0\ndef format(response): return 0.5\n")
    return f"{tmp_path}/mine.py"


def test_a_verifier_alone_needs_no_rules(own):
    assert rewards_named(["maths"]) == ("maths", None)
    assert rewards_named([f"{own}:score"]) == (f"{own}:score", None)
    assert rewards_named([]) == ("none", None)


def test_a_weight_stands_behind_the_name(own):
    verifier, rules = rewards_named(["maths=2", "format=0.1", f"{own}:score=-0.5"])
    assert verifier == "maths"
    assert rules is not None
    assert {name: rule.weight for name, rule in rules.rules.items()} == {"correct": 2.0, "format": 0.1, "score": -0.5}
    assert isinstance(rules.own["score"], OwnRule)


def test_the_built_in_verifier_decides_wherever_it_stands_or_else_the_first_own_function(own):
    verifier, rules = rewards_named([f"{own}:score", "exact"])
    assert (verifier, list(rules.own) if rules else None) == ("exact", ["score"])
    verifier, rules = rewards_named([f"{own}:score", f"{own}:format", f"{own}:score=2"])
    assert verifier == f"{own}:score"
    assert rules is not None
    assert list(rules.own) == ["format2", "score"]  # `format` is a rule of that name


def test_rules_alone_have_no_verifier():
    verifier, rules = rewards_named(["format", "repetition=0.5", "judge:http://127.0.0.1:9/v1#m"])
    assert verifier == "none"
    assert rules is not None
    assert rules.beside_verdict
    assert isinstance(rules.judge, JudgeRule)
    assert type(rules.repetition) is Rule


def test_a_callable_is_a_reward_of_this_process():
    verifier, rules = rewards_named([lambda response: 1.0, "maths"])
    assert verifier == "maths"
    assert rules is not None
    assert [rule.function.split(":")[0] for rule in rules.own.values()] == ["callable"]


@pytest.mark.parametrize(
    ("names", "rule"),
    [
        (["vibes"], "a reward is a verifier, a rule"),
        (["maths", "exact"], "one built-in verifier"),
        (["format", "format=2"], "named once"),
        (["reward:/nowhere"], "head of scores"),
        (["judge:http://x/v1"], "a judge is a model at an endpoint"),
        (["nowhere.py:score"], "FILE.py:FUNCTION"),
    ],
)
def test_what_is_no_reward_is_refused(names, rule):
    with pytest.raises(UserError, match=rule):
        rewards_named(names)
