"""The scalar reward model: read at the last token, deaf to its neighbours, the same after a round trip."""

import math

import pytest
import torch
import transformers as hf
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.sample import Problem, Status, Verdict, conversation
from afterbase.core.tokens import tokenize
from afterbase.model.load import load
from afterbase.reward.scalar import RewardModel, load_reward_model, new_reward_model, save_reward_model, sigmoid
from zoo import LONGROPE, write

TALKS = [conversation("1+1?", "2"), conversation("?", ""), conversation("say a word", "word " * 9, system="be kind")]


@pytest.fixture
def reward_model(toy_lm) -> RewardModel:
    rm = new_reward_model(toy_lm)
    torch.nn.init.normal_(rm.head.weight, generator=torch.Generator().manual_seed(0))
    return rm


def test_a_new_head_has_no_opinion(toy_lm):
    assert new_reward_model(toy_lm).score(TALKS) == [0.0, 0.0, 0.0]


def test_a_score_is_the_head_on_the_stop_token_alone(reward_model, toy_lm):
    scores = reward_model.score(TALKS)
    for talk, score in zip(TALKS, scores, strict=True):
        ids = tokenize(toy_lm.tokenizer, talk).ids
        assert ids[-1] == toy_lm.tokenizer.eos_token_id
        with torch.no_grad():
            segments_alone = reward_model.scores([ids])
        assert segments_alone.shape == (1,)
        assert score == pytest.approx(segments_alone.item(), abs=1e-5)
    assert len(set(scores)) == 3


@pytest.mark.parametrize("rows", [1, 2, 32])
def test_scores_do_not_depend_on_the_batch(reward_model, rows):
    assert reward_model.score(TALKS, rows=rows) == pytest.approx(reward_model.score(TALKS[::-1])[::-1], abs=1e-5)


def test_lengths_on_both_sides_of_longropes_turn_are_scored_in_rows_of_their_own(toy_tokenizer, tmp_path):
    """They share no row, and what a policy will answer is not known before the run."""
    lm = load(write(tmp_path / "model", hf.Phi3Config(vocab_size=len(toy_tokenizer), **LONGROPE), toy_tokenizer))
    rm = new_reward_model(lm)
    torch.nn.init.normal_(rm.head.weight, generator=torch.Generator().manual_seed(0))
    talks = [conversation("say", "word " * n) for n in (90, 2, 80, 3, 1)]
    alone = [rm.score([talk])[0] for talk in talks]
    assert rm.score(talks, rows=2) == pytest.approx(alone, abs=1e-5)
    assert len({round(score, 3) for score in alone}) == 5


def test_scoring_leaves_no_graph(reward_model):
    assert reward_model.score([]) == []
    reward_model.score(TALKS)
    assert all(p.grad is None for p in reward_model.lm.model.parameters())


def test_save_and_load(reward_model, tmp_path):
    save_reward_model(reward_model, tmp_path / "rm")
    again = load_reward_model(tmp_path / "rm")
    assert again.score(TALKS) == reward_model.score(TALKS)
    assert again.lm.mtp is None


@given(st.floats(-1e4, 1e4))
def test_scores_of_any_size_become_rewards(score):
    value = sigmoid(score)
    assert 0.0 <= value <= 1.0
    if abs(score) < 30:
        assert value == pytest.approx(1 / (1 + math.exp(-score)), abs=1e-12)


def test_under_bfloat16_scores_are_still_told_apart(reward_model):
    """Two answers in a hundred would tie where scores were rounded to eight bits."""
    torch.nn.init.normal_(reward_model.head.weight, generator=torch.Generator().manual_seed(0))
    conversations = [[i % 300, i % 7, i % 11, 5] for i in range(300)]
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        scores = reward_model.scores(conversations)
    assert scores.dtype == torch.float32
    assert len(scores.unique()) > 0.95 * len(scores.bfloat16()), len(scores.unique())
    assert len(scores.bfloat16().unique()) < len(scores.unique())


def test_an_answer_that_the_template_cannot_render_is_failed_and_the_others_are_judged(reward_model, toy_lm):
    """A template that loses a word, and half a character, which has no tokens."""
    problem = Problem(domain="toy", prompt="Why?", gold=None, verifier="rubric", spec={})
    template = toy_lm.tokenizer.chat_template
    toy_lm.tokenizer.chat_template = template.replace("message.content", "(message.content | replace('lost', ''))")
    judged = reward_model.judge([(problem, text) for text in ("Because.", "I am lost.", "\ud800", "So.")])
    toy_lm.tokenizer.chat_template = template
    alone = reward_model.score([conversation("Why?", text) for text in ("Because.", "So.")])
    failed = (None, Verdict(verifier="reward_model", status=Status.FAILED, value=0.0, reason="not_rendered"))
    assert judged[1:3] == [failed, failed]
    assert [judged[0], judged[3]] == [(pytest.approx(sigmoid(score), abs=1e-6), None) for score in alone]
    assert reward_model.judge([(problem, "\ud800")]) == [failed]
