"""The dual track: exactly one judge for each problem, and rewards in [0, 1] from both."""

import math

import pytest
import torch

from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, Status, Verdict, conversation
from afterbase.reward.route import MODEL, RULES, Reward, failed_share, owner, rewards
from afterbase.reward.scalar import RewardModel, new_reward_model
from afterbase.verify.answer_context import AnswerContext


def problem(verifier: str) -> Problem:
    return Problem(domain="toy", prompt=f"{verifier}?", gold=None, verifier=verifier, spec={"answer": "7"})


def judge(answers, model=None, *, tokens=None, rules=False) -> list[Reward]:
    contexts = [AnswerContext(n) for n in tokens or [10] * len(answers)]
    return rewards(answers, contexts, budget=40, length_weight=0.4, model=model, rules=rules)


@pytest.fixture
def reward_model(toy_lm) -> RewardModel:
    rm = new_reward_model(toy_lm)
    torch.nn.init.normal_(rm.head.weight, generator=torch.Generator().manual_seed(0))
    return rm


def test_every_verifier_that_exists_has_one_owner():
    from afterbase.verify.check import _VERIFIERS

    assert {*_VERIFIERS, "own"} == RULES | MODEL
    assert not RULES & MODEL
    assert {owner(problem(v)) for v in RULES} == {"rules"}
    assert {owner(problem(v)) for v in MODEL} == {"model"}
    assert owner(problem("none")) == "composed"


def test_an_unknown_verifier_is_refused():
    with pytest.raises(UserError, match="exactly one judge") as raised:
        judge([(problem("maths"), r"\boxed{7}"), (problem("vibes"), "x")])
    assert "`vibes`" in raised.value.got


def test_open_prompts_without_a_reward_model_are_refused():
    with pytest.raises(UserError, match="need a reward model") as raised:
        judge([(problem("maths"), r"\boxed{7}"), (problem("rubric"), "x"), (problem("rubric"), "y")])
    assert raised.value.got.startswith("2 prompts in ['toy']")


def test_prompts_without_a_rule_are_the_models_or_else_wait_for_further_rules(reward_model):
    asked = [(problem("none"), "x"), (problem("maths"), r"\boxed{7}")]
    with pytest.raises(UserError, match="need a reward model, or rules"):
        judge(asked)
    assert judge(asked, rules=True)[0] == Reward(0.0, None, undecided=True)
    by_model = judge(asked, reward_model, rules=True)[0]
    assert by_model.undecided is False
    assert by_model.value is not None
    assert by_model.value > 0


def test_a_rubric_is_held_out_where_a_problem_has_one(reward_model):
    spec = {
        "words": [1, 9], "sentences": [1, 1], "must_not": [], "must_mention": [["poem"]], "persona_marks": [],
    }  # fmt: skip
    with_rubric = Problem(domain="toy", prompt="?", gold=None, verifier="rubric", spec=spec)
    judged = judge([(with_rubric, "A poem."), (with_rubric, "A song."), (problem("rubric"), "A poem.")], reward_model)
    assert [r.held_out for r in judged] == [1.0, pytest.approx(6 / 7), None]
    assert all(r.verdict is None for r in judged), "it is watched, not trained on"


def test_rules_alone_need_no_model():
    judged = judge([(problem("maths"), r"\boxed{7}"), (problem("maths"), "7")])
    assert [r.value for r in judged] == [0.9, 0.0]
    assert judge([]) == []


def test_tracks_are_mixed_in_order(reward_model):
    answers = [
        (problem("rubric"), "a poem"),
        (problem("maths"), r"\boxed{7}"),
        (problem("rubric"), "two poems"),
        (problem("maths"), r"\boxed{8}"),
    ]
    tokens = [0, 20, 40, 10]
    judged = judge(answers, reward_model, tokens=tokens)
    first, third = reward_model.score([conversation(p.prompt, text) for p, text in answers[::2]])
    assert judged[0].value == pytest.approx(1 / (1 + math.exp(-first)))
    assert judged[2].value == pytest.approx(0.6 / (1 + math.exp(-third)))
    assert [r.value for r in judged[1::2]] == [0.8, 0.0]
    assert [r.verdict.status if r.verdict else None for r in judged] == [None, Status.OK, None, Status.WRONG]


def test_the_failed_share_counts_rules_only_over_all_answers():
    failed = Reward(None, Verdict(verifier="maths", status=Status.FAILED, value=0.0, reason="verifier_error"))
    wrong = Reward(0.0, Verdict(verifier="maths", status=Status.WRONG, value=0.0, reason="mismatch"))
    assert failed_share([failed, wrong, Reward(0.4, None), wrong]) == 0.25
    assert failed_share([]) == 0.0
