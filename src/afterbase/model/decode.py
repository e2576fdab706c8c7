"""Inference for DeepSeek-V3 models on the CPU: packed prefill and one-token decoding over a cache of latents.

Multi-head latent attention runs absorbed (DeepSeek-V2 report, arXiv 2405.04434, section 2.1.2): a query is taken into
the latent space, attends to the cached latents themselves, and only the result is expanded to values. A cached token is
`kv_lora_rank` normalised latents plus one rotated rope key, in each layer. Rows that answer the same prompt read one
copy of its latents, as one GEMM.

Routing and gates follow `DeepseekV3TopkRouter` of transformers. Not covered: training, GPUs, other dtypes than float32.

Shape suffixes: N rows or tokens, L layers, H heads, C latent width, R rope width, D = C + R, P prompts, W cache width,
V vocabulary, K experts a token, E experts, I expert width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import DeepseekV3ForCausalLM
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3DecoderLayer, DeepseekV3MLP, DeepseekV3MoE

from afterbase.core.errors import UserError

# attend(layer, queries_NHD, latents_ND) -> attended latents_NHC
Attend = Callable[[int, Tensor, Tensor], Tensor]

# Queries of a prompt that attend in one product: bounds the memory of prefill.
QUERY_BLOCK = 256
# A step's attention is cut, at multiples of SPAN_ROWS rows, where the rows that follow are shorter than this share.
SPAN_ROWS = 32
SHORTER = 0.75


@dataclass(frozen=True, kw_only=True)
class _Attention:
    """One layer's attention with the projections merged: what the hidden state is multiplied by, in order."""

    down_weight: Tensor
    down_bias: Tensor | None
    query_norm: Any
    query_weight: Tensor | None
    latent_norm: Any
    value_HCv: Tensor
    output: Any


class LatentDecoder:
    """Prefill and decode steps that give the logits of `model(input_ids)`.

    Weights are read from the module; a few are merged, so call `refresh` after a weight update.
    """

    def __init__(self, model: DeepseekV3ForCausalLM) -> None:
        """Raises UserError unless the weights are float32."""
        if model.dtype != torch.float32:
            raise UserError(
                "the local engine computes in float32",
                got=f"a model in {model.dtype}",
                remedy="load it with dtype=torch.float32, or roll out with vLLM",
            )
        config = model.config
        self.model = model
        self.heads = config.num_attention_heads
        self.latent_dim = config.kv_lora_rank
        self.cached_dim = config.kv_lora_rank + config.qk_rope_head_dim
        self.layers: list[DeepseekV3DecoderLayer] = list(model.model.layers)  # type: ignore[arg-type]
        self._rotation_WR = torch.empty(0, config.qk_rope_head_dim // 2, dtype=torch.complex64)
        self.refresh()

    @torch.inference_mode()
    def refresh(self) -> None:
        """Merge the attention projections anew from the module's present weights."""
        self._attention = [self._merge(layer.self_attn) for layer in self.layers]

    def _merge(self, attention: Any) -> _Attention:
        nope, rope, rank = attention.qk_nope_head_dim, attention.qk_rope_head_dim, self.latent_dim
        up_HnC, value_HvC = attention.kv_b_proj.weight.view(self.heads, -1, rank).split([nope, attention.v_head_dim], 1)
        # Rope pairs as neighbours, so that a rotation is one complex product. The order of the dimensions does not
        # matter to a dot product, as long as queries and keys agree.
        halves = torch.arange(rope).view(2, -1).T.reshape(-1)
        pairs = torch.arange(rope) if attention.config.rope_interleave else halves
        query = attention.q_proj if attention.q_b_proj is None else attention.q_b_proj
        nope_Hnx, rope_HRx = query.weight.view(self.heads, nope + rope, -1).split([nope, rope], 1)
        query_weight = torch.cat((up_HnC.mT @ nope_Hnx, rope_HRx[:, pairs]), 1).flatten(0, 1) * attention.scaling
        key = attention.kv_a_proj_with_mqa
        key_order = torch.cat((torch.arange(rank), rank + pairs))
        low_rank = attention.q_a_proj is not None
        down_weight = torch.cat((attention.q_a_proj.weight if low_rank else query_weight, key.weight[key_order]))
        down_bias = None
        if key.bias is not None:
            query_bias = attention.q_a_proj.bias if low_rank else query_weight.new_zeros(query_weight.shape[0])
            down_bias = torch.cat((query_bias, key.bias[key_order]))
        return _Attention(
            down_weight=down_weight,
            down_bias=down_bias,
            query_norm=attention.q_a_layernorm,
            query_weight=query_weight if low_rank else None,
            latent_norm=attention.kv_a_layernorm,
            value_HCv=value_HvC.mT,
            output=attention.o_proj,
        )

    def new_cache(self, *, rows: int, prompt_width: int, own_width: int) -> "LatentCache":
        """An empty cache: `rows` rows, prompts of up to `prompt_width` tokens, `own_width` further tokens a row."""
        self._extend_rotation(prompt_width + own_width)
        return LatentCache(
            layers=len(self.layers),
            rows=rows,
            prompt_width=prompt_width,
            own_width=own_width,
            latent_dim=self.latent_dim,
            cached_dim=self.cached_dim,
        )

    @torch.inference_mode()
    def prefill(self, prompts: Sequence[Sequence[int]]) -> tuple[list[Tensor], Tensor]:
        """Each prompt's latents_LWD and the logits_PV after its last token; prompts do not see each other."""
        lengths = [len(prompt) for prompt in prompts]
        self._extend_rotation(max(lengths))
        tokens_N = torch.tensor([token for prompt in prompts for token in prompt])
        positions_N = torch.cat([torch.arange(length) for length in lengths])
        latents_LND = torch.empty(len(self.layers), len(tokens_N), self.cached_dim)

        def attend(layer: int, query_NHD: Tensor, latent_ND: Tensor) -> Tensor:
            latents_LND[layer] = latent_ND
            pairs = zip(query_NHD.split(lengths), latent_ND.split(lengths), strict=True)
            return torch.cat([_causal_attention(q, latent, self.latent_dim) for q, latent in pairs])

        hidden_ND = self._trunk(tokens_N, positions_N, attend)
        last_P = torch.tensor(lengths).cumsum(0) - 1
        return list(latents_LND.split(lengths, dim=1)), self._logits(hidden_ND[last_P])

    @torch.inference_mode()
    def step(self, tokens_N: Tensor, cache: "LatentCache") -> Tensor:
        """Feed one token to every row of the cache, which grows by it; gives logits_NV."""
        return self._logits(self._trunk(tokens_N, *cache.begin_step()))

    def _logits(self, hidden: Tensor) -> Tensor:
        return F.linear(_norm(hidden, self.model.model.norm), self.model.lm_head.weight)

    def _extend_rotation(self, width: int) -> None:
        if len(self._rotation_WR) < width:
            positions = torch.arange(2 * width)[None]
            cos, sin = self.model.model.rotary_emb(self.model.lm_head.weight, positions)
            half = self._rotation_WR.shape[1]
            self._rotation_WR = torch.complex(cos[0, :, :half].contiguous(), sin[0, :, :half].contiguous())

    def _trunk(self, tokens_N: Tensor, positions_N: Tensor, attend: Attend) -> Tensor:
        x = F.embedding(tokens_N, self.model.model.embed_tokens.weight)
        rotation_N1R = self._rotation_WR.index_select(0, positions_N)[:, None]
        for index, (layer, weights) in enumerate(zip(self.layers, self._attention, strict=True)):
            x = x + self._attend(index, weights, _norm(x, layer.input_layernorm), rotation_N1R, attend)
            normed = _norm(x, layer.post_attention_layernorm)
            x = x + (_experts(normed, layer.mlp) if isinstance(layer.mlp, DeepseekV3MoE) else _mlp(normed, layer.mlp))
        return x

    def _attend(self, index: int, weights: _Attention, x: Tensor, rotation_N1R: Tensor, attend: Attend) -> Tensor:
        down = F.linear(x, weights.down_weight, weights.down_bias)
        query, latent_ND = down.split([down.shape[1] - self.cached_dim, self.cached_dim], dim=1)
        if weights.query_weight is not None:
            query = F.linear(_norm(query, weights.query_norm), weights.query_weight)
        query_NHD = query.view(len(x), self.heads, self.cached_dim)
        latent_ND[:, : self.latent_dim] = _norm(latent_ND[:, : self.latent_dim], weights.latent_norm)
        for tensor in (query_NHD, latent_ND[:, None]):
            torch.view_as_complex(tensor[..., self.latent_dim :].unflatten(-1, (-1, 2))).mul_(rotation_N1R)
        attended_HNC = attend(index, query_NHD, latent_ND).transpose(0, 1)
        value = torch.bmm(attended_HNC, weights.value_HCv).transpose(0, 1).flatten(1)
        return F.linear(value, weights.output.weight, weights.output.bias)


class LatentCache:
    """The latents that live rows attend to: each prompt's once, and each row's own tokens in a strip of its own.

    Rows are 0 .. rows-1 without holes, and so are prompts. What a step reads follows the live rows, the longest live
    prompt, and the strips' lengths, the better the more they are in descending order.
    """

    def __init__(
        self, *, layers: int, rows: int, prompt_width: int, own_width: int, latent_dim: int, cached_dim: int
    ) -> None:
        # Zeros, because padding is read with weight 0. NumPy's are resident only once written, so that the widest case
        # costs nothing until it happens.
        self._prompts_LPWD = torch.from_numpy(np.zeros((layers, rows, prompt_width, cached_dim), dtype=np.float32))
        self._own_LNWD = torch.from_numpy(np.zeros((layers, rows, own_width, cached_dim), dtype=np.float32))
        self._latent_dim = latent_dim
        self._keys: list[int] = []
        self._prompt_length = np.zeros(rows, dtype=np.int64)
        self._row_prompt = np.zeros(rows, dtype=np.int64)
        self._row_length = np.zeros(rows, dtype=np.int64)
        self.rows = 0
        self._groups: _Groups | None = None

    def add_rows(self, count: int, *, key: int, latents_LWD: Tensor) -> None:
        """Append rows that continue the prompt named by `key`; its latents are stored if no live row has them."""
        if key not in self._keys:
            self._prompts_LPWD[:, len(self._keys), : latents_LWD.shape[1]] = latents_LWD
            self._prompt_length[len(self._keys)] = latents_LWD.shape[1]
            self._keys.append(key)
        new = slice(self.rows, self.rows + count)
        self._row_prompt[new] = self._keys.index(key)
        self._row_length[new] = 0
        self.rows += count
        self._groups = None

    def keep_rows(self, order: np.ndarray) -> None:
        """Row i becomes what row order[i] was; rows not named go, and with the last row of a prompt its latents."""
        width = self._row_length[: self.rows].max()
        moved = np.flatnonzero(order != np.arange(len(order)))
        for state in (self._row_prompt, self._row_length):
            state[moved] = state[order[moved]]
        self._own_LNWD[:, moved, :width] = self._own_LNWD[:, order[moved], :width]
        self.rows = len(order)
        self._groups = None
        for prompt in np.setdiff1d(np.arange(len(self._keys)), self._row_prompt[: self.rows])[::-1]:
            last = len(self._keys) - 1
            width = self._prompt_length[last]
            self._prompts_LPWD[:, prompt, :width] = self._prompts_LPWD[:, last, :width].clone()
            self._prompt_length[prompt] = width
            self._row_prompt[: self.rows][self._row_prompt[: self.rows] == last] = prompt
            self._keys[prompt] = self._keys[last]
            self._keys.pop()

    def begin_step(self) -> tuple[Tensor, Attend]:
        """Make room for one token a row: the tokens' positions_N, and the attention over what is cached then."""
        if self._groups is None:
            self._groups = _Groups.of(self._row_prompt[: self.rows], self._prompt_length[: len(self._keys)])
        groups, own_LNWD, latent_dim = self._groups, self._own_LNWD, self._latent_dim
        length_N = torch.from_numpy(self._row_length[: self.rows].copy())
        self._row_length[: self.rows] += 1
        write_N = torch.arange(self.rows) * own_LNWD.shape[2] + length_N
        spans = [
            (slice(start, end), width, _padding_bias(length_N[start:end] + 1, width))
            for start, end, width in _spans(self._row_length[: self.rows])
        ]

        def attend(layer: int, query_NHD: Tensor, latent_ND: Tensor) -> Tensor:
            heads = query_NHD.shape[1]
            own_LNWD[layer].flatten(0, 1).index_copy_(0, write_N, latent_ND)
            prompts_PWD = self._prompts_LPWD[layer, : groups.count, : groups.width]
            scores = torch.baddbmm(groups.bias_P1W, groups.gather(query_NHD), prompts_PWD.mT)
            scores_NHW = groups.scatter(scores, heads)
            own_NHC = query_NHD.new_empty(len(query_NHD), heads, latent_dim)
            prompt_weights = []
            for rows, width, bias_N1W in spans:
                own_NWD = own_LNWD[layer, rows, :width]
                own_scores = torch.baddbmm(bias_N1W, query_NHD[rows], own_NWD.mT)
                weights = torch.cat((scores_NHW[rows], own_scores), -1).softmax(-1)
                torch.bmm(weights[..., groups.width :], own_NWD[..., :latent_dim], out=own_NHC[rows])
                prompt_weights.append(weights[..., : groups.width])
            weights = torch.cat(prompt_weights) if len(spans) > 1 else prompt_weights[0]
            attended = torch.bmm(groups.gather(weights), prompts_PWD[..., :latent_dim])
            return own_NHC.add_(groups.scatter(attended, heads))

        return groups.start_N + length_N, attend


def _spans(lengths: np.ndarray) -> list[tuple[int, int, int]]:
    """Cut rows into (start, end, longest) where what follows is much shorter, so that little padding is read."""
    spans: list[tuple[int, int, int]] = []
    for start in range(0, len(lengths), SPAN_ROWS):
        end = min(start + SPAN_ROWS, len(lengths))
        longest = int(lengths[start:end].max())
        if spans and SHORTER * spans[-1][2] <= longest <= spans[-1][2]:
            start, _, longest = spans.pop()
        spans.append((start, end, longest))
    return spans


def _padding_bias(length_N: Tensor, width: int) -> Tensor:
    """0 within each row's length and -inf beyond, (N, 1, width)."""
    bias_N1W = torch.zeros(len(length_N), 1, width)
    return bias_N1W.masked_fill_(torch.arange(width) >= length_N[:, None, None], -torch.inf)


@dataclass(frozen=True, kw_only=True)
class _Groups:
    """Rows by prompt, as a padded rectangle of `count` prompts by the largest number of rows of one prompt."""

    count: int
    width: int
    bias_P1W: Tensor
    start_N: Tensor
    rows_of_rectangle: Tensor | None
    rectangle_of_rows: Tensor | None

    @classmethod
    def of(cls, row_prompt: np.ndarray, prompt_length: np.ndarray) -> "_Groups":
        """The rectangle, and the way there and back; both None where rows fill it in order."""
        count, rows = len(prompt_length), len(row_prompt)
        order = np.argsort(row_prompt, kind="stable")
        sizes = np.bincount(row_prompt, minlength=count)
        first = np.cumsum(sizes) - sizes
        there = np.empty(rows, dtype=np.int64)
        there[order] = row_prompt[order] * sizes.max() + np.arange(rows) - first[row_prompt[order]]
        back = np.zeros(count * sizes.max(), dtype=np.int64)
        back[there] = np.arange(rows)
        in_order = len(back) == rows and bool((there == np.arange(rows)).all())
        width = int(prompt_length.max())
        return cls(
            count=count,
            width=width,
            bias_P1W=_padding_bias(torch.from_numpy(prompt_length.copy()), width),
            start_N=torch.from_numpy(prompt_length[row_prompt]),
            rows_of_rectangle=None if in_order else torch.from_numpy(back),
            rectangle_of_rows=None if in_order else torch.from_numpy(there),
        )

    def gather(self, x_NHx: Tensor) -> Tensor:
        """Rows into the rectangle, heads and rows of a prompt as one axis."""
        if self.rows_of_rectangle is not None:
            x_NHx = x_NHx.index_select(0, self.rows_of_rectangle)
        return x_NHx.reshape(self.count, -1, x_NHx.shape[-1])

    def scatter(self, x_Pgx: Tensor, heads: int) -> Tensor:
        """The inverse of `gather`; padding is dropped."""
        x = x_Pgx.view(-1, heads, x_Pgx.shape[-1])
        return x if self.rectangle_of_rows is None else x.index_select(0, self.rectangle_of_rows)


def _causal_attention(query_NHD: Tensor, latent_ND: Tensor, latent_dim: int) -> Tensor:
    """Attention of one prompt to itself, a block of queries at a time so that memory stays linear in its length."""
    outputs = []
    for start in range(0, len(query_NHD), QUERY_BLOCK):
        query = query_NHD[start : start + QUERY_BLOCK]
        end = start + len(query)
        scores = (query.flatten(0, 1) @ latent_ND[:end].mT).view(len(query), -1, end)
        hidden = torch.ones(len(query), end, dtype=torch.bool).triu_(start + 1)
        weights = scores.masked_fill_(hidden[:, None], -torch.inf).softmax(-1)
        outputs.append((weights.flatten(0, 1) @ latent_ND[:end, :latent_dim]).view(*query.shape[:2], -1))
    return torch.cat(outputs)


def _norm(x: Tensor, norm: Any) -> Tensor:
    return F.rms_norm(x, x.shape[-1:], norm.weight, norm.variance_epsilon)


def _mlp(x: Tensor, mlp: DeepseekV3MLP) -> Tensor:
    gate, up = F.linear(x, mlp.gate_proj.weight), F.linear(x, mlp.up_proj.weight)
    return F.linear(mlp.act_fn(gate).mul_(up), mlp.down_proj.weight)


def _route(x: Tensor, gate: Any) -> tuple[Tensor, Tensor]:
    """Experts_NK and gates_NK: chosen by score + bias within the best groups, gated by the score alone."""
    score_NE = F.linear(x, gate.weight).sigmoid_()
    choice_NE = score_NE + gate.e_score_correction_bias
    if gate.topk_group < gate.num_group:
        choice_NGe = choice_NE.view(len(x), gate.num_group, -1)
        group_score_NG = choice_NGe.topk(2, dim=-1).values.sum(-1)
        chosen = group_score_NG.topk(gate.topk_group, dim=-1, sorted=False).indices
        outside_NG = torch.ones_like(group_score_NG, dtype=torch.bool).scatter_(1, chosen, False)
        choice_NE = choice_NGe.masked_fill(outside_NG[..., None], -torch.inf).flatten(1)
    experts_NK = choice_NE.topk(gate.top_k, dim=-1, sorted=False).indices
    gates_NK = score_NE.gather(1, experts_NK)
    if gate.norm_topk_prob:
        gates_NK = gates_NK / (gates_NK.sum(-1, keepdim=True) + 1e-20)
    return experts_NK, gates_NK * gate.routed_scaling_factor


def _experts(x: Tensor, moe: DeepseekV3MoE) -> Tensor:
    """Shared experts plus routed ones: pairs sorted by expert, one GEMM an expert into one buffer."""
    experts_NK, gates_NK = _route(x, moe.gate)
    order = experts_NK.flatten().argsort(stable=True)
    rows = order // experts_NK.shape[1]
    counts = experts_NK.flatten().bincount(minlength=moe.gate.num_experts).tolist()
    weights: Any = moe.experts
    inner = x.new_empty(len(order), weights.gate_up_proj.shape[1])
    for pairs, out, weight in zip(x[rows].split(counts), inner.split(counts), weights.gate_up_proj, strict=True):
        torch.mm(pairs, weight.mT, out=out)
    gate, up = inner.chunk(2, dim=-1)
    inner = weights.act_fn(gate).mul_(up)
    outer = torch.empty(len(order), x.shape[1])
    for pairs, out, weight in zip(inner.split(counts), outer.split(counts), weights.down_proj, strict=True):
        torch.mm(pairs, weight.mT, out=out)
    outer.mul_(gates_NK.flatten()[order, None])
    return _mlp(x, moe.shared_experts).index_add_(0, rows, outer)
