"""A model folder that was just written is read back as anybody would load it, and compared with what was to be saved.

`transformers` fills what a folder lacks at random, and says so where nobody reads it.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, GenerationConfig, PretrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING
from transformers.utils import logging as transformers_logging

from afterbase.core import distributed as ranks
from afterbase.core.errors import UserError
from afterbase.model.attention import Segments
from afterbase.model.probe import logps_alone, token_log_probabilities
from afterbase.model.tensors import quantised, read_tensors

if TYPE_CHECKING:
    from afterbase.model.load import LanguageModel

_PROBE = 24  # tokens
_TOLERANCE = 1e-3  # nats


def quiet_from_pretrained(
    folder: Path, config: PretrainedConfig | None = None, **options: Any
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """A causal LM from a folder, and what of it was missing, unexpected or of another shape; nothing is printed.

    With a `config`, weights in fp8 are loaded as the numbers that they stand for.
    """
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # what it would say is in the second part of the answer
    transformers_logging.disable_progress_bar()
    try:
        if config is None or not quantised(folder):
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, output_loading_info=True, **options
            )
            return loaded
        kind: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
        state = read_tensors(folder, lambda name: True)
        model, found = kind.from_pretrained(None, config=config, state_dict=state, output_loading_info=True, **options)
        if (folder / "generation_config.json").is_file():
            model.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
        return model, found
    finally:
        transformers_logging.set_verbosity(verbosity)


def unused_names(model: PreTrainedModel, names: Iterable[str], unexpected: Iterable[str]) -> tuple[set[str], set[str]]:
    """Of the names on disk those that the model does not use, and unexpected names that none on disk explains.

    transformers hides the ones that a family expects to be there, and joins experts before it finds them unexpected.
    """
    names, unexpected = set(names), set(unexpected)
    used = set(model.state_dict())
    used |= {name.removeprefix(f"{model.base_model_prefix}.") for name in used}  # of a folder of the trunk alone
    modules = {name for name, _ in model.named_modules()}
    hidden = [re.compile(pattern) for pattern in model._keys_to_ignore_on_load_unexpected or ()]
    unused = {n for n in names if n in unexpected or (n not in used and any(pattern.search(n) for pattern in hidden))}
    unknown = set()
    for name in unexpected - names:
        module = name.rpartition(".")[0]
        parts = {n for n in names if n.startswith(f"{module}.")} if module not in modules else set()
        unused |= parts
        unknown |= set() if parts else {name}
    return unused, unknown


def refuse_other_tensors(
    folder: Path, trunk: Mapping[str, Tensor], beside: Mapping[str, Tensor], dtype: torch.dtype
) -> PreTrainedModel:
    """The model that the folder holds; UserError unless it has exactly the tensors of `trunk`.

    `beside` is what the folder has to hold besides, under the names on disk.
    """
    model, found = quiet_from_pretrained(folder, dtype=dtype)
    state = model.state_dict()
    wrong = [f"`{name}` is missing" for name in sorted(found["missing_keys"])]
    _, unknown = unused_names(model, beside, found["unexpected_keys"])
    wrong += [f"`{name}` belongs to nothing" for name in sorted(unknown)]
    wrong += [f"`{name}` is in one of both alone" for name in sorted(state.keys() ^ trunk.keys())]
    both = sorted(state.keys() & trunk.keys())
    wrong += [f"`{name}` differs" for name in both if not _same(state[name], trunk[name])]
    there = read_tensors(folder, beside.__contains__) if beside else {}
    wrong += [f"`{name}` differs" for name in beside if name not in there or not _same(there[name], beside[name])]
    if wrong:
        raise _refusal(folder, f"{len(wrong)} of {len(trunk) + len(beside)} tensors: {'; '.join(wrong[:3])}")
    return model.eval()


@torch.no_grad()
def refuse_other_policy(lm: "LanguageModel", again: PreTrainedModel, folder: Path) -> None:
    """UserError unless the model read back gives the log-probabilities of the trained one; on one process and the CPU.

    Elsewhere the trained model computes in another type, or in parts, and the tensors alone are compared.
    """
    if ranks.size() > 1 or lm.device.type != "cpu" or lm.model.dtype != torch.float32:
        return
    ids = torch.randint(len(lm.tokenizer), (_PROBE,), generator=torch.Generator().manual_seed(0))
    trained = token_log_probabilities(lm.hidden(ids, Segments.of([_PROBE])), lm.head, ids, [_PROBE])
    difference = float((trained - logps_alone(again, ids, [_PROBE])).abs().max())
    if not difference <= _TOLERANCE:
        raise _refusal(folder, f"log-probabilities that differ by {difference:.2g} nats")


def _same(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and torch.equal(a, b.to(a.device))


def _refusal(folder: Path, found: str) -> UserError:
    return UserError(
        "a saved model, loaded by transformers, is the model that was trained",
        got=f"{folder}: {found}",
        remedy="use a model of another family; the training's own checkpoint is kept, and goes on from there",
    )
