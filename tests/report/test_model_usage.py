"""How a model folder is used, by its kind; the code of the cards runs."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForSequenceClassification, AutoTokenizer, LlamaConfig

from afterbase.model.load import save
from afterbase.report.model_usage import is_adapter, is_reward_model, usage
from zoo import WIDTHS


def code_of(text: str, folder: Path) -> str:
    [code] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return code.replace('"."', repr(str(folder)))


def test_a_language_models_code_answers(toy_lm, tmp_path, capsys):
    save(toy_lm, tmp_path)
    text = usage(tmp_path)
    assert "multi-token prediction" in text
    exec(code_of(text, tmp_path).replace("256", "4"), {})
    assert "What is 17 + 25?" in capsys.readouterr().out
    assert not is_reward_model(tmp_path)


def test_a_sequence_classifiers_code_scores(toy_tokenizer, tmp_path, capsys):
    settings: dict[str, Any] = {**WIDTHS, "vocab_size": len(toy_tokenizer), "num_labels": 1}
    config = LlamaConfig(**settings)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    toy_tokenizer.save_pretrained(tmp_path)
    assert is_reward_model(tmp_path)
    exec(code_of(usage(tmp_path), tmp_path), {})
    assert float(capsys.readouterr().out)
    assert AutoTokenizer.from_pretrained(tmp_path).chat_template


def test_a_head_beside_a_language_model_is_told(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "reward_head.safetensors").write_bytes(b"")
    assert is_reward_model(tmp_path)
    assert "reward_head.safetensors" in usage(tmp_path)


@pytest.mark.parametrize(("task", "scores"), [("CAUSAL_LM", False), ("SEQ_CLS", True)])
def test_an_adapter_is_one_of_its_kind(tmp_path, task, scores):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"task_type": task}))
    assert is_adapter(tmp_path)
    assert is_reward_model(tmp_path) is scores
    assert ("SequenceClassification" in usage(tmp_path)) is scores
    assert "PeftModel" in usage(tmp_path)
