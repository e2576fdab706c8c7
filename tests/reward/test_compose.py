"""Several rules make one reward: weights, gates, and what a verifier's fault does to them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, Status, Verdict
from afterbase.reward.compose import compose, load_judges, total
from afterbase.reward.route import Reward
from afterbase.reward.rule_settings import FormatRule, LanguageRule, LengthRule, Rewards, Rule
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
