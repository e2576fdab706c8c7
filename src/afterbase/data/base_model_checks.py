"""What a model folder has to be and to hold, found before it is copied or loaded: no weight is read.

The names and shapes of the weights stand in the heads of their files. They are put into a model without memory (torch's
`meta` device) by transformers' own rules, which rename and join weights for many families.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import convert_and_load_state_dict_in_model
from transformers.modeling_utils import LoadStateDictConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING
from transformers.utils import logging as transformers_logging
from transformers.utils.loading_report import LoadStateDictInfo

from afterbase.core.errors import UserError, collect, refuse
from afterbase.model import saved
from afterbase.model.families import read_config, unsupported
from afterbase.model.folders import tokenizer_of
from afterbase.model.load import refuse_incomplete, refuse_small_vocabulary
from afterbase.model.tensors import tensor_shapes

_META = torch.device("meta")


def refuse_unfit(folder: Path) -> None:
    """UserError, or UserErrors, for a folder that `load` would refuse by its config, its tokenizer or its weights.

    Those are: no decoder-only language model (families.py), no tokenizer, weights that are missing, unknown, of another
    shape or not whole, fewer embeddings than tokens. What only the weights' values tell is found when it is loaded.

    >>> from afterbase.model.folders import find
    >>> refuse_unfit(find("tiny-v3"))
    """
    config = read_config(folder)
    shapes = tensor_shapes(folder)
    model, loaded = _in_no_memory(config, shapes)
    reshaped = {name for name, *_ in loaded.mismatched_keys} | loaded.conversion_errors.keys()
    _, unknown = saved.unused_names(model, shapes, loaded.unexpected_keys)
    found: list[UserError] = []
    with collect(found):
        refuse_incomplete(folder, missing=loaded.missing_keys, unknown=unknown, reshaped=reshaped)
    with collect(found):
        refuse_small_vocabulary(model, tokenizer_of(folder), folder)
    refuse(found)


def _in_no_memory(
    config: PretrainedConfig, shapes: Mapping[str, Iterable[int]]
) -> tuple[PreTrainedModel, LoadStateDictInfo]:
    """The model without its weights, and which of those would be missing, unexpected or of another shape."""
    kind: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    weights: dict[str, Tensor] = {name: torch.empty(tuple(shape), device=_META) for name, shape in shapes.items()}
    transformers_logging.disable_progress_bar()
    try:
        with _META:
            model = kind(config)
        mapping: Any = get_model_conversion_mapping(model)
        rules = LoadStateDictConfig(device_map={"": _META}, dtype=torch.float32, weight_mapping=mapping)
        found, _ = convert_and_load_state_dict_in_model(model, weights, rules, None)
        model.tie_weights(missing_keys=found.missing_keys, recompute_mapping=False)
        model._adjust_missing_and_unexpected_keys(found)
    except Exception as error:  # of many kinds: each family fails in a way of its own
        raise unsupported(config.model_type, f"{type(error).__name__}: {error}") from error
    return model, found
