"""A reward model as transformers has it: `AutoModelForSequenceClassification` with one label, in a folder of its own.

transformers reads the score at the last token that is not its padding token. So that token must be another than the one
that conversations end with, which the saved config and tokenizer see to.
"""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING
from transformers.models.deepseek_v3 import DeepseekV3Config
from transformers.utils import logging as transformers_logging

from afterbase.core.errors import UserError
from afterbase.core.sample import conversation
from afterbase.core.tokens import tokenize
from afterbase.model import attention, experts
from afterbase.model.attention import Segments
from afterbase.model.families import read_config
from afterbase.model.fused.fused_layers import fuse
from afterbase.model.head import trunk
from afterbase.model.load import LanguageModel
from afterbase.model.probe import own_attention

_LENGTHS = (5, 1, 7)
_TOLERANCE = 1e-3  # of a score, and of its size where that is above 1


def sequence_classifier(lm: LanguageModel) -> PreTrainedModel | None:
    """transformers' class for scores by a model's trunk, without weights; None where the family has none of ours' form.

    That form is a linear layer `score` without bias above the same trunk.
    """
    config = copy.deepcopy(lm.model.config)
    if type(config) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        return None
    config.num_labels, config.pad_token_id = 1, _padding(lm)
    kind: Any = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(config)]
    with torch.device("meta"):
        classifier = kind(config)
    head = getattr(classifier, "score", None)
    same_trunk = {n for n in classifier.state_dict() if n != "score.weight"} <= set(lm.model.state_dict())
    return classifier if isinstance(head, nn.Linear) and head.bias is None and same_trunk else None


def save_sequence_classifier(
    lm: LanguageModel, classifier: PreTrainedModel, folder: Path, state: Mapping[str, Tensor]
) -> None:
    """The folder of a `classifier` with the weights of `state`: trunk.* of the model, and head.weight.

    It is read back: UserError unless transformers finds every weight in it.
    """
    named = {name.removeprefix("trunk."): tensor for name, tensor in state.items()}
    named["score.weight"] = state["head.weight"]
    classifier.load_state_dict({name: named[name] for name in classifier.state_dict()}, assign=True)
    tokenizer = copy.deepcopy(lm.tokenizer)
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(classifier.config.pad_token_id)
    transformers_logging.disable_progress_bar()
    classifier.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    again, _ = load_sequence_classifier(folder)
    wrong = [n for n, tensor in again.model.state_dict().items() if not torch.equal(tensor.cpu(), named[n].cpu())]
    if wrong:
        raise UserError(
            "a saved reward model, loaded by transformers, is the one that was trained",
            got=f"{folder}: {len(wrong)} tensors differ, such as `{wrong[0]}`",
            remedy="use a model of another family; the training's own checkpoint is kept, and goes on from there",
        )


def load_sequence_classifier(folder: Path) -> tuple[LanguageModel, nn.Linear]:
    """Trunk and head of any folder of a sequence classifier with one label.

    Raises UserError for another number of labels, where weights are missing, and where the packed rows in which
    conversations are read here do not have the scores that the family gives to each alone.
    """
    config = read_config(folder)
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        loaded: Any = AutoModelForSequenceClassification.from_pretrained(
            folder, config=config, dtype=torch.float32, attn_implementation=attention.register(),
            local_files_only=True, trust_remote_code=False, output_loading_info=True,
        )  # fmt: skip
    except ValueError as error:
        raise _refusal(folder, f"{error}") from error
    finally:
        transformers_logging.set_verbosity(verbosity)
    model, found = loaded
    head = getattr(model, "score", None)
    if not isinstance(head, nn.Linear) or head.out_features != 1:
        raise _refusal(folder, f"a head {head}" if head is not None else "no head `score`")
    if found["missing_keys"]:
        raise _refusal(folder, f"{len(found['missing_keys'])} missing weights, such as {min(found['missing_keys'])}")
    if isinstance(config, DeepseekV3Config):
        model.config._experts_implementation = experts.register()
        fuse(model)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    lm = LanguageModel(model.eval(), tokenizer, None)
    _prove(lm, head, folder)
    return lm, head


@torch.no_grad()
def _prove(lm: LanguageModel, head: nn.Linear, folder: Path) -> None:
    ids = torch.randint(len(lm.tokenizer), (sum(_LENGTHS),), generator=torch.Generator().manual_seed(0))
    ends = torch.tensor(_LENGTHS).cumsum(0) - 1
    packed = head(lm.hidden(ids, Segments.of(_LENGTHS))[ends])[:, 0]
    with own_attention(lm.model, "eager"):
        parts = [trunk(lm.model)(input_ids=part[None], use_cache=False)[0][0, -1] for part in ids.split(_LENGTHS)]
    alone = head(torch.stack(parts))[:, 0]
    difference = float((packed - alone).abs().max())
    if not difference <= _TOLERANCE * max(1.0, float(alone.abs().max())):
        raise _refusal(folder, f"packed rows whose scores differ by {difference:.2g}")


def _padding(lm: LanguageModel) -> int:
    """The tokenizer's padding token, or another control token where conversations end with that one.

    Raises UserError where there is none: the config of a classifier has to name one.
    """
    tokenizer = lm.tokenizer
    last = tokenize(tokenizer, conversation("?", "!")).ids[-1]
    ids = [tokenizer.pad_token_id, *tokenizer.all_special_ids, *tokenizer.added_tokens_decoder]
    found = next((i for i in ids if i is not None and i != last), None)
    if found is None:
        raise UserError(
            "a reward model needs a token to pad with, other than the one that conversations end with",
            got=f"a tokenizer with the control tokens {tokenizer.all_special_tokens}",
            remedy="add a padding token to the tokenizer's special tokens",
        )
    return found


def _refusal(folder: Path, found: str) -> UserError:
    return UserError(
        "a reward model is a folder with a head of scores: afterbase's own, or a sequence classifier with one label",
        got=f"{folder}: {found}",
        remedy="use the folder of a reward model that afterbase trained, or another of one label",
    )
