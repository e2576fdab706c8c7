"""Inference on the CPU for any causal LM of transformers whose attention can be given from outside.

The module's own forward runs on all tokens as one row with positions of their own; only its attention is ours, over a
cache that rows of one prompt share. Slower than a decoder made for a family, but right for all that is peculiar to it
outside of attention, and for windows, caps and sinks in it. Not covered: scores that are biased, chunks, state other
than keys and values (UserError).

Shape suffixes as in decode_llama.py.
"""

import math
from collections.abc import Sequence
from functools import cache as once
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AttentionInterface, PreTrainedModel

from afterbase.core.errors import UserError
from afterbase.model.attention_variant import PLAIN, AttentionVariant
from afterbase.model.decoding.decode_deepseek_v3 import States
from afterbase.model.decoding.decode_llama import attention_to_cached, attention_to_own, key_value_layout
from afterbase.model.decoding.latent_cache import AttendVariant, LatentCache
from afterbase.model.families import attention_chunk, layer_windows, rope_turn
from afterbase.model.head import Head, measure_head, output_layer, trunk
from afterbase.model.probe import own_attention

IMPLEMENTATION = "afterbase_decode"
_PROBE, _TOLERANCE = (3, 1, 4, 1, 5, 2), 1e-3


class AnyDecoder:
    """Prefill and decode steps that give the logits of `model(input_ids)`; weights are read from the module."""

    def __init__(self, model: PreTrainedModel) -> None:
        """Raises UserError unless six tokens, prefilled and then one by one, give the module's own states."""
        self.model: Any = model
        self._scale, self._cap = 1.0, None
        self._window = math.inf
        self._shape = self._probe()

    def refresh(self) -> None:
        """Nothing is copied."""

    @property
    def longest(self) -> int | None:
        """The shortest chunk, or window that attention is not told of, or the length beyond which positions change."""
        longest = min(self._window, attention_chunk(self.model.config), rope_turn(self.model.config))
        return None if longest == math.inf else int(longest)

    def new_cache(self, *, rows: int, prompt_width: int, own_width: int, longest: int | None = None) -> LatentCache:
        """As `LatentLayers.new_cache`; raises UserError where a sequence can become longer than the model allows."""
        if self.longest is not None and (longest or prompt_width + own_width) > self.longest:
            turns = rope_turn(self.model.config) == self.longest
            limit = f"positions that change beyond {self.longest}" if turns else f"a chunk or window of {self.longest}"
            raise UserError(
                "the local engine attends to all of a sequence, at positions that do not depend on others' lengths",
                got=f"{prompt_width} + {own_width} tokens, and {limit}",
                remedy="lower max_new_tokens or the prompts' length, or roll out with vLLM",
            )
        layers, heads, key_heads, head_dim = self._shape
        layout = key_value_layout(layers=layers, heads=heads, key_heads=key_heads, head_dim=head_dim)
        return LatentCache(layout, rows=rows, prompt_width=prompt_width, own_width=own_width)

    @torch.inference_mode()
    def read(self, prompts: Sequence[Sequence[int]]) -> tuple[list[Tensor], States]:
        """Prompts that do not see each other: each one's keys and values, cached_LWD, and the states of all tokens."""
        lengths = [len(prompt) for prompt in prompts]
        cached: list[Tensor] = []

        def attend(layer: int, query_MHD: Tensor, cached_MD: Tensor, variant: AttentionVariant = PLAIN) -> Tensor:
            assert layer == len(cached), "layers run in order"
            cached.append(cached_MD)
            return attention_to_own(query_MHD, cached_MD, lengths, variant)

        tokens_M = torch.tensor([token for prompt in prompts for token in prompt])
        states = self._run(tokens_M, torch.cat([torch.arange(length) for length in lengths]), attend)
        return list(torch.stack(cached).split(lengths, dim=1)), states

    @torch.inference_mode()
    def read_on(self, tokens: Sequence[int], cached_LWD: Tensor, start: int) -> States:
        """A prompt's tokens from `start` on, behind what is cached of it so far; what is cached of them is written
        there."""
        end = start + len(tokens)
        return self._run(torch.tensor(tokens), torch.arange(start, end), attention_to_cached(cached_LWD, start, end))

    @torch.inference_mode()
    def feed(self, tokens_M: Tensor, cache: LatentCache) -> States:
        """The next token of every row of the cache, which grows by them."""
        return self._run(tokens_M, *cache.begin_step())

    @torch.inference_mode()
    def logits(self, hidden_MX: Tensor) -> Tensor:
        """The head: logits_MV."""
        layer = output_layer(self.model)
        return Head(layer.weight, layer.bias, self._scale, self._cap).logits(hidden_MX)

    def _run(self, tokens_M: Tensor, positions_M: Tensor, attend: AttendVariant) -> States:
        with own_attention(self.model, _register()):
            output = trunk(self.model)(
                input_ids=tokens_M[None], position_ids=positions_M[None], use_cache=False, attend=attend
            )
        return States(hidden_MX=output.last_hidden_state[0], experts=[])

    @torch.inference_mode()
    def _probe(self) -> tuple[int, int, int, int]:
        """Layers, heads, key heads and head width, as they are met."""
        shapes: list[tuple[int, int, int]] = []
        windows: list[int | None] = []

        def attend(layer: int, query_MHD: Tensor, cached_MD: Tensor, variant: AttentionVariant = PLAIN) -> Tensor:
            heads, head_dim = query_MHD.shape[1:]
            shapes.append((heads, cached_MD.shape[1] // (2 * head_dim), head_dim))
            windows.append(variant.window)
            return attention_to_own(query_MHD, cached_MD, [len(query_MHD)], variant)

        vocabulary = self.model.get_input_embeddings().num_embeddings
        tokens = torch.tensor(_PROBE) % vocabulary
        try:
            self._run(tokens, torch.arange(len(tokens)), attend)
            assert len(set(shapes)) == 1, f"{len(set(shapes))} kinds of attention layers"
            self._shape = (len(shapes), *shapes[0])
            self._window = untold_window(layer_windows(self.model.config), windows)
            with own_attention(self.model, "eager"):
                self._scale, self._cap = measure_head(self.model)
            difference = self._difference(tokens)
        except UserError:
            raise
        except (TypeError, ValueError, AttributeError, AssertionError, RuntimeError) as error:
            found = f"{type(error).__name__}: {error}"
        else:
            if difference <= _TOLERANCE:
                return self._shape
            found = f"log-probabilities that differ by {difference:.2g}"
        raise UserError(
            "the local engine runs models whose attention transformers lets it replace",
            got=f"model_type `{self.model.config.model_type}`: {found}",
            remedy="use a model of another family, or roll out with vLLM",
        )

    def _difference(self, tokens: Tensor) -> float:
        """Of log-probabilities after each token, ours step by step and the module's own at once."""
        cached, states = self.read([tokens[:1].tolist()])
        cache = self.new_cache(rows=1, prompt_width=1, own_width=len(tokens))
        cache.add_rows(1, key=0, cached_LWD=cached[0])
        hidden = [states.hidden_MX, *(self.feed(token[None], cache).hidden_MX for token in tokens[1:])]
        ours = self.logits(torch.cat(hidden)).log_softmax(-1)
        with own_attention(self.model, "eager"):  # the family's own attention, with all that is peculiar to it
            logits = self.model(input_ids=tokens[None], use_cache=False).logits[0]
        return float((ours - logits.log_softmax(-1)).abs().max())


def untold_window(declared: Sequence[int | None], told: Sequence[int | None]) -> float:
    """The shortest window of a layer, by the config, that its attention was not told of, or told otherwise.

    >>> untold_window([8, None, 8], [8, None, None]), untold_window([8, None], [8, None])
    (8, inf)
    """
    pairs = zip(declared, told, strict=False)  # a config may count layers without attention
    return min((window for window, heard in pairs if window is not None and window != heard), default=math.inf)


def _outside(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    attend: AttendVariant,
    scaling: float | None = None,
    **of_family: Any,
) -> tuple[Tensor, None]:
    """`attend` as transformers calls it: (1, heads, tokens, dimension) in, (1, tokens, heads, dimension) out."""
    assert query.shape[0] == 1, "one row"
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    width = value.shape[-1]
    value = F.pad(value, (0, query.shape[-1] - width))  # MLA's values are narrower than its keys
    cached = torch.cat((key[0], value[0]), -1).transpose(0, 1).flatten(1)
    query_MHD = query[0].transpose(0, 1) * scale
    attended = attend(module.layer_idx, query_MHD, cached, AttentionVariant.of(of_family))
    return attended[None, ..., :width], None


@once
def _register() -> str:
    AttentionInterface.register(IMPLEMENTATION, _outside)
    return IMPLEMENTATION
