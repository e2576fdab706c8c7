"""A language model on disk is a plain Hugging Face folder; here it is built, loaded and saved, MTP weights included."""

import json
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    DeepseekV3Config,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging as transformers_logging

from afterbase.core import distributed as ranks
from afterbase.core.errors import UserError
from afterbase.model import attention, experts, saved
from afterbase.model.attention import Segments
from afterbase.model.families import read_config, rope_turn, unsupported
from afterbase.model.folders import tokenizer_of
from afterbase.model.fused.fused_layers import fuse
from afterbase.model.head import Head, output_layer, trunk
from afterbase.model.mtp import MtpModule, original_names
from afterbase.model.parallel import whole_state
from afterbase.model.probe import prove
from afterbase.model.stop import record_stops
from afterbase.model.tensors import read_tensors, tensor_names

_LARGEST_FILE = "50GB"


def _refuse_two_ropes(segments: Segments, turn: float) -> None:
    """UserError where the longest sample of a row would turn the positions of a shorter one to those of long ones."""
    if turn == math.inf:
        return
    begins = (0 if b is None else segments.lengths[b] for b in segments.continues)
    ends = [begin + length for begin, length in zip(begins, segments.lengths, strict=True)]
    if min(ends) <= turn < max(ends):
        raise UserError(
            f"samples of more than {turn} tokens, where this model's positions change, share no row with shorter ones",
            got=f"samples of {min(ends)} and of {max(ends)} tokens",
            remedy=f"leave out the samples that are longer than {turn} tokens: in fine-tuning by `row_tokens`, in "
            "reinforcement learning by `max_new_tokens`, elsewhere in the data",
        )


@dataclass(frozen=True)
class Untrained:
    """Tensors of the folder that a model came from which transformers does not use, such as another family's MTP."""

    folder: Path
    names: tuple[str, ...]

    def read(self) -> dict[str, Tensor]:
        """All of them, as they are on disk."""
        return read_tensors(self.folder, set(self.names).__contains__)


@dataclass
class LanguageModel:
    """A causal LM, its tokenizer, and its multi-token prediction module if it has one.

    `scale` and `cap`: what its head does after the linear layer. `untrained`: what is saved with it as it came.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    mtp: MtpModule | None
    scale: float = 1.0
    cap: float | None = None
    untrained: Untrained | None = None

    def hidden(self, input_ids: Tensor, segments: Segments) -> Tensor:
        """Final hidden states (tokens, hidden) of one packed row of tokens (tokens,).

        Raises UserError for samples of lengths to which the model gives positions of different kinds.
        """
        _refuse_two_ropes(segments, rope_turn(self.model.config))
        output = trunk(self.model)(
            input_ids=input_ids[None],
            position_ids=segments.position_ids[None],
            segments=segments,
            use_cache=False,
        )
        return output.last_hidden_state[0]

    def mtp_hidden(self, input_ids: Tensor, hidden: Tensor, segments: Segments, *, detached: bool = False) -> Tensor:
        """Hidden states (tokens, hidden) whose logits predict the token after next.

        `detached`: their gradient reaches the module and nothing of the trunk.
        """
        assert self.mtp is not None
        layers = self.model.model
        last = segments.position_ids.roll(-1) == 0
        next_embeddings = layers.embed_tokens(input_ids.roll(-1)).masked_fill(last[:, None], 0.0)[None]
        if detached:
            hidden, next_embeddings = hidden.detach(), next_embeddings.detach()
        rotary = layers.rotary_emb(next_embeddings, segments.position_ids[None])
        return self.mtp(hidden[None], next_embeddings, rotary, segments)[0]

    @property
    def device(self) -> torch.device:
        """Where the weights are, and where token ids and segments have to be."""
        return self.model.device

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., hidden) to (..., vocabulary)."""
        return self.head.logits(hidden)

    @property
    def head(self) -> Head:
        """What makes logits of the last hidden states, with the present weights."""
        layer = output_layer(self.model)
        return Head(layer.weight, layer.bias, self.scale, self.cap)

    def modules(self) -> nn.ModuleDict:
        """Trunk and MTP module under one roof, for optimizers and checkpoints."""
        parts: dict[str, nn.Module] = {"trunk": self.model}
        if self.mtp is not None:
            parts["mtp"] = self.mtp
        return nn.ModuleDict(parts)


def build(config: DeepseekV3Config, tokenizer: PreTrainedTokenizerFast, *, seed: int) -> LanguageModel:
    """A freshly initialised DeepSeek-V3 model in float32, with its MTP module."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention.register())
    model.config._experts_implementation = experts.register()
    lm = LanguageModel(model, tokenizer, MtpModule(model.config) if config.num_nextn_predict_layers else None)
    fuse(lm.modules())
    return lm


def load(folder: Path, *, dtype: torch.dtype = torch.float32) -> LanguageModel:
    """A model folder as written by `save` or by `save_pretrained`, in eval mode.

    Raises UserError for a model that cannot be trained here (families.py), whose folder lacks weights, whose vocabulary
    is smaller than its tokenizer's, and, in float32 and wider, for one whose packed samples do not have the
    log-probabilities that the family gives to each alone.

    >>> from afterbase.model.folders import find
    >>> load(find("tiny-v3")).model.config.model_type
    'deepseek_v3'
    """
    config = read_config(folder)
    model, unused = _load_trunk(folder, dtype, config)
    tokenizer = tokenizer_of(folder)
    refuse_small_vocabulary(model, tokenizer, folder)
    lm = LanguageModel(model, tokenizer, None)
    if isinstance(model.config, DeepseekV3Config):
        model.config._experts_implementation = experts.register()
        lm.mtp = _load_mtp(folder, model.config, dtype)
        unused -= {name for name in unused if name.startswith(_mtp_prefix(model.config))}
        fuse(lm.modules())
    if unused:
        lm.untrained = Untrained(folder, tuple(sorted(unused)))
        warnings.warn(
            f"{len(unused)} weights in {folder} are not part of what transformers runs ({min(unused)}, ...): they are "
            "saved as they are, and not trained",
            stacklevel=2,
        )
    if torch.finfo(dtype).eps <= torch.finfo(torch.float32).eps:
        prove(lm)
    return lm


def _load_trunk(folder: Path, dtype: torch.dtype, config: PretrainedConfig) -> tuple[PreTrainedModel, set[str]]:
    """The model, and the names on disk of what it does not use."""
    names = tensor_names(folder)
    try:
        model, found = saved.quiet_from_pretrained(
            folder, config=config, dtype=dtype, attn_implementation=attention.register()
        )
    except (MemoryError, UserError):
        raise
    except Exception as error:  # of many kinds: each family fails in a way of its own where it cannot be run like this
        raise unsupported(config.model_type, f"{type(error).__name__}: {error}") from error
    unused, unknown = saved.unused_names(model, names, found["unexpected_keys"])
    reshaped = {name for name, *_ in found["mismatched_keys"]}
    refuse_incomplete(folder, missing=set(found["missing_keys"]), unknown=unknown, reshaped=reshaped)
    return model.eval(), unused


def _load_mtp(folder: Path, config: DeepseekV3Config, dtype: torch.dtype) -> MtpModule | None:
    tensors = read_tensors(folder, lambda name: name.startswith(_mtp_prefix(config)))
    if not tensors:
        return None
    mtp = MtpModule(config)
    mtp.load_tensors(config.num_hidden_layers, tensors)
    for parameter in mtp.parameters():  # not the buffer: the router's bias stays in float32
        parameter.data = parameter.data.to(dtype)
    return mtp.eval()


def _mtp_prefix(config: DeepseekV3Config) -> str:
    return f"model.layers.{config.num_hidden_layers}."


def refuse_incomplete(folder: Path, *, missing: set[str], unknown: set[str], reshaped: set[str]) -> None:
    """UserError where weights are missing, have names that nothing in the model has, or another shape."""
    if not (missing or unknown or reshaped):
        return
    counts = {"missing": missing, "unknown": unknown, "of another shape": reshaped}
    told = ", ".join(f"{len(names)} {what}, such as `{min(names)}`" for what, names in counts.items() if names)
    raise UserError(
        "a model folder holds every weight of its model, under its name and in its shape",
        got=f"{folder}: {told}",
        remedy="use a folder as `save_pretrained` writes it; transformers would fill what is missing at random",
    )


def refuse_small_vocabulary(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """UserError where the tokenizer has tokens for which the model has no embedding."""
    embeddings = model.get_input_embeddings()
    assert isinstance(embeddings, nn.Embedding)
    rows = embeddings.num_embeddings
    if len(tokenizer) > rows:
        raise UserError(
            "a model has an embedding for every token of its tokenizer",
            got=f"{len(tokenizer)} tokens and {rows} embeddings in {folder}",
            remedy="use the tokenizer that the model was trained with, or resize the embeddings first",
        )


def save(
    lm: LanguageModel,
    folder: Path,
    *,
    dtype: torch.dtype = torch.float32,
    state: Mapping[str, Tensor] | None = None,
    now: bool = False,
) -> None:
    """Write a Hugging Face folder: trunk, tokenizer, and the MTP weights under their original names.

    Router biases stay in float32, as in the original checkpoints. `state` stands for the weights of `lm.modules()`
    where others are to be written; `now` says that they compute what `lm` does at this moment. Of several ranks all
    take part, and the first one writes.

    The folder is read back as anybody would load it: UserError unless it holds these weights and gives these
    log-probabilities.
    """
    now = now or state is None
    state = whole_state(lm.modules()) if state is None else state
    if ranks.rank() != 0:
        return
    transformers_logging.disable_progress_bar()
    main = _in_dtype(_below("trunk", state), dtype)
    beside = {} if lm.untrained is None else lm.untrained.read()
    if lm.mtp is not None:
        embedding, head = (main[name] for name in ("model.embed_tokens.weight", "lm_head.weight"))
        mtp = _in_dtype(_below("mtp", state), dtype)
        beside |= original_names(mtp, lm.model.config.num_hidden_layers, embedding, head)
    record_stops(lm)
    lm.model.save_pretrained(folder, state_dict={**beside, **main}, max_shard_size=_LARGEST_FILE)
    lm.tokenizer.save_pretrained(folder)
    if dtype != torch.float32:
        config = json.loads((folder / "config.json").read_text())
        config["dtype"] = str(dtype).removeprefix("torch.")
        (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    again = saved.refuse_other_tensors(folder, main, beside, dtype)
    if now and dtype == torch.float32:
        saved.refuse_other_policy(lm, again, folder)


def _in_dtype(state: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """The tensors in another type, router biases in float32, whole numbers as they are; tied ones stay tied."""
    made: dict[int, Tensor] = {}
    for name, tensor in state.items():
        wanted = torch.float32 if name.endswith("e_score_correction_bias") else dtype
        made.setdefault(id(tensor), tensor.to(wanted) if tensor.is_floating_point() else tensor)
    return {name: made[id(tensor)] for name, tensor in state.items()}


def _below(part: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(f"{part}."): t for name, t in state.items() if name.startswith(f"{part}.")}
