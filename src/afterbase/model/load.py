"""A language model on disk is a plain Hugging Face folder; here it is built, loaded and saved, MTP weights included."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer, DeepseekV3Config, PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from afterbase.core import ranks
from afterbase.core.errors import UserError
from afterbase.model import attention, experts
from afterbase.model.attention import Segments
from afterbase.model.mtp import MtpModule, original_names
from afterbase.model.parallel import whole_state
from afterbase.model.stop import record_stops

# Families whose packed rows equal their samples alone in our tests; any other proves it when it is loaded.
PROVEN = ("deepseek_v3", "llama")
_PROBE_LENGTHS, _PROBE_TOLERANCE = (5, 1, 7), 1e-3

SHIPPED = {"tiny-v3": Path(__file__).parent / "tiny-v3"}
_WEIGHTS = "model.safetensors"


@dataclass
class LanguageModel:
    """A causal LM, its tokenizer, and its multi-token prediction module if it has one."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    mtp: MtpModule | None

    def hidden(self, input_ids: Tensor, segments: Segments) -> Tensor:
        """Final hidden states (tokens, hidden) of one packed row of tokens (tokens,)."""
        output = self.model.base_model(
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
        trunk = self.model.model
        last = segments.position_ids.roll(-1) == 0
        next_embeddings = trunk.embed_tokens(input_ids.roll(-1)).masked_fill(last[:, None], 0.0)[None]
        if detached:
            hidden, next_embeddings = hidden.detach(), next_embeddings.detach()
        rotary = trunk.rotary_emb(next_embeddings, segments.position_ids[None])
        return self.mtp(hidden[None], next_embeddings, rotary, segments)[0]

    @property
    def device(self) -> torch.device:
        """Where the weights are, and where token ids and segments have to be."""
        return self.model.device

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., hidden) to (..., vocabulary)."""
        return F.linear(hidden, self.head)

    @property
    def head(self) -> Tensor:
        """The output layer's weight, (vocabulary, hidden)."""
        layer = self.model.get_output_embeddings()
        assert layer is not None
        return layer.weight

    def modules(self) -> nn.ModuleDict:
        """Trunk and MTP module under one roof, for optimizers and checkpoints."""
        parts: dict[str, nn.Module] = {"trunk": self.model}
        if self.mtp is not None:
            parts["mtp"] = self.mtp
        return nn.ModuleDict(parts)


def find(name: str) -> Path:
    """The folder of a shipped model or a path; refuses one that is not a model folder."""
    folder = SHIPPED.get(name, Path(name))
    if not (folder / "config.json").is_file():
        raise UserError(
            "a model is a shipped name or a Hugging Face folder with a config.json",
            got=f"`{name}`, where there is no config.json",
            remedy=f"use one of {sorted(SHIPPED)} or the path of a folder written by `save_pretrained`",
        )
    return folder


def build(config: DeepseekV3Config, tokenizer: PreTrainedTokenizerFast, *, seed: int) -> LanguageModel:
    """A freshly initialised DeepSeek-V3 model in float32, with its MTP module."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention.register())
    model.config._experts_implementation = experts.register()
    return LanguageModel(model, tokenizer, MtpModule(model.config) if config.num_nextn_predict_layers else None)


def load(folder: Path, *, dtype: torch.dtype = torch.float32) -> LanguageModel:
    """A model folder as written by `save` or by `save_pretrained`, in eval mode.

    Raises UserError for a model that does not keep packed samples apart, or whose vocabulary is smaller than its
    tokenizer's.
    """
    model = _load_trunk(folder, dtype)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    _refuse_small_vocabulary(model, tokenizer, folder)
    lm = LanguageModel(model, tokenizer, None)
    if isinstance(model.config, DeepseekV3Config):
        model.config._experts_implementation = experts.register()
        lm.mtp = _load_mtp(folder, model.config, dtype)
    if model.config.model_type not in PROVEN:
        refuse_leaky_packing(lm)
    return lm


def _load_trunk(folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # the MTP keys, which transformers calls unexpected, are read apart
    transformers_logging.disable_progress_bar()
    try:
        return AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, attn_implementation=attention.register(), local_files_only=True
        ).eval()
    finally:
        transformers_logging.set_verbosity(verbosity)


def _load_mtp(folder: Path, config: DeepseekV3Config, dtype: torch.dtype) -> MtpModule | None:
    tensors = load_file(folder / _WEIGHTS)
    if not any(name.startswith(f"model.layers.{config.num_hidden_layers}.") for name in tensors):
        return None
    mtp = MtpModule(config)
    mtp.load_tensors(config.num_hidden_layers, tensors)
    for parameter in mtp.parameters():  # not the buffer: the router's bias stays in float32
        parameter.data = parameter.data.to(dtype)
    return mtp.eval()


def _refuse_small_vocabulary(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    embeddings = model.get_input_embeddings()
    assert isinstance(embeddings, nn.Embedding)
    rows = embeddings.num_embeddings
    if len(tokenizer) > rows:
        raise UserError(
            "a model has an embedding for every token of its tokenizer",
            got=f"{len(tokenizer)} tokens and {rows} embeddings in {folder}",
            remedy="use the tokenizer that the model was trained with, or resize the embeddings first",
        )


@torch.no_grad()
def refuse_leaky_packing(lm: LanguageModel) -> None:
    """UserError unless samples in one row give what each gives alone, under the family's own attention.

    A family whose attention does not take the boundaries would train on samples that see each other, and its loss
    would fall all the same.
    """
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(len(lm.tokenizer), (sum(_PROBE_LENGTHS),), generator=generator)
    try:
        packed = lm.hidden(ids, Segments.of(_PROBE_LENGTHS))
        lm.model.set_attn_implementation("eager")  # the family's own attention, with all that is peculiar to it
        parts = [lm.model.base_model(input_ids=part[None], use_cache=False) for part in ids.split(_PROBE_LENGTHS)]
        lm.model.set_attn_implementation(attention.register())
        alone = torch.cat([part.last_hidden_state[0] for part in parts])
        difference = float((packed - alone).abs().max() / alone.abs().max())
    except UserError:
        raise
    except (TypeError, ValueError, AttributeError, AssertionError, RuntimeError) as error:
        found = f"{type(error).__name__}: {error}"
    else:
        if difference <= _PROBE_TOLERANCE:
            return
        found = f"states that differ by {difference:.2g} of the largest"
    raise UserError(
        "samples packed in one row must not see each other",
        got=f"model_type `{lm.model.config.model_type}`: {found}",
        remedy=f"use a model of a family that is proven: {', '.join(PROVEN)}",
    )


def save(
    lm: LanguageModel,
    folder: Path,
    *,
    dtype: torch.dtype = torch.float32,
    state: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a Hugging Face folder: trunk, tokenizer, and the MTP weights under their original names.

    Router biases stay in float32, as in the original checkpoints. `state` stands for the weights of `lm.modules()`
    where those of another moment are to be written. Of several ranks all take part, and the first one writes.
    """
    state = whole_state(lm.modules()) if state is None else state
    if ranks.rank() != 0:
        return
    transformers_logging.disable_progress_bar()
    trunk = _below("trunk", state)
    record_stops(lm)
    lm.model.save_pretrained(folder, state_dict=dict(trunk))
    lm.tokenizer.save_pretrained(folder)
    tensors = load_file(folder / _WEIGHTS)
    if lm.mtp is not None:
        embedding, head = (trunk[name] for name in ("model.embed_tokens.weight", "lm_head.weight"))
        tensors |= original_names(_below("mtp", state), lm.model.config.num_hidden_layers, embedding, head)
    tensors = {k: t if k.endswith("e_score_correction_bias") else t.to(dtype) for k, t in tensors.items()}
    save_file(tensors, folder / _WEIGHTS, metadata={"format": "pt"})
    if dtype != torch.float32:
        config = json.loads((folder / "config.json").read_text())
        config["dtype"] = str(dtype).removeprefix("torch.")
        (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def _below(part: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(f"{part}."): t for name, t in state.items() if name.startswith(f"{part}.")}
