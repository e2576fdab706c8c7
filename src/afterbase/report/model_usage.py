"""How a model folder is loaded, asked and served: a part of its card."""

import json
from pathlib import Path
from typing import Any

_TRANSFORMERS = """\
```python
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "."  # this folder, or its name on the hub
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder)
messages = [{"role": "user", "content": "What is 17 + 25?"}]
prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
print(tokenizer.decode(model.generate(**prompt, max_new_tokens=256)[0]))
```

Over HTTP, as OpenAI's API: `vllm serve FOLDER`, or `afterbase serve FOLDER`. In the terminal: `afterbase chat FOLDER`.
How it samples, and where it stops, is in [generation_config.json](generation_config.json)."""

_MTP = """\
The weights of the multi-token prediction module are in the file under the names of the original checkpoints.
transformers passes over them."""

_PEFT = """\
```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(BASE), ".")
```

BASE is the model that the adapter was trained on. vLLM: `vllm serve BASE --enable-lora --lora-modules NAME=FOLDER`."""

_PEFT_SCORES = """\
```python
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
model = PeftModel.from_pretrained(AutoModelForSequenceClassification.from_pretrained(BASE, num_labels=1), ".")
```

BASE is the model that the adapter was trained on."""

_SCORES = """\
```python
from transformers import AutoModelForSequenceClassification, AutoTokenizer

folder = "."  # this folder, or its name on the hub
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder)
messages = [{"role": "user", "content": "What is 17 + 25?"}, {"role": "assistant", "content": "42"}]
conversation = tokenizer.apply_chat_template(messages, return_tensors="pt", return_dict=True)
print(model(**conversation).logits[0, 0].item())  # the higher the better
```

Of a file of pairs or answers: `afterbase score reward FOLDER FILE`."""

_OWN_SCORES = """\
transformers has no sequence classifier of this family. The folder holds the trunk as a causal language model, and
`reward_head.safetensors` beside it: a linear layer on the last hidden state of the last token.
`afterbase score reward FOLDER FILE` scores a file of pairs or answers."""


def usage(folder: Path) -> str:
    """The text for the model that the folder holds: a language model, a reward model, or an adapter of either."""
    if is_adapter(folder):
        return _PEFT_SCORES if _json(folder / "adapter_config.json").get("task_type") == "SEQ_CLS" else _PEFT
    if is_reward_model(folder):
        return _OWN_SCORES if (folder / "reward_head.safetensors").is_file() else _SCORES
    more = _json(folder / "config.json").get("num_nextn_predict_layers")
    return f"{_TRANSFORMERS}\n\n{_MTP}" if more else _TRANSFORMERS


def is_adapter(folder: Path) -> bool:
    """Whether the folder holds an adapter in peft's format, and not a model."""
    return (folder / "adapter_config.json").is_file()


def is_reward_model(folder: Path) -> bool:
    """Whether the folder's model, or the one that its adapter makes, gives scores and no text."""
    if is_adapter(folder):
        return _json(folder / "adapter_config.json").get("task_type") == "SEQ_CLS"
    kinds = _json(folder / "config.json").get("architectures") or []
    return (folder / "reward_head.safetensors").is_file() or any(k.endswith("SequenceClassification") for k in kinds)


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())
