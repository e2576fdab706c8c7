"""Reward models as transformers loads them: the same scores, whatever is padded, and folders of other people."""

import copy
import json

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from afterbase.core.errors import UserError
from afterbase.core.sample import conversation
from afterbase.core.tokens import tokenize
from afterbase.model.load import load
from afterbase.reward.scalar import RewardModel, load_reward_model, new_reward_model, save_reward_model
from zoo import working

TALKS = [conversation("1+1?", "2"), conversation("?", ""), conversation("say a word", "word " * 9, system="be kind")]
CLASSIFIED = ["llama", "qwen3, tied", "gemma2, cap", "qwen3_moe", "gpt2, dropout", "phi, bias"]
OTHERS = ["cohere, scale", "granite, divisor"]


def opinionated(lm) -> RewardModel:
    rm = new_reward_model(lm)
    torch.nn.init.normal_(rm.head.weight, generator=torch.Generator().manual_seed(0))
    return rm


def by_transformers(folder, side: str) -> list[float]:
    """Scores of a padded batch, by what anybody would call."""
    loaded = AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True, output_loading_info=True)
    model, found = loaded
    assert not any(found.values())
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, padding_side=side)
    ids = [tokenize(tokenizer, talk).ids for talk in TALKS]
    batch = tokenizer.pad({"input_ids": ids}, return_tensors="pt")
    batch["attention_mask"] = torch.tensor([[int(i < len(row)) for i in range(max(map(len, ids)))] for row in ids])
    if side == "left":
        batch["attention_mask"] = batch["attention_mask"].flip(1)
    with torch.no_grad():
        return model.eval()(**batch).logits[:, 0].tolist()


@pytest.mark.parametrize("kind", CLASSIFIED)
def test_transformers_gives_the_same_scores(kind, toy_tokenizer, tmp_path):
    rm = opinionated(load(working(kind, tmp_path / "model", toy_tokenizer)))
    save_reward_model(rm, tmp_path / "rm")
    scores = rm.score(TALKS)
    assert len({round(score, 3) for score in scores}) == 3
    assert by_transformers(tmp_path / "rm", "right") == pytest.approx(scores, abs=1e-4)
    assert load_reward_model(tmp_path / "rm").score(TALKS) == pytest.approx(scores, abs=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_deepseek_v3_with_mtp_and_experts_does_too(toy_lm, tmp_path, side):
    rm = opinionated(toy_lm)
    save_reward_model(rm, tmp_path)
    assert by_transformers(tmp_path, side) == pytest.approx(rm.score(TALKS), abs=1e-4)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["architectures"] == ["DeepseekV3ForSequenceClassification"]
    assert len(config["id2label"]) == 1


@pytest.mark.parametrize("kind", OTHERS)
def test_a_family_without_such_a_class_has_its_head_beside_the_model(kind, toy_tokenizer, tmp_path):
    rm = opinionated(load(working(kind, tmp_path / "model", toy_tokenizer)))
    save_reward_model(rm, tmp_path / "rm")
    assert (tmp_path / "rm/reward_head.safetensors").is_file()
    assert load_reward_model(tmp_path / "rm").score(TALKS) == pytest.approx(rm.score(TALKS), abs=1e-5)


def test_what_conversations_end_with_is_no_padding(toy_lm, tmp_path):
    """transformers would take the last token for padding, and read the score before it."""
    toy_lm.tokenizer = copy.deepcopy(toy_lm.tokenizer)
    toy_lm.tokenizer.pad_token = toy_lm.tokenizer.eos_token
    rm = opinionated(toy_lm)
    save_reward_model(rm, tmp_path)
    assert by_transformers(tmp_path, "right") == pytest.approx(rm.score(TALKS), abs=1e-4)
    assert toy_lm.tokenizer.pad_token == toy_lm.tokenizer.eos_token, "the model's own tokenizer stays as it was"


def test_a_classifier_of_several_labels_is_refused(toy_tokenizer, tmp_path):
    folder = working("llama", tmp_path / "model", toy_tokenizer)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3)
    model.save_pretrained(tmp_path / "three")
    toy_tokenizer.save_pretrained(tmp_path / "three")
    with pytest.raises(UserError, match="one label") as raised:
        load_reward_model(tmp_path / "three")
    assert "out_features=3" in raised.value.got


def test_a_language_model_is_no_reward_model(toy_folder):
    with pytest.raises(UserError, match="head of scores"):
        load_reward_model(toy_folder)


def test_a_classifier_of_other_people_is_loaded(toy_tokenizer, tmp_path):
    """One that another program saved, in bfloat16."""
    folder = working("llama", tmp_path / "model", toy_tokenizer)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=torch.bfloat16)
    model.config.pad_token_id = toy_tokenizer.pad_token_id
    model.save_pretrained(tmp_path / "theirs")
    toy_tokenizer.save_pretrained(tmp_path / "theirs")
    scores = load_reward_model(tmp_path / "theirs").score(TALKS)
    assert all(isinstance(score, float) for score in scores)
    wide = AutoModelForSequenceClassification.from_pretrained(tmp_path / "theirs", dtype=torch.float32)
    with torch.no_grad():
        alone = [wide(torch.tensor([tokenize(toy_tokenizer, talk).ids])).logits.item() for talk in TALKS]
    assert scores == pytest.approx(alone, abs=1e-4)
