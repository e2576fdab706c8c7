"""Several rules make one reward: weights, gates, and what a verifier's fault does to them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from afterbase.core.config import what
from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, Status, Verdict, conversation
from afterbase.reward.compose import compose, load_judges, total
from afterbase.reward.route import Reward
from afterbase.reward.rule_settings import (
    FormatRule,
    JudgeRule,
    LanguageRule,
    LengthRule,
    ModelRule,
    OwnRule,
    Rewards,
    Rule,
)
from afterbase.reward.scalar import new_reward_model, save_reward_model, sigmoid
from afterbase.verify.answer_context import AnswerContext

PROMPT = "How many apples does each of the four children get, if there are twelve of them?"
GOOD = "<think>There are twelve apples, so each child gets three of them.</think>So it is \\boxed{3}."
LOOP = "<think>" + "Let me check again. " * 20 + "</think>So it is \\boxed{3}."
CHINESE = "<think>一共有十二个苹果，所以每个孩子得到三个。</think>So it is \\boxed{3}."
BARE = "So it is \\boxed{3}."


def judged(status: Status, value: float | None = None) -> Reward:
    verdict = Verdict(verifier="maths", status=status, value=float(status is Status.OK), reason="r")
    return Reward(None if status is Status.FAILED else verdict.value if value is None else value, verdict)


OK, WRONG, FAILED = (judged(status) for status in (Status.OK, Status.WRONG, Status.FAILED))


def composed(response: str, config: Rewards, reward: Reward = OK, *, tokens: int = 40, prompt: str = PROMPT) -> Reward:
    problem = Problem(domain="toy", prompt=prompt, gold=None, verifier="maths", spec={"answer": "3"})
    (out,) = compose(
        [reward], [(problem, response)], [AnswerContext(tokens)], budget=100, config=config,
        style=lambda _: "boxed", judges=load_judges(config, seed=0),
    )  # fmt: skip
    return out


def test_weights_add_up():
    config = Rewards(
        correct=Rule(weight=2.0), format=FormatRule(weight=0.5, think=True), language=LanguageRule(weight=0.25),
        repetition=Rule(weight=0.125),
    )  # fmt: skip
    assert composed(GOOD, config).value == 2.875
    assert composed(GOOD, config, WRONG).value == 0.875
    assert composed(BARE, config).value == 2.375
    assert composed(CHINESE, config).value == 2.625
    looping = composed(LOOP, config)
    assert looping.value is not None
    assert 2.75 < looping.value < 2.8
    assert looping.parts["repetition"] < 0.3
    assert composed(GOOD, config).parts == {"correct": 1, "format": 1, "language": 1, "repetition": 1, "gated": 0}


def test_a_gate_closes_the_whole_reward_and_a_weight_of_nothing_makes_it_that_alone():
    config = Rewards(format=FormatRule(weight=0.0, gate=1.0, think=True), floor=-1.0)
    assert composed(GOOD, config).value == 1.0
    closed = composed(BARE, config)
    assert (closed.value, closed.parts["gated"], closed.parts["correct"]) == (-1.0, 1.0, 1.0)
    assert composed(GOOD, config, WRONG).value == 0.0
    half = Rewards(language=LanguageRule(weight=0.0, gate=0.5))
    assert (composed(GOOD, half).value, composed(CHINESE, half).value) == (1.0, 0.0)


def test_a_verifier_that_failed_leaves_no_reward():
    for config in (Rewards(), Rewards(format=FormatRule(gate=1.0, think=True), repetition=Rule())):
        for response in (GOOD, BARE, LOOP):
            assert composed(response, config, FAILED) == FAILED


def test_correct_alone_changes_nothing_but_is_told():
    for reward in (OK, WRONG, judged(Status.OK, 0.8), Reward(0.3, None, held_out=0.5)):
        out = composed(GOOD, Rewards(), reward)
        assert (out.value, out.verdict, out.held_out) == (reward.value, reward.verdict, reward.held_out)


def test_format_has_three_parts():
    assert composed(BARE, Rewards(format=FormatRule())).value == 2.0
    assert composed("3", Rewards(format=FormatRule())).value == 1.0
    assert composed("3", Rewards(format=FormatRule(answer=False))).value == 2.0
    assert composed(BARE, Rewards(format=FormatRule()), tokens=100).value == 1.0
    assert composed(BARE, Rewards(format=FormatRule(stop=False)), tokens=100).value == 2.0
    opened = Rewards(format=FormatRule(think=True, opened=True))
    assert (composed(GOOD, opened).value, composed(GOOD.removeprefix("<think>"), opened).value) == (1.0, 2.0)


def test_length_tells_right_from_wrong_by_the_verdict_or_the_score():
    config = Rewards(correct=Rule(weight=0.0), length=LengthRule())
    assert composed(GOOD, config, OK, tokens=0).value == 2.0
    assert composed(GOOD, config, WRONG, tokens=0).value == -10.0
    assert composed(GOOD, config, judged(Status.OK, 0.3), tokens=0).value == 2.0
    assert composed(GOOD, config, Reward(0.7, None), tokens=0).value == 2.0
    assert composed(GOOD, config, Reward(0.2, None), tokens=0).value == -10.0
    assert composed(GOOD, config, OK, tokens=100).value == -10.0


def test_the_target_language_is_the_prompts_or_the_one_that_is_named():
    rule = Rewards(correct=Rule(weight=0.0), language=LanguageRule())
    assert composed(CHINESE, rule).value == 0.0
    assert composed(CHINESE, rule, prompt="四个孩子分十二个苹果，每人几个？").value == 1.0
    assert composed(CHINESE, rule, prompt="12 / 4").value == 1.0  # a prompt in no language asks for none
    english = Rewards(correct=Rule(weight=0.0), language=LanguageRule(target="en"))
    assert composed(CHINESE, english, prompt="四个孩子分十二个苹果，每人几个？").value == 0.0
    assert composed("$3$", english).value == 1.0


def test_unknown_languages_and_rules_are_refused():
    with pytest.raises((UserError, ValidationError), match="ISO 639-1"):
        LanguageRule(target="klingon")
    with pytest.raises(ValidationError, match="politeness"):
        Rewards.model_validate({"politeness": {}})


@given(st.dictionaries(st.sampled_from(["format", "repetition"]), st.floats(0, 1)), st.floats(0, 1), st.floats(-2, 2))
def test_the_sum_is_linear_and_gates_are_all_or_nothing(parts, correct, weight):
    parts = {"correct": correct, "format": 0.5, "repetition": 0.5, **parts}
    config = Rewards(correct=Rule(weight=weight), format=FormatRule(weight=0.0, gate=0.5), repetition=Rule(weight=1.0))
    value, gated = total(parts, config)
    assert gated == (parts["format"] < 0.5)
    assert value == (0.0 if gated else pytest.approx(weight * correct + parts["repetition"]))


@pytest.fixture
def own(tmp_path):
    source = "def score(response): return len(response)\ndef bad(response): return None\n"
    (tmp_path / "mine.py").write_text(source)
    return lambda name, **settings: OwnRule(function=f"{tmp_path}/mine.py:{name}", **settings)


def test_a_function_of_ones_own_is_a_rule_like_others(own):
    config = Rewards(own={"long": own("score", weight=0.5)})
    assert composed("12345678", config).value == 1.0 + 4.0
    assert composed("12345678", config).parts == {"correct": 1.0, "long": 8.0, "gated": 0.0}
    assert composed("1", Rewards(own={"long": own("score", gate=2.0)}, floor=-1.0)).value == -1.0


def test_an_answer_that_a_function_fails_on_has_no_reward(own):
    out = composed("12", Rewards(format=FormatRule(), own={"long": own("score"), "odd": own("bad")}))
    assert out.value is None
    assert out.verdict is not None
    assert (out.verdict.status, out.verdict.reason) == (Status.FAILED, "no_value")


def test_a_problem_without_a_rule_has_the_value_of_the_rules_alone(own):
    config = Rewards(own={"long": own("score")}, length=LengthRule(weight=0.0))
    out = composed("12", config, Reward(0.0, None, undecided=True))
    assert out.value == 2.0
    assert out.parts == {"length": pytest.approx(1.65, abs=0.01), "long": 2.0, "gated": 0.0}
    assert out.verdict is None


def test_what_a_reward_model_says_is_a_rule(toy_lm, tmp_path):
    rm = new_reward_model(toy_lm)
    torch.nn.init.normal_(rm.head.weight, generator=torch.Generator().manual_seed(0))
    save_reward_model(rm, tmp_path / "rm")
    config = Rewards(correct=Rule(weight=0.0), model=ModelRule(folder=str(tmp_path / "rm")))
    (score,) = rm.score([conversation(PROMPT, BARE)])
    assert composed(BARE, config).value == pytest.approx(sigmoid(score), abs=1e-5)
    with pytest.raises((UserError, ValidationError), match="head of scores"):
        ModelRule(folder=str(tmp_path))


def test_digests_are_in_the_key_and_paths_are_not(own, tmp_path):
    rule = own("score")
    assert str(tmp_path) not in str(what(rule))
    assert what(rule)["digest"].startswith("score@")
    asked = {"endpoint": {"url": "http://x/v1", "model": "m"}}
    assert JudgeRule.model_validate({"asked": asked}).digest
    with pytest.raises((UserError, ValidationError), match="`digest` is that of"):
        own("score", digest="other")


def test_own_rules_have_names_of_their_own(own):
    with pytest.raises((UserError, ValidationError), match="a name of its own"):
        Rewards(own={"correct": own("score")})
