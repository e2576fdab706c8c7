"""What decoding attends to, latents or keys and values, and the attention over it; which parts of it rows share.

Rows that answer the same prompt read one copy of its tokens, as one GEMM, and each row its own tokens beside them.

A cached token is G equal shares, one for each group of heads that has its key and value in common; all groups are one
batch of products.

Shape suffixes as in decode_deepseek_v3.py; T tokens a row in one step, M = N x T; G groups of heads, E width of a
share, D = G x E.
"""

import contextlib
import math
import mmap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from afterbase.model.attention_variant import PLAIN, AttentionVariant, softmax_beside_sinks

# attend(layer, queries_MHD, cached_MD) -> attended values_MHC
Attend = Callable[[int, Tensor, Tensor], Tensor]


class AttendVariant(Protocol):
    """The same, also with what a family does to attention."""

    def __call__(
        self, layer: int, query_MHD: Tensor, cached_MD: Tensor, variant: AttentionVariant = PLAIN
    ) -> Tensor: ...


# A step's attention is cut, at multiples of SPAN_ROWS rows, where the rows that follow are shorter than this share.
SPAN_ROWS = 32
SHORTER = 0.75


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What is cached of a token in each of `layers` layers: `shares` shares, each of `share_dim` numbers, among which
    `key` and `value` lie."""

    layers: int
    heads: int
    shares: int
    share_dim: int
    key: slice
    value: slice


class LatentCache:
    """What live rows attend to: each prompt's tokens once, and each row's own tokens in a strip of its own.

    Rows are 0 .. rows-1 without holes, and so are prompts. What a step reads follows the live rows, the longest live
    prompt, and the strips' lengths, the better the more they are in descending order.
    """

    def __init__(self, layout: Layout, *, rows: int, prompt_width: int, own_width: int) -> None:
        """Prompts have up to `prompt_width` tokens, rows up to `own_width` of their own."""
        shares, key, value = layout.shares, layout.key, layout.value
        self._prompts_LPGWE, self._own_LNGWE = (
            _zeros(layout.layers, rows, shares, width, layout.share_dim) for width in (max(prompt_width, 1), own_width)
        )
        self._heads = layout.heads // shares
        self._shares = shares
        self._key, self._value = key, value
        own_LBWE = self._own_LNGWE.flatten(1, 2)
        self._own_keys_LBEW, self._own_values_LBWC = own_LBWE[..., key].mT, own_LBWE[..., value]
        self._own_tokens = own_LBWE.flatten(1, 2).unbind()
        self._keys: list[int] = []
        self._prompt_length = np.zeros(rows, dtype=np.int64)
        self._row_prompt = np.zeros(rows, dtype=np.int64)
        self._row_length = np.zeros(rows, dtype=np.int64)
        self.rows = 0
        self._groups: _Groups | None = None

    def add_rows(self, count: int, *, key: int, cached_LWD: Tensor) -> None:
        """Append rows that continue the prompt named by `key`, whose tokens are stored if no live row has them."""
        if key not in self._keys:
            shares_LWGE = cached_LWD.unflatten(2, (self._shares, -1))
            self._prompts_LPGWE[:, len(self._keys), :, : cached_LWD.shape[1]] = shares_LWGE.transpose(1, 2)
            self._prompt_length[len(self._keys)] = cached_LWD.shape[1]
            self._keys.append(key)
        new = slice(self.rows, self.rows + count)
        self._row_prompt[new] = self._keys.index(key)
        self._row_length[new] = 0
        self.rows += count
        self._groups = None

    def keep_rows(self, order: np.ndarray) -> None:
        """Row i becomes what row order[i] was; rows not named go, and with the last row of a prompt its tokens."""
        width = self._row_length[: self.rows].max()
        moved = np.flatnonzero(order != np.arange(len(order)))
        for state in (self._row_prompt, self._row_length):
            state[moved] = state[order[moved]]
        self._own_LNGWE[:, moved, :, :width] = self._own_LNGWE[:, order[moved], :, :width]
        self.rows = len(order)
        self._groups = None
        for prompt in np.setdiff1d(np.arange(len(self._keys)), self._row_prompt[: self.rows])[::-1]:
            last = len(self._keys) - 1
            width = self._prompt_length[last]
            self._prompts_LPGWE[:, prompt, :, :width] = self._prompts_LPGWE[:, last, :, :width].clone()
            self._prompt_length[prompt] = width
            self._row_prompt[: self.rows][self._row_prompt[: self.rows] == last] = prompt
            self._keys[prompt] = self._keys[last]
            self._keys.pop()

    def take(self, other: "LatentCache") -> None:
        """The rows of another cache of the same shape, into this empty one: nothing else of it comes along."""
        for prompt, length in enumerate(other._prompt_length[: len(other._keys)]):
            self._prompts_LPGWE[:, prompt, :, :length] = other._prompts_LPGWE[:, prompt, :, :length]
        for row, length in enumerate(other.lengths):
            self._own_LNGWE[:, row, :, :length] = other._own_LNGWE[:, row, :, :length]
        self._keys, self.rows = list(other._keys), other.rows
        self._prompt_length[:], self._row_prompt[:] = other._prompt_length, other._row_prompt
        self._row_length[:] = other._row_length
        self._groups = None

    @property
    def lengths(self) -> np.ndarray:
        """Own tokens of every row, (rows,): a view that moves with the next step."""
        return self._row_length[: self.rows]

    def forget(self, count_N: np.ndarray) -> None:
        """Take back each row's last `count_N` tokens; the next step writes over them."""
        self._row_length[: self.rows] -= count_N

    def begin_step(self, count: int = 1, asked_N: np.ndarray | None = None) -> tuple[Tensor, AttendVariant]:
        """Make room for `count` tokens a row: the positions_M of these, row by row, and the attention of each to what
        is cached up to itself. With `asked_N`, an index below `count` a row, only that token's query is to come."""
        if self._groups is None:
            lengths = self._prompt_length[: len(self._keys)]
            self._groups = _Groups.of(self._row_prompt[: self.rows], lengths, self._shares)
            prompts_LBWE = self._prompts_LPGWE[:, : self._groups.count, :, : self._groups.width].flatten(1, 2)
            self._prompts = prompts_LBWE[..., self._key].mT.unbind(), prompts_LBWE[..., self._value].unbind()
            strips_NG = np.arange(self.rows * self._shares).reshape(self.rows, -1)
            self._start_N1G = strips_NG[:, None] * self._own_LNGWE.shape[3]
        groups, shares, own, (prompt_keys, prompt_values) = self._groups, self._shares, self._own_tokens, self._prompts
        lengths_N1 = self.lengths[:, None]
        slot_NT = lengths_N1 + np.arange(count)
        asked_NT = slot_NT if asked_N is None else lengths_N1 + asked_N[:, None]
        position_NT = groups.start_N[:, None] + asked_NT
        asked, longest = asked_NT.shape[1], int(position_NT.max()) + 1
        heads = asked * self._heads
        self._row_length[: self.rows] += count
        write = torch.from_numpy((self._start_N1G + slot_NT[..., None]).reshape(-1))
        spans = []
        for start, end, width in _spans(self.lengths):
            rows, slots_NT = slice(start * shares, end * shares), asked_NT[start:end]
            keys, values = self._own_keys_LBEW[:, rows, :, :width], self._own_values_LBWC[:, rows, :width]
            spans.append((rows, slots_NT, self._causal_bias(slots_NT + 1, width), keys.unbind(), values.unbind()))

        # Below, B = N x G or P x G is the batch of products, and h the heads of a group. The tokens of a row are so
        # many more heads: nothing but the bias tells them apart.
        def attend(layer: int, query_MHD: Tensor, cached_MD: Tensor, variant: AttentionVariant = PLAIN) -> Tensor:
            own[layer].index_copy_(0, write, cached_MD.reshape(len(write), -1))
            query_BhD = _by_share(query_MHD, asked, shares)
            scores = _scores(groups.bias_B1W, groups.gather(query_BhD, heads), prompt_keys[layer], variant.cap)
            scores_BhW = groups.scatter(scores, heads)
            window = variant.window if variant.cuts(longest) else None
            if window is not None:
                scores_BhW = scores_BhW + self._window_bias(position_NT - window + 1, groups.width)
            own_BhC = query_BhD.new_empty(len(query_BhD), heads, self._value.stop - self._value.start)
            prompt_weights = []
            for rows, slots_NT, bias, keys, values in spans:
                own_scores = _scores(bias, query_BhD[rows], keys[layer], variant.cap)
                if window is not None:
                    own_scores += self._window_bias(slots_NT - window + 1, own_scores.shape[2])
                weights = self._softmax(torch.cat((scores_BhW[rows], own_scores), -1), variant.sinks)
                torch.bmm(weights[..., groups.width :], values[layer], out=own_BhC[rows])
                prompt_weights.append(weights[..., : groups.width])
            weights = torch.cat(prompt_weights) if len(spans) > 1 else prompt_weights[0]
            attended = torch.bmm(groups.gather(weights, heads), prompt_values[layer])
            return _by_token(own_BhC.add_(groups.scatter(attended, heads)), asked, shares)

        return torch.from_numpy((groups.start_N[:, None] + slot_NT).reshape(-1)), attend

    def _causal_bias(self, length_NT: np.ndarray, width: int) -> Tensor:
        """The padding's bias of every strip, and with more than one token a row for every head of it."""
        tokens = length_NT.shape[1]
        return torch.from_numpy(_padding_bias(length_NT, width, self._shares, 1 if tokens == 1 else self._heads))

    def _window_bias(self, first_NT: np.ndarray, width: int) -> Tensor:
        """-inf for what lies before the first token that is seen, as `_causal_bias` for what lies behind the last."""
        heads = 1 if first_NT.shape[1] == 1 else self._heads
        return torch.from_numpy(_bias(np.arange(width) >= first_NT[..., None], self._shares, heads))

    def _softmax(self, scores_BhW: Tensor, sinks_H: Tensor | None) -> Tensor:
        if sinks_H is None:
            return scores_BhW.softmax(-1)
        count, heads, _ = scores_BhW.shape
        sinks_NGTh = sinks_H.view(self._shares, 1, -1).expand(count // self._shares, -1, heads // self._heads, -1)
        return softmax_beside_sinks(scores_BhW, sinks_NGTh.reshape(count, heads))


def _zeros(*shape: int) -> Tensor:
    """Zeros, because padding is read with weight 0; resident only once written, so that the widest case costs nothing
    until it happens.

    Not NumPy's, which asks for huge pages: a row's first token would bring two megabytes a layer and head with it.
    """
    memory = mmap.mmap(-1, 4 * math.prod(shape))
    with contextlib.suppress(OSError, AttributeError):  # a system without huge pages
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return torch.frombuffer(memory, dtype=torch.float32).view(shape)


def _by_share(query_MHD: Tensor, tokens: int, shares: int) -> Tensor:
    """One batch entry a row and share, (N x G, T x h, D)."""
    count, heads, dim = query_MHD.shape
    query_NTGhD = query_MHD.view(count // tokens, tokens, shares, heads // shares, dim)
    return query_NTGhD.transpose(1, 2).reshape(count // tokens * shares, -1, dim)


def _by_token(attended_BhC: Tensor, tokens: int, shares: int) -> Tensor:
    """The inverse of `_by_share`, (M, H, C)."""
    count, heads, dim = attended_BhC.shape
    attended_NGThC = attended_BhC.view(count // shares, shares, tokens, heads // tokens, dim)
    return attended_NGThC.transpose(1, 2).reshape(count // shares * tokens, -1, dim)


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


def _scores(bias: Tensor, query: Tensor, keys: Tensor, cap: float | None) -> Tensor:
    if cap is None:
        return torch.baddbmm(bias, query, keys)
    return torch.bmm(query, keys).div_(cap).tanh_().mul_(cap).add_(bias)


def _padding_bias(length_NT: np.ndarray, width: int, shares: int, heads: int) -> np.ndarray:
    """0 within each length and -inf beyond, (N x shares, T x heads, width)."""
    return _bias(np.arange(width) < length_NT[..., None], shares, heads)


def _bias(seen_NTW: np.ndarray, shares: int, heads: int) -> np.ndarray:
    return np.where(seen_NTW, np.float32(0), np.float32(-np.inf)).repeat(shares, 0).repeat(heads, 1)


@dataclass(frozen=True, kw_only=True)
class _Groups:
    """Rows by prompt, as a padded rectangle of `count` prompts by the largest number of rows of one prompt."""

    count: int
    shares: int
    width: int
    bias_B1W: Tensor
    start_N: np.ndarray
    rows_of_rectangle: Tensor | None
    rectangle_of_rows: Tensor | None

    @classmethod
    def of(cls, row_prompt: np.ndarray, prompt_length: np.ndarray, shares: int) -> "_Groups":
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
        width = max(int(prompt_length.max()), 1)
        return cls(
            count=count,
            shares=shares,
            width=width,
            bias_B1W=torch.from_numpy(_padding_bias(prompt_length[:, None], width, shares, 1)),
            start_N=prompt_length[row_prompt],
            rows_of_rectangle=None if in_order else torch.from_numpy(back),
            rectangle_of_rows=None if in_order else torch.from_numpy(there),
        )

    def gather(self, x_Bhx: Tensor, heads: int) -> Tensor:
        """From one batch entry a row and share to one a prompt and share, of all its rows: (P x G, r x h, x)."""
        if self.rows_of_rectangle is not None:
            x_Bhx = x_Bhx.view(-1, self.shares * heads, x_Bhx.shape[2]).index_select(0, self.rows_of_rectangle)
        x_PrGhx = x_Bhx.view(self.count, -1, self.shares, heads, x_Bhx.shape[2])
        return x_PrGhx.transpose(1, 2).reshape(self.count * self.shares, -1, x_Bhx.shape[2])

    def scatter(self, x_Bgx: Tensor, heads: int) -> Tensor:
        """The inverse of `gather`; padding is dropped."""
        x_PGrhx = x_Bgx.view(self.count, self.shares, -1, heads, x_Bgx.shape[2])
        x_NGhx = x_PGrhx.transpose(1, 2).reshape(-1, self.shares * heads, x_Bgx.shape[2])
        if self.rectangle_of_rows is not None:
            x_NGhx = x_NGhx.index_select(0, self.rectangle_of_rows)
        return x_NGhx.reshape(-1, heads, x_Bgx.shape[2])
